// Holds what the page knows of the run, for all views, and has it changed.

import { act, getLines } from "./api.js";
import { say } from "./dom.js";

const MOST_STATES = 4000; // of more they are read again: the run keeps fewer, each of a longer time
const MOST_LINES = 1000;

export const run = {
  status: null, // as it is, or was at the moment that is looked at
  history: [], // states since the run began, oldest first
  lines: [], // what has happened, newest first
  whyNoHistory: "", // in a sentence
};

const changed = [];

// Has something done after each action that was carried out here.
export function afterAction(callback) {
  changed.push(callback);
}

export async function perform(action) {
  try {
    const done = await act(action);
    say(done.said, done.outcome !== "done");
    await Promise.all(changed.map((callback) => callback()));
    return done;
  } catch (error) {
    say(error.message, true);
    return null;
  }
}

// Reads how the run was before somebody looked. Of one that goes on, what has come meanwhile stays.
export async function loadHistory() {
  try {
    const [head, ...lines] = await getLines("v1/history");
    const states = lines.filter(({ state }) => state).map(({ state }) => ({ ...head, ...state }));
    const last = states.at(-1)?.at_ms ?? 0;
    run.history = [...states, ...run.history.filter((one) => one.at_ms > last)];
    for (const { event } of lines) if (event) noteEvent(event);
    run.whyNoHistory = "";
  } catch (error) {
    run.whyNoHistory = error.message;
    run.history.splice(0, run.history.length - MOST_STATES);
  }
}

export function noteState(status) {
  run.status = status;
  // A record tells its last one again, and where it has no time line it is none of one.
  if (run.history.at(-1)?.at_ms === status.at_ms) run.history.pop();
  if (status.emitted_per_s !== null) run.history.push(status);
  if (run.history.length > MOST_STATES) loadHistory();
}

// Returns whether it was not known yet: a listener that comes again is told the last ones again.
export function noteEvent(event) {
  if (run.lines.some((one) => one.number === event.number && one.ms === event.at_ms)) return false;
  const place = run.lines.findIndex((one) => one.ms <= event.at_ms);
  const line = { number: event.number, ms: event.at_ms, text: event.text, action: event.action };
  run.lines.splice(place < 0 ? run.lines.length : place, 0, line);
  run.lines.splice(MOST_LINES);
  return true;
}
