// The map: sites with their roads and weather, and the devices where they are. It asks for nothing while nobody sees it.

import { get, getBytes } from "./api.js";
import { look } from "./device.js";
import { at, colour, element, number, say } from "./dom.js";
import { MapDevices, Squares } from "./map_devices.js";
import { MapView, placeSites } from "./map_view.js";
import { run } from "./run.js";

const PLACES_MS = 2000;
const SITES_MS = 10_000;
const GLANCE_MS = 200; // until it is noticed that somebody sees the map
const SITE_M = 9500; // villages lie so far from their town
const TOWN_M = 5500; // and the ring road
const NEAR_M = 60_000; // sites within are shown together at first
const REACH = 12; // pixels from a device at which it is meant
const MOST_LABELS = 25;
const MOST_ROWS = 100;
const KIND_COLOURS = ["blue", "orange", "green", "violet", "teal", "brown", "ink"];
const ROAD_WIDTHS = [3, 1.5, 4, 2.5, 2];

const view = new MapView();
const devices = new MapDevices();
const roads = new Map(); // site -> lines, or null while they are asked for
let sites = [];
let squares = null;
let chosen = null; // id of the device that is marked
let isSeen = false;
let isBaseOld = true;
let isFitted = false;
let colours = null;
let frames = 0;

const isSmooth = () => !matchMedia("(prefers-reduced-motion: reduce)").matches;

// -- what is told

// Of a record, the moment that is looked at.
const atMoment = () => (run.status?.read_only ? `?at_ms=${run.status.device_time_ms}` : "");

async function loadSites() {
  sites = placeSites(await get(`v1/map/sites${atMoment()}`));
  isBaseOld = true;
  if (!isFitted && sites.length) {
    const [first] = sites;
    const near = sites.filter((one) => Math.hypot(one.east - first.east, one.north - first.north) < NEAR_M);
    view.fit(near.map((one) => [one.east, one.north]), TOWN_M);
    isFitted = true;
  }
  showTable();
  return true;
}

async function loadRoads(site) {
  if (roads.has(site)) return;
  roads.set(site, null);
  try {
    roads.set(site, (await get(`v1/map/roads?site=${encodeURIComponent(site)}`)).lines);
    isBaseOld = true;
  } catch {
    roads.delete(site);
  }
}

// Returns whether there was something to load for.
async function loadPlaces() {
  if (!sites.length) return false;
  if (!(await notePlaces())) {
    devices.take(await get("v1/map/devices"), new Map(sites.map((one) => [one.site, one])));
    colours = null;
    showLegend();
    await notePlaces();
  }
  showTable();
  return true;
}

async function notePlaces() {
  const { buffer, headers } = await getBytes(`v1/map/places${atMoment()}`);
  return devices.note(buffer, headers.get("map-version"), headers.get("device-time-ms"), performance.now());
}

// Asks again and again while the map is seen.
async function follow(load, everyMs) {
  for (let dueMs = 0; ; await new Promise((resolve) => setTimeout(resolve, GLANCE_MS))) {
    if (!isSeen || document.hidden || performance.now() < dueMs) continue;
    try {
      if (await load()) dueMs = performance.now() + everyMs;
    } catch (error) {
      at("map-said").textContent = error.message;
      dueMs = performance.now() + everyMs;
    }
  }
}

// -- text

function showLegend() {
  const isRecord = Boolean(run.status?.read_only);
  const kinds = devices.kinds ?? [];
  at("map-legend").replaceChildren(
    ...kinds.map((kind, place) => {
      const item = element("li", kind);
      item.prepend(element("span", "", { class: `swatch ${KIND_COLOURS[place % KIND_COLOURS.length]}` }));
      return item;
    }),
  );
  for (const [name, swatch] of isRecord ? [] : [["no connection", "red"], ["at rest or paused", "soft"]]) {
    const item = element("li", name);
    item.prepend(element("span", "", { class: `swatch ${swatch}` }));
    at("map-legend").append(item);
  }
  const said = isRecord ? ["Where devices were at the moment that is shown, computed again; whether each had a connection is in no record."] : [];
  if (devices.of > devices.ids.length) said.push(`One of ${Math.ceil(devices.of / devices.ids.length)} devices is shown.`);
  at("map-said").textContent = said.join(" ");
}

function weatherText(one) {
  const when = one.sun_deg > -0.8 ? "" : ", night";
  return `${one.conditions}${when}, ${number(one.temperature_c)} °C, wind ${number(one.wind_ms)} m/s, ${number(one.pressure_hpa)} hPa`;
}

