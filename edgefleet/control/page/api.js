// Asks the control interface, and listens to it. A token is kept for as long as the tab is open, and sent in a header: there
// is no cookie that another site could have sent along.

const KEPT = "edgefleet-token";
const AGAIN_MS = 2000;

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function headers(more = {}) {
  const token = sessionStorage.getItem(KEPT);
  return token ? { authorization: `Bearer ${token}`, ...more } : more;
}

export function keepToken(token) {
  sessionStorage.setItem(KEPT, token);
}

async function answer(response) {
  if (response.ok) return response.json();
  let said = `the run answered ${response.status}`;
  try {
    said = (await response.json()).error ?? said;
  } catch {
    // No JSON: something else than the run has answered.
  }
  throw new Refused(response.status, said);
}

export async function get(path) {
  return answer(await fetch(path, { headers: headers() }));
}

export async function getBytes(path) {
  const response = await fetch(path, { headers: headers() });
  if (!response.ok) await answer(response);
  return { buffer: await response.arrayBuffer(), headers: response.headers };
}

// What is at a path as JSON, one a line; a last line without its end is still being written.
export async function getLines(path) {
  const response = await fetch(path, { headers: headers() });
  if (!response.ok) await answer(response);
  return (await response.text()).split("\n").slice(0, -1).map((line) => JSON.parse(line));
}

export async function act(action) {
  const init = { method: "POST", headers: headers({ "content-type": "application/json" }), body: JSON.stringify(action) };
  return answer(await fetch("v1/actions", init));
}

// EventSource cannot send a header, so the stream is read by fetch. It is opened again until the run is over for good.
export async function listen({ onEvent, onOpen, onLost, onRefused }) {
  for (;;) {
    try {
      const response = await fetch("v1/events", { headers: headers() });
      if (response.status === 401) return onRefused();
      if (!response.ok) await answer(response);
      onOpen();
      await read(response.body.pipeThrough(new TextDecoderStream()).getReader(), onEvent);
      onLost("the run has ended, or does not answer");
    } catch (error) {
      onLost(error instanceof Refused ? error.message : "the run has ended, or does not answer");
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

async function read(reader, onEvent) {
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trimStart()]),
      );
      if (fields.event && fields.data) onEvent(fields.event, JSON.parse(fields.data));
    }
  }
}
