// Draws charts as SVG, for the page of a run and for reports: the one code for both. Whatever it is given is set as text.
// Colours are classes, so that light, dark and paper need no drawing anew.

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 52;
const BOTTOM = 20;
const RIGHT = 8;
const TOP = 18; // the names of the lines stand above them
const LANE = 40; // of a row of spans
const TICK_PX = 90; // at the least from one time to the next
const SECOND = 1000;
const TIME_STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400].map((one) => one * SECOND);

export const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");

export const number = (value) =>
  value === null || value === undefined
    ? "–"
    : new Intl.NumberFormat("en", { maximumFractionDigits: Math.abs(value) < 100 ? 2 : 0 }).format(value);

// Time since a start.
export function elapsed(ms) {
  const seconds = Math.round(ms / 100) / 10;
  if (seconds < 60) return `${seconds} s`;
  const whole = Math.round(seconds);
  const two = (value) => `${value % 60}`.padStart(2, "0");
  const [minutes, hours] = [Math.floor(whole / 60), Math.floor(whole / 3600)];
  return hours ? `${hours}:${two(minutes)}:${two(whole)}` : `${minutes}:${two(whole)}`;
}

// A length of time in the unit that suits it.
function duration(ms) {
  if (ms >= 1000) return elapsed(ms);
  return `${Number(ms.toPrecision(3))} ms`;
}

// -- what all charts are made of

// A picture that a chart is drawn into.
export function makePicture() {
  const made = document.createElementNS(SVG, "svg");
  made.setAttribute("class", "chart");
  made.setAttribute("role", "img");
  return made;
}

class Pen {
  constructor(svg, height) {
    const box = svg.getBoundingClientRect();
    this.svg = svg;
    this.width = box.width || 600;
    this.height = height ?? (box.height || 180);
    svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    svg.replaceChildren();
  }

  add(name, attributes, text, parent = this.svg) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, typeof value === "number" ? Math.round(value * 10) / 10 : value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  titled(title, name, attributes) {
    this.add("title", {}, title, this.add(name, attributes));
  }
}

// Round steps of which about four fit below the largest value.
function ticks(least, most) {
  const span = most - least || Math.abs(most) || 1;
  const power = 10 ** Math.floor(Math.log10(span / 4));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => span / one <= 5);
  const found = [];
  for (let at = Math.ceil(least / step) * step; at <= most + step * 1e-9; at += step) found.push(at);
  return found;
}

function timeAxis(pen, { from, to, timeText }, x) {
  const room = (pen.width - LEFT - RIGHT) / TICK_PX;
  const step = TIME_STEPS.find((one) => (to - from) / one <= room) ?? Math.ceil((to - from) / Math.max(1, room) / 86_400_000) * 86_400_000;
  // Round by what is written there: a clock's own zone, or the start.
  const zero = timeText === clock ? new Date(from).setHours(0, 0, 0, 0) : from;
  for (let at = zero + Math.ceil((from - zero) / step) * step; at <= to; at += step) {
    const anchor = x(at) > pen.width - TICK_PX / 2 ? "end" : x(at) < LEFT + TICK_PX / 4 ? "start" : "middle";
    pen.add("text", { x: x(at), y: pen.height - 4, class: "axis", "text-anchor": anchor }, timeText(at === from ? at : Math.round(at)));
  }
}

// The time under a place of a chart that shows this range.
export function timeAt(svg, x, { from, to }) {
  const share = (x - LEFT) / (svg.getBoundingClientRect().width - LEFT - RIGHT);
  return from + Math.min(1, Math.max(0, share)) * (to - from);
}

// -- lines over time

// `series`: [{name, colour, points: [[ms, value or null], ...], isDashed}]; `marks`: [{ms, isMoment}]; `bands`: [{from, to}], shaded.
export function drawLines(svg, title, series, { from, to, marks = [], bands = [], fromZero = true, timeText = clock }) {
  const pen = new Pen(svg);
  const { width, height } = pen;
  const values = series.flatMap((one) => one.points.filter(([ms, value]) => value !== null && ms >= from && ms <= to).map(([, value]) => value));
  let [least, most] = values.length ? [Infinity, -Infinity] : [0, 1];
  for (const value of values) [least, most] = [Math.min(least, value), Math.max(most, value)];
  if (fromZero) [least, most] = [0, Math.max(most, 1)];
  if (least === most) [least, most] = [least - 1, most + 1];
  const x = (ms) => LEFT + ((ms - from) / Math.max(1, to - from)) * (width - LEFT - RIGHT);
  const y = (value) => TOP + (1 - (value - least) / (most - least)) * (height - TOP - BOTTOM);
  for (const band of bands.filter((one) => one.to > from && one.from < to)) {
    const left = x(Math.max(band.from, from));
    pen.add("rect", { x: left, y: TOP, width: Math.max(2, x(Math.min(band.to, to)) - left), height: height - TOP - BOTTOM, class: "band" });
  }
  for (const at of ticks(least, most)) {
    pen.add("line", { x1: LEFT, x2: width, y1: y(at), y2: y(at), class: "grid" });
    pen.add("text", { x: LEFT - 6, y: y(at) + 4, class: "axis", "text-anchor": "end" }, number(at));
  }
  timeAxis(pen, { from, to, timeText }, x);
  for (const { ms, isMoment } of marks.filter(({ ms }) => ms >= from && ms <= to)) {
    pen.add("line", { x1: x(ms), x2: x(ms), y1: TOP, y2: height - BOTTOM, class: isMoment ? "mark" : "mark violet" });
  }
  const names = pen.add("text", { x: LEFT + 8, y: 12 });
  for (const one of series) {
    const within = one.points.map(([ms, value]) => [ms, ms < from || ms > to ? null : value]);
    pen.add("path", { d: pathOf(within, x, y), class: `line ${one.colour}${one.isDashed ? " dashed" : ""}` });
    pen.add("tspan", { class: `name ${one.colour}`, dx: names.childElementCount ? 16 : 0 }, one.name, names);
  }
  svg.setAttribute("aria-label", `${title}. ${series.map(sumUp).join(" ")}`);
}

