// What a pointer does on the stage: paint the mask, move the divider, pan and zoom; two fingers pan and zoom at once.

import { byId } from "./dom.js";
import { announce } from "./notices.js";
import { ensureMask, finishStroke } from "./masktools.js";
import { changed, state, wantsMask, whenever } from "./state.js";
import { comparing, divide, redraw, view, zoomToPixels } from "./stage.js";
import { say } from "./words.js";

const stage = byId("stage");
const canvas = byId("canvas");
const divider = byId("divider");
const ring = byId("ring");

/** @typedef {"paint" | "divide" | "pan" | "pinch"} Doing */
/** @typedef {{x: number, y: number}} Point on the stage */

/** @type {Map<number, Point>} */
const pointers = new Map();
/** @type {Doing | null} */
let doing = null;
/** Whether the stroke under way marks or clears. */
let marking = true;
/** Where the last stroke ended, for straight lines with Shift; in pixels of the picture. @type {[number, number] | null} */
let last = null;
let spaceHeld = false;

/** @param {{clientX: number, clientY: number}} event @returns {Point} */
function onStage(event) {
  const box = stage.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

/** Whether a press would paint. @returns {boolean} */
function painting() {
  return wantsMask() && state.tool !== "hand" && !spaceHeld && state.current?.layer != null;
}

/** @param {PointerEvent} event */
function press(event) {
  if (!state.current || (event.button !== 0 && event.button !== 1 && event.button !== 5)) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  stage.setPointerCapture(event.pointerId);
  const at = onStage(event);
  pointers.set(event.pointerId, at);
  if (pointers.size === 2) {
    // the first finger was no stroke after all
    if (doing === "paint") abandon();
    doing = "pinch";
  } else if (pointers.size === 1) {
    if (event.target instanceof Node && divider.contains(event.target)) doing = "divide";
    else if (event.button === 1 || spaceHeld) doing = "pan";
    else if (painting()) doing = "paint";
    else doing = comparing() && !view.larger ? "divide" : "pan";
  }
  if (doing === "divide") divide(at.x);
  if (doing === "paint") {
    marking = state.tool === "brush" && event.button !== 5 && (event.buttons & 32) === 0;
    const mask = ensureMask();
    mask.begin();
    const from = event.shiftKey && last ? last : view.toPicture(at.x, at.y);
    if (!state.maskVisible) {
      state.maskVisible = true;
      changed("tool");
    }
    last = from;
    strokeTo(at);
  }
  showCursor();
}

/** @param {Point} at */
function strokeTo(at) {
  const mask = state.current?.mask;
  if (!mask?.edit) return;
  const to = view.toPicture(at.x, at.y), from = last ?? to;
  const box = mask.stroke(from[0], from[1], to[0], to[1], state.brush / 2, marking);
  last = to;
  if (box.left < box.right && box.top < box.bottom) redraw(view.toStage(box));
}

/** Take the stroke back that is under way. */
function abandon() {
  state.current?.mask?.abort();
  last = null;
  doing = null;
  redraw();
}

/** @param {PointerEvent} event */
function move(event) {
  const at = onStage(event);
  if (event.pointerType !== "touch") placeRing(at);
  const before = pointers.get(event.pointerId);
  if (!before) return;
  pointers.set(event.pointerId, at);
  if (doing === "paint") {
    const all = event.getCoalescedEvents?.() ?? [];
    for (const each of all.length ? all : [event]) strokeTo(onStage(each));
  } else if (doing === "divide") {
    divide(at.x);
  } else if (doing === "pan") {
    view.pan(at.x - before.x, at.y - before.y);
    view.fitted = false;
    changed("view");
  } else if (doing === "pinch") {
    // the middle of the fingers moves the picture, their distance zooms
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (!other) return;
    const span = Math.hypot(at.x - other.x, at.y - other.y) || 1, spanBefore = Math.hypot(before.x - other.x, before.y - other.y) || 1;
    view.pan((at.x - before.x) / 2, (at.y - before.y) / 2);
    view.zoomBy(span / spanBefore, (at.x + other.x) / 2, (at.y + other.y) / 2);
    changed("view");
  }
}

/** @param {PointerEvent} event */
function lift(event) {
  if (!pointers.delete(event.pointerId)) return;
  if (doing === "paint") {
    if (event.type === "pointercancel") abandon();
    else finishStroke();
  }
  if (!pointers.size) doing = null;
  showCursor();
}

/** @param {WheelEvent} event */
function turn(event) {
  if (!state.current) return;
  event.preventDefault();
  const at = onStage(event);
  const lines = event.deltaMode === 1 ? 33 : 1;
  const by = Math.min(Math.max(event.deltaY * lines, -240), 240);
  view.zoomBy(Math.exp(-by / (event.ctrlKey ? 100 : 400)), at.x, at.y);
  placeRing(at);
  changed("view");
}

/** The circle that the brush would paint. @param {Point} at */
function placeRing(at) {
  const size = Math.max(3, state.brush * view.zoom);
  ring.style.width = ring.style.height = `${size}px`;
  ring.style.transform = `translate(${at.x - size / 2}px, ${at.y - size / 2}px)`;
}

function showCursor() {
  const paint = painting();
  stage.classList.toggle("painting", paint);
  stage.classList.toggle("erasing", paint && state.tool === "eraser");
  stage.classList.toggle("panning", doing === "pan");
  stage.classList.toggle("pannable", !paint && (spaceHeld || view.larger));
  stage.classList.toggle("dividing", !paint && !spaceHeld && !view.larger && comparing());
}

/** Make the brush larger or smaller. @param {number} factor */
export function resizeBrush(factor) {
  const most = Math.max(8, Math.max(view.width, view.height) / 2);
  const next = Math.min(Math.max(1, state.brush * factor), most);
  // small brushes grow by whole pixels, or they would not grow at all
  state.brush = Math.round(next) === Math.round(state.brush) ? Math.max(1, Math.round(state.brush) + (factor > 1 ? 1 : -1)) : Math.round(next);
  changed("tool");
  announce(say("mask.size.now", { n: state.brush }));
}

/** While Space is held, dragging pans. @param {boolean} held */
export function holdSpace(held) {
  spaceHeld = held;
  showCursor();
}

/** Begin to listen. */
export function openPointer() {
  stage.addEventListener("pointerdown", event => {
    if (event.target === canvas || (event.target instanceof Node && divider.contains(event.target))) press(event);
  });
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", lift);
  stage.addEventListener("pointercancel", lift);
  stage.addEventListener("wheel", turn, { passive: false });
  stage.addEventListener("pointerenter", event => placeRing(onStage(event)));
  canvas.addEventListener("dblclick", event => {
    if (painting()) return;
    const at = onStage(event);
    if (view.fitted) zoomToPixels(at.x, at.y);
    else view.fit();
    changed("view");
  });
  whenever(["tool", "task", "picture", "view", "results", "run"], showCursor);
  whenever(["picture"], () => {
    last = null;
  });
}
