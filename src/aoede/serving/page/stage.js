/* The stage: the take that is shown, its picture, its figures and its playing.

   Owns the score, the player, the readout of codes and the transport. Knows nothing of requests: `app.js` hands it takes
   and says when they have grown. */

import { Colours } from "./colours.js";
import { Player } from "./player.js";
import { Score } from "./score.js";

const STEP = 0.25; // seconds an arrow key moves
const PLAY = "M6 3.8v12.4c0 .6.7 1 1.2.6l9.2-6.2a.75.75 0 0 0 0-1.2L7.2 3.2c-.5-.4-1.2 0-1.2.6z";
const PAUSE = "M5.5 4h3v12h-3zM11.5 4h3v12h-3z";
const find = (id) => document.getElementById(id);

export class Stage {
  /** @param {() => void} onState called when playing begins, ends or halts. */
  constructor(onState) {
    this.take = null;
    this.player = new Player(() => this._changed());
    this.score = new Score(find("score"), find("overview"), {
      onSeek: (seconds) => this.seek(seconds),
      onHover: () => this._wake(),
    });
    this.colours = new Colours();
    this._onState = onState;
    this._awake = false;
    find("play").addEventListener("click", () => this.toggle());
    find("download").addEventListener("click", () => download(this.take));
    find("score").addEventListener("keydown", (event) => this._key(event));
    new ResizeObserver(() => this._wake()).observe(find("score"));
    icon(find("play"), PLAY, "Play");
  }

  /** Make a take the one that is seen and heard. */
  show(take, { play }) {
    this.player.stop();
    this.take = take;
    this.score.show(take);
    this.describe(take.frame);
    if (play) this.player.play(take);
    else this.player.place(0);
    this.grown();
    this._changed();
  }

  /** The shown take has more samples, or has ended. */
  grown() {
    this.player.feed();
    this._figures();
    this._wake();
  }

  /** Play on, halt, or play from the start where the end was reached. */
  toggle() {
    const { player, take } = this;
    if (take === null) return;
    if (player.state === "paused") player.resume();
    else if (player.state !== "idle") player.pause();
    else player.play(take, player.position >= take.seconds - 0.02 ? 0 : player.position);
    this._changed();
  }

  seek(seconds) {
    const { player, take } = this;
    if (take === null) return;
    const time = Math.max(0, Math.min(seconds, take.seconds));
    const isPaused = player.state === "paused";
    if (player.state === "idle") player.place(time);
    else player.play(take, time);
    if (isPaused) player.pause();
    this.score.reveal(time);
    this._changed();
  }

  stop() {
    this.player.stop();
    this._changed();
  }

  recolour() {
    this.colours = new Colours();
    this._wake();
  }

  /** What the frames of a voice are, in words. */
  describe(frame) {
    const legend = find("legend");
    legend.replaceChildren();
    const names = levelNames(frame);
    const letter = (level) => Object.assign(document.createElement("b"), { textContent: names[level], className: `level-${level}` });
    const numSlots = frame.levels.length;
    const order = numSlots <= 16 ? [", written in the order ", ...frame.levels.flatMap((level) => [letter(level), " "])] : [" "];
    const words = names.length === 3 ? ["coarse", "middle", "fine"] : [];
    const kinds = words.flatMap((word, level) => [level ? ", " : "", letter(level), ` ${word}`]);
    legend.append(
      `A frame is ${Math.round(1000 * frame.seconds)} ms of sound and ${numSlots} codes of ${names.length} levels`,
      ...order,
      ...(kinds.length ? ["(", ...kinds, "). "] : ["(level 1 on top). "]),
      "The stronger the colour, the higher the code.",
    );
  }

