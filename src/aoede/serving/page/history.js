/* What was said before: a list of takes, each to be heard again, kept as a file or asked for anew.

   Owns the list and how much of it is kept. Knows nothing of how takes are made or played. */

import { clock, download, icon, milliseconds, PICTURES } from "./stage.js";
import { soundLane } from "./lanes.js";
import { fit } from "./score.js";

const MOST_TAKES = 30;
const MOST_SECONDS = 20 * 60; // 115 MB of samples

export class History {
  /** @param {{onPlay: (take) => void, onReuse: (take) => void}} callbacks */
  constructor({ onPlay, onReuse }) {
    Object.assign(this, { onPlay, onReuse });
    this.takes = []; // the latest first
    this._list = document.getElementById("history");
  }

  add(take, colours) {
    this.takes.unshift(take);
    let seconds = 0;
    this.takes = this.takes.filter((kept, index) => {
      seconds += kept.seconds;
      return index === 0 || (index < MOST_TAKES && seconds <= MOST_SECONDS);
    });
    this._list.prepend(this._item(take));
    while (this._list.children.length > this.takes.length) this._list.lastElementChild.remove();
    this._seen();
    this.recolour(colours);
  }

  /** Which one is on the stage. */
  mark(take) {
    for (const item of this._list.children) item.toggleAttribute("aria-current", false);
    const at = this.takes.indexOf(take);
    if (at >= 0) this._list.children[at].setAttribute("aria-current", "true");
  }

  recolour(colours) {
    this.takes.forEach((take, index) => {
      const canvas = this._list.children[index].querySelector("canvas");
      if (canvas.clientWidth === 0) return; // not shown on a phone
      const width = canvas.clientWidth;
      const scale = width / Math.max(take.seconds, 0.1);
      const view = { take, colours, scale, from: 0, to: take.seconds, heard: Infinity, x: (seconds) => seconds * scale };
      soundLane(fit(canvas), { top: 0, height: canvas.clientHeight }, view);
    });
  }

  _item(take) {
    const { text, voice, seed, speed, temperature, reference } = take.asked;
    const short = text.length > 60 ? `${text.slice(0, 60)} …` : text;
    const item = document.createElement("li");
    const play = button("", "round", () => this.onPlay(take));
    icon(play, PICTURES.PLAY, `Play: ${short}`);
    const settings = [voice, clock(take.seconds), `seed ${seed}`];
    if (speed !== undefined && speed !== 1) settings.push(`${speed} ×`);
    if (temperature !== undefined) settings.push(`temperature ${temperature}`);
    if (reference) settings.push("like a recording");
    if (take.firstAudio !== null) settings.push(`first audio ${milliseconds(take.firstAudio)}`);
    if (take.end !== "done") settings.push(take.end);
    const words = document.createElement("div");
    const said = Object.assign(document.createElement("p"), { className: "said", textContent: text, title: text });
    words.append(said, Object.assign(document.createElement("p"), { className: "quiet", textContent: settings.join(" · ") }));
    const thumb = Object.assign(document.createElement("canvas"), { className: "thumb" });
    thumb.setAttribute("aria-hidden", "true");
    const doings = Object.assign(document.createElement("div"), { className: "doings" });
    doings.append(
      button("Download", "plain", () => download(take), `Download: ${short}`),
      button("Use again", "plain", () => this.onReuse(take), `Use again: ${short}`),
      button("Remove", "plain", () => this._remove(take), `Remove: ${short}`),
    );
    item.append(play, words, thumb, doings);
    return item;
  }

  _remove(take) {
    const at = this.takes.indexOf(take);
    this.takes.splice(at, 1);
    this._list.children[at].remove();
    this._seen();
    // The focus stays in the list, or goes back to where one types.
    const next = this._list.children[Math.min(at, this.takes.length - 1)]?.querySelector("button");
    (next ?? document.getElementById("text")).focus();
  }

  _seen() {
    document.getElementById("past").hidden = this.takes.length === 0;
  }
}

function button(name, kind, onClick, label = "") {
  const made = Object.assign(document.createElement("button"), { type: "button", className: kind, textContent: name });
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", onClick);
  return made;
}
