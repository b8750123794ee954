// Finds and makes what is shown. Whatever comes from the run is set as text, never as markup.

import { number } from "./charts.js";

export { clock, number } from "./charts.js";
export const at = (id) => document.getElementById(id);
export const isoTime = (ms) => new Date(ms).toISOString().slice(11, 19);

export function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function bytes(value) {
  const place = Math.min(4, Math.max(0, Math.floor(Math.log2(Math.max(value, 1)) / 10)));
  return `${number(value / 1024 ** place)} ${["B", "KiB", "MiB", "GiB", "TiB"][place]}`;
}

// A colour of the page, as it is in the light or dark that is on.
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// `pairs`: [name, value, isBad]. Elements stay where only values change, so that what a reader has selected stays.
export function figures(list, pairs) {
  if (list.children.length !== pairs.length) list.replaceChildren(...pairs.map(() => pairOf()));
  pairs.forEach(([name, value, isBad], place) => {
    const [term, said] = list.children[place].children;
    if (term.textContent !== name) term.textContent = name;
    if (said.textContent !== `${value}`) said.textContent = value;
    said.classList.toggle("bad", Boolean(isBad));
  });
}

function pairOf() {
  const pair = element("div");
  pair.append(element("dt"), element("dd"));
  return pair;
}

export function say(text, isBad = false) {
  at("said").textContent = text;
  at("said").classList.toggle("bad", isBad);
}
