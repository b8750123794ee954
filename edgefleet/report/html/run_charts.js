// The charts of a run over its time, of its states as `status.jsonl` has them: for the page and for reports.

import { drawLines, makePicture } from "./charts.js";

const LEAST_MS = 500; // in less, what is counted is not of the time between

// By how much a count has grown a second.
function growth(read) {
  return (one, before) => {
    if (!before || one.at_ms - before.at_ms < LEAST_MS) return null;
    const more = (read(one) ?? 0) - (read(before) ?? 0);
    return more < 0 ? null : (1000 * more) / (one.at_ms - before.at_ms);
  };
}

const sum = (bridge, name) => bridge?.sinks.reduce((total, one) => total + one[name], 0);
const isOpen = ({ bridge }) => Boolean(bridge?.sinks.some((one) => one.breaker !== "closed"));
const isAway = (one) => one.broker_is_away;

export const RUN_CHARTS = [
  {
    id: "rate",
    title: "Messages a second",
    lines: [["taken", "blue", (one) => one.emitted_per_s], ["sent", "orange", (one) => one.sent_per_s]],
  },
  {
    id: "lag",
    title: "Latency (ms, at most of 50 and 99 %)",
    lines: [
      ["late 99 %", "blue", (one) => one.lag_ms.p99],
      ["PUBACK 50 %", "green", (one) => one.puback_ms.p50],
      ["PUBACK 99 %", "orange", (one) => one.puback_ms.p99],
    ],
  },
  { id: "wait", title: "Waiting messages", lines: [["in outboxes", "blue", (one) => one.buffered], ["in flight", "orange", (one) => one.inflight]] },
  { id: "devices", title: "Devices", lines: [["devices", "blue", (one) => one.devices, true], ["connected", "orange", (one) => one.connected]] },
  {
    id: "lost",
    title: "Refused and dropped messages a second",
    isShown: (states) => states.some((one) => one.refused || one.dropped),
    lines: [["refused", "orange", growth((one) => one.refused)], ["dropped", "red", growth((one) => one.dropped)]],
  },
  {
    id: "events",
    title: "Reconnections and takeovers a second, faults",
    lines: [
      ["reconnections", "blue", growth((one) => one.reconnects)],
      ["takeovers", "orange", growth((one) => one.takeovers)],
      ["faults begun here", "violet", (one) => one.faults.length],
    ],
  },
  {
    id: "bridge",
    title: "Bridge: messages a second; shaded: a circuit breaker is not closed",
    isOfBridge: true,
    lines: [
      ["received", "blue", ({ bridge }) => bridge?.received_per_s],
      ["delivered", "orange", ({ bridge }) => sum(bridge, "delivered_per_s")],
      ["retried", "red", ({ bridge }) => sum(bridge, "retries_per_s")],
    ],
  },
  {
    id: "spool",
    title: "Bridge: pending for all sinks together, dead letters",
    isOfBridge: true,
    lines: [["pending", "blue", ({ bridge }) => sum(bridge, "pending")], ["dead letters", "red", ({ bridge }) => sum(bridge, "dead_letters")]],
  },
];

// Adds a figure for each chart to an element, and returns their pictures by id.
export function addRunFigures(parent) {
  const pictures = new Map();
  for (const { id, title } of RUN_CHARTS) {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = title;
    const picture = makePicture();
    picture.id = `chart-${id}`;
    figure.append(caption, picture);
    parent.append(figure);
    pictures.set(id, picture);
  }
  return pictures;
}

// A state of which `is` holds has lasted since the one before.
function bandsOf(states, is) {
  const bands = [];
  states.forEach((one, place) => {
    if (is(one)) bands.push({ from: states[place - 1]?.at_ms ?? one.at_ms - 1000, to: one.at_ms });
  });
  return bands;
}

// `selections`: bands by the id of a chart; the other options are those of `drawLines`.
export function drawRun(pictures, states, { selections = new Map(), ...options }) {
  const [away, open] = [bandsOf(states, isAway), bandsOf(states, isOpen)];
  const hasBridge = states.some((one) => one.bridge);
  for (const { id, title, lines, isOfBridge, isShown } of RUN_CHARTS) {
    const picture = pictures.get(id);
    picture.closest("figure").hidden = isOfBridge ? !hasBridge : Boolean(isShown && !isShown(states));
    if (picture.closest("figure").hidden) continue;
    const series = lines.map(([name, colour, read, isDashed]) => ({
      name,
      colour,
      isDashed,
      points: states.map((one, place) => [one.at_ms, read(one, states[place - 1]) ?? null]),
    }));
    drawLines(picture, title, series, { ...options, bands: [...(isOfBridge ? open : away), ...(selections.get(id) ?? [])] });
  }
}
