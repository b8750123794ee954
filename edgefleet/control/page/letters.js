// The dead letters of the bridge: what it could not deliver, to be tried again or dropped for good.

import { get } from "./api.js";
import { at, element, number, say } from "./dom.js";
import { afterAction, perform, run } from "./run.js";

const SHOWN = 50;
const EVERY_MS = 4000;

let known = null; // what was told last when the list was loaded
let loadedMs = 0;
let listed = ""; // as it is shown
const chosen = new Set(); // numbers

const count = () => run.status.bridge.sinks.reduce((sum, one) => sum + one.dead_letters, 0);

export function showLetters() {
  const bridge = run.status.read_only ? null : run.status.bridge; // they are at the bridge, and in no record
  at("letters").hidden = !bridge;
  at("letters-link").hidden = !bridge;
  if (!bridge?.is_reachable) return;
  // One that was tried again and given up again leaves the counts as they were: the list is loaded now and then as well.
  const now = JSON.stringify(bridge.sinks.map((one) => [one.sink, one.dead_letters, one.discarded]));
  if (now === known && (!count() || Date.now() - loadedMs < EVERY_MS)) return;
  known = now;
  loadedMs = Date.now();
  if (count() || at("letter-rows").childElementCount) load();
  else at("letters-said").textContent = "none";
}

function filter() {
  const given = { sink: at("letters-sink").value.trim(), topic: at("letters-topic").value.trim(), reason: at("letters-reason").value.trim() };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value));
}

async function load() {
  try {
    const { dead_letters } = await get(`v1/dead-letters?${new URLSearchParams({ ...filter(), limit: SHOWN })}`);
    for (const one of [...chosen]) if (!dead_letters.some((letter) => letter.number === one)) chosen.delete(one);
    // Rows stay while nothing about them changes: somebody may be reading one.
    const text = JSON.stringify(dead_letters);
    if (text !== listed) at("letter-rows").replaceChildren(...dead_letters.map(row));
    listed = text;
    at("letters-said").textContent = dead_letters.length ? `${number(count())} in all, the newest ${dead_letters.length} of these` : "none";
  } catch (error) {
    at("letters-said").textContent = error.message;
  }
}

function row(letter) {
  const made = element("tr", undefined, { "data-letter": letter.number });
  const box = element("input", undefined, { type: "checkbox", "aria-label": `Dead letter ${letter.number}` });
  box.checked = chosen.has(letter.number);
  box.addEventListener("change", () => (box.checked ? chosen.add(letter.number) : chosen.delete(letter.number)));
  const first = element("td");
  first.append(box);
  const details = element("details");
  details.append(element("summary", letter.topic), element("code", letter.payload ?? `base64 ${letter.payload_base64}`));
  const message = element("td", undefined, { class: "wide" });
  message.append(details);
  made.append(first, element("th", letter.number, { scope: "row" }), element("td", letter.sink), element("td", letter.reason, { class: "wide" }), message);
  made.append(element("td", letter.dead.replace("T", " ").slice(0, 19)));
  return made;
}

async function change(action, which) {
  if (!which) return say("Choose dead letters first", true);
  const isDrop = action === "drop_dead_letters";
  if (isDrop && !window.confirm("Drop these dead letters for good? They are lost, and named in the run's record.")) return;
  if (await perform({ action, ...which })) chosen.clear();
}

const theChosen = () => (chosen.size ? { numbers: [...chosen] } : null);
const allThatFit = () => (Object.keys(filter()).length ? filter() : { all: true });

export function startLetters() {
  at("letters-filter").addEventListener("submit", (event) => {
    event.preventDefault();
    load();
  });
  at("letters-replay").addEventListener("click", () => change("replay_dead_letters", theChosen()));
  at("letters-drop").addEventListener("click", () => change("drop_dead_letters", theChosen()));
  at("letters-replay-all").addEventListener("click", () => change("replay_dead_letters", allThatFit()));
  at("letters-drop-all").addEventListener("click", () => change("drop_dead_letters", allThatFit()));
  // The bridge is asked anew a moment after, and then the list is.
  afterAction(() => (known = null));
}
