/* The server, asked in its own words: which voices there are, and a speech as a stream of events.

   Owns requests, the reading of server-sent events and the words of errors. Knows nothing of sound or of the page. */

import { forTab } from "./remembered.js";

const TOKEN = "aoede-token";

/** Something that a person should read. `status` is the HTTP status, 0 where no answer came. */
export class Problem extends Error {
  constructor(message, status = 0) {
    super(message);
    this.name = "Problem";
    this.status = status;
  }
}

/** The server's bearer token, kept until the tab is closed. */
export const token = {
  get: () => forTab.get(TOKEN),
  set: (value) => forTab.set(TOKEN, value),
};

/** GET /v1/audio/voices: {voices: [...], limits}. */
export async function loadVoices() {
  const answer = await ask("v1/audio/voices", {});
  return answer.json();
}

/**
 * POST /v1/audio/speech as a stream.
 *
 * @param {object} request fields of the request; stream_format, response_format and include are set here.
 * @param {Blob|null} reference a WAV to speak like; its text is in request.reference_text.
 * @param {AbortSignal} signal closes the connection, which frees the server's slot.
 * @yields {object} the events: speech.audio.delta with {audio, frames, start}, at last speech.audio.done.
 */
export async function* speak(request, reference, signal) {
  const fields = { ...request, response_format: "pcm", stream_format: "sse", include: ["frames", "timings"] };
  const options = { method: "POST", signal };
  if (reference === null) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(fields);
  } else {
    options.body = new FormData();
    for (const [name, value] of Object.entries(fields))
      for (const one of [value].flat()) options.body.append(name, String(one));
    options.body.append("reference", reference, "reference.wav");
  }
  const answer = await ask("v1/audio/speech", options);
  let done = false;
  for await (const event of events(answer.body)) {
    if (event.error) throw new Problem(event.error.message ?? "The server could not go on, and did not say why.", 500);
    yield event;
    done = event.type === "speech.audio.done";
  }
  if (!done) throw new Problem("The connection closed before the speech was over. What arrived is kept.");
}

async function ask(path, options) {
  const headers = { ...options.headers };
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  let answer;
  try {
    answer = await fetch(new URL(path, document.baseURI), { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server cannot be reached. Is `aoede serve` still running?");
  }
  if (!answer.ok) throw new Problem(await words(answer), answer.status);
  return answer;
}

async function words(answer) {
  const text = await answer.text();
  let said = `The server answered ${answer.status} ${answer.statusText}.`;
  try {
    said = JSON.parse(text).error.message;
  } catch {
    // Not the server's own answer: a proxy's page, for example. Its status says more than its HTML.
  }
  const wait = Number(answer.headers.get("Retry-After"));
  return answer.status === 429 && wait > 0 ? `${said} Try again in ${wait} s.` : said;
}

/** The JSON of each server-sent event of a body, which may be cut anywhere, also inside a character. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) {
        const data = block.split(/\r?\n/).filter((line) => line.startsWith("data:"));
        const text = data.map((line) => line.slice(5).trimStart()).join("\n");
        if (text && text !== "[DONE]") yield JSON.parse(text);
      }
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The connection broke while the voice was speaking. What arrived is kept.");
  } finally {
    reader.cancel().catch(() => {}); // already closed: nothing is left to cancel
  }
}
