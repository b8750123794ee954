// The page of a run: draws what the control interface tells, and asks it for changes. Whatever comes from the run is set as
// text, never as markup.

import { act, get, keepToken, listen } from "./api.js";
import { draw, number } from "./chart.js";

const KEPT_MS = 3_600_000;
const MOST_LINES = 500;
const GROUPS_EVERY_MS = 5000;

const history = []; // states of the last hour, oldest first
const lines = []; // what has happened, newest first
let status = null;
let groups = [];
let device = null; // id of the one that is looked at
let readings = []; // [ms, payload] of that one, oldest first

const at = (id) => document.getElementById(id);
const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function say(text, isBad = false) {
  at("said").textContent = text;
  at("said").classList.toggle("bad", isBad);
}

async function perform(action) {
  try {
    const done = await act(action);
    say(done.said, done.outcome !== "done");
    await loadGroups();
  } catch (error) {
    say(error.message, true);
  }
}

function figures(list, pairs) {
  list.replaceChildren(
    ...pairs.map(([name, value, isBad]) => {
      const pair = element("div");
      pair.append(element("dt", name), element("dd", value, isBad ? { class: "bad" } : {}));
      return pair;
    }),
  );
}

// -- flow

// What is wrong now, the gravest first: where it shows, and the sentence.
function trouble(now) {
  const away = now.devices - now.connected - now.resting - now.standby;
  const stalled = now.processes.filter((one) => one.state === "silent" || one.state === "failed");
  if (now.broker_is_away) return ["node-broker", "The broker is away: devices keep what they measure and dial again."];
  if (stalled.length) return ["node-devices", `${stalled.length} of ${now.processes.length} processes say nothing.`];
  if (away > 0 && now.never_connected < away)
    return ["edge-sent", `${number(away)} of ${number(now.devices)} devices have no connection.`];
  if (now.never_connected > 0 && history.length > 5)
    return ["edge-sent", `${number(now.never_connected)} of ${number(now.devices)} devices have not connected yet.`];
  if (now.puback_ms.p99 > 1000)
    return ["node-broker", `The broker is slow: 1 % of the messages wait ${number(now.puback_ms.p99)} ms for its PUBACK.`];
  if (now.lag_ms.p99 > 1000)
    return ["edge-emitted", `The generator is late: 1 % of the messages leave ${number(now.lag_ms.p99)} ms after they are due.`];
  if (now.buffered > Math.max(10, now.emitted_per_s) && now.sent_per_s < now.emitted_per_s)
    return ["node-outbox", "More is measured than is sent: outboxes fill."];
  return null;
}

function node(id, value, note) {
  at(id).querySelector("strong").textContent = value;
  if (note !== undefined) at(id).querySelector(".note").textContent = note;
}

function showFlow(now) {
  node("node-devices", number(now.devices), `${number(now.connected)} connected, ${number(now.resting + now.standby)} at rest`);
  node("edge-emitted", `${number(now.emitted_per_s)}/s`);
  node("node-outbox", number(now.buffered), "messages wait");
  node("edge-sent", `${number(now.sent_per_s)}/s`);
  node("node-broker", now.broker_is_away ? "away" : `${number(now.inflight)} in flight`, now.brokers.join(", "));
  const found = trouble(now);
  for (const one of document.querySelectorAll(".flow li")) one.classList.toggle("bad", found?.[0] === one.id);
  at("why").textContent = [found?.[1], ...now.problems].filter(Boolean).join(" ");
  const lost = now.refused + now.dropped;
  figures(at("losses"), [
    ["emitted", number(now.emitted)],
    ["acknowledged", number(now.acknowledged)],
    ["sent at QoS 0", number(now.sent_qos0)],
    ["refused", number(now.refused), now.refused > 0],
    ["dropped", number(now.dropped), now.dropped > 0],
    ["reconnects", number(now.reconnects)],
    ["lost so far", number(lost), lost > 0],
    ["paused", now.paused.join(", ") || "none"],
    ["muted", now.muted.join(", ") || "none"],
  ]);
  at("outage").hidden = !now.broker_is_embedded;
  at("outage-go").disabled = now.broker_is_away;
  at("run").textContent =
    `${now.scenario} · ${now.run_id} · devices' time ${new Date(now.device_time_ms).toISOString().slice(0, 19)}Z` +
    (now.time_scale === 1 ? "" : ` (× ${number(now.time_scale)})`);
  showFaults(now.faults);
}

