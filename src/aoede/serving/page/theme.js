/* Light, dark, or as the system has it; remembered in this browser. Knows nothing of what is coloured. */

import { forBrowser } from "./remembered.js";

const KEY = "aoede-theme";
const NAMES = { auto: "Auto", light: "Light", dark: "Dark" };
const WORDS = { auto: "as the system has them", light: "light", dark: "dark" };

/** @param {() => void} onChange called when the colours have changed, by the person or by the system. */
export function startTheme(onChange) {
  const button = document.getElementById("theme");
  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    document.getElementById("theme-name").textContent = NAMES[theme];
    button.setAttribute("aria-label", `Colours: ${WORDS[theme]}`);
    onChange();
  };
  let theme = forBrowser.get(KEY);
  if (!(theme in NAMES)) theme = "auto";
  button.addEventListener("click", () => {
    const all = Object.keys(NAMES);
    theme = all[(all.indexOf(theme) + 1) % all.length];
    forBrowser.set(KEY, theme);
    apply(theme);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
  apply(theme);
}