// A single point between gaps is no line, and is seen all the same: its ends are round.
function pathOf(points, x, y) {
  const parts = [];
  let isDown = false;
  for (const [ms, value] of points) {
    if (value !== null) parts.push(`${isDown ? "L" : "M"}${x(ms).toFixed(1)} ${y(value).toFixed(1)}${isDown ? "" : "h0"}`);
    isDown = value !== null;
  }
  return parts.join("");
}

function sumUp({ name, points }) {
  const values = points.map(([, value]) => value).filter((one) => one !== null);
  if (!values.length) return `${name}: nothing.`;
  let [least, most] = [values[0], values[0]];
  for (const value of values) [least, most] = [Math.min(least, value), Math.max(most, value)];
  return `${name}: from ${number(least)} to ${number(most)}, at the end ${number(values.at(-1))}.`;
}

// -- how values are spread

// `bars`: [{low, high, count}] in ms; `marks`: [[name, ms], ...]. The axis is logarithmic: at least one power of ten.
export function drawBars(svg, title, bars, marks) {
  const pen = new Pen(svg);
  const { width, height } = pen;
  let [low, high] = [Math.max(0.01, Math.min(...bars.map((one) => one.low))), Math.max(...bars.map((one) => one.high))];
  while (high / low < 10) [low, high] = [low / 1.5, high * 1.5];
  const most = Math.max(...bars.map((one) => one.count));
  const x = (ms) => LEFT + Math.min(1, Math.log(Math.max(ms, low) / low) / Math.log(high / low)) * (width - LEFT - RIGHT);
  const y = (count) => TOP + (1 - count / most) * (height - TOP - BOTTOM);
  for (const at of ticks(0, most).filter(Number.isInteger)) {
    pen.add("line", { x1: LEFT, x2: width, y1: y(at), y2: y(at), class: "grid" });
    pen.add("text", { x: LEFT - 6, y: y(at) + 4, class: "axis", "text-anchor": "end" }, number(at));
  }
  for (const one of bars) {
    const box = { x: x(one.low), y: Math.min(y(one.count), height - BOTTOM - 1), width: Math.max(1, x(one.high) - x(one.low) - 1.5) };
    pen.titled(`${duration(one.low)} to ${duration(one.high)}: ${number(one.count)}`, "rect", { ...box, height: height - BOTTOM - box.y, class: "bar blue" });
  }
  for (let power = Math.ceil(Math.log10(low) - 1e-9); power <= Math.log10(high) + 1e-9; power++) {
    pen.add("text", { x: x(10 ** power), y: height - 4, class: "axis", "text-anchor": power > Math.log10(high) - 0.1 ? "end" : "middle" }, duration(10 ** power));
  }
  const shown = marks.filter(([, ms]) => ms !== null);
  for (const [, ms] of shown) pen.add("line", { x1: x(ms), x2: x(ms), y1: TOP, y2: height - BOTTOM, class: "mark orange" });
  const said = shown.map(([name, ms]) => `${name} ${duration(ms)}`).join(", ");
  pen.add("text", { x: LEFT + 8, y: 12, class: "name orange" }, said);
  svg.setAttribute("aria-label", `${title}. ${number(bars.reduce((sum, one) => sum + one.count, 0))} values${said ? `; ${said}` : ""}.`);
}

// -- what was when

// `rows`: [{name, spans: [{from, to, weight, title}]}]; `weight`, 0 to 1, is how much is going on.
export function drawSpans(svg, title, rows, { from, to, timeText = elapsed }) {
  const height = rows.length * LANE + BOTTOM;
  svg.style.height = `${height}px`;
  const pen = new Pen(svg, height);
  const x = (ms) => 1 + ((ms - from) / Math.max(1, to - from)) * (pen.width - 2);
  rows.forEach(({ name, spans }, place) => {
    const top = place * LANE;
    pen.add("text", { x: 1, y: top + 13 }, name);
    pen.add("rect", { x: 1, y: top + 18, width: pen.width - 2, height: 16, class: "lane" });
    for (const one of spans) {
      const box = { x: x(one.from), y: top + 18, width: Math.max(2, x(one.to) - x(one.from)), height: 16 };
      pen.titled(one.title, "rect", { ...box, class: "bar violet", "fill-opacity": 0.3 + 0.7 * one.weight });
    }
  });
  timeAxis(pen, { from, to, timeText }, x);
  const said = rows.map(({ name, spans }) => `${name}: ${spans.slice(0, 3).map((one) => one.title).join(", ")}${spans.length > 3 ? ", …" : ""}.`);
  svg.setAttribute("aria-label", `${title}. ${said.join(" ")}`);
}

// -- a small line without axes, for a cell of a table

export function drawSpark(svg, title, values) {
  const pen = new Pen(svg);
  let most = 0;
  for (const value of values) most = Math.max(most, value);
  const points = values.map((value, place) => [place, value]);
  const x = (place) => 1 + (place / Math.max(1, values.length - 1)) * (pen.width - 2);
  const y = (value) => 1 + (1 - value / (most || 1)) * (pen.height - 2);
  pen.add("path", { d: pathOf(points, x, y), class: "line blue" });
  svg.setAttribute("aria-label", title);
}
