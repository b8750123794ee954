// Draws the numbers of the run over time, as wide as is asked for, and saves those that are shown.

import { timeAt } from "./charts.js";
import { at, clock, element } from "./dom.js";
import { run } from "./run.js";
import { addRunFigures, drawRun } from "./run_charts.js";

const LEAST_MS = 5000;
const DRAG = 8; // pixels: less is a click

const pictures = addRunFigures(at("run-charts")); // by the ids of charts

let shown = null; // {from, to} where somebody has zoomed in; null follows the run
let drag = null; // {id, x, from, to} where a drag over a chart has begun

const ms = () => (at("span").value ? Number(at("span").value) * 1000 : Infinity);
const isRecord = () => Boolean(run.status?.read_only);

function range() {
  if (shown) return shown;
  const { history } = run;
  const to = history.at(-1).at_ms;
  return { from: Math.max(to - ms(), Math.min(history[0].at_ms, to - 10_000)), to };
}

// -- what is drawn

export function showCharts() {
  const { status, history, lines } = run;
  if (!status) return;
  at("time-why").textContent = isRecord() ? run.whyNoHistory : "";
  at("time-shown").hidden = !history.length;
  if (!history.length) return;
  showMoment();
  const { from, to } = range();
  at("shown").textContent = `${clock(from)} to ${clock(to)}${shown || isRecord() ? "" : ", live"}`;
  at("zoom-live").disabled = !shown;
  const marks = lines.filter((one) => one.action).map((one) => ({ ms: one.ms }));
  if (isRecord() && status.at_ms !== history.at(-1).at_ms) marks.push({ ms: status.at_ms, isMoment: true });
  const selections = new Map();
  if (drag?.to !== undefined) {
    const { id, from: start, to: end } = drag;
    selections.set(id, [{ from: Math.min(start, end), to: Math.max(start, end) }]);
  }
  drawRun(pictures, history, { from, to, marks, selections });
}

// -- which part of time

function zoom(factor) {
  const { from, to } = range();
  const middle = shown ? (from + to) / 2 : to - (to - from) * factor / 2;
  look(middle - ((to - from) * factor) / 2, middle + ((to - from) * factor) / 2);
}

function move(share) {
  const { from, to } = range();
  look(from + share * (to - from), to + share * (to - from));
}

// What lies beyond the history is not shown.
function look(from, to) {
  const [first, last] = [run.history[0].at_ms, run.history.at(-1).at_ms];
  const length = Math.min(Math.max(LEAST_MS, to - from), Math.max(LEAST_MS, last - first));
  const begin = Math.min(Math.max(first, from), Math.max(first, last - length));
  shown = { from: begin, to: begin + length };
  showCharts();
}

function followRun() {
  shown = null;
  showCharts();
}

export function showWholeRun() {
  at("span").value = "";
  at("zoom-live").textContent = "Show all";
  shown = null;
}

// Of a record, any moment can be looked at: the other views show that one.
function showMoment() {
  const { status, history } = run;
  const place = history.findIndex((one) => one.at_ms === status.at_ms);
  const text = `${clock(status.at_ms)}${place === history.length - 1 ? ", the end" : ""}`;
  Object.assign(at("moment"), { max: history.length - 1, value: place });
  at("moment").setAttribute("aria-valuetext", text);
  at("moment-said").textContent = text;
}

function chooseMoment() {
  // What is said of the record as a whole is in its last state alone.
  run.status = { ...run.history[at("moment").value], read_only: run.history.at(-1).read_only };
  document.dispatchEvent(new Event("moment"));
}

function listenToDrags(id, picture) {
  picture.addEventListener("pointerdown", (event) => {
    if (!run.history.length) return;
    picture.setPointerCapture(event.pointerId);
    drag = { id, x: event.clientX, from: timeUnder(picture, event) };
  });
  picture.addEventListener("pointermove", (event) => {
    if (drag?.id !== id) return;
    drag.to = timeUnder(picture, event);
    showCharts();
  });
  picture.addEventListener("pointerup", (event) => {
    const done = drag;
    drag = null;
    if (done?.id !== id || Math.abs(event.clientX - done.x) < DRAG) return showCharts();
    const to = timeUnder(picture, event);
    look(Math.min(done.from, to), Math.max(done.from, to));
  });
  picture.addEventListener("pointercancel", () => (drag = null));
  picture.addEventListener("dblclick", followRun);
}

// By the place in the page: what is drawn in a picture has places of its own.
const timeUnder = (picture, event) => timeAt(picture, event.clientX - picture.getBoundingClientRect().left, range());

// -- saving

const COLUMNS = ["devices", "connected", "emitted", "acknowledged", "emitted_per_s", "sent_per_s", "inflight", "buffered", "refused",
  "dropped", "reconnects", "takeovers"];
const OF_SINKS = ["delivered", "delivered_per_s", "pending", "retries", "dead_letters", "breaker"];

function save() {
  if (!run.history.length) return;
  const { from, to } = range();
  const sinks = run.status.bridge?.sinks.map((one) => one.sink) ?? [];
  const head = ["time", ...COLUMNS, "lag_p99_ms", "puback_p50_ms", "puback_p99_ms", "broker_is_away"];
  if (run.status.bridge) head.push("bridge_received", "bridge_received_per_s", "bridge_missing");
  head.push(...sinks.flatMap((sink) => OF_SINKS.map((name) => `${sink}_${name}`)));
  const rows = run.history.filter((one) => one.at_ms >= from && one.at_ms <= to).map((one) => rowOf(one, sinks).join(","));
  const link = element("a", "", { download: `${run.status.run_id}.csv` });
  link.href = URL.createObjectURL(new Blob([[head.join(","), ...rows].join("\n"), "\n"], { type: "text/csv" }));
  link.click();
  URL.revokeObjectURL(link.href);
}

function rowOf(one, sinks) {
  const { bridge } = one;
  const row = [new Date(one.at_ms).toISOString(), ...COLUMNS.map((name) => one[name]), one.lag_ms.p99, one.puback_ms.p50, one.puback_ms.p99];
  row.push(one.broker_is_away);
  if (run.status.bridge) row.push(bridge?.received, bridge?.received_per_s, bridge?.missing);
  return [...row, ...sinks.flatMap((sink) => OF_SINKS.map((name) => bridge?.sinks.find((each) => each.sink === sink)?.[name]))];
}

export function startTimeLine() {
  at("span").addEventListener("change", followRun);
  at("save").addEventListener("click", save);
  at("moment").addEventListener("input", chooseMoment);
  at("zoom-in").addEventListener("click", () => zoom(0.5));
  at("zoom-out").addEventListener("click", () => zoom(2));
  at("zoom-earlier").addEventListener("click", () => move(-0.5));
  at("zoom-later").addEventListener("click", () => move(0.5));
  at("zoom-live").addEventListener("click", followRun);
  for (const [id, picture] of pictures) listenToDrags(id, picture);
  window.addEventListener("resize", showCharts);
}
