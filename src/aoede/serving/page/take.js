/* A take: one speech while it arrives, with all that can be drawn of it.

   Owns samples, frames, peaks and spectrum, which grow together. Knows nothing of where they come from, of playing or of
   pictures. */

import { Spectrum } from "./spectrum.js";
import { wav } from "./wav.js";

/** Samples a second of the server's PCM. */
export const RATE = 24000;

/** Samples that one peak stands for: 5 ms. */
export const PEAK = 120;

let count = 0;

export class Take {
  /**
   * @param {object} asked {text, voice, id, model, seed, speed, temperature, reference}: what was asked for.
   * @param {object} frame the voice's {seconds, levels, codebook_sizes}.
   */
  constructor(asked, frame) {
    Object.assign(this, { asked, frame, id: ++count, ended: false, end: "", notes: [] });
    this.seconds = 0;
    this.length = 0;
    this.firstAudio = null; // seconds from the request to the first sound here
    this.rtf = null;
    this.arrivals = 0;
    this.codes = []; // a list of slots a frame
    this.starts = []; // seconds, where each frame begins
    this.peaks = new Float32Array(1024);
    this.spectrum = new Spectrum(RATE);
    this._samples = new Float32Array(4 * RATE);
    this._odd = null;
  }

  /** All samples so far. */
  get samples() {
    return this._samples.subarray(0, this.length);
  }

  /**
   * @param {Uint8Array} bytes 16-bit little-endian samples, cut anywhere.
   * @param {number[][]} frames codes that were decoded since the last piece.
   * @param {number} start seconds of the first sample in the whole.
   */
  push(bytes, frames, start) {
    const from = this.length;
    this._append(bytes);
    this.seconds = this.length / RATE;
    this.arrivals += 1;
    for (let peak = Math.floor(from / PEAK); peak * PEAK < this.length; peak++) this._peak(peak, from);
    this.spectrum.push(this.samples);
    // Frames run ahead of the samples they become; after a pause between sentences they begin where the sound does.
    for (const codes of frames) {
      const after = this.starts.length ? this.starts.at(-1) + this.frame.seconds : 0;
      this.starts.push(Math.max(after, start));
      this.codes.push(codes);
    }
  }

  /** No more will come; `end` is "done", "stopped" or "failed". */
  finish(end) {
    this.ended = true;
    this.end = end;
    this.spectrum.push(this.samples, true);
  }

  /** The last frame that begins at or before a time, -1 before the first. */
  frameAt(seconds) {
    let low = 0;
    let high = this.starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.starts[middle] <= seconds + 1e-9) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** A name for the file: the voice and the first words. */
  get fileName() {
    const words = this.asked.text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ["speech"];
    return `${this.asked.voice}-${words.slice(0, 6).join("-").slice(0, 48)}-${this.asked.seed}.wav`;
  }

  /** A WAV file. */
  toWav() {
    return wav(this.samples, RATE);
  }

  _append(bytes) {
    const whole = new Uint8Array(bytes.length + (this._odd === null ? 0 : 1));
    if (this._odd !== null) whole[0] = this._odd;
    whole.set(bytes, whole.length - bytes.length);
    const fresh = whole.length >> 1;
    this._odd = whole.length % 2 ? whole[whole.length - 1] : null;
    if (this.length + fresh > this._samples.length) this._samples = grown(this._samples, this.length + fresh);
    const view = new DataView(whole.buffer);
    for (let i = 0; i < fresh; i++) this._samples[this.length + i] = view.getInt16(2 * i, true) / 32768;
    this.length += fresh;
  }

  _peak(peak, from) {
    if (peak >= this.peaks.length) this.peaks = grown(this.peaks, peak + 1);
    const stop = Math.min((peak + 1) * PEAK, this.length);
    let high = peak * PEAK < from ? this.peaks[peak] : 0;
    for (let i = Math.max(peak * PEAK, from); i < stop; i++) high = Math.max(high, Math.abs(this._samples[i]));
    this.peaks[peak] = high;
  }
}

function grown(array, least) {
  const larger = new Float32Array(Math.max(least, 2 * array.length));
  larger.set(array);
  return larger;
}
