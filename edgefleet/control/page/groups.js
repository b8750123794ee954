// Shows the groups of devices, and what can be done to them.

import { get } from "./api.js";
import { at, element, number, say } from "./dom.js";
import { afterAction, perform, run } from "./run.js";

const EVERY_MS = 5000;

let groups = [];

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

const BUTTONS = [["Pause", "pause"], ["Resume", "resume"], ["Mute", "mute"], ["Unmute", "unmute"], ["Takeover", "takeover"]];
const STANDBY_BUTTONS = [["Standby", "standby"], ["Return", "return"]];

function groupRow({ group, kind, devices, interval, can_scale, standby }) {
  const row = element("tr", undefined, { "data-group": group });
  row.append(element("th", group, { scope: "row" }));
  for (const name of ["devices", "connected", "emitted", "buffered"]) row.append(element("td", "", { class: `number ${name}` }));
  const scale = element("td");
  if (can_scale) {
    scale.append(small(`number of ${group}`, devices, (text) => perform({ action: "scale", group, count: Number(text) })));
  } else scale.append("listed by id");
  const every = element("td");
  every.append(small(`interval of ${group}`, interval, (text) => perform({ action: "set", group, interval: text })));
  const more = element("td");
  for (const [name, action] of [...BUTTONS, ...(standby ? STANDBY_BUTTONS : [])]) {
    const button = element("button", name, { "aria-label": `${name} ${group}`, "data-action": action });
    button.addEventListener("click", () => perform({ action, group }));
    more.append(button, " ");
  }
  const label = element("label", " stand by");
  const box = element("input", undefined, { type: "checkbox", "aria-label": `${group} stands by for real sensors` });
  box.checked = standby;
  box.addEventListener("change", async () => {
    if (!(await perform({ action: "set", group, standby: box.checked }))) box.checked = !box.checked;
  });
  label.prepend(box);
  more.append(label);
  for (const cell of [scale, every, more]) cell.dataset.live = "";
  row.append(scale, every, more);
  row.dataset.kind = kind;
  return row;
}

export async function loadGroups() {
  const found = await get("v1/groups");
  at("groups-why").textContent = "";
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

// Numbers are told by kind; those of two groups of one kind are not told apart.
export function showGroups() {
  for (const { group, kind, devices } of groups) {
    const row = document.querySelector(`tr[data-group="${CSS.escape(group)}"]`);
    const isAlone = groups.filter((one) => one.kind === kind).length === 1;
    const found = isAlone ? run.status?.kinds[kind] : undefined;
    row.querySelector(".devices").textContent = number(devices);
    for (const name of ["connected", "emitted", "buffered"]) row.querySelector(`.${name}`).textContent = number(found?.[name]);
  }
}

function beginFault(event) {
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

export function startGroups() {
  at("fault").addEventListener("submit", beginFault);
  afterAction(loadGroups);
  setInterval(() => run.status?.read_only || loadGroups().catch(() => {}), EVERY_MS);
}
