// Hot-keys, as people know them from other programs, and the list of them.

import { byId, make } from "./dom.js";
import { takeTool, toggleMask, undoMask } from "./masktools.js";
import { holdSpace, resizeBrush } from "./pointer.js";
import { neighbour } from "./pictures.js";
import { copyShown, saveShown } from "./results.js";
import { cancel, runCurrent } from "./runs.js";
import { changed, state, whenever } from "./state.js";
import { afterLayer, redraw, view, zoomToPixels } from "./stage.js";
import { togglePanel } from "./panel.js";
import { say } from "./words.js";

const TAP = 180; // milliseconds: Tab held for longer shows the original, a tap goes on to the next control

/** Show the original alone, or no more. @param {boolean} on */
export function peek(on) {
  if (state.peeking === on || (on && !afterLayer())) return;
  state.peeking = on;
  byId("peek").setAttribute("aria-pressed", String(on));
  redraw();
}

/** @param {EventTarget | null} target @returns {boolean} whether keys are text there */
function typing(target) {
  return target instanceof HTMLElement && (target.isContentEditable || target.matches("input:not([type=range], [type=checkbox], [type=file]), select, textarea"));
}

/** Whether the keyboard is on the stage, or nowhere. @returns {boolean} */
function onStage() {
  return document.activeElement === document.body || document.activeElement === byId("canvas") || document.activeElement === null;
}

/** @type {Record<string, () => void>} */
const PLAIN = {
  "[": () => resizeBrush(1 / 1.15),
  "]": () => resizeBrush(1.15),
  0: () => {
    view.fit();
    changed("view");
  },
  1: () => zoomToPixels(),
  "+": () => zoom(1.25),
  "=": () => zoom(1.25),
  "-": () => zoom(0.8),
  b: () => takeTool("brush"),
  e: () => takeTool("eraser"),
  h: () => takeTool("hand"),
  m: toggleMask,
  f: () => byId("file").click(),
  s: () => togglePanel(),
  "?": () => showHelp(),
  PageDown: () => neighbour(1),
  PageUp: () => neighbour(-1),
};

/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };

/** Zoom about the middle. @param {number} factor */
export function zoom(factor) {
  view.zoomBy(factor);
  changed("view");
}

/** @param {KeyboardEvent} event @returns {boolean} whether it was taken */
function withControl(event) {
  const key = event.key.toLowerCase();
  if (key === "z") undoMask(!event.shiftKey);
  else if (key === "y") undoMask(false);
  else if (key === "s" && state.current?.shown) saveShown();
  else if (key === "c" && state.current?.shown && !getSelection()?.toString()) copyShown();
  else return false;
  return true;
}

/** Runs while Tab may still be a tap. @type {ReturnType<typeof setTimeout> | null} */
let tapping = null;
let tabHeld = false;

/** @param {KeyboardEvent} event */
function down(event) {
  if (byId("help-dialog").hasAttribute("open")) return;
  if (event.key === "Tab" && !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey && onStage() && afterLayer()) {
    event.preventDefault();
    if (tabHeld) return; // the key repeats
    tabHeld = true;
    tapping = setTimeout(() => {
      tapping = null;
      peek(true);
    }, TAP);
    return;
  }
  if (typing(event.target)) return;
  if (event.ctrlKey || event.metaKey) {
    if (!event.altKey && withControl(event)) event.preventDefault();
    return;
  }
  if (event.altKey) return;
  if (event.key === " ") {
    // on a button, Space presses it
    if (!onStage()) return;
    event.preventDefault();
    holdSpace(true);
  } else if (event.key === "Escape") {
    if (state.current?.run && state.current.run.state !== "ended") cancel(state.current);
  } else if (event.shiftKey && event.key.toLowerCase() === "r") {
    event.preventDefault();
    runCurrent();
  } else if (event.key in ARROWS && onStage()) {
    event.preventDefault();
    view.pan(...ARROWS[event.key]);
    view.fitted = false;
    changed("view");
  } else {
    const act = PLAIN[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }
}

/** @param {KeyboardEvent} event */
function up(event) {
  if (event.key === " ") holdSpace(false);
  if (event.key !== "Tab" || !tabHeld) return;
  const tapped = tapping !== null;
  letGoOfTab();
  if (tapped) focusAfterStage();
}

function letGoOfTab() {
  if (tapping !== null) clearTimeout(tapping);
  tapping = null;
  tabHeld = false;
  peek(false);
}

/** Where Tab would have gone from the stage, had it not been held back. */
function focusAfterStage() {
  const all = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(
    "a[href], button:not(:disabled), input:not(:disabled), select, summary, [tabindex='0']"))]
    .filter(element => element.tabIndex >= 0 && element.offsetParent !== null && element.getClientRects().length > 0);
  const at = document.activeElement === byId("canvas") ? all.indexOf(byId("canvas")) : -1;
  all[(at + 1) % all.length]?.focus();
}

const KEYS = [
  ["F", "keys.open"], ["Ctrl V", "keys.paste"], ["Shift R", "keys.run"], ["Esc", "keys.cancel"],
  ["Tab", "keys.peek"], ["Ctrl S", "keys.save"], ["Ctrl C", "keys.copy"],
  ["Space", "keys.pan"], ["0", "keys.fit"], ["1", "keys.pixels"], ["+ −", "keys.zoom"],
  ["B", "keys.brush"], ["E", "keys.eraser"], ["H", "keys.hand"], ["[ ]", "keys.size"], ["Shift", "keys.line"],
  ["M", "keys.mask"], ["Ctrl Z", "keys.undo"], ["Ctrl Shift Z", "keys.redo"],
  ["PgUp PgDn", "keys.pictures"], ["S", "keys.panel"], ["?", "keys.help"],
];

export function showHelp() {
  const dialog = /** @type {HTMLDialogElement} */ (byId("help-dialog"));
  if (!dialog.open) dialog.showModal();
}

/** Begin to listen. */
export function openKeys() {
  document.addEventListener("keydown", down);
  document.addEventListener("keyup", up);
  window.addEventListener("blur", () => {
    holdSpace(false);
    letGoOfTab();
  });
  const button = byId("peek");
  for (const [name, on] of /** @type {const} */ ([
    ["pointerdown", true], ["pointerup", false], ["pointerleave", false], ["pointercancel", false], ["blur", false],
  ])) button.addEventListener(name, () => peek(on));
  button.addEventListener("keydown", event => {
    if (event.key === " " || event.key === "Enter") peek(true);
  });
  button.addEventListener("keyup", () => peek(false));
  button.addEventListener("contextmenu", event => event.preventDefault()); // a long touch holds, too
  byId("help").addEventListener("click", showHelp);
  byId("help-close").addEventListener("click", () => /** @type {HTMLDialogElement} */ (byId("help-dialog")).close());
  byId("help-dialog").addEventListener("click", event => {
    if (event.target === event.currentTarget) /** @type {HTMLDialogElement} */ (byId("help-dialog")).close();
  });
  whenever(["words"], () => {
    byId("keys").replaceChildren(...KEYS.map(([keys, words]) => make("div", {},
      make("dt", {}, ...keys.split(" ").map(key => make("kbd", {}, key))), make("dd", {}, say(words)))));
  });
  whenever(["results", "run", "picture", "progress"], () => {
    /** @type {HTMLButtonElement} */ (button).disabled = !afterLayer();
    byId("peek").hidden = !state.current;
  });
}
