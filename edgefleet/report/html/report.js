// Draws the charts of a report: each has what it shows as JSON behind it, and a table that says the same without a script.

import { drawBars, drawLines, drawSpans, drawSpark, elapsed } from "./charts.js";
import { addRunFigures, drawRun } from "./run_charts.js";

const charts = [...document.querySelectorAll("[data-chart]")].map((at) => [at, JSON.parse(at.nextElementSibling.textContent)]);
const runs = new Map(); // element -> pictures of the charts in it

function draw(at, { type, title, ...chart }) {
  const range = { from: 0, to: chart.to, timeText: elapsed };
  if (type === "lines") drawLines(at, title, chart.series, range);
  else if (type === "bars") drawBars(at, title, chart.bars, chart.marks);
  else if (type === "spans") drawSpans(at, title, chart.rows, range);
  else if (type === "spark") drawSpark(at, title, chart.values);
  else {
    if (!runs.has(at)) runs.set(at, addRunFigures(at));
    drawRun(runs.get(at), chart.states, { from: chart.from, to: chart.to, timeText: (ms) => elapsed(ms - chart.from) });
  }
}

function drawAll() {
  for (const [at, chart] of charts) draw(at, chart);
}

document.body.classList.add("drawn");
drawAll();
let width = document.documentElement.clientWidth;
addEventListener("resize", () => {
  if (document.documentElement.clientWidth === width) return;
  width = document.documentElement.clientWidth;
  drawAll();
});
