/* The page put together: what is asked for goes to the server, what comes goes to the stage and into the history.

   Owns the form, its errors and its keys, and the one request that may be under way. */

import { loadVoices, Problem, speak, token } from "./api.js";
import { History } from "./history.js";
import { Reference } from "./reference.js";
import { forBrowser } from "./remembered.js";
import { milliseconds, Stage } from "./stage.js";
import { Take } from "./take.js";
import { startTheme } from "./theme.js";

const find = (id) => document.getElementById(id);
const VOICE = "aoede-voice";
const RETRY = 3000; // milliseconds until an absent server is asked again

let voices = [];
let limits = { characters: Infinity };
let current = null; // {take, abort} while a request is under way

const stage = new Stage(() => refresh());
const reference = new Reference(tell, () => stage.colours);
const history = new History({ onPlay: replay, onReuse: reuse });
// For the browser's console, and for the tests of this page.
globalThis.aoede = { stage, history, reference };

startTheme(() => {
  stage.recolour();
  history.recolour(stage.colours);
  reference.redraw();
});

/* -- what is asked for ------------------------------------------------------------------------------------------- */

async function meet() {
  try {
    const answer = await loadVoices();
    voices = answer.voices;
    limits = answer.limits;
  } catch (error) {
    find("server").textContent = "Not connected.";
    if (error.status === 0) setTimeout(meet, RETRY);
    return fail(error);
  }
  find("token-row").hidden = true;
  tell("");
  const models = [...new Set(voices.map((voice) => voice.model))];
  const groups = models.map((model) => {
    const group = Object.assign(document.createElement("optgroup"), { label: model });
    const own = voices.map((voice, index) => [voice, index]).filter(([voice]) => voice.model === model);
    group.append(...own.map(([voice, index]) => new Option(voice.name, index)));
    return group;
  });
  find("voice").replaceChildren(...groups);
  const kept = voices.findIndex((voice) => `${voice.model}/${voice.id}` === forBrowser.get(VOICE));
  const first = voices.findIndex((voice) => voice.default);
  find("voice").value = Math.max(0, kept >= 0 ? kept : first);
  find("voice").disabled = find("speak").disabled = false;
  const people = `${voices.length} ${voices.length === 1 ? "voice" : "voices"}`;
  find("server").textContent = `${models.join(", ")}: ${people}, ready`;
  reference.longest = limits.reference_seconds;
  chosen();
  counted();
}

/** The voice was changed: what it can do decides what may be set. */
function chosen() {
  const voice = voices[find("voice").value];
  forBrowser.set(VOICE, `${voice.model}/${voice.id}`);
  const canPace = voice.has_pace;
  find("speed").disabled = !canPace;
  find("speed-hint").textContent = canPace ? "Half as fast to twice as fast." : "This voice keeps its own pace.";
  find("clone-hint").hidden = voice.can_clone;
  if (stage.take === null) stage.describe(voice.frame);
}

function counted() {
  const length = [...find("text").value].length;
  const over = length > limits.characters;
  find("count").textContent = over ? `${length} of ${limits.characters} characters` : `${length} characters`;
  find("count").classList.toggle("over", over);
}

/** The request's fields, or words on what is missing and where. */
function asked() {
  const voice = voices[find("voice").value];
  const request = { model: voice.model, voice: voice.id, input: find("text").value.trim() };
  if (!request.input) throw wrong("text", "There is no text to say. Type a sentence first.");
  const seed = find("seed");
  if (!seed.checkValidity() || seed.value === "") throw wrong("seed", `The seed is a whole number from 0 to ${seed.max}.`);
  request.seed = Number(seed.value);
  const temperature = find("temperature");
  if (!temperature.validity.valid && !temperature.validity.stepMismatch) throw wrong("temperature", "The temperature is a number from 0 to 10; leave it empty for the voice’s own.");
  if (temperature.value !== "") request.temperature = Number(temperature.value);
  if (!find("speed").disabled) request.speed = Number(find("speed").value);
  if (find("clone").open && reference.blob !== null) {
    if (!reference.text) throw wrong("reference-text", "The recording needs its text: type what is said in it, word for word.");
    request.reference_text = reference.text;
  }
  return { voice, request };
}

function wrong(field, words) {
  const element = find(field);
  const fold = element.closest("details");
  if (fold) fold.open = true;
  element.setAttribute("aria-invalid", "true");
  element.setAttribute("aria-errormessage", "error");
  element.addEventListener("input", () => element.removeAttribute("aria-invalid"), { once: true });
  element.focus();
  return new Problem(words);
}

/* -- a speech ---------------------------------------------------------------------------------------------------- */

