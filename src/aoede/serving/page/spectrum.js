/* A mel spectrogram that grows with the sound: one column of bytes every 10 ms.

   Owns windows, the Fourier transform and the mel bands. Knows nothing of colours: 0 is the floor, 255 is loud. */

const SIZE = 1024;
const FLOOR = -72; // dB under a full-scale sine that count as silence
const CEILING = -12;
const LOWEST = 60; // Hz

/** Bands of a column. */
export const BANDS = 80;

/** Columns a second. */
export const COLUMNS = 100;

const mel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
const hertz = (value) => 700 * (10 ** (value / 2595) - 1);

export class Spectrum {
  constructor(rate) {
    this.count = 0; // columns so far
    this.columns = new Uint8Array(256 * BANDS);
    this._hop = rate / COLUMNS;
    this._bands = bands(rate);
    this._window = Float32Array.from({ length: SIZE }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 0.5)) / SIZE));
    this._real = new Float32Array(SIZE);
    this._imaginary = new Float32Array(SIZE);
  }

  /**
   * Adds the columns whose whole window has arrived.
   *
   * @param {Float32Array} samples all of them, from the start.
   * @param {boolean} last no more will come: windows may reach past the end, into silence.
   */
  push(samples, last = false) {
    for (;;) {
      const centre = this.count * this._hop;
      if (centre + (last ? 0 : SIZE / 2) > samples.length) return;
      if ((this.count + 1) * BANDS > this.columns.length) {
        const larger = new Uint8Array(2 * this.columns.length);
        larger.set(this.columns);
        this.columns = larger;
      }
      this._column(samples, centre - SIZE / 2);
      this.count += 1;
    }
  }

  _column(samples, from) {
    for (let i = 0; i < SIZE; i++) this._real[i] = (samples[from + i] ?? 0) * this._window[i];
    this._imaginary.fill(0);
    transform(this._real, this._imaginary);
    for (let band = 0; band < BANDS; band++) {
      let power = 0;
      const [first, weights] = this._bands[band];
      for (let i = 0; i < weights.length; i++) {
        const bin = first + i;
        power += weights[i] * (this._real[bin] ** 2 + this._imaginary[bin] ** 2);
      }
      const level = 10 * Math.log10((power * 16) / SIZE ** 2 + 1e-12);
      const scaled = (255 * (level - FLOOR)) / (CEILING - FLOOR);
      this.columns[this.count * BANDS + band] = Math.max(0, Math.min(255, scaled));
    }
  }
}

/** Triangles on the mel scale: the first bin and the weights of each band. */
function bands(rate) {
  const edges = [];
  const step = (mel(rate / 2) - mel(LOWEST)) / (BANDS + 1);
  for (let i = 0; i < BANDS + 2; i++) edges.push((hertz(mel(LOWEST) + i * step) * SIZE) / rate);
  return Array.from({ length: BANDS }, (_, band) => {
    const [low, middle, high] = edges.slice(band, band + 3);
    const first = Math.min(Math.ceil(low), Math.round(middle));
    const weights = [];
    for (let bin = first; bin <= Math.max(Math.floor(high), first) && bin <= SIZE / 2; bin++) {
      const weight = bin < middle ? (bin - low) / (middle - low) : (high - bin) / (high - middle);
      weights.push(Math.max(0, weight));
    }
    // Narrow bands may fall between two bins: they take the nearest one.
    if (!weights.some((weight) => weight > 0)) return [Math.round(middle), [1]];
    return [first, weights];
  });
}

/** In-place Fourier transform of a power of two, decimation in time. */
function transform(real, imaginary) {
  const size = real.length;
  for (let i = 1, j = 0; i < size; i++) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let half = 1; half < size; half *= 2) {
    for (let k = 0; k < half; k++) {
      const cosine = Math.cos((Math.PI * k) / half);
      const sine = -Math.sin((Math.PI * k) / half);
      for (let i = k; i < size; i += 2 * half) {
        const re = real[i + half] * cosine - imaginary[i + half] * sine;
        const im = real[i + half] * sine + imaginary[i + half] * cosine;
        real[i + half] = real[i] - re;
        imaginary[i + half] = imaginary[i] - im;
        real[i] += re;
        imaginary[i] += im;
      }
    }
  }
}
