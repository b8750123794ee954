// Draws the way of the messages, from the world to the store, with what holds them up.

import { at, bytes, element, figures, number } from "./dom.js";
import { perform } from "./run.js";

const BUSY_PER_S = 1000;
const DEVICE_COUNTS = ["emitted", "acknowledged"];

function node(id, value, note) {
  at(id).querySelector("strong").textContent = value;
  if (note !== undefined) at(id).querySelector(".note").textContent = note;
}

function edge(id, perSecond) {
  const found = at(id);
  found.querySelector("strong").textContent = perSecond === null ? "not kept" : `${number(perSecond)}/s`;
  found.dataset.pace = perSecond > BUSY_PER_S ? "busy" : perSecond > 0 ? "moving" : "still";
}

export function showFlow(now) {
  node("node-world", number(now.sites), `site${now.sites === 1 ? "" : "s"}, time × ${number(now.time_scale)}`);
  node("node-devices", number(now.devices), now.connected === null ? "connections are not in this record" : `${number(now.connected)} connected, ${number(now.resting + now.standby)} at rest`);
  edge("edge-emitted", now.emitted_per_s);
  node("node-outbox", number(now.buffered), "messages wait");
  edge("edge-sent", now.sent_per_s);
  node("node-broker", now.broker_is_away ? "away" : now.inflight === null ? "" : `${number(now.inflight)} in flight`, now.brokers.join(", "));
  edge("edge-measured", now.emitted_per_s);
  at("flow-behind").hidden = at("bridge-actions").hidden = !now.bridge;
  at("flow-not-recorded").hidden = !now.read_only || Boolean(now.bridge);
  if (now.bridge) showBridge(now.bridge, now.store);
  const bad = new Set(now.flow.map(({ place }) => place));
  for (const one of document.querySelectorAll(".flow [data-place]")) one.classList.toggle("bad", bad.has(one.dataset.place));
  const why = [...now.flow.map(({ said }) => said), ...now.problems].join(" ");
  if (at("why").textContent !== why) at("why").textContent = why;
  showFigures(now);
  at("outage").hidden = !now.broker_is_embedded;
  at("outage-go").disabled = now.broker_is_away;
  at("run").textContent =
    `${now.scenario} · ${now.run_id} · devices' time ${new Date(now.device_time_ms).toISOString().slice(0, 19)}Z` +
    (now.time_scale === 1 ? "" : ` (× ${number(now.time_scale)})`);
  showFaults(now.faults);
}

function showFigures(now) {
  const { bridge, store } = now;
  // What the fleet lost has no number at the bridge either: both count it.
  const lost = Math.max(now.refused + now.dropped, bridge?.missing ?? 0);
  const more = bridge ? [["missing at the bridge", number(bridge.missing), bridge.missing > 0]] : [];
  if (bridge) {
    const letters = bridge.sinks.reduce((sum, one) => sum + one.dead_letters, 0);
    more.push(["dead letters", number(letters), letters > 0]);
  }
  if (store) more.push(["stored", number(store.stored)], ["duplicates at the store", number(store.known)]);
  figures(at("losses"), [
    ...DEVICE_COUNTS.map((name) => [name, number(now[name])]),
    ["sent at QoS 0", number(now.sent_qos0)],
    ["refused", number(now.refused), now.refused > 0],
    ["dropped", number(now.dropped), now.dropped > 0],
    ...(now.unsent === undefined ? [] : [["unsent", number(now.unsent), now.unsent > 0]]),
    ["reconnects", number(now.reconnects)],
    ...more,
    [bridge ? "lost so far, at least" : "lost so far", number(lost), lost > 0],
    ["paused", now.paused.join(", ") || "none"],
    ["muted", now.muted.join(", ") || "none"],
  ]);
}

// -- behind the broker

