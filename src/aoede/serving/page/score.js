/* The score: sound, spectrum and frames over one axis of time, on a canvas.

   Owns the view (which seconds are shown) and the order of drawing; `lanes.js` draws what is in a lane. Says where a
   person points (onSeek, onHover); plays nothing. */

import { frameLane, ghosts, soundLane, Tiles } from "./lanes.js";

const SCALE = { wide: 150, narrow: 105 }; // pixels a second
const NARROW = 520;
const AXIS = 24;
const NAME = 26; // height of a lane's name
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Score {
  /** @param {HTMLCanvasElement} canvas; @param {HTMLCanvasElement} overview the whole of a long speech, small. */
  constructor(canvas, overview, { onSeek, onHover }) {
    Object.assign(this, { canvas, overview, onSeek, onHover });
    this.take = null;
    this.hover = null; // seconds under the pointer
    this.start = 0; // first second in view
    this.span = 0; // seconds in view
    this._tiles = new Tiles();
    this._point(canvas, (x, width) => this.start + (x / width) * this.span);
    this._point(overview, (x, width) => (x / width) * this._extent());
    canvas.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
  }

  show(take) {
    this.take = take;
    this.hover = null;
    this.start = 0;
    this.span = take.ended ? this._wanted() : this._base();
  }

  /** Scroll so that a time can be seen. */
  reveal(seconds) {
    if (seconds < this.start || seconds > this.start + this.span) this.start = seconds - 0.3 * this.span;
    this._clamp();
  }

  /**
   * @param {Colours} colours
   * @param {number} position seconds heard so far
   * @param {string} state the player's: while it is not idle, what is not heard yet is drawn faint
   * @returns {boolean} whether something still moves by itself
   */
  draw(colours, position, state) {
    const pen = fit(this.canvas);
    const width = this.canvas.clientWidth;
    const lanes = this._lanes();
    const moving = this._settle();
    if (state === "playing") this._follow(position);
    for (const { name, top, height } of lanes) {
      pen.fillStyle = colours.soft;
      pen.font = "12px Inter, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";
      pen.fillText(name, 0, top - 8);
      pen.fillStyle = colours.well;
      pen.beginPath();
      pen.roundRect(0, top, width, height, 6);
      pen.fill();
    }
    const { take } = this;
    if (take === null) {
      ghosts(pen, lanes, width, colours);
      return false;
    }
    const view = {
      take, colours, width, position,
      scale: width / this.span,
      from: this.start,
      to: this.start + this.span,
      heard: state === "idle" ? Infinity : position,
      hover: this.hover,
      x: (seconds) => ((seconds - this.start) * width) / this.span,
    };
    soundLane(pen, lanes[0], view);
    this._tiles.draw(pen, lanes[1], view);
    frameLane(pen, lanes[2], view);
    axis(pen, lanes.at(-1).top + lanes.at(-1).height, view);
    line(pen, lanes, view);
    this._drawOverview(colours, position);
    return moving;
  }

  _lanes() {
    const height = this.canvas.clientHeight - AXIS - 3 * NAME;
    const parts = [["Sound", 0.25], ["Spectrum", 0.43], ["Frames", 0.32]];
    let top = 0;
    return parts.map(([name, part]) => {
      const lane = { name, top: top + NAME, height: Math.round(height * part) };
      top = lane.top + lane.height;
      return lane;
    });
  }

  _extent() {
    const { take } = this;
    if (take === null) return 0;
    const frames = take.starts.length ? take.starts.at(-1) + take.frame.seconds : 0;
    return take.ended ? take.seconds : Math.max(take.seconds, frames);
  }

  _base() {
    const width = this.canvas.clientWidth;
    return width / (width < NARROW ? SCALE.narrow : SCALE.wide);
  }

  /** A short speech fills the width once it is over; a long one is scrolled through. */
  _wanted() {
    const { take } = this;
    return take?.ended && take.seconds > 0 ? Math.min(this._base(), Math.max(take.seconds, 0.8)) : this._base();
  }

  _settle() {
    const wanted = this._wanted();
    const left = wanted - this.span;
    const moving = !still.matches && this.span > 0 && Math.abs(left) > 0.002 * wanted;
    this.span = moving ? this.span + 0.16 * left : wanted;
    this._clamp();
    return moving;
  }

  _clamp() {
    this.start = Math.max(0, Math.min(this.start, this._extent() - this.span));
  }

  _follow(position) {
    const place = (position - this.start) / this.span;
    // A page that should not move is turned, not scrolled.
    if (still.matches && (place > 0.95 || place < 0)) this.start = position - 0.05 * this.span;
    if (!still.matches) this.start = position - 0.6 * this.span;
    this._clamp();
  }

  _drawOverview(colours, position) {
    const whole = this._extent();
    const long = whole > 1.02 * this.span;
    if (this.overview.hidden === long) this.overview.hidden = !long;
    if (!long) return;
    const pen = fit(this.overview);
    const { clientWidth: width, clientHeight: height } = this.overview;
    const x = (seconds) => (seconds * width) / whole;
    pen.fillStyle = colours.well;
    pen.fillRect(0, 0, width, height);
    const { take } = this;
    soundLane(pen, { top: 0, height }, { take, colours, width, scale: width / whole, from: 0, to: whole, heard: Infinity, x });
    pen.fillStyle = colours.accent;
    pen.globalAlpha = 0.16;
    pen.fillRect(x(this.start), 0, x(this.span), height);
    pen.globalAlpha = 1;
    pen.fillRect(x(position) - 0.75, 0, 1.5, height);
  }

  _point(canvas, timeAt) {
    const seconds = (event) => {
      const box = canvas.getBoundingClientRect();
      const time = timeAt(event.clientX - box.left, box.width);
      return Math.max(0, Math.min(time, this.take?.seconds ?? 0));
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || this.take === null) return;
      canvas.setPointerCapture(event.pointerId);
      this.onSeek(seconds(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.take === null) return;
      if (event.buttons & 1 && canvas.hasPointerCapture(event.pointerId)) this.onSeek(seconds(event));
      this.hover = canvas === this.canvas && event.pointerType === "mouse" ? seconds(event) : null;
      this.onHover();
    });
    canvas.addEventListener("pointerleave", () => {
      this.hover = null;
      this.onHover();
    });
  }

  _wheel(event) {
    const distance = event.shiftKey ? event.deltaY : event.deltaX;
    if (this.take === null || distance === 0 || this._extent() <= this.span) return;
    event.preventDefault();
    this.start += (distance / this.canvas.clientWidth) * this.span;
    this._clamp();
    this.onHover();
  }
}

