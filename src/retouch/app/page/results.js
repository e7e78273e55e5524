// What came out: the history of a picture, what was done in words, saving, copying, going on from there.

import { methodTitle } from "./cards.js";
import { byId, icon, make } from "./dom.js";
import { save } from "./files.js";
import { release } from "./layers.js";
import { announce, complain, tell } from "./notices.js";
import { openFiles } from "./pictures.js";
import { layerOfResult } from "./runs.js";
import { changed, state, whenever } from "./state.js";
import { fileSize, measured, say, sayOr } from "./words.js";

/** @typedef {import("./types.js").Result} Result */
/** @typedef {import("./types.js").Picture} Picture */

/** Compare the current picture with a result, or with none. @param {Result | null} result */
export async function showResult(result) {
  const picture = state.current;
  if (!picture) return;
  const before = picture.shown;
  picture.shown = result;
  if (before && before !== result) {
    release(before.layer);
    before.layer = null;
  }
  changed("results", "view");
  await loadShown();
}

/** Decode the result that is to be shown, where it is not there yet. */
async function loadShown() {
  const picture = state.current, result = picture?.shown;
  if (!picture?.layer || !result || result.layer) return;
  try {
    const layer = await layerOfResult(result);
    if (state.current !== picture || picture.shown !== result || result.layer) return release(layer);
    result.layer = layer;
    changed("view");
  } catch (error) {
    complain(error);
  }
}

/** Save the result that is shown, byte by byte as the server wrote it. */
export function saveShown() {
  const result = state.current?.shown;
  if (result) save(result.blob, result.name);
}

/** Save the newest result of every picture. */
async function saveAll() {
  for (const picture of state.pictures) {
    const result = picture.shown ?? picture.results.at(-1);
    if (!result) continue;
    save(result.blob, result.name);
    await new Promise(done => setTimeout(done, 300)); // browsers drop downloads that come all at once
  }
}

/** Copy the result that is shown, as PNG: the one format that clipboards take. */
export async function copyShown() {
  const layer = state.current?.shown?.layer;
  const bitmap = layer?.full ?? layer?.small;
  if (!bitmap) return;
  try {
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
    await navigator.clipboard.write([new ClipboardItem({ "image/png": canvas.convertToBlob({ type: "image/png" }) })]);
    tell(say("copied"));
  } catch {
    complain(say("trouble.copy"));
  }
}

/** Open the result that is shown as a picture of its own, to do the next thing with it. */
function goOn() {
  const result = state.current?.shown;
  if (result) openFiles([new File([result.blob], result.name, { type: result.blob.type })]);
}

/** Leave a result out of the history. */
function remove() {
  const picture = state.current, result = picture?.shown;
  if (!picture || !result) return;
  release(result.layer);
  if (result.thumbnail) URL.revokeObjectURL(result.thumbnail);
  picture.results.splice(picture.results.indexOf(result), 1);
  picture.shown = null;
  changed("results", "view");
  announce(say("result.removed"));
}

/** @param {Result} result @returns {string} */
function titleOf(result) {
  return sayOr(`task.${result.task}`, state.tasks.find(task => task.name === result.task)?.title ?? result.task);
}

/** @type {Record<string, string>} */
const UNITS = { s: "time.seconds", min: "time.minutes", h: "time.hours" };

/** A time as the server says it, "3 min 20 s". @param {string} time @returns {string} */
function translated(time) {
  return time.replace(/([\d.]+) (s|min|h)\b/g, (_, n, unit) => say(UNITS[unit], { n }));
}

/**
 * What was done, in words. The server's last note names the method that was taken, the others what was found and used.
 * @param {Result} result
 * @returns {string[]}
 */
function deeds(result) {
  const words = [];
  let time = measured(result.seconds);
  for (const note of result.notes) {
    const [, method, took] = note.match(/^\w+(?: by ([\w-]+))?(?:, stopped early)?: ([\d.]+ (?:s|min|h)\b.*)$/) ?? [];
    const [, weights] = note.match(/^weights: (.+)$/) ?? [];
    if (took) time = translated(took); // without the start of the worker, and the way here
    if (method) words.unshift(methodTitle(method));
    if (took) continue;
    if (weights) words.push(say("result.weights", { name: weights }));
    else words.push(note);
  }
  if (result.cancelled) words.push(say("result.cancelled"));
  words.push(`${result.width} × ${result.height}`, fileSize(result.blob.size), time);
  return words;
}

function showBar() {
  const result = state.current?.shown ?? null;
  byId("result-bar").hidden = !result;
  if (!result) return;
  byId("deed").textContent = titleOf(result);
  byId("deeds").replaceChildren(...deeds(result).map(words => make("li", {}, words)));
  const several = state.pictures.filter(picture => picture.results.length).length;
  byId("save-all").hidden = several < 2;
}

function showHistory() {
  const picture = state.current;
  const list = byId("results");
  byId("history").hidden = !picture || picture.results.length === 0;
  if (!picture) return;
  /** @param {Result | null} result @param {string} title @param {string | null} art */
  const entry = (result, title, art) => make("li", {}, make("button", {
    type: "button", class: "thumb titled", "aria-pressed": String(picture.shown === result), title,
    click: () => showResult(result),
  }, art ? make("img", { src: art, alt: "", draggable: false }) : make("span", { class: "blank" }, icon("eye")),
  make("span", { class: "title" }, title)));
  const held = [...list.children].findIndex(child => child.contains(document.activeElement));
  list.replaceChildren(
    entry(null, say("original"), picture.thumbnail),
    ...picture.results.map(result => entry(result, titleOf(result), result.thumbnail)));
  if (held >= 0) /** @type {HTMLElement | null} */ (list.children[held]?.firstElementChild)?.focus();
}

/** Begin to show. */
export function openResults() {
  /** @type {Record<string, () => void>} */
  const buttons = { save: saveShown, "save-all": saveAll, copy: copyShown, "go-on": goOn, remove };
  for (const [id, act] of Object.entries(buttons)) byId(id).addEventListener("click", act);
  whenever(["results", "picture", "pictures", "words"], () => {
    showBar();
    showHistory();
  });
  whenever(["picture"], loadShown);
}
