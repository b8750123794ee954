// Draws the numbers of the run over time, as wide as is asked for, and saves those that are shown.

import { draw, timeAt } from "./chart.js";
import { at, clock, element } from "./dom.js";
import { run } from "./run.js";

const LEAST_MS = 5000;
const DRAG = 8; // pixels: less is a click

let shown = null; // {from, to} where somebody has zoomed in; null follows the run
let drag = null; // {canvas, x} where a drag over a chart has begun

const ms = () => (at("span").value ? Number(at("span").value) * 1000 : Infinity);
const isRecord = () => Boolean(run.status?.read_only);

function range() {
  if (shown) return shown;
  const { history } = run;
  const to = history.at(-1).at_ms;
  return { from: Math.max(to - ms(), Math.min(history[0].at_ms, to - 10_000)), to };
}

// -- what is drawn

// A state of which `is` holds lasts until the next one.
function bandsOf(is) {
  const bands = [];
  run.history.forEach((one, place) => {
    if (is(one)) bands.push({ from: one.at_ms, to: run.history[place + 1]?.at_ms ?? one.at_ms + 1000 });
  });
  return bands;
}

// By how much a count has grown a second.
function growth(read) {
  return (one, before) => {
    if (!before) return null;
    const more = (read(one) ?? 0) - (read(before) ?? 0);
    return more < 0 ? null : (1000 * more) / Math.max(1, one.at_ms - before.at_ms);
  };
}

const sum = (bridge, name) => bridge?.sinks.reduce((total, one) => total + one[name], 0);
const isOpen = ({ bridge }) => Boolean(bridge?.sinks.some((one) => one.breaker !== "closed"));
const isAway = (one) => one.broker_is_away;

const CHARTS = {
  "chart-rate": [["taken", "blue", (one) => one.emitted_per_s], ["sent", "orange", (one) => one.sent_per_s]],
  "chart-lag": [
    ["late 99 %", "blue", (one) => one.lag_ms.p99],
    ["PUBACK 50 %", "green", (one) => one.puback_ms.p50],
    ["PUBACK 99 %", "orange", (one) => one.puback_ms.p99],
  ],
  "chart-wait": [["in outboxes", "blue", (one) => one.buffered], ["in flight", "orange", (one) => one.inflight]],
  "chart-devices": [["devices", "blue", (one) => one.devices], ["connected", "orange", (one) => one.connected]],
  "chart-events": [
    ["reconnections", "blue", growth((one) => one.reconnects)],
    ["takeovers", "orange", growth((one) => one.takeovers)],
    ["faults begun here", "violet", (one) => one.faults.length],
  ],
  "chart-bridge": [
    ["received", "blue", ({ bridge }) => bridge?.received_per_s],
    ["delivered", "orange", ({ bridge }) => sum(bridge, "delivered_per_s")],
    ["retried", "red", ({ bridge }) => sum(bridge, "retries_per_s")],
  ],
  "chart-spool": [["pending", "blue", ({ bridge }) => sum(bridge, "pending")], ["dead letters", "red", ({ bridge }) => sum(bridge, "dead_letters")]],
};
const OF_BRIDGE = ["chart-bridge", "chart-spool"];

export function showCharts() {
  const { status, history, lines } = run;
  if (!status) return;
  at("time-why").textContent = isRecord() ? run.whyNoHistory : "";
  at("time-shown").hidden = !history.length;
  if (!history.length) return;
  showMoment();
  for (const id of OF_BRIDGE) at(id).closest("figure").hidden = !status.bridge;
  const { from, to } = range();
  at("shown").textContent = `${clock(from)} to ${clock(to)}${shown || isRecord() ? "" : ", live"}`;
  at("zoom-live").disabled = !shown;
  const marks = lines.filter((one) => one.action).map((one) => ({ ms: one.ms }));
  if (isRecord() && status.at_ms !== history.at(-1).at_ms) marks.push({ ms: status.at_ms, isMoment: true });
  const [away, open] = [bandsOf(isAway), bandsOf(isOpen)];
  for (const [id, series] of Object.entries(CHARTS)) {
    if (at(id).closest("figure").hidden) continue;
    const drawn = series.map(([name, colour, read], place) => ({
      name,
      colour,
      points: history.map((one, number) => [one.at_ms, read(one, history[number - 1]) ?? null]),
      isDashed: id === "chart-devices" && place === 0,
    }));
    const selection = drag?.canvas.id === id && drag.to !== undefined ? [{ from: Math.min(drag.from, drag.to), to: Math.max(drag.from, drag.to) }] : [];
    draw(at(id), drawn, { from, to, marks, bands: [...(OF_BRIDGE.includes(id) ? open : away), ...selection] });
  }
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

function listenToDrags(canvas) {
  canvas.addEventListener("pointerdown", (event) => {
    if (!run.history.length) return;
    canvas.setPointerCapture(event.pointerId);
    drag = { canvas, x: event.offsetX, from: timeAt(canvas, event.offsetX, range()) };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (drag?.canvas !== canvas) return;
    drag.to = timeAt(canvas, event.offsetX, range());
    showCharts();
  });
  canvas.addEventListener("pointerup", (event) => {
    const done = drag;
    drag = null;
    if (done?.canvas !== canvas || Math.abs(event.offsetX - done.x) < DRAG) return showCharts();
    const to = timeAt(canvas, event.offsetX, range());
    look(Math.min(done.from, to), Math.max(done.from, to));
  });
  canvas.addEventListener("pointercancel", () => (drag = null));
  canvas.addEventListener("dblclick", followRun);
}

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
  for (const id of Object.keys(CHARTS)) listenToDrags(at(id));
  window.addEventListener("resize", showCharts);
}
