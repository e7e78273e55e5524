// The canvas: the picture, what came out of it behind the divider, and the mask over both, in one zoom space.

import { byId } from "./dom.js";
import { changed, state, wantsMask, whenever } from "./state.js";
import { View } from "./view.js";
import { say, sayOr } from "./words.js";

/** @typedef {import("./types.js").Layer} Layer */
/** @typedef {import("./view.js").Box} Box */

const stage = byId("stage");
const canvas = /** @type {HTMLCanvasElement} */ (byId("canvas"));
const divider = byId("divider");
const labels = [byId("label-before"), byId("label-after")];
const context = canvas.getContext("2d");
if (!context) throw new Error("no canvas to be had");
const brush = context;

export const view = new View();

let split = 0.5;                     // where the divider stands, as a part of the stage's width
let wide = 1, tall = 1, density = 1; // of the stage in page pixels, and screen pixels to one of them
/** What is to be drawn anew: nothing, a box of the stage, or all of it. @type {Box | "all" | null} */
let due = null;

/** The layer on the right of the divider: the picture as it forms, or the result that was chosen. @returns {Layer | null} */
export function afterLayer() {
  return state.current?.run?.preview ?? state.current?.shown?.layer ?? null;
}

/** Whether two pictures are shown side by side. @returns {boolean} */
export function comparing() {
  return afterLayer() !== null && !state.peeking;
}

/** Whether the mask lies over the picture. @returns {boolean} */
function masked() {
  return wantsMask() && state.maskVisible && !state.peeking && Boolean(state.current?.mask && !state.current.mask.empty);
}

/** Draw again with the next frame: all, or what lies in a box of the stage. @param {Box} [box] */
export function redraw(box) {
  if (due === null) requestAnimationFrame(draw);
  if (!box || due === "all") due = "all";
  else if (due === null) due = { ...box };
  else {
    due.left = Math.min(due.left, box.left);
    due.top = Math.min(due.top, box.top);
    due.right = Math.max(due.right, box.right);
    due.bottom = Math.max(due.bottom, box.bottom);
  }
}

/** The part of the picture that is seen, on the stage. @returns {Box} */
function seen() {
  const all = view.toStage({ left: 0, top: 0, right: view.width, bottom: view.height });
  return {
    left: Math.max(0, all.left), top: Math.max(0, all.top),
    right: Math.max(0, Math.min(wide, all.right)), bottom: Math.max(0, Math.min(tall, all.bottom)),
  };
}

/** Where the divider stands on the stage. @returns {number} */
function line() {
  const { left, right } = seen();
  return Math.min(Math.max(split * wide, left), Math.max(left, right));
}

/** Put the divider at a place of the stage. @param {number} x */
export function divide(x) {
  const { left, right } = seen();
  split = Math.min(Math.max(x, left), right) / wide;
  redraw();
}

// ---------------------------------------------------------------------------------------------------- the pictures

function draw() {
  const box = due === "all" ? null : due;
  due = null;
  const picture = state.current;
  brush.setTransform(density, 0, 0, density, 0, 0);
  brush.save();
  if (box) {
    brush.beginPath();
    brush.rect(Math.floor(box.left) - 1, Math.floor(box.top) - 1, Math.ceil(box.right - box.left) + 3, Math.ceil(box.bottom - box.top) + 3);
    brush.clip();
  }
  brush.clearRect(0, 0, wide, tall);
  const before = picture?.layer ?? null;
  if (before) {
    const after = comparing() ? afterLayer() : null;
    const at = line();
    if (picture?.remote?.has_alpha) drawChecks();
    drawLayer(before, 0, after ? at : wide);
    if (after) drawLayer(after, at, wide);
    if (masked()) drawMask(box);
  }
  brush.restore();
  if (!box) placeDivider();
}

