/* A recording to speak like: from the microphone, a chosen file or a dropped one, made a WAV here in the browser.

   Owns the fold "Speak like a recording". Knows nothing of requests: `blob` and `text` are read when one is made. */

import { soundLane } from "./lanes.js";
import { fit } from "./score.js";
import { clock, icon, PICTURES } from "./stage.js";
import { PEAK, RATE } from "./take.js";
import { wav } from "./wav.js";

const LARGEST = 64 * 2 ** 20; // bytes that the browser is asked to decode
const find = (id) => document.getElementById(id);

export class Reference {
  /** @param {(words: string) => void} tell shows an error, or clears it with "". */
  constructor(tell, colours) {
    Object.assign(this, { tell, colours, blob: null, longest: Infinity });
    this._recording = null;
    this._sound = new Audio();
    icon(find("reference-play"), PICTURES.PLAY, "Listen to the recording");
    find("reference-play").addEventListener("click", () => this._listen());
    find("reference-remove").addEventListener("click", () => this._remove());
    find("record").addEventListener("click", () => (this._recording ? this._stop() : this._record()));
    find("choose").addEventListener("click", () => find("file").click());
    find("file").addEventListener("change", (event) => {
      const [file] = event.target.files;
      if (file) this.take(file);
      event.target.value = "";
    });
    this._catchDrops();
  }

  get text() {
    return find("reference-text").value.trim();
  }

  /** Take a sound file in any format that the browser knows. */
  async take(file) {
    this.tell("");
    if (file.size > LARGEST) return this.tell(`${file.name} has ${Math.round(file.size / 2 ** 20)} MiB; a recording may have ${LARGEST / 2 ** 20}.`);
    let sound;
    try {
      sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
    } catch {
      return this.tell(`${file.name} is not a sound file that this browser can read. Try a WAV, FLAC or MP3 file.`);
    }
    await this._keep(sound, file.name);
  }

  redraw() {
    if (this.blob === null || find("reference").hidden) return;
    const canvas = find("reference-wave");
    const scale = canvas.clientWidth / this._view.seconds;
    const view = { take: this._view, colours: this.colours(), scale, from: 0, to: this._view.seconds, heard: Infinity, x: (seconds) => seconds * scale };
    soundLane(fit(canvas), { top: 0, height: canvas.clientHeight }, view);
  }

  /** One channel at the server's rate, whatever came. */
  async _keep(sound, name) {
    if (sound.duration > this.longest)
      return this.tell(`${name} lasts ${sound.duration.toFixed(1)} s; a recording to speak like may last ${this.longest} s.`);
    const context = new OfflineAudioContext(1, Math.max(1, Math.round(sound.duration * RATE)), RATE);
    const source = context.createBufferSource();
    source.buffer = sound;
    source.connect(context.destination);
    source.start();
    const samples = (await context.startRendering()).getChannelData(0);
    this.blob = wav(samples, RATE);
    const peaks = new Float32Array(Math.ceil(samples.length / PEAK));
    samples.forEach((sample, i) => (peaks[Math.floor(i / PEAK)] = Math.max(peaks[Math.floor(i / PEAK)], Math.abs(sample))));
    this._view = { peaks, length: samples.length, seconds: samples.length / RATE };
    URL.revokeObjectURL(this._sound.src);
    this._sound.src = URL.createObjectURL(this.blob);
    find("reference-name").textContent = `${name}, ${clock(this._view.seconds)}`;
    find("reference").hidden = false;
    this.redraw();
    find("reference-text").focus();
  }

  _listen() {
    if (this._sound.paused) this._sound.play();
    else this._sound.pause();
    const draw = () => icon(find("reference-play"), this._sound.paused ? PICTURES.PLAY : PICTURES.PAUSE, this._sound.paused ? "Listen to the recording" : "Pause the recording");
    this._sound.onended = this._sound.onpause = this._sound.onplay = draw;
    draw();
  }

  _remove() {
    this._sound.pause();
    this.blob = null;
    find("reference").hidden = true;
    this.tell("");
    find("record").focus();
  }

  async _record() {
    this.tell("");
    if (!navigator.mediaDevices) return this.tell("Browsers record only over https or on localhost. Choose a file instead.");
    const voice = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    find("record").disabled = true; // until the person has said yes or no
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: voice });
    } catch (error) {
      const refused = error.name === "NotAllowedError";
      return this.tell(refused ? "The browser was not allowed to use the microphone. Allow it, or choose a file." : "No microphone could be opened. Choose a file instead.");
    } finally {
      find("record").disabled = false;
    }
    const context = new AudioContext();
    await context.audioWorklet.addModule(new URL("./recorder-worklet.js", import.meta.url));
    const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
    const blocks = [];
    let length = 0;
    tap.port.onmessage = ({ data }) => {
      blocks.push(data);
      length += data.length;
      const seconds = length / context.sampleRate;
      find("record-name").textContent = `Stop, ${clock(seconds)}`;
      if (seconds >= this.longest) this._stop();
    };
    context.createMediaStreamSource(stream).connect(tap);
    this._recording = { stream, context, tap, blocks };
    find("record").setAttribute("aria-pressed", "true");
  }

  async _stop() {
    const { stream, context, tap, blocks } = this._recording;
    this._recording = null;
    tap.port.onmessage = null;
    stream.getTracks().forEach((track) => track.stop());
    find("record").setAttribute("aria-pressed", "false");
    find("record-name").textContent = "Record";
    const length = blocks.reduce((sum, block) => sum + block.length, 0);
    const rate = context.sampleRate;
    await context.close();
    if (length === 0) return this.tell("The microphone gave no sound. Try again, or choose a file.");
    const sound = new AudioBuffer({ length: Math.min(length, Math.floor(this.longest * rate)), sampleRate: rate });
    let at = 0;
    for (const block of blocks) {
      sound.copyToChannel(block, 0, at);
      at += block.length;
    }
    await this._keep(sound, "Your recording");
  }

  _catchDrops() {
    const fold = find("clone");
    const brings = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    // Anywhere on the page: a file dropped beside the box would otherwise replace the page.
    addEventListener("dragover", (event) => {
      if (!brings(event)) return;
      event.preventDefault();
      fold.open = true;
      find("drop").classList.add("over-it");
    });
    addEventListener("dragleave", (event) => event.relatedTarget === null && find("drop").classList.remove("over-it"));
    addEventListener("drop", (event) => {
      if (!brings(event)) return;
      event.preventDefault();
      find("drop").classList.remove("over-it");
      this.take(event.dataTransfer.files[0]);
    });
  }
}
