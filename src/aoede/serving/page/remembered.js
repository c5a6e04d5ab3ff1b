/* Small choices that outlive a reload: the theme, the voice, the server's token. Knows nothing of what they mean.

   A browser may forbid a page to store anything; then choices last until the page is left. */

class Remembered {
  constructor(open) {
    this._open = open;
    this._here = new Map();
  }

  /** What was set last, "" where nothing was. */
  get(key) {
    try {
      return this._open().getItem(key) ?? this._here.get(key) ?? "";
    } catch {
      return this._here.get(key) ?? "";
    }
  }

  set(key, value) {
    this._here.set(key, value);
    try {
      this._open().setItem(key, value);
    } catch {
      // Forbidden or full: kept above.
    }
  }
}

/** For this browser. */
export const forBrowser = new Remembered(() => localStorage);

/** Until the tab is closed. */
export const forTab = new Remembered(() => sessionStorage);
