// Searches devices, and shows one: its state, faults, messages and readings.

import { get } from "./api.js";
import { draw } from "./chart.js";
import { at, element, figures, number, say } from "./dom.js";
import { perform } from "./run.js";

let device = null; // id of the one that is looked at
let readings = []; // [ms, payload, key] of that one, oldest first

export async function search(event) {
  event?.preventDefault();
  const query = new URLSearchParams({ search: at("search-text").value, limit: "30" });
  if (at("search-state").value) query.set("state", at("search-state").value);
  try {
    const { found, devices } = await get(`v1/devices?${query}`);
    at("found").textContent = found > devices.length ? `${number(found)} found, the first ${devices.length}` : `${number(found)} found`;
    at("found-devices").replaceChildren(
      ...devices.map(({ device_id, state }) => {
        const button = element("button", `${device_id} · ${state}`, { "data-device": device_id });
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
  at("device").hidden = false;
  at("device-title").textContent = id;
  at("device-field").replaceChildren();
  at("device-messages").replaceChildren();
  showDevice();
}

export async function showDevice() {
  if (device === null) return;
  const id = device;
  try {
    const found = await get(`v1/devices/${encodeURIComponent(id)}`);
    if (id !== device) return;
    figures(at("device-facts"), [
      ["state", found.state, found.state === "disconnected"],
      ["group", found.group ?? found.kind],
      ["site", found.site],
      ["every", `${number(found.interval_ms / 1000)} s`],
      ["emitted", number(found.emitted)],
      ["acknowledged", number(found.acknowledged + found.sent_qos0)],
      ["buffered", number(found.buffered)],
      ["dropped", number(found.dropped), found.dropped > 0],
      ["reconnects", number(found.reconnects)],
      ["boot", `${found.boot} (${found.reset_reason})`],
      ["firmware", found.firmware],
      ["broker", found.broker],
      ["faults", found.faults.map(faultText).join(", ") || "none", found.faults.some((one) => one.is_now)],
    ]);
    const known = readings.at(-1)?.[2] ?? "";
    let isNew = known === "";
    for (const message of found.messages) {
      const key = `${message.boot}/${message.seq}/${message.topic}`;
      if (isNew) addMessage(message, key);
      isNew ||= key === known;
    }
    if (!isNew) found.messages.forEach((message) => addMessage(message, `${message.boot}/${message.seq}/${message.topic}`));
    showReadings();
  } catch (error) {
    at("device-facts").replaceChildren(element("div", error.message));
  }
}

function faultText(fault) {
  const time = (ms) => `${new Date(ms).toISOString().slice(11, 19)}Z`;
  if (!fault.is_now) return `${fault.type} from ${time(fault.from_ms)}`;
  return fault.to_ms ? `${fault.type} until ${time(fault.to_ms)}` : fault.type;
}

function addMessage(message, key) {
  readings.push([message.at_ms, message.json ?? {}, key]);
  if (readings.length > 1000) readings.shift();
  const item = element("li");
  item.append(element("time", new Date(message.at_ms).toISOString().slice(11, 23)), message.topic, element("br"));
  item.append(element("code", message.payload ?? (message.hex ? `0x${message.hex}` : "not sent: a fault")));
  at("device-messages").prepend(item);
  while (at("device-messages").childElementCount > 30) at("device-messages").lastChild.remove();
}

function showReadings() {
  const names = new Set(readings.flatMap(([, json]) => Object.keys(json).filter((name) => typeof json[name] === "number")));
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
  const shown = readings.map(([ms, json]) => [ms, typeof json[field] === "number" ? json[field] : null]);
  const range = { from: shown[0][0], to: Math.max(shown.at(-1)[0], shown[0][0] + 1000), fromZero: false };
  draw(at("chart-device"), [{ name: field, colour: "blue", points: shown }], range);
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
  at("search").addEventListener("submit", search);
  at("device-field").addEventListener("change", showReadings);
}
