// Lists what has happened, in words, with a filter.

import { at, clock, element } from "./dom.js";
import { run } from "./run.js";

const SHOWN = 200;

export function showLog() {
  const text = at("log-filter").value.toLowerCase();
  const found = run.lines.filter((one) => one.text.toLowerCase().includes(text));
  at("log-lines").replaceChildren(
    ...found.slice(0, SHOWN).map((one) => {
      const item = element("li");
      item.append(element("time", clock(one.ms)), one.text);
      return item;
    }),
  );
}

export function startLog() {
  at("log-filter").addEventListener("input", showLog);
}
