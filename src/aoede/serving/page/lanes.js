/* What is in a lane of the score: bars of sound, columns of a spectrogram, cells of codes.

   Each function draws one lane {top, height} of a view {take, colours, width, scale, from, to, heard, x}; `heard` is the
   time up to which colours are full. Keeps nothing but the spectrogram's tiles. */

import { PEAK, RATE } from "./take.js";
import { BANDS, COLUMNS } from "./spectrum.js";

const FAINT = 0.38;
const BAR = 4; // pixels from bar to bar
const TILE = 512; // columns

/** Bars as high as the loudest sample they stand for. */
export function soundLane(pen, { top, height }, { take, colours, scale, from, to, heard, x }) {
  const middle = top + height / 2;
  const step = BAR / scale;
  const faint = new Path2D();
  const full = new Path2D();
  const last = Math.min(to, take.seconds);
  for (let bar = Math.floor(from / step); bar * step < last; bar++) {
    const first = Math.max(0, Math.floor((bar * step * RATE) / PEAK));
    const stop = Math.max(first + 1, Math.min((((bar + 1) * step * RATE) / PEAK) | 0, Math.ceil(take.length / PEAK)));
    let loudest = 0;
    for (let peak = first; peak < stop; peak++) loudest = Math.max(loudest, take.peaks[peak]);
    const half = Math.max(0.4, loudest ** 0.6 * (height / 2 - 3));
    const path = bar * step < heard ? full : faint;
    path.moveTo(x(bar * step) + 2, middle - half);
    path.lineTo(x(bar * step) + 2, middle + half);
  }
  pen.strokeStyle = colours.wave;
  pen.lineWidth = 2;
  pen.lineCap = "round";
  pen.stroke(full);
  pen.globalAlpha = FAINT;
  pen.stroke(faint);
  pen.globalAlpha = 1;
}

/** The spectrogram as pictures of 512 columns, coloured once. */
export class Tiles {
  constructor() {
    this._take = this._theme = null;
    this._tiles = [];
    this._done = 0;
  }

  draw(pen, { top, height }, { take, colours, width, from, to, heard, x }) {
    this._colour(take, colours);
    pen.save();
    pen.beginPath();
    pen.roundRect(0, top, width, height, 6);
    pen.clip();
    for (let tile = Math.floor((from * COLUMNS) / TILE); tile < this._tiles.length; tile++) {
      if ((tile * TILE) / COLUMNS > to) break;
      const columns = Math.min(TILE, this._done - tile * TILE);
      const left = Math.round(x((tile * TILE - 0.5) / COLUMNS));
      const right = Math.round(x((tile * TILE + columns - 0.5) / COLUMNS));
      pen.drawImage(this._tiles[tile], 0, 0, columns, BANDS, left, top, right - left, height);
    }
    if (heard < to) {
      pen.fillStyle = colours.well;
      pen.globalAlpha = 1 - FAINT;
      pen.fillRect(x(heard), top, width, height);
    }
    pen.restore();
  }

  _colour(take, colours) {
    if (this._take !== take || this._theme !== colours.theme) {
      this._tiles = [];
      this._done = 0;
      [this._take, this._theme] = [take, colours.theme];
    }
    const { count, columns } = take.spectrum;
    while (this._done < count) {
      const inside = this._done % TILE;
      if (inside === 0) this._tiles.push(Object.assign(document.createElement("canvas"), { width: TILE, height: BANDS }));
      const number = Math.min(TILE - inside, count - this._done);
      const image = new ImageData(number, BANDS);
      for (let column = 0; column < number; column++)
        for (let band = 0; band < BANDS; band++) {
          const value = columns[(this._done + column) * BANDS + band];
          const at = 4 * ((BANDS - 1 - band) * number + column);
          for (let c = 0; c < 3; c++) image.data[at + c] = colours.ramp[3 * value + c];
          image.data[at + 3] = 255;
        }
      this._tiles.at(-1).getContext("2d").putImageData(image, inside, 0);
      this._done += number;
    }
  }
}

/** A row a level, a cell a code; the frame that sounds, and the one pointed at, in a box. */
export function frameLane(pen, lane, { take, colours, width, scale, from, to, heard, position, hover, x }) {
  pen.save();
  pen.beginPath();
  pen.roundRect(0, lane.top, width, lane.height, 6);
  pen.clip();
  const { seconds } = take.frame;
  const first = Math.max(0, take.frameAt(from));
  for (let frame = first; frame < take.codes.length && take.starts[frame] < to; frame++) {
    pen.globalAlpha = take.starts[frame] <= heard ? 1 : FAINT;
    cells(pen, lane, x(take.starts[frame]), seconds * scale, take.codes[frame], take.frame, colours);
  }
  pen.globalAlpha = 1;
  for (const time of [position, hover]) {
    const frame = time === null ? -1 : take.frameAt(time);
    if (frame < 0 || time > take.starts[frame] + seconds) continue;
    pen.strokeStyle = time === hover ? colours.soft : colours.ink;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.roundRect(x(take.starts[frame]), lane.top + 1, seconds * scale, lane.height - 2, 4);
    pen.stroke();
  }
  pen.restore();
}

/** What the picture will hold, before anything was said. */
export function ghosts(pen, lanes, width, colours) {
  const frame = { seconds: 0.128, levels: [0, 1, 2, 2, 1, 2, 2], codebook_sizes: [16, 16, 16] };
  pen.globalAlpha = 0.16;
  for (let number = 0; number * 22 < width; number++) {
    const codes = frame.levels.map((level, slot) => (number * 7 + slot * 5 + ((number * slot) % 11)) % 16);
    cells(pen, lanes[2], number * 22, 22, codes, frame, colours);
  }
  pen.globalAlpha = 0.4;
  pen.fillStyle = colours.wave;
  for (let x = 2; x < width; x += BAR) {
    const half = 1 + 14 * Math.abs(Math.sin(x / 37) * Math.sin(x / 113)) ** 1.5;
    pen.fillRect(x - 1, lanes[0].top + lanes[0].height / 2 - half, 2, 2 * half);
  }
  pen.globalAlpha = 1;
  pen.fillStyle = colours.soft;
  pen.font = "15px Inter, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";
  pen.textAlign = "center";
  pen.fillText("Here the sound is drawn while it is written.", width / 2, lanes[1].top + lanes[1].height / 2 + 5);
  pen.textAlign = "start";
}

function cells(pen, { top, height }, left, width, codes, frame, colours) {
  const numLevels = frame.codebook_sizes.length;
  const row = (height - 8) / numLevels;
  const seen = new Array(numLevels).fill(0);
  const counts = frame.levels.reduce((sums, level) => ((sums[level] = (sums[level] ?? 0) + 1), sums), []);
  codes.forEach((code, slot) => {
    const level = frame.levels[slot];
    const cell = width / counts[level];
    const gap = cell > 7 ? 1.5 : cell > 3 ? 1 : 0;
    pen.fillStyle = colours.code(level, numLevels, code / frame.codebook_sizes[level]);
    pen.beginPath();
    const x = left + seen[level]++ * cell;
    pen.roundRect(x + gap / 2, top + 4 + level * row + 1, cell - gap, Math.max(1, row - 2), gap ? Math.min(3, cell / 3) : 0);
    pen.fill();
  });
}