/** @param {Layer} layer @param {number} from @param {number} to the stretch of the stage in which it is drawn */
function drawLayer(layer, from, to) {
  const visible = seen();
  const left = Math.max(visible.left, from), right = Math.min(visible.right, to);
  if (left >= right || visible.top >= visible.bottom) return;
  // the small copy will do while it has a pixel for each one of the screen
  const needed = view.width * view.zoom * density;
  const source = layer.full && needed > layer.small.width * 1.05 ? layer.full : layer.small;
  const across = source.width / view.width, down = source.height / view.height;
  const shown = (view.zoom * density) / across;
  brush.imageSmoothingEnabled = shown < 2.5;
  brush.imageSmoothingQuality = source === layer.small && shown < 0.6 ? "medium" : "low";
  // a source box of whole pixels, a little larger than what is seen, and the clip cuts it
  const [px0, py0] = view.toPicture(left, visible.top), [px1, py1] = view.toPicture(right, visible.bottom);
  const sx = Math.max(0, Math.floor(px0 * across) - 1), sy = Math.max(0, Math.floor(py0 * down) - 1);
  const sw = Math.min(source.width, Math.ceil(px1 * across) + 1) - sx, sh = Math.min(source.height, Math.ceil(py1 * down) + 1) - sy;
  brush.save();
  brush.beginPath();
  brush.rect(left, visible.top, right - left, visible.bottom - visible.top);
  brush.clip();
  const place = view.toStage({ left: sx / across, top: sy / down, right: (sx + sw) / across, bottom: (sy + sh) / down });
  brush.drawImage(source, sx, sy, sw, sh, place.left, place.top, place.right - place.left, place.bottom - place.top);
  brush.restore();
}

/** @type {CanvasPattern | null} */
let checks = null;

/** A chequered ground under pictures with alpha. */
function drawChecks() {
  if (!checks) {
    const small = new OffscreenCanvas(16, 16), ink = small.getContext("2d");
    if (!ink) return;
    ink.fillStyle = "#fff";
    ink.fillRect(0, 0, 16, 16);
    ink.fillStyle = "#ccc";
    ink.fillRect(0, 0, 8, 8);
    ink.fillRect(8, 8, 8, 8);
    checks = brush.createPattern(small, "repeat");
  }
  if (!checks) return;
  const { left, top, right, bottom } = seen();
  brush.fillStyle = checks;
  brush.fillRect(left, top, right - left, bottom - top);
}

// ---------------------------------------------------------------------------------------------------- the mask

const overlay = new OffscreenCanvas(1, 1);
const overlayInk = overlay.getContext("2d", { willReadFrequently: true });
let shade = new ImageData(1, 1);
let shades = new Uint32Array(shade.data.buffer);
let columns = new Int32Array(1);
let shadedFor = ""; // the mask and the view that the overlay was made for

/** Colours of the mask by how much is marked, in stripes, so that it is told from any ground. ABGR, as bytes lie. */
const STRIPES = [0.62, 0.44].map(strength =>
  Uint32Array.from({ length: 256 }, (_, marked) => (Math.round(marked * strength) << 24) | (0x66 << 16) | (0x2d << 8) | 0xff));

/** @param {Box | null} box of the stage, null for all of it */
function drawMask(box) {
  const picture = state.current, mask = picture?.mask;
  if (!mask || !overlayInk) return;
  const key = `${picture.id} ${view.zoom} ${view.x} ${view.y} ${wide} ${tall}`;
  const all = !box || key !== shadedFor;
  if (overlay.width !== wide || overlay.height !== tall) {
    overlay.width = wide;
    overlay.height = tall;
    shade = new ImageData(wide, tall);
    shades = new Uint32Array(shade.data.buffer);
    columns = new Int32Array(wide);
  }
  const { level, factor } = mask.levelFor(view.zoom);
  const left = all ? 0 : Math.max(0, Math.floor(box.left) - 2), right = all ? wide : Math.min(wide, Math.ceil(box.right) + 2);
  const top = all ? 0 : Math.max(0, Math.floor(box.top) - 2), bottom = all ? tall : Math.min(tall, Math.ceil(box.bottom) + 2);
  const step = view.zoom * factor;
  for (let x = left; x < right; x++) {
    const column = Math.floor((x + 0.5 - view.x) / step);
    columns[x] = x + 0.5 >= view.x && column < level.width && (x + 0.5 - view.x) / view.zoom < mask.width ? column : -1;
  }
  for (let y = top; y < bottom; y++) {
    const row = Math.floor((y + 0.5 - view.y) / step);
    const inside = y + 0.5 >= view.y && row < level.height && (y + 0.5 - view.y) / view.zoom < mask.height;
    for (let x = left, at = y * wide + left; x < right; x++, at++) {
      const marked = inside && columns[x] >= 0 ? level.bytes[row * level.width + columns[x]] : 0;
      shades[at] = marked ? STRIPES[((x + y) >> 2) & 1][marked] : 0;
    }
  }
  if (right > left && bottom > top) overlayInk.putImageData(shade, 0, 0, left, top, right - left, bottom - top);
  shadedFor = key;
  brush.imageSmoothingEnabled = density > 1;
  brush.drawImage(overlay, 0, 0, wide, tall);
}

