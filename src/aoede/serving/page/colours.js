/* Colours of the picture, for a light and a dark page: the spectrogram's ramp, a hue a level of codes.

   Knows nothing of what is drawn with them. The page's own colours are in style.css and are read from there. */

const STEPS = 48;
const HUES = [33, 172, 255]; // C, M, F: amber, teal, violet
const RAMPS = {
  light: ["#faf8f3", "#dfe3ea", "#a3b4cf", "#5b6aa6", "#3a2f72", "#1c1333"],
  dark: ["#12161b", "#1e2942", "#41407f", "#94598f", "#e39a78", "#fdebc8"],
};

export class Colours {
  /** Reads the theme that holds now; make a new one when it changes. */
  constructor() {
    const style = getComputedStyle(document.documentElement);
    const own = (name) => style.getPropertyValue(name).trim();
    const chosen = document.documentElement.dataset.theme;
    const isDark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    this.theme = isDark ? "dark" : "light";
    this.ink = own("--ink");
    this.soft = own("--soft");
    this.line = own("--line");
    this.well = own("--well");
    this.card = own("--card");
    this.wave = own("--wave");
    this.accent = own("--accent");
    this.ramp = ramp(RAMPS[this.theme].map(parse));
    this._levels = new Map();
  }

  /** A code's colour: the level gives the hue, the code's place in its codebook how strong it is. */
  code(level, numLevels, part) {
    const key = `${level}/${numLevels}`;
    if (!this._levels.has(key)) this._levels.set(key, this._steps(level, numLevels));
    return this._levels.get(key)[Math.min(STEPS - 1, Math.floor(part * STEPS))];
  }

  _steps(level, numLevels) {
    const hue = numLevels <= HUES.length ? HUES[level] : 33 + (250 * level) / (numLevels - 1);
    return Array.from({ length: STEPS }, (_, step) => {
      const part = step / (STEPS - 1);
      return this.theme === "dark"
        ? `hsl(${hue} ${34 + 26 * part}% ${25 + 47 * part}%)`
        : `hsl(${hue} ${42 + 16 * part}% ${84 - 48 * part}%)`;
    });
  }
}

const parse = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** 256 colours as bytes red, green, blue, between the given ones. */
function ramp(stops) {
  const bytes = new Uint8Array(256 * 3);
  for (let i = 0; i < 256; i++) {
    const place = (i / 255) * (stops.length - 1);
    const stop = Math.min(stops.length - 2, Math.floor(place));
    for (let c = 0; c < 3; c++) {
      const [from, to] = [stops[stop][c], stops[stop + 1][c]];
      bytes[3 * i + c] = Math.round(from + (to - from) * (place - stop));
    }
  }
  return bytes;
}