// A button stays where it is for as long as its fault does: somebody may be about to press it.
function showFaults(faults) {
  const list = at("faults");
  for (const item of [...list.children]) if (!faults.includes(Number(item.dataset.fault))) item.remove();
  for (const fault of faults.filter((one) => !list.querySelector(`[data-fault="${one}"]`))) {
    const end = element("button", `End fault ${fault}`);
    end.addEventListener("click", () => perform({ action: "end_fault", fault }));
    const item = element("li", undefined, { "data-fault": fault });
    item.append(end);
    list.append(item);
  }
}

// -- groups

function small(label, value, onSubmit) {
  const form = element("form");
  const input = element("input", undefined, { "aria-label": `The ${label}`, value, maxlength: 20, size: 7 });
  form.append(input, element("button", "Set", { "aria-label": `Set the ${label}` }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    onSubmit(input.value.trim());
  });
  return form;
}

function groupRow({ group, kind, devices, interval, can_scale }) {
  const row = element("tr", undefined, { "data-group": group });
  row.append(element("th", group, { scope: "row" }));
  for (const name of ["devices", "connected", "buffered"]) row.append(element("td", "", { class: `number ${name}` }));
  const scale = element("td");
  if (can_scale) {
    scale.append(small(`number of ${group}`, devices, (text) => perform({ action: "scale", group, count: Number(text) })));
  } else scale.append("listed by id");
  const every = element("td");
  every.append(small(`interval of ${group}`, interval, (text) => perform({ action: "set", group, interval: text })));
  const more = element("td");
  for (const [name, action] of [["Pause", "pause"], ["Resume", "resume"], ["Mute", "mute"], ["Unmute", "unmute"]]) {
    const button = element("button", name, { "aria-label": `${name} ${group}` });
    button.addEventListener("click", () => perform({ action, group }));
    more.append(button, " ");
  }
  row.append(scale, every, more);
  row.dataset.kind = kind;
  return row;
}

async function loadGroups() {
  const found = await get("v1/groups");
  // Rows stay while nothing about them changes: somebody may be typing in one.
  if (JSON.stringify(found) !== JSON.stringify(groups)) {
    groups = found;
    at("group-rows").replaceChildren(...groups.map(groupRow));
    const chosen = at("fault-group").value;
    at("fault-group").replaceChildren(element("option", "all", { value: "" }), ...groups.map(({ group }) => element("option", group)));
    at("fault-group").value = groups.some(({ group }) => group === chosen) ? chosen : "";
  }
  showGroups();
}

function showGroups() {
  for (const { group, kind, devices } of groups) {
    const row = document.querySelector(`tr[data-group="${CSS.escape(group)}"]`);
    const isAlone = groups.filter((one) => one.kind === kind).length === 1;
    const found = isAlone ? status?.kinds[kind] : undefined;
    row.querySelector(".devices").textContent = number(devices);
    row.querySelector(".connected").textContent = number(found?.connected);
    row.querySelector(".buffered").textContent = number(found?.buffered);
  }
}

// -- time line

function points(read) {
  return history.map((one) => [one.at_ms, read(one) ?? null]);
}

function showCharts() {
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
  draw(at("chart-devices"), [line("devices", "blue", (one) => one.devices), line("connected", "orange", (one) => one.connected)], {
    ...range,
    dashed: [0],
  });
}

