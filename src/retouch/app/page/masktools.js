// The mask of a picture: the tools above the stage, and masks as files.

import { byId } from "./dom.js";
import { onChosen, save, stem } from "./files.js";
import { Mask } from "./mask.js";
import { readMask, writeMask } from "./maskfile.js";
import { announce, complain, tell } from "./notices.js";
import { changed, state, wantsMask, whenever } from "./state.js";
import { say } from "./words.js";

/** @typedef {import("./types.js").Picture} Picture */

/** The mask of the current picture; a new one where there was none. @returns {Mask} */
export function ensureMask() {
  const picture = state.current;
  if (!picture) throw new Error("no picture");
  picture.mask ??= new Mask(picture.width, picture.height);
  return picture.mask;
}

/** The end of a stroke. */
export function finishStroke() {
  state.current?.mask?.commit();
  remember();
}

/** The newest mask can be taken over by other pictures. */
function remember() {
  if (state.current?.mask && !state.current.mask.empty) state.lastMask = state.current.mask;
  changed("mask");
}

/** @param {boolean} back whether to undo, else to redo */
export function undoMask(back) {
  const mask = state.current?.mask;
  if (!wantsMask() || !mask || mask.edit) return;
  if (back ? mask.undo() : mask.redo()) {
    announce(say(back ? "mask.undone" : "mask.redone"));
    changed("mask");
  }
}

/** @param {"hand" | "brush" | "eraser"} tool */
export function takeTool(tool) {
  if (!wantsMask()) return;
  state.tool = tool;
  if (tool !== "hand") state.maskVisible = true;
  changed("tool");
  announce(say(`mask.${tool}`));
}

export function toggleMask() {
  if (!wantsMask()) return;
  state.maskVisible = !state.maskVisible;
  changed("tool", "mask");
}

/** @param {File} file */
async function openMask(file) {
  const picture = state.current;
  if (!picture) return;
  const read = await readMask(file).catch(() => null);
  if (!read) return complain(say("trouble.mask", { name: file.name }));
  const { width, height } = read;
  if (width !== picture.width || height !== picture.height) {
    return complain(say("trouble.mask.size", { width, height, w: picture.width, h: picture.height }));
  }
  picture.mask ??= new Mask(width, height);
  picture.mask.replace(read.bytes);
  state.maskVisible = true;
  remember();
  changed("tool");
  if (picture.mask.empty) tell(say("mask.opened.empty"));
}

async function saveMask() {
  const picture = state.current;
  if (picture?.mask) save(await writeMask(picture.mask), `${stem(picture.name)}-mask.png`);
}

/** Take over the mask that was used last, on another picture of the same size. */
function reuseMask() {
  const { current, lastMask } = state;
  if (!current || !reusable(current)) return;
  ensureMask().replace(/** @type {Mask} */ (lastMask).bytes);
  state.maskVisible = true;
  changed("mask", "tool");
  announce(say("mask.reused"));
}

/** Whether the last mask would fit a picture and is not its own. @param {Picture} picture @returns {boolean} */
export function reusable(picture) {
  const last = state.lastMask;
  return last !== null && last !== picture.mask && last.width === picture.width && last.height === picture.height;
}

const SLIDER = 100;  // steps of the slider, which goes from 1 pixel to half the picture by equal ratios
const most = () => Math.max(8, Math.max(state.current?.width ?? 0, state.current?.height ?? 0) / 2);

/** Begin to listen. */
export function openMaskTools() {
  /** @type {Record<string, () => void>} */
  const buttons = {
    "tool-hand": () => takeTool("hand"),
    "tool-brush": () => takeTool("brush"),
    "tool-eraser": () => takeTool("eraser"),
    "mask-undo": () => undoMask(true),
    "mask-redo": () => undoMask(false),
    "mask-show": toggleMask,
    "mask-save": saveMask,
    "mask-open": () => byId("mask-file").click(),
    "mask-reuse": reuseMask,
    "mask-invert": () => {
      ensureMask().invert();
      remember();
    },
    "mask-clear": () => {
      state.current?.mask?.clear();
      changed("mask");
    },
  };
  for (const [id, act] of Object.entries(buttons)) byId(id).addEventListener("click", act);
  onChosen(/** @type {HTMLInputElement} */ (byId("mask-file")), ([file]) => openMask(file));

  const slider = /** @type {HTMLInputElement} */ (byId("brush-size"));
  slider.max = String(SLIDER);
  slider.addEventListener("input", () => {
    state.brush = Math.max(1, Math.round(most() ** (Number(slider.value) / SLIDER)));
    changed("tool");
  });
  let sizedFor = 0;
  whenever(["picture"], () => {
    const side = Math.max(state.current?.width ?? 0, state.current?.height ?? 0);
    if (side && (state.brush > most() || !sizedFor || side > 4 * sizedFor || sizedFor > 4 * side)) {
      // a brush that is neither a speck nor a patch on this picture
      state.brush = Math.max(4, Math.round(side / 28));
      sizedFor = side;
      changed("tool");
    }
  });
  whenever(["task"], () => {
    if (!wantsMask()) state.tool = "hand";
    else if (state.task?.mask === "required" && !state.current?.shown) state.tool = "brush";
    changed("tool");
  });
  whenever(["tool", "mask", "picture", "task", "words"], () => show(slider));
}

/** @param {HTMLInputElement} slider */
function show(slider) {
  const mask = state.current?.mask ?? null;
  byId("mask-tools").hidden = !wantsMask() || !state.current;
  for (const tool of ["hand", "brush", "eraser"]) byId(`tool-${tool}`).setAttribute("aria-pressed", String(state.tool === tool));
  byId("mask-show").setAttribute("aria-pressed", String(state.maskVisible));
  /** @param {string} id @param {boolean} can */
  const enable = (id, can) => {
    /** @type {HTMLButtonElement} */ (byId(id)).disabled = !can;
  };
  enable("mask-undo", mask?.canUndo ?? false);
  enable("mask-redo", mask?.canRedo ?? false);
  enable("mask-clear", mask !== null && !mask.empty);
  enable("mask-save", mask !== null && !mask.empty);
  enable("mask-show", mask !== null && !mask.empty);
  enable("mask-reuse", state.current !== null && reusable(state.current));
  slider.value = String((SLIDER * Math.log(state.brush)) / Math.log(most()));
  slider.setAttribute("aria-valuetext", say("mask.size.now", { n: state.brush }));
  byId("brush-value").textContent = `${state.brush} px`;
}
