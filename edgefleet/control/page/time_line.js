// Draws the numbers of the run over time, and saves those that are shown.

import { draw } from "./chart.js";
import { at, element } from "./dom.js";
import { run } from "./run.js";

const COLUMNS = ["devices", "connected", "emitted", "acknowledged", "emitted_per_s", "sent_per_s", "inflight", "buffered", "refused",
  "dropped", "reconnects"];

function points(read) {
  return run.history.map((one) => [one.at_ms, read(one) ?? null]);
}

export function showCharts() {
  const { status, history, lines } = run;
  if (!status) return;
  const to = status.at_ms;
  const from = Math.max(to - Number(at("span").value) * 1000, Math.min(history[0].at_ms, to - 10_000));
  const range = { from, to, marks: lines.filter((one) => one.action).map(({ ms }) => ({ ms })) };
  const line = (name, colour, read) => ({ name, colour, points: points(read) });
  draw(at("chart-rate"), [line("taken", "blue", (one) => one.emitted_per_s), line("sent", "orange", (one) => one.sent_per_s)], range);
  draw(
    at("chart-lag"),
    [
      line("late 99 %", "blue", (one) => one.lag_ms.p99),
      line("PUBACK 50 %", "green", (one) => one.puback_ms.p50),
      line("PUBACK 99 %", "orange", (one) => one.puback_ms.p99),
    ],
    range,
  );
  draw(at("chart-wait"), [line("in outboxes", "blue", (one) => one.buffered), line("in flight", "orange", (one) => one.inflight)], range);
  draw(at("chart-devices"), [{ ...line("devices", "blue", (one) => one.devices), isDashed: true }, line("connected", "orange", (one) => one.connected)], range);
}

function save() {
  const from = run.status.at_ms - Number(at("span").value) * 1000;
  const rows = run.history
    .filter((one) => one.at_ms >= from)
    .map((one) =>
      [new Date(one.at_ms).toISOString(), ...COLUMNS.map((name) => one[name]), one.lag_ms.p99, one.puback_ms.p50, one.puback_ms.p99].join(","),
    );
  const head = ["time", ...COLUMNS, "lag_p99_ms", "puback_p50_ms", "puback_p99_ms"].join(",");
  const link = element("a", "", { download: `${run.status.run_id}.csv` });
  link.href = URL.createObjectURL(new Blob([[head, ...rows].join("\n"), "\n"], { type: "text/csv" }));
  link.click();
  URL.revokeObjectURL(link.href);
}

export function startTimeLine() {
  at("span").addEventListener("change", showCharts);
  at("save").addEventListener("click", save);
  window.addEventListener("resize", showCharts);
}