function save() {
  const from = status.at_ms - Number(at("span").value) * 1000;
  const names = ["devices", "connected", "emitted", "acknowledged", "emitted_per_s", "sent_per_s", "inflight", "buffered", "refused",
    "dropped", "reconnects"];
  const rows = history
    .filter((one) => one.at_ms >= from)
    .map((one) =>
      [new Date(one.at_ms).toISOString(), ...names.map((name) => one[name]), one.lag_ms.p99, one.puback_ms.p50, one.puback_ms.p99].join(","),
    );
  const head = ["time", ...names, "lag_p99_ms", "puback_p50_ms", "puback_p99_ms"].join(",");
  const link = element("a", "", { download: `${status.run_id}.csv` });
  link.href = URL.createObjectURL(new Blob([[head, ...rows].join("\n"), "\n"], { type: "text/csv" }));
  link.click();
  URL.revokeObjectURL(link.href);
}

// -- devices

async function search(event) {
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

function look(id) {
  device = id;
  readings = [];
  at("device").hidden = false;
  at("device-title").textContent = id;
  at("device-field").replaceChildren();
  at("device-messages").replaceChildren();
  showDevice();
}

async function showDevice() {
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

// -- log

function showLog() {
  const text = at("log-filter").value.toLowerCase();
  at("log-lines").replaceChildren(
    ...lines
      .filter((one) => one.text.toLowerCase().includes(text))
      .slice(0, 200)
      .map((one) => {
        const item = element("li");
        item.append(element("time", clock(one.ms)), one.text);
        return item;
      }),
  );
}

// -- what comes from the run

function onEvent(name, content) {
  if (name === "event") {
    if (lines.some((one) => one.number === content.number)) return;
    lines.unshift({ number: content.number, ms: content.at_ms, text: content.text, action: content.action });
    lines.splice(MOST_LINES);
    showLog();
    return;
  }
  if (name !== "state") return;
  status = content;
  history.push(content);
  while (history[0].at_ms < content.at_ms - KEPT_MS) history.shift();
  showFlow(content);
  showGroups();
  showCharts();
  showDevice();
}

function badge(text, state) {
  at("link").textContent = text;
  at("link").className = `badge ${state}`;
}

function start() {
  at("login").hidden = true;
  at("main").hidden = false;
  listen({
    onEvent,
    onOpen: () => {
      badge("live", "live");
      loadGroups().catch((error) => say(error.message, true));
      search();
    },
    onLost: (why) => badge(why, "lost"),
    onRefused: () => {
      badge("needs its token", "lost");
      at("main").hidden = true;
      at("login").hidden = false;
      at("token").focus();
    },
  });
}

function fault(event) {
  event.preventDefault();
  let what;
  try {
    what = JSON.parse(at("fault-what").value);
  } catch {
    say('The fault is no JSON: write it as {"type":"disconnect"}', true);
    return;
  }
  const named = at("fault-device").value.trim();
  const action = { action: "fault", fault: what };
  if (named) action.devices = named.split(/[\s,]+/);
  else if (at("fault-group").value) action.group = at("fault-group").value;
  if (at("fault-share").value) action.share = Number(at("fault-share").value);
  if (at("fault-length").value.trim()) action.duration = at("fault-length").value.trim();
  perform(action);
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

for (const button of document.querySelectorAll("[data-act]")) {
  button.addEventListener("click", () => perform(JSON.parse(button.dataset.act)));
}
at("outage-go").addEventListener("click", () => perform({ action: "broker_outage", duration: at("outage-length").value }));
at("stop").addEventListener("click", () => {
  if (window.confirm("End the run? Devices send what they have, and say goodbye.")) perform({ action: "stop" });
});
at("fault").addEventListener("submit", fault);
at("command").addEventListener("submit", command);
at("search").addEventListener("submit", search);
at("span").addEventListener("change", showCharts);
at("device-field").addEventListener("change", showReadings);
at("log-filter").addEventListener("input", showLog);
at("save").addEventListener("click", save);
at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(at("token").value);
  start();
});
window.addEventListener("resize", showCharts);
setInterval(() => loadGroups().catch(() => {}), GROUPS_EVERY_MS);
start();
