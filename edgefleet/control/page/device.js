// Searches devices, and shows one: its state, faults, messages and readings.

import { get } from "./api.js";
import { drawLines } from "./charts.js";
import { at, element, figures, isoTime, number, say } from "./dom.js";
import { perform } from "./run.js";

const MOST_READINGS = 1000;
const MOST_SHOWN = 30;

let device = null; // id of the one that is looked at
let readings = []; // {ms, json, clean, key} of that one, oldest first
let recent = []; // faults of the last minutes

export async function search(event) {
  event?.preventDefault();
  const query = new URLSearchParams({ search: at("search-text").value, limit: "30" });
  if (at("search-state").value) query.set("state", at("search-state").value);
  try {
    const { found, devices } = await get(`v1/devices?${query}`);
    at("found").textContent = found > devices.length ? `${number(found)} found, the first ${devices.length}` : `${number(found)} found`;
    at("found-devices").replaceChildren(
      ...devices.map(({ device_id, state }) => {
        const button = element("button", state ? `${device_id} · ${state}` : device_id, { "data-device": device_id });
        button.addEventListener("click", () => look(device_id));
        const item = element("li");
        item.append(button);
        return item;
      }),
    );
  } catch (error) {
    say(error.message, true);
  }
}

export function look(id) {
  device = id;
  readings = [];
  recent = [];
  at("device").hidden = false;
  at("device-title").textContent = id;
  for (const list of ["device-field", "device-messages", "device-commands"]) at(list).replaceChildren();
  at("device").scrollIntoView({ block: "nearest" });
  showDevice();
}

export async function showDevice() {
  if (device === null) return;
  const id = device;
  try {
    const found = await get(`v1/devices/${encodeURIComponent(id)}`);
    if (id !== device) return;
    showFacts(found);
    recent = found.recent_faults;
    noteMessages(found.messages);
    showCommands(found.commands);
    showReadings();
  } catch (error) {
    at("device-facts").replaceChildren(element("div", error.message));
  }
}

function showFacts(found) {
  at("device-not-recorded").textContent = found.not_recorded ?? "";
  for (const one of document.querySelectorAll("#device [data-told]")) one.hidden = Boolean(found.not_recorded);
  if (found.not_recorded) return showRecordedFacts(found);
  const { vitals } = found;
  const battery = vitals.battery_pct === undefined ? "mains" : `${number(vitals.battery_pct)} %, ${number(vitals.battery_v)} V`;
  const planned = found.faults.filter((one) => !one.is_now);
  const present = found.faults.filter((one) => one.is_now);
  figures(at("device-facts"), [
    ["state", found.state, found.state === "disconnected"],
    ["group", found.group ?? found.kind],
    ["site", found.site],
    ["every", `${number(found.interval_ms / 1000)} s`],
    ["emitted", number(found.emitted)],
    ["acknowledged", number(found.acknowledged + found.sent_qos0)],
    ["in flight", number(found.inflight)],
    ["buffered", number(found.buffered)],
    ["dropped", number(found.dropped), found.dropped > 0],
    ["reconnects", number(found.reconnects)],
    ["battery", battery, vitals.battery_pct < 10],
    ["RSSI", vitals.rssi_dbm === undefined ? "wired" : `${number(vitals.rssi_dbm)} dBm`, vitals.rssi_dbm < -90],
    ["up for", `${number(vitals.uptime_s)} s`],
    ["boot", `${found.boot} (${found.reset_reason})`],
    ["firmware", found.firmware],
    ["broker", found.broker],
    ["QoS", number(found.qos)],
    ["gateway", found.gateway ?? "none"],
    ["faults now", present.map(faultText).join(", ") || "none", present.length > 0],
    ["faults in the next hour", planned.map(faultText).join(", ") || "none"],
  ]);
}

function showRecordedFacts(found) {
  const boots = found.boots.map((one) => (one.first_seq === null ? `${one.boot}: none` : `${one.boot}: ${one.first_seq} to ${one.last_seq}`));
  figures(at("device-facts"), [
    ["group", found.group ?? found.kind],
    ["site", found.site],
    ["emitted", number(found.emitted)],
    ["acknowledged", number(found.acknowledged)],
    ["sent at QoS 0", number(found.sent_qos0)],
    ["refused", number(found.refused), found.refused > 0],
    ["dropped", number(found.dropped), found.dropped > 0],
    ["unsent", number(found.unsent), found.unsent > 0],
    ["reconnects", number(found.reconnects)],
    ["boots, and the numbers of their messages", boots.join(", ")],
    ["faults, in the devices' time", found.faults.map(labelText).join(", ") || "none"],
  ]);
}

function labelText({ type, from_ms, to_ms, messages }) {
  return `${type} ${isoTime(from_ms)}Z to ${to_ms === null ? "the end" : `${isoTime(to_ms)}Z`} (${number(messages)} messages)`;
}