function showTable() {
  const counts = devices.bySite();
  const shown = sites.slice(0, MOST_ROWS);
  const rows = at("site-rows");
  if ([...rows.children].map((one) => one.dataset.site).join("\n") !== shown.map((one) => one.site).join("\n")) {
    rows.replaceChildren(...shown.map((one) => siteRow(one)));
  }
  shown.forEach((one, place) => {
    const found = counts.get(one.site) ?? { devices: 0, lost: 0, moving: 0 };
    const told = (count) => (run.status?.read_only ? "not kept" : number(count));
    const cells = rows.children[place].querySelectorAll("td");
    [weatherText(one), number(found.devices), told(found.moving), told(found.lost)].forEach((text, column) => {
      if (cells[column].textContent !== text) cells[column].textContent = text;
    });
  });
}

function siteRow(one) {
  const row = element("tr", undefined, { "data-site": one.site });
  row.append(element("th", one.site, { scope: "row" }), ...[0, 1, 2, 3].map(() => element("td", "", { class: "number" })));
  const last = element("td");
  const button = element("button", "Show", { "aria-label": `Show ${one.site} on the map` });
  button.addEventListener("click", () => {
    view.fit([[one.east, one.north]], TOWN_M / 2);
    isBaseOld = true;
    at("map-canvas").focus();
  });
  last.append(button);
  row.append(last);
  return row;
}

// -- drawing

function pixelColour(name) {
  // The browser says what a colour is in numbers once it has filled something with it.
  const pen = new OffscreenCanvas(1, 1).getContext("2d");
  pen.fillStyle = colour(name);
  pen.fillRect(0, 0, 1, 1);
  return new Uint32Array(pen.getImageData(0, 0, 1, 1).data.buffer)[0];
}

function fitCanvases() {
  const ratio = window.devicePixelRatio || 1;
  const [base, top] = [at("map-base"), at("map-canvas")];
  const { clientWidth, clientHeight } = top;
  const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
  if (top.width !== width || top.height !== height) {
    for (const one of [base, top]) Object.assign(one, { width, height });
    view.width = clientWidth;
    view.height = clientHeight;
    isBaseOld = true;
  }
  return ratio;
}

function drawBase(ratio) {
  const pen = at("map-base").getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, view.width, view.height);
  pen.lineCap = "round";
  pen.font = "12px system-ui, sans-serif";
  for (const one of sites.filter(({ east, north }) => view.shows(east, north, 2 * SITE_M))) {
    const [x, y, reach] = [view.x(one.east), view.y(one.north), SITE_M * view.scale];
    if (one.conditions !== "sunny") {
      pen.globalAlpha = one.conditions === "rainy" ? 0.1 + 0.15 * one.rain : 0.12;
      pen.fillStyle = colour(one.conditions === "rainy" ? "blue" : "soft");
      pen.beginPath();
      pen.arc(x, y, Math.max(10, reach), 0, 2 * Math.PI);
      pen.fill();
      pen.globalAlpha = 1;
    }
    if (reach > 30) drawRoads(pen, one, Math.min(1, Math.max(0.35, view.scale * 4)));
    else {
      pen.fillStyle = colour("ink");
      pen.fillRect(x - 3, y - 3, 6, 6);
    }
    pen.fillStyle = colour("ink");
    pen.fillText(`${one.site} · ${number(one.temperature_c)} °C, ${one.conditions}`, x + 8, y - Math.min(view.height / 2 - 20, Math.max(10, reach)));
  }
  drawScale(pen);
}

function drawRoads(pen, one, thickness) {
  const lines = roads.get(one.site);
  if (!lines) {
    loadRoads(one.site);
    return;
  }
  pen.strokeStyle = colour("road");
  for (const kind of ROAD_WIDTHS.keys()) {
    pen.lineWidth = ROAD_WIDTHS[kind] * thickness + (view.scale > 0.2 ? 2 : 0);
    pen.beginPath();
    for (const [fromEast, fromNorth, toEast, toNorth] of lines.filter((line) => line[4] === kind)) {
      pen.moveTo(view.x(one.east + fromEast), view.y(one.north + fromNorth));
      pen.lineTo(view.x(one.east + toEast), view.y(one.north + toNorth));
    }
    pen.stroke();
  }
}

function drawScale(pen) {
  const metres = 10 ** Math.floor(Math.log10(120 / view.scale));
  const length = metres * view.scale;
  pen.fillStyle = colour("soft");
  pen.fillRect(12, view.height - 12, length, 2);
  pen.fillText(metres >= 1000 ? `${number(metres / 1000)} km` : `${number(metres)} m`, 12, view.height - 17);
}

