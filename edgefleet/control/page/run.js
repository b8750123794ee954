// Holds what the page knows of the run, for all views, and has it changed.

import { act } from "./api.js";
import { say } from "./dom.js";

const KEPT_MS = 3_600_000;
const MOST_LINES = 500;

export const run = {
  status: null,
  history: [], // states of the last hour, oldest first
  lines: [], // what has happened, newest first
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

export function noteState(status) {
  run.status = status;
  run.history.push(status);
  while (run.history[0].at_ms < status.at_ms - KEPT_MS) run.history.shift();
}

// Returns whether it was not known yet: a listener that comes again is told the last ones again.
export function noteEvent(event) {
  if (run.lines.some((one) => one.number === event.number && one.ms === event.at_ms)) return false;
  run.lines.unshift({ number: event.number, ms: event.at_ms, text: event.text, action: event.action });
  run.lines.splice(MOST_LINES);
  return true;
}