/** A cleared pen in CSS pixels on a canvas as fine as the screen. */
export function fit(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  return pen;
}

function axis(pen, top, { colours, from, to, scale, x, width }) {
  const step = [0.1, 0.2, 0.5, 1, 2, 5].find((seconds) => seconds * scale >= 64) ?? 10;
  pen.strokeStyle = colours.line;
  pen.fillStyle = colours.soft;
  pen.font = "12px Inter, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";
  pen.lineWidth = 1;
  for (let tick = Math.ceil(from / step - 1e-6); tick * step <= to; tick++) {
    const place = Math.round(x(tick * step)) + 0.5;
    pen.beginPath();
    pen.moveTo(place, top + 3);
    pen.lineTo(place, top + 8);
    pen.stroke();
    const text = `${(tick * step).toFixed(step < 1 ? 1 : 0)} s`;
    const half = pen.measureText(text).width / 2;
    if (place + half <= width) pen.fillText(text, Math.max(0, place - half), top + 20);
  }
}

/** Where one is: through all lanes; and where the pointer is, fainter. */
function line(pen, lanes, { colours, position, hover, width, x }) {
  const top = lanes[0].top - 3;
  const bottom = lanes.at(-1).top + lanes.at(-1).height + 3;
  if (hover !== null) {
    pen.fillStyle = colours.soft;
    pen.globalAlpha = 0.6;
    pen.fillRect(x(hover) - 0.5, top, 1, bottom - top);
    pen.globalAlpha = 1;
  }
  pen.fillStyle = colours.ink;
  pen.fillRect(Math.max(0, Math.min(x(position) - 0.75, width - 1.5)), top, 1.5, bottom - top);
  pen.beginPath();
  pen.arc(Math.max(3.5, Math.min(x(position), width - 3.5)), top, 3.5, 0, 2 * Math.PI);
  pen.fill();
}