  _key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { position } = this.player;
    const places = { ArrowLeft: position - STEP, ArrowRight: position + STEP, Home: 0, End: this.take?.seconds ?? 0 };
    if (event.key in places) this.seek(places[event.key]);
    else if (event.key === " ") this.toggle();
    else return;
    event.preventDefault();
  }

  _wake() {
    if (this._awake) return;
    this._awake = true;
    requestAnimationFrame(() => this._draw());
  }

  _draw() {
    this._awake = false;
    const { state, position } = this.player;
    const moving = this.score.draw(this.colours, position, state);
    find("position").textContent = clock(position);
    this._readout(this.score.hover ?? position);
    if (state !== this._state) this._changed();
    if (moving || state === "playing" || state === "waiting") this._wake();
  }

  _changed() {
    const { state } = this.player;
    this._state = state;
    const button = find("play");
    const sounds = state === "playing" || state === "waiting";
    button.disabled = this.take === null || (this.take.ended && this.take.length === 0);
    icon(button, sounds ? PAUSE : PLAY, sounds ? "Pause" : "Play");
    // Only where a person moved or playing halted: a slider that speaks sixty times a second helps nobody.
    const { score } = this;
    const position = this.player.position;
    score.canvas.setAttribute("aria-valuenow", position.toFixed(2));
    score.canvas.setAttribute("aria-valuetext", this.take ? this._spoken(position) : "nothing to play yet");
    this._wake();
    this._onState(state);
  }

  _figures() {
    const { take } = this;
    find("duration").textContent = clock(take.seconds);
    find("score").setAttribute("aria-valuemax", take.seconds.toFixed(2));
    find("first").textContent = take.firstAudio === null ? "–" : milliseconds(take.firstAudio);
    find("rtf").textContent = take.rtf === null ? "–" : take.rtf.toFixed(2);
    find("frames").textContent = take.codes.length || "–";
    find("seed-used").textContent = take.asked.seed;
    find("download").disabled = !take.ended || take.length === 0;
    const notes = take.notes.map((text) => Object.assign(document.createElement("li"), { textContent: text }));
    find("notes").replaceChildren(...notes);
    find("notes").hidden = notes.length === 0;
  }

  /** The codes of the frame at a time, each in its level's colour. */
  _readout(seconds) {
    const { take } = this;
    const frame = take ? take.frameAt(seconds) : -1;
    const key = frame < 0 ? "" : `${take.id}/${frame}`;
    if (key === this._read) return;
    this._read = key;
    const parts = frame < 0 ? [] : [span(`frame ${frame + 1}`), ...this._levels(frame).map(([name, codes, level]) => {
      const part = span("");
      part.append(Object.assign(document.createElement("b"), { textContent: name, className: `level-${level}` }), ` ${codes.join(" ")}`);
      return part;
    })];
    find("readout").replaceChildren(...parts);
  }

  _levels(frame) {
    const { take } = this;
    return levelNames(take.frame).map((name, level) => {
      const codes = take.codes[frame].filter((_, slot) => take.frame.levels[slot] === level);
      return [name, codes, level];
    });
  }

  _spoken(seconds) {
    const { take } = this;
    const frame = take.frameAt(seconds);
    const codes = frame < 0 ? "" : `, frame ${frame + 1}: ${this._levels(frame).map(([name, list]) => `${name} ${list.join(" ")}`).join(", ")}`;
    return `${seconds.toFixed(1)} of ${take.seconds.toFixed(1)} seconds${codes}`;
  }
}

/** C, M and F for three levels, otherwise L1, L2 ... */
const levelNames = (frame) => frame.codebook_sizes.map((_, level, all) => (all.length === 3 ? "CMF"[level] : `L${level + 1}`));
const span = (text) => Object.assign(document.createElement("span"), { textContent: text });

export const clock = (seconds) => `${Math.floor(seconds / 60)}:${(Math.floor((seconds % 60) * 10) / 10).toFixed(1).padStart(4, "0")}`;
export const milliseconds = (seconds) => (seconds < 1 ? `${Math.round(1000 * seconds)} ms` : `${seconds.toFixed(2)} s`);

/** Give a button a picture and a name. */
export function icon(button, path, name) {
  if (button.getAttribute("aria-label") === name && button.firstChild) return;
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", "0 0 20 20");
  picture.setAttribute("aria-hidden", "true");
  picture.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  picture.firstChild.setAttribute("d", path);
  button.replaceChildren(picture);
  button.setAttribute("aria-label", name);
}

/** Hand the sound of a take to the browser as a file. */
export function download(take) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(take.toWav());
  link.download = take.fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

export const PICTURES = { PLAY, PAUSE };