function faultText(fault) {
  const parameters = Object.entries(fault.parameters ?? {}).map(([name, value]) => ` ${name} ${value}`).join(",");
  const of = `${fault.type}${parameters}`;
  if (!fault.is_now) return `${of} from ${isoTime(fault.from_ms)}Z`;
  return fault.to_ms ? `${of} until ${isoTime(fault.to_ms)}Z` : of;
}

// -- messages and commands

const keyOf = (message) => `${message.boot}/${message.seq}/${message.topic}/${message.at_ms}`;

function noteMessages(messages) {
  const known = readings.findLastIndex((one) => one.key === keyOf(messages[0] ?? {}));
  const news = known < 0 ? messages : messages.slice(readings.length - known);
  for (const message of news) {
    readings.push({ ms: message.at_ms, json: message.json ?? {}, clean: message.clean, key: keyOf(message) });
    addMessage(message);
  }
  readings.splice(0, Math.max(0, readings.length - MOST_READINGS));
}

function addMessage(message) {
  const item = element("li");
  const payload = message.payload === null ? bytesOf(message.hex) : new TextEncoder().encode(message.payload);
  item.append(element("time", new Date(message.at_ms).toISOString().slice(11, 23)), message.topic, element("br"));
  if (!payload.length) item.append(element("code", "not sent: a fault"));
  else item.append(element("code", message.payload ?? `0x${message.hex}`), detailsOf(message, payload));
  at("device-messages").prepend(item);
  while (at("device-messages").childElementCount > MOST_SHOWN) at("device-messages").lastChild.remove();
}

// What is folded is made when it is unfolded: most never is.
function detailsOf(message, payload) {
  const details = element("details");
  details.append(element("summary", `${number(payload.length)} bytes, decoded`));
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    const list = element("dl", undefined, { class: "figures" });
    figures(list, Object.entries(message.json ?? {}).map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : value]));
    details.append(list, element("pre", hexDump(payload)));
  });
  return details;
}

function bytesOf(hex) {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function hexDump(payload) {
  const lines = [];
  for (let start = 0; start < payload.length; start += 16) {
    const some = [...payload.subarray(start, start + 16)];
    const hex = some.map((one) => one.toString(16).padStart(2, "0")).join(" ");
    const text = some.map((one) => (one > 31 && one < 127 ? String.fromCharCode(one) : ".")).join("");
    lines.push(`${start.toString(16).padStart(4, "0")}  ${hex.padEnd(48)} ${text}`);
  }
  return lines.join("\n");
}

function showCommands(commands) {
  const list = at("device-commands");
  if (list.childElementCount === commands.length) return;
  list.replaceChildren(
    ...commands.toReversed().map((one) => {
      const item = element("li");
      item.append(element("time", isoTime(one.at_ms)), one.by === "control" ? "by the control interface" : "over the broker", element("br"));
      item.append(element("code", one.asked), " → ", element("code", one.answered || "no answer"));
      return item;
    }),
  );
}

// -- readings beside the truth of the world

function showReadings() {
  const names = new Set(readings.flatMap(({ json }) => Object.keys(json).filter((name) => typeof json[name] === "number")));
  for (const name of ["boot", "seq"]) names.delete(name);
  const select = at("device-field");
  if ([...select.options].map((one) => one.value).join() !== [...names].join()) {
    const chosen = select.value;
    select.replaceChildren(...[...names].map((name) => element("option", name)));
    if (names.has(chosen)) select.value = chosen;
  }
  at("device-figure").hidden = !names.size;
  if (!names.size) return;
  const field = select.value;
  const of = (read) => readings.map((one) => [one.ms, typeof read(one) === "number" ? read(one) : null]);
  const truth = of(({ clean }) => clean[field]);
  const series = [{ name: field, colour: "blue", points: of(({ json }) => json[field]) }];
  if (truth.some(([, value]) => value !== null)) series.push({ name: "in the world", colour: "orange", points: truth, isDashed: true });
  const range = { from: readings[0].ms, to: Math.max(readings.at(-1).ms, readings[0].ms + 1000), fromZero: false };
  const bands = recent.map((one) => ({ from: one.from_ms, to: one.to_ms ?? Infinity }));
  drawLines(at("chart-device"), `${field} of ${device}`, series, { ...range, bands });
}

function command(event) {
  event.preventDefault();
  const text = at("command-arguments").value.trim();
  let given = {};
  try {
    if (text) given = JSON.parse(text);
  } catch {
    say('The arguments are no JSON: write them as {"interval": "2s"}', true);
    return;
  }
  perform({ action: "command", devices: [device], command: at("command-name").value.trim(), arguments: given });
}

export function startDevice() {
  at("command").addEventListener("submit", command);
  for (const button of document.querySelectorAll("[data-device-act]")) {
    button.addEventListener("click", () => perform({ action: button.dataset.deviceAct, devices: [device] }));
  }
  at("search").addEventListener("submit", search);
  at("device-field").addEventListener("change", showReadings);
}
