// The panel with the controls: beside the picture, or on a narrow screen a sheet that is pulled up; and light or dark.

import { byId, icon } from "./dom.js";
import { say, sayAll, switchLanguage } from "./words.js";
import { changed, state, whenever } from "./state.js";
import { taskTitle } from "./cards.js";

const THEMES = ["auto", "light", "dark"];
const KEPT_AS = "retouch-theme";
const NARROW = window.matchMedia("(max-width: 820px)");

/** Show or hide the panel. @param {boolean} [open] by default the other of the two */
export function togglePanel(open = !isOpen()) {
  document.body.classList.toggle(NARROW.matches ? "sheet-open" : "panel-closed", NARROW.matches ? open : !open);
  tellOpen();
}

/** @returns {boolean} */
function isOpen() {
  return NARROW.matches ? document.body.classList.contains("sheet-open") : !document.body.classList.contains("panel-closed");
}

function tellOpen() {
  for (const id of ["panel-toggle", "sheet-toggle"]) byId(id).setAttribute("aria-expanded", String(isOpen()));
  byId("panel-body").inert = !isOpen();
}

/** @param {string} theme */
function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const button = byId("theme"), words = say(`theme.${theme}`);
  button.replaceChildren(icon(`theme-${theme}`));
  button.setAttribute("aria-label", words);
  button.title = words;
}

/** Begin to listen. */
export function openPanel() {
  let theme = localStorage.getItem(KEPT_AS) ?? "auto";
  if (!THEMES.includes(theme)) theme = "auto";
  byId("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    localStorage.setItem(KEPT_AS, theme);
    showTheme(theme);
  });
  byId("language").addEventListener("click", () => {
    switchLanguage();
    changed("words");
  });
  for (const id of ["panel-toggle", "sheet-toggle"]) byId(id).addEventListener("click", () => togglePanel());
  NARROW.addEventListener("change", tellOpen);
  tellOpen();
  whenever(["words"], () => {
    sayAll();
    showTheme(theme);
  });
  whenever(["task", "tasks", "words"], () => {
    byId("sheet-task").textContent = state.task ? taskTitle(state.task) : "";
  });
  // a run is watched, not its options
  byId("run").addEventListener("click", () => {
    if (NARROW.matches) togglePanel(false);
  });
}