async function say() {
  if (find("speak").disabled) return;
  halt();
  tell("");
  let voice, request;
  try {
    ({ voice, request } = asked());
  } catch (error) {
    return fail(error);
  }
  const recording = request.reference_text === undefined ? null : reference.blob;
  const details = { text: request.input, voice: voice.name, id: voice.id, model: voice.model, seed: request.seed, speed: request.speed, temperature: request.temperature };
  const take = new Take({ ...details, reference: recording !== null }, voice.frame);
  const run = (current = { take, abort: new AbortController() });
  stage.show(take, { play: true });
  report(`${voice.name} is thinking of it …`);
  lookAt(find("stage"));
  const started = performance.now();
  const spent = () => (performance.now() - started) / 1000;
  try {
    for await (const event of speak(request, recording, run.abort.signal)) {
      if (event.type === "speech.audio.delta") heard(take, event, spent());
      else if (event.type === "speech.audio.done") over(take, event);
    }
    take.finish("done");
    const waits = stage.take === take ? stage.player.underruns : 0;
    const dry = waits ? ` It was heard faster than it was written: ${waits} ${waits === 1 ? "pause" : "pauses"}.` : "";
    report(`${voice.name} said ${take.seconds.toFixed(1)} s; the first sound came after ${milliseconds(take.firstAudio ?? spent())}.${dry}`);
  } catch (error) {
    const stopped = error.name === "AbortError";
    take.finish(stopped ? "stopped" : "failed");
    const after = `after ${take.seconds.toFixed(1)} s.`;
    const broken = take.length ? `It broke off ${after}` : "It could not be said.";
    // Another speech may have begun meanwhile; then its words stand.
    if (current === run || current === null) report(stopped ? `Stopped ${after}` : broken);
    if (!stopped) fail(error);
  }
  if (current === run) current = null;
  if (stage.take === take) stage.grown();
  if (take.length > 0) {
    history.add(take, stage.colours);
    history.mark(stage.take);
  }
  refresh();
}

function heard(take, event, seconds) {
  const bytes = Uint8Array.from(atob(event.audio), (letter) => letter.charCodeAt(0));
  const isFirst = take.length === 0 && bytes.length > 0;
  if (isFirst) take.firstAudio = seconds;
  take.push(bytes, event.frames ?? [], event.start ?? take.seconds);
  if (take.seconds > 0) take.rtf = seconds / take.seconds;
  if (isFirst) report(`${take.asked.voice} speaks; the first sound came after ${milliseconds(seconds)}.`);
  if (stage.take === take) stage.grown();
}

function over(take, event) {
  take.rtf = event.timings?.rtf ?? take.rtf;
  take.notes = event.notes ?? [];
}

/** Silence, and no more of what is still being written. */
function halt() {
  current?.abort.abort();
  current = null;
  stage.stop();
}

function replay(take) {
  if (current && current.take !== take) halt();
  stage.show(take, { play: true });
  history.mark(take);
  report(`Played again: ${take.asked.voice}, ${take.seconds.toFixed(1)} s.`);
  lookAt(find("stage"));
}

function reuse(take) {
  const { text, seed, speed, temperature, id, model } = take.asked;
  find("text").value = text;
  const index = voices.findIndex((voice) => voice.id === id && voice.model === model);
  if (index >= 0) find("voice").value = index; // a server that began anew may have other voices
  find("seed").value = seed;
  find("speed").value = speed ?? 1;
  find("temperature").value = temperature ?? "";
  chosen();
  counted();
  paced();
  find("text").focus();
}

/* -- what is said to the person ---------------------------------------------------------------------------------- */

function tell(words) {
  find("error").textContent = words;
  find("error").hidden = words === "";
}

function fail(error) {
  if (!(error instanceof Problem)) {
    console.error(error);
    return tell(`The page made a mistake: ${error.message}`);
  }
  tell(error.message);
  if (error.status === 401) {
    find("token-row").hidden = false;
    find("token").focus();
  }
}

function report(words) {
  find("status").textContent = words;
}

function refresh() {
  find("stop").hidden = current === null && stage.player.state === "idle";
}

function paced() {
  find("speed-value").textContent = `${Number(find("speed").value).toFixed(2)} ×`;
}

/** On a phone the picture is below the keys: bring it up, unless it is seen already. */
function lookAt(element) {
  const { top } = element.getBoundingClientRect();
  if (top > innerHeight * 0.6) element.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

/* -- hands ------------------------------------------------------------------------------------------------------- */

find("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  say();
});
find("stop").addEventListener("click", () => {
  halt();
  find("speak").focus();
});
find("text").addEventListener("input", counted);
find("voice").addEventListener("change", chosen);
find("speed").addEventListener("input", paced);
find("dice").addEventListener("click", () => {
  find("seed").value = Math.floor(Math.random() * 1e6);
});
find("token-row").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(find("token").value);
  meet();
});
addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    say();
  } else if (event.key === "Escape") halt();
});

find("clone").addEventListener("toggle", () => reference.redraw());
paced();
meet();