// ---------------------------------------------------------------------------------------------------- the divider

function placeDivider() {
  const shown = comparing() && state.current?.layer !== null;
  divider.hidden = !shown;
  for (const label of labels) label.hidden = !shown;
  byId("percent").textContent = state.current?.layer ? `${Math.round(percent())} %` : "–";
  if (!shown) return;
  const { left, top, right, bottom } = seen(), at = line();
  divider.style.left = `${at}px`;
  divider.style.top = `${top}px`;
  divider.style.height = `${Math.max(0, bottom - top)}px`;
  const part = Math.round((100 * (at - left)) / Math.max(1, right - left));
  divider.setAttribute("aria-valuenow", String(part));
  divider.setAttribute("aria-valuetext", say("divider.value", { n: part }));
  labels[0].style.right = `${wide - at + 12}px`;
  labels[1].style.left = `${at + 12}px`;
  for (const label of labels) label.style.top = `${top + 12}px`;
  // a label steps aside where its picture is nearly gone
  labels[0].classList.toggle("gone", at - left < 72);
  labels[1].classList.toggle("gone", right - at < 72);
}

/** Screen pixels for a pixel of the larger one of the pictures that are shown, in percent. @returns {number} */
function percent() {
  return (100 * view.zoom * density) / enlargement();
}

/** How many pixels of what is shown lie along a pixel of the picture: more than 1 after upscaling. @returns {number} */
function enlargement() {
  const after = comparing() ? afterLayer() : null;
  return after ? Math.max(1, after.width / view.width) : 1;
}

/** One pixel of the picture on one of the screen. @param {number} [x] what lies there stays @param {number} [y] */
export function zoomToPixels(x, y) {
  view.zoomBy(enlargement() / density / view.zoom, x, y);
  changed("view");
}

divider.addEventListener("keydown", event => {
  const { left, right } = seen(), one = (right - left) / 100, at = line();
  const step = one * (event.shiftKey ? 10 : 2);
  /** @type {Record<string, number>} */
  const places = {
    ArrowLeft: at - step, ArrowDown: at - step, ArrowRight: at + step, ArrowUp: at + step,
    PageDown: at - 10 * one, PageUp: at + 10 * one, Home: left, End: right,
  };
  if (!(event.key in places) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  divide(places[event.key]);
});

// ---------------------------------------------------------------------------------------------------- the room

/** Measure the stage, and leave room for what floats above it. */
function measure() {
  wide = Math.max(1, stage.clientWidth);
  tall = Math.max(1, stage.clientHeight);
  density = Math.min(3, window.devicePixelRatio || 1);
  if (canvas.width !== Math.round(wide * density) || canvas.height !== Math.round(tall * density)) {
    canvas.width = Math.round(wide * density);
    canvas.height = Math.round(tall * density);
  }
  const margin = wide < 600 ? 10 : 28;
  const tools = byId("mask-tools"), above = tools.hidden ? 0 : tools.offsetTop + tools.offsetHeight;
  view.room = { left: margin, top: above ? above + 12 : margin, right: wide - margin, bottom: tall - 60 };
  view.settle();
  redraw();
}

function describe() {
  const picture = state.current;
  if (!picture) return;
  const words = [say("stage.picture", { name: picture.name, width: picture.width, height: picture.height })];
  if (picture.shown) words.push(say("stage.result", { task: sayOr(`task.${picture.shown.task}`, picture.shown.task) }));
  canvas.setAttribute("aria-label", words.join(", "));
}

/** Begin to show things. */
export function openStage() {
  new ResizeObserver(measure).observe(stage);
  whenever(["picture"], () => {
    view.picture(state.current?.width ?? 1, state.current?.height ?? 1);
    stage.classList.toggle("empty", state.current === null);
  });
  whenever(["task", "tool", "picture"], measure);
  whenever(["view"], () => {
    view.settle();
    redraw();
  });
  whenever(["results", "run", "mask", "words"], () => redraw());
  whenever(["picture", "results", "words"], describe);
}