function drawMarks(ratio) {
  const pen = at("map-canvas").getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.font = "12px system-ui, sans-serif";
  pen.fillStyle = pen.strokeStyle = colour("ink");
  const place = chosen === null ? -1 : devices.ids.indexOf(chosen);
  if (place >= 0) {
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(devices.x[place], devices.y[place], 9, 0, 2 * Math.PI);
    pen.stroke();
    pen.fillText(chosen, devices.x[place] + 12, devices.y[place] + 4);
  }
  if (view.scale < 0.15) return;
  const seen = [];
  for (let row = 0; row < devices.x.length && seen.length <= MOST_LABELS; row++) {
    if (devices.x[row] > 0 && devices.x[row] < view.width && devices.y[row] > 0 && devices.y[row] < view.height) seen.push(row);
  }
  if (seen.length > MOST_LABELS) return;
  for (const row of seen.filter((one) => one !== place)) pen.fillText(devices.ids[row], devices.x[row] + 6, devices.y[row] + 4);
}

function drawFrame() {
  requestAnimationFrame(drawFrame);
  if (!isSeen || document.hidden) return;
  const ratio = fitCanvases();
  const isOld = isBaseOld;
  if (isOld) {
    drawBase(ratio);
    isBaseOld = false;
  }
  if (!devices.to || !(isOld || drawFrame.drawn !== devices.to || (isSmooth() && devices.isMoving))) return;
  drawFrame.drawn = devices.to;
  colours ??= [...devices.kinds.map((_, place) => KIND_COLOURS[place % KIND_COLOURS.length]), "red", "soft"].map(pixelColour);
  const isClose = view.scale > 0.1;
  const sizes = devices.kinds.map((kind) => (kind === "traffic" ? 6 : 3) + (isClose ? 2 : 0));
  devices.locate(view, performance.now(), isSmooth());
  squares ??= new Squares(at("map-canvas"));
  squares.draw(devices, colours, sizes, ratio);
  drawMarks(ratio);
  at("map-canvas").dataset.frames = ++frames;
}

// -- what people do

function changed(act) {
  act();
  isBaseOld = true;
}

const KEYS = {
  ArrowLeft: () => view.pan(60, 0),
  ArrowRight: () => view.pan(-60, 0),
  ArrowUp: () => view.pan(0, 60),
  ArrowDown: () => view.pan(0, -60),
  "+": () => view.zoom(1.5),
  "=": () => view.zoom(1.5),
  "-": () => view.zoom(1 / 1.5),
  0: () => fitAll(),
};

function fitAll() {
  if (sites.length) view.fit(sites.map((one) => [one.east, one.north]), SITE_M);
}

function choose(x, y) {
  const row = devices.to ? devices.nearest(x, y, REACH) : -1;
  if (row < 0) return;
  chosen = devices.ids[row];
  isBaseOld = true;
  say(`${chosen} is shown under Devices`);
  look(chosen);
}

function listenToPointers(canvas) {
  const pointers = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
    moved += Math.abs(dx) + Math.abs(dy);
    const other = [...pointers.values()].find((one) => one.pointerId !== event.pointerId);
    pointers.set(event.pointerId, event);
    changed(() => {
      if (!other) return view.pan(dx, dy);
      const spread = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      const box = canvas.getBoundingClientRect();
      view.zoom(spread(event) / spread(before), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
    });
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => {
      if (pointers.delete(event.pointerId) && name === "pointerup" && moved < 6) choose(event.offsetX, event.offsetY);
    });
  }
  canvas.addEventListener(
    "wheel",
    (event) => {
      // The page is scrolled by whoever has not turned to the map.
      if (document.activeElement !== canvas && !event.ctrlKey) return;
      event.preventDefault();
      changed(() => view.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.offsetX, event.offsetY));
    },
    { passive: false },
  );
}

export function startMap() {
  const canvas = at("map-canvas");
  listenToPointers(canvas);
  canvas.addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    changed(act);
  });
  at("map-closer").addEventListener("click", () => changed(() => view.zoom(1.5)));
  at("map-farther").addEventListener("click", () => changed(() => view.zoom(1 / 1.5)));
  at("map-all").addEventListener("click", () => changed(fitAll));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    colours = null;
    isBaseOld = true;
  });
  new IntersectionObserver(([entry]) => {
    isSeen = entry.isIntersecting;
    isBaseOld = true;
  }).observe(canvas);
  fitCanvases();
  follow(loadSites, SITES_MS);
  follow(loadPlaces, PLACES_MS);
  requestAnimationFrame(drawFrame);
}
