// The page of a run: listens to it, and has every view drawn anew. Each view is a file of its own.

import { get, keepToken, listen } from "./api.js";
import { search, showDevice, startDevice } from "./device.js";
import { at, element, isoTime, say } from "./dom.js";
import { showFlow, startFlow } from "./flow.js";
import { loadGroups, showGroups, startGroups } from "./groups.js";
import { showLetters, startLetters } from "./letters.js";
import { showLog, startLog } from "./log.js";
import { startMap } from "./map.js";
import { loadHistory, noteEvent, noteState, run } from "./run.js";
import { showCharts, showWholeRun, startTimeLine } from "./time_line.js";

function onEvent(name, content) {
  if (name === "event") {
    if (noteEvent(content)) showLog();
    return;
  }
  if (name !== "state") return;
  if (content.read_only) return void showRecord(content);
  noteState(content);
  // A page that nobody sees costs nothing; it is drawn when it is seen again.
  if (!document.hidden) showAll();
}

function showAll() {
  if (!run.status) return;
  showFlow(run.status);
  showGroups();
  showCharts();
  showLetters();
  showDevice();
}

// Of a record there is nothing to be changed: what changes a run is hidden, and it is said why.
async function showRecord(status) {
  document.body.classList.add("record");
  at("read-only").textContent = status.read_only;
  badge(status.is_complete ? "over" : "not ended", status.is_complete ? "live" : "lost");
  const chosen = run.status && run.status.at_ms !== run.history.at(-1)?.at_ms ? run.status : null;
  await loadHistory();
  noteState(status);
  // Of one that goes on more has come; what somebody looks at stays.
  if (chosen) run.status = chosen;
  else showWholeRun();
  showAll();
  showLog();
}

async function showRuns() {
  const runs = await get("v1/runs");
  at("runs").hidden = runs.length < 2;
  at("run-choice").replaceChildren(
    ...runs.map(({ path, scenario, run_id, started_ms, record }) => {
      const when = started_ms ? `${new Date(started_ms).toISOString().slice(0, 10)} ${isoTime(started_ms)}` : "";
      const option = element("option", [scenario, when, record ?? run_id].filter(Boolean).join(" · "), { value: path });
      option.selected = path === "";
      return option;
    }),
  );
}

function badge(text, state) {
  at("link").textContent = text;
  at("link").className = `badge ${state}`;
}

function start() {
  at("login").hidden = true;
  at("main").hidden = false;
  listen({
    onEvent,
    onOpen: () => {
      badge("live", "live");
      loadGroups().catch((error) => (at("groups-why").textContent = error.message));
      showRuns().catch((error) => say(error.message, true));
      loadHistory().then(showLog);
      search();
    },
    onLost: (why) => badge(why, "lost"),
    onRefused: () => {
      badge("needs its token", "lost");
      at("main").hidden = true;
      at("login").hidden = false;
      at("token").focus();
    },
  });
}

startFlow();
startGroups();
startTimeLine();
startDevice();
startLetters();
startLog();
startMap();
document.addEventListener("visibilitychange", showAll);
document.addEventListener("moment", showAll);
at("run-choice").addEventListener("change", () => location.assign(at("run-choice").value));
at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(at("token").value);
  start();
});
start();