function showBridge(bridge, store) {
  edge("edge-received", bridge.is_reachable ? bridge.received_per_s : null);
  const pending = bridge.sinks.reduce((most, one) => Math.max(most, one.pending), 0);
  node("node-bridge", number(pending), "pending in the spool");
  const limit = bridge.spool_limit_bytes ? ` of ${bytes(bridge.spool_limit_bytes)}` : "";
  figures(at("bridge-figures"), [
    ["received", number(bridge.received)],
    ["spool", bytes(bridge.spool_bytes) + limit],
    ["received again", number(bridge.redelivered)],
    ["reconnects", number(bridge.reconnects)],
    ["state", !bridge.is_reachable ? "does not answer" : bridge.is_ready ? "ready" : "not ready", !bridge.is_ready || !bridge.is_reachable],
  ]);
  const list = at("sinks");
  const names = bridge.sinks.map(({ sink }) => sink);
  if ([...list.children].map((one) => one.dataset.sink).join("\n") !== names.join("\n")) {
    list.replaceChildren(...names.map((name) => sinkRow(name, name === "http" && store)));
    at("bridge-sink").replaceChildren(element("option", "all sinks", { value: "" }), ...names.map((name) => element("option", name)));
  }
  bridge.sinks.forEach((sink, place) => showSink(list.children[place], sink, bridge.is_reachable));
  if (store && at("node-store")) {
    edge("edge-stored", store.is_reachable ? store.stored_per_s : null);
    node("node-store", number(store.stored));
    figures(at("store-figures"), [
      ["duplicates", number(store.known)],
      ["refused", number(store.rejected), store.rejected > 0],
      ["conflicts", number(store.conflict), store.conflict > 0],
    ]);
  }
}

function sinkRow(name, hasStore) {
  const row = element("li", undefined, { "data-sink": name });
  const place = `sink:${name}`;
  row.append(edgeOf(`edge-sink-${name}`, place, "delivered"), nodeOf(`node-sink-${name}`, place, name, "pending"));
  if (hasStore) {
    row.append(edgeOf("edge-stored", "store", "stored"), nodeOf("node-store", "store", "Store", "messages"));
    row.querySelector("#node-store dl").id = "store-figures";
  }
  return row;
}

function edgeOf(id, place, note) {
  const made = element("div", undefined, { id, class: "edge", "data-place": place, "data-pace": "still" });
  made.append(element("strong"), element("span", note, { class: "note" }));
  return made;
}

function nodeOf(id, place, name, note) {
  const made = element("div", undefined, { id, class: "node", "data-place": place });
  made.append(element("span", name, { class: "name" }), element("strong"), element("span", note, { class: "note" }), element("dl", undefined, { class: "small" }));
  return made;
}

function showSink(row, sink, isReachable) {
  edge(`edge-sink-${sink.sink}`, isReachable ? sink.delivered_per_s : null);
  node(`node-sink-${sink.sink}`, number(sink.pending));
  const causes = Object.entries(sink.causes).map(([cause, count]) => `${cause} ${number(count)}`).join(", ");
  figures(row.querySelector("dl"), [
    ["delivered", number(sink.delivered)],
    ["breaker", sink.breaker, sink.breaker === "open"],
    ["retries", number(sink.retries) + (causes ? ` (${causes})` : "")],
    ["dead letters", number(sink.dead_letters), sink.dead_letters > 0],
    ["left out", number(sink.filtered)],
    ["known there", number(sink.duplicates)],
    ["oldest", `${number(sink.oldest_s)} s`, sink.oldest_s > 60],
  ]);
}

// -- faults and the whole run

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

export function startFlow() {
  for (const button of document.querySelectorAll("[data-act]")) {
    button.addEventListener("click", () => perform(JSON.parse(button.dataset.act)));
  }
  at("time-scale-go").addEventListener("click", () => perform({ action: "set", time_scale: Number(at("time-scale-value").value) }));
  at("outage-go").addEventListener("click", () => perform({ action: "broker_outage", duration: at("outage-length").value }));
  for (const name of ["pause", "resume"]) {
    at(`bridge-${name}`).addEventListener("click", () => {
      const sink = at("bridge-sink").value;
      perform({ action: `bridge_${name}`, ...(sink && { sink }) });
    });
  }
  at("bridge-drain").addEventListener("click", () => {
    if (window.confirm("Drain the bridge? It delivers what it has, and ends: what is sent later nobody receives.")) perform({ action: "bridge_drain" });
  });
  at("stop").addEventListener("click", () => {
    if (window.confirm("End the run? Devices send what they have, and say goodbye.")) perform({ action: "stop" });
  });
}
