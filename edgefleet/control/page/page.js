// The page of a run: listens to it, and has every view drawn anew. Each view is a file of its own.

import { keepToken, listen } from "./api.js";
import { search, showDevice, startDevice } from "./device.js";
import { at, say } from "./dom.js";
import { showFlow, startFlow } from "./flow.js";
import { loadGroups, showGroups, startGroups } from "./groups.js";
import { showLetters, startLetters } from "./letters.js";
import { showLog, startLog } from "./log.js";
import { startMap } from "./map.js";
import { noteEvent, noteState, run } from "./run.js";
import { showCharts, startTimeLine } from "./time_line.js";

function onEvent(name, content) {
  if (name === "event") {
    if (noteEvent(content)) showLog();
    return;
  }
  if (name !== "state") return;
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
      loadGroups().catch((error) => say(error.message, true));
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
at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(at("token").value);
  start();
});
start();
