// Draws lines over time on a canvas, in the colours of the page, with what happened as marks.

import { clock, colour, number } from "./dom.js";

const LEFT = 52;
const BOTTOM = 20;
const RIGHT = 6;
const TOP = 18; // the names of the lines stand above them

// Round steps of which about four fit below the largest value.
function ticks(least, most) {
  const span = most - least || Math.abs(most) || 1;
  const power = 10 ** Math.floor(Math.log10(span / 4));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => span / one <= 5);
  const found = [];
  for (let at = Math.ceil(least / step) * step; at <= most + step * 1e-9; at += step) found.push(at);
  return found;
}

// The time under a place of a canvas that shows this range.
export function timeAt(canvas, x, { from, to }) {
  const share = (x - LEFT) / (canvas.clientWidth - LEFT - RIGHT);
  return from + Math.min(1, Math.max(0, share)) * (to - from);
}

// `series`: [{name, colour, points: [[ms, value or null], ...], isDashed}]; `marks`: [{ms}]; `bands`: [{from, to}], shaded.
export function draw(canvas, series, { from, to, marks = [], bands = [], fromZero = true }) {
  const scale = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.font = "12px system-ui, sans-serif";
  const seen = series.flatMap((one) => one.points.filter(([ms, value]) => value !== null && ms >= from && ms <= to));
  const values = seen.map(([, value]) => value);
  let least = fromZero ? 0 : Math.min(...values);
  let most = Math.max(...values, fromZero ? 1 : -Infinity);
  if (!values.length) [least, most] = [0, 1];
  if (least === most) [least, most] = [least - 1, most + 1];
  const x = (ms) => LEFT + ((ms - from) / (to - from)) * (width - LEFT - RIGHT);
  const y = (value) => TOP + (1 - (value - least) / (most - least)) * (height - TOP - BOTTOM);
  pen.fillStyle = colour("red-back");
  for (const band of bands.filter((one) => one.to > from && one.from < to)) {
    const left = x(Math.max(band.from, from));
    pen.fillRect(left, TOP, Math.max(2, x(Math.min(band.to, to)) - left), height - TOP - BOTTOM);
  }
  pen.strokeStyle = colour("line");
  pen.fillStyle = colour("soft");
  pen.lineWidth = 1;
  for (const at of ticks(least, most)) {
    pen.beginPath();
    pen.moveTo(LEFT, y(at));
    pen.lineTo(width, y(at));
    pen.stroke();
    pen.fillText(number(at), 2, y(at) + 4);
  }
  pen.fillText(clock(from), LEFT, height - 4);
  pen.textAlign = "right";
  pen.fillText(clock(to), width - 2, height - 4);
  pen.textAlign = "left";
  for (const { ms, isMoment } of marks.filter(({ ms }) => ms >= from && ms <= to)) {
    pen.strokeStyle = colour(isMoment ? "ink" : "violet");
    pen.setLineDash([3, 3]);
    pen.beginPath();
    pen.moveTo(x(ms), TOP);
    pen.lineTo(x(ms), height - BOTTOM);
    pen.stroke();
  }
  series.forEach((one, place) => {
    pen.setLineDash(one.isDashed ? [5, 4] : []);
    pen.strokeStyle = colour(one.colour);
    pen.lineWidth = 2;
    pen.beginPath();
    let isDown = false;
    // A single point between gaps is no line, and is seen all the same.
    pen.lineCap = "round";
    for (const [ms, value] of one.points) {
      if (value === null || ms < from || ms > to) {
        isDown = false;
        continue;
      }
      if (isDown) pen.lineTo(x(ms), y(value));
      else pen.moveTo(x(ms), y(value));
      isDown = true;
    }
    pen.stroke();
    pen.setLineDash([]);
    pen.fillStyle = colour(one.colour);
    pen.fillText(one.name, LEFT + 8 + place * 120, 12);
  });
  const now = series.map((one) => `${one.name} ${number(one.points.at(-1)?.[1])}`).join(", ");
  canvas.setAttribute("aria-label", `${canvas.closest("figure").querySelector("figcaption").textContent.trim()}: ${now}`);
}
