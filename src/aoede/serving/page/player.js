/* The player: samples that arrive in pieces, heard as one sound.

   Owns the audio graph and the schedule. The context runs at the rate of the samples and every piece begins on the very
   sample after the last, so that the seams between pieces cannot be heard. Knows nothing of the network or of pictures. */

import { RATE } from "./take.js";

const LEAD = 0.1; // seconds before the first sample: what a piece may come late without a gap
const REFILL = 0.4; // seconds to gather after the sound ran dry

export class Player {
  /** @param {() => void} onEnd called when a take has been heard to its end. */
  constructor(onEnd) {
    this.context = null;
    this.take = null;
    this.underruns = 0;
    this._onEnd = onEnd;
    this._paused = false;
    this._reset(0);
  }

  /** "idle", "waiting" (for samples), "playing" or "paused". */
  get state() {
    if (this.take === null) return "idle";
    if (this._paused) return "paused";
    return this._next > this._now() ? "playing" : "waiting";
  }

  /** Seconds into the take that are heard now. */
  get position() {
    // What was handed to the device is heard a little later.
    const now = this.context ? this._now() - RATE * (this.context.outputLatency || 0) : 0;
    let position = this._offset;
    for (const { when, from, length } of this._pieces) {
      if (when > now) break;
      position = from + Math.min(now - when, length);
    }
    return position / RATE;
  }

  /** Begin a take, which may still be arriving. Call it from a click or a key: browsers allow sound only then. */
  play(take, seconds = 0) {
    this.stop();
    this._open();
    this.take = take;
    this.underruns = 0;
    this._reset(Math.round(Math.min(seconds, take.seconds) * RATE));
    this.feed();
  }

  /** Schedule what has arrived since. */
  feed() {
    const { take } = this;
    if (take === null) return;
    const pending = take.length - this._scheduled;
    if (pending > 0) {
      const now = this._now();
      if (this._next < now + RATE * 0.005) {
        if (this._pieces.length && !this._dry) {
          this.underruns += 1;
          this._dry = true;
        }
        if (this._dry && pending < REFILL * RATE && !take.ended) return;
        this._next = Math.ceil(now + LEAD * RATE);
      }
      this._dry = false;
      this._schedule(take.samples.subarray(this._scheduled));
    }
    if (take.ended && this._scheduled === take.length && (this._pieces.at(-1)?.ended ?? true)) this._finish();
  }

  pause() {
    if (this.take === null) return;
    this._paused = true;
    this.context.suspend();
  }

  resume() {
    this._paused = false;
    this.context?.resume();
  }

  /** Where the next playing begins, in seconds; only while idle. */
  place(seconds) {
    this._reset(Math.round(seconds * RATE));
  }

  /** Silence at once; the position stays where it was. */
  stop() {
    const position = Math.round(this.position * RATE);
    for (const { source } of this._pieces) {
      source.onended = null;
      source.stop();
      source.disconnect();
    }
    this.take = null;
    this._paused = false;
    this._reset(position);
  }

  _open() {
    if (this.context === null) {
      this.context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
      this.output = this.context.createGain();
      this.analyser = this.context.createAnalyser();
      this.output.connect(this.analyser).connect(this.context.destination);
    }
    this.context.resume();
  }

  _now() {
    return this.context ? this.context.currentTime * RATE : 0;
  }

  _reset(offset) {
    this._pieces = []; // {source, when, from, length, ended}, in samples of the context and of the take
    this._offset = this._scheduled = offset;
    this._next = 0;
    this._dry = false;
  }

  _schedule(samples) {
    const buffer = this.context.createBuffer(1, samples.length, RATE);
    buffer.copyToChannel(samples, 0);
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.output);
    source.start(this._next / RATE);
    const piece = { source, when: this._next, from: this._scheduled, length: samples.length, ended: false };
    // The clock cannot say that a piece was heard: this may be called while it still shows the block the piece ends in.
    source.onended = () => {
      piece.ended = true;
      this.feed();
    };
    this._pieces.push(piece);
    this._next += samples.length;
    this._scheduled += samples.length;
  }

  _finish() {
    this.take = null;
    this._reset(this._scheduled);
    this._onEnd();
  }
}
