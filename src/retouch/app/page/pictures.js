// The pictures that are open: by button, drop or paste; the strip; which one is shown.

import { forgetFile, sendFile } from "./api.js";
import { byId, icon, make } from "./dom.js";
import { onChosen } from "./files.js";
import { layerOfPicture, release, thumbnailOf } from "./layers.js";
import { announce, complain } from "./notices.js";
import { cancel } from "./runs.js";
import { changed, state, whenever } from "./state.js";
import { view } from "./stage.js";
import { fileSize, say } from "./words.js";

/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {import("./types.js").Remote} Remote */

let count = 0;

/**
 * Open files as pictures; the first of them is shown.
 * @param {Iterable<File>} files
 */
export function openFiles(files) {
  const before = state.current;
  /** @type {Picture | null} */
  let first = null;
  for (const file of files) {
    const most = state.limits?.upload_bytes ?? Infinity;
    if (file.size > most) {
      complain(say("trouble.large", { name: file.name, size: fileSize(file.size), most: fileSize(most) }));
      continue;
    }
    if (file.size === 0) {
      complain(say("trouble.empty", { name: file.name }));
      continue;
    }
    /** @type {Picture} */
    const picture = {
      id: ++count, file, name: file.name || say("pasted"), width: 0, height: 0, remote: null, ready: send(file),
      layer: null, thumbnail: null, trouble: null, mask: null, results: [], shown: null, run: null,
    };
    state.pictures.push(picture);
    first ??= picture;
    receive(picture, before);
    if (picture !== first) line = line.then(() => thumbnailFor(picture));
  }
  changed("pictures");
  if (first) select(first);
}

/** Thumbnails of pictures that are not shown are made one after the other: each takes the memory of a whole picture. */
let line = Promise.resolve();

/** Sends go one after the other as well. */
let sending = Promise.resolve();

/** @param {File} file @returns {Promise<Remote>} */
function send(file) {
  const sent = sending.then(() => sendFile(file, file.name || "pasted.png"));
  sending = sent.then(() => {}, () => {});
  sent.catch(() => {}); // whoever needs it hears of it
  return sent;
}

/** Send a picture again that the server has let go. @param {Picture} picture */
export function sendAgain(picture) {
  picture.ready = send(picture.file);
}

/**
 * Hear what the server says of a picture.
 * @param {Picture} picture
 * @param {Picture | null} before the one to go back to where it is refused
 */
async function receive(picture, before) {
  try {
    const remote = await picture.ready;
    picture.remote = remote;
    if (picture.width && (picture.width !== remote.width || picture.height !== remote.height)) {
      // the browser saw another size: the server's counts, and its masks must be of that size
      release(picture.layer);
      picture.layer = null;
      picture.mask = null;
      if (picture === state.current) load(picture);
    }
    picture.width = remote.width;
    picture.height = remote.height;
    changed("pictures");
    if (picture === state.current) changed("picture");
  } catch (error) {
    if (!state.pictures.includes(picture)) return;
    const words = error instanceof Error ? error.message : String(error);
    complain(words.startsWith(`${picture.name}: `) ? words : `${picture.name}: ${words}`);
    const shown = picture === state.current;
    closePicture(picture);
    if (shown && before && state.pictures.includes(before)) select(before);
  }
}

/** @param {Picture} picture */
async function thumbnailFor(picture) {
  if (picture.thumbnail || !state.pictures.includes(picture)) return;
  const layer = await layerOfPicture(picture).catch(() => null);
  if (!layer) return;
  picture.thumbnail ??= await thumbnailOf(layer);
  release(layer);
  changed("pictures");
}

/** Show a picture. @param {Picture} picture */
export function select(picture) {
  const before = state.current;
  if (before === picture) return;
  if (before) letGo(before);
  state.current = picture;
  view.fitted = true;
  changed("picture", "pictures", "results", "run", "mask");
  load(picture);
}

/** Free what is only needed while a picture is shown. @param {Picture} picture */
function letGo(picture) {
  release(picture.layer);
  picture.layer = null;
  for (const result of picture.results) {
    release(result.layer);
    result.layer = null;
  }
}

/** @param {Picture} picture */
async function load(picture) {
  try {
    const layer = await layerOfPicture(picture);
    if (state.current !== picture || picture.layer) return release(layer);
    picture.layer = layer;
    picture.width = layer.width;
    picture.height = layer.height;
    changed("picture", "view");
    announce(say("opened", { name: picture.name }));
    if (picture.shown) changed("results");
    if (!picture.thumbnail) {
      const thumbnail = await thumbnailOf(layer).catch(() => null); // it may be closed before it is drawn
      if (thumbnail && picture.thumbnail) URL.revokeObjectURL(thumbnail);
      else picture.thumbnail = thumbnail;
    }
    changed("pictures", "view");
  } catch (error) {
    // what the server refused has been told of already
    if (picture.remote && state.pictures.includes(picture)) complain(say("trouble.shown", { name: picture.name }));
  }
}

/** @param {Picture} picture */
export function closePicture(picture) {
  const at = state.pictures.indexOf(picture);
  if (at < 0) return;
  cancel(picture);
  state.pictures.splice(at, 1);
  letGo(picture);
  if (picture.thumbnail) URL.revokeObjectURL(picture.thumbnail);
  for (const result of picture.results) if (result.thumbnail) URL.revokeObjectURL(result.thumbnail);
  if (state.lastMask === picture.mask && !state.pictures.length) state.lastMask = null;
  picture.ready.then(remote => forgetFile(remote.id)).catch(() => {});
  if (state.current === picture) {
    state.current = null;
    const next = state.pictures[Math.min(at, state.pictures.length - 1)];
    if (next) select(next);
    else changed("picture", "results", "run", "mask");
  }
  changed("pictures");
}

/** The next picture in the strip, or with -1 the one before. @param {number} step */
export function neighbour(step) {
  const { pictures, current } = state;
  if (!current || pictures.length < 2) return;
  select(pictures[(pictures.indexOf(current) + step + pictures.length) % pictures.length]);
  byId("pictures").querySelector("[aria-current=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

/** @param {Picture} picture @returns {HTMLElement} */
function thumb(picture) {
  const run = picture.run, running = run !== null && run.state !== "ended";
  const done = picture.results.length > 0;
  const words = [picture.name, running ? say("run.under.way") : done ? say("results.count", { n: picture.results.length }) : ""];
  return make("li", {},
    make("button", {
      type: "button", class: "thumb", "aria-current": String(picture === state.current), title: picture.name,
      "aria-label": words.filter(Boolean).join(", "), click: () => select(picture),
    },
    picture.thumbnail ? make("img", { src: picture.thumbnail, alt: "", draggable: false }) : make("span", { class: "blank" }),
    running ? make("span", { class: "badge busy" }) : done ? make("span", { class: "badge" }, icon("check")) : null),
    make("button", {
      type: "button", class: "close", "aria-label": say("picture.close", { name: picture.name }), title: say("close"),
      click: () => closePicture(picture),
    }, icon("close")));
}

function showFacts() {
  const picture = state.current;
  const facts = picture?.width ? [
    `${picture.width} × ${picture.height}`, picture.remote?.format?.toUpperCase() ?? "", fileSize(picture.file.size),
  ] : [];
  byId("name").replaceChildren(...(picture ? [
    make("strong", {}, picture.name), make("span", {}, facts.filter(Boolean).join(" · ")),
  ] : []));
  document.title = picture ? `${picture.name} – Retouch` : "Retouch";
}

/** The files in what was dropped or pasted. @param {DataTransfer | null} data @returns {File[]} */
function filesIn(data) {
  return [...(data?.files ?? [])].filter(file => !file.type || file.type.startsWith("image/"));
}

/** Begin to listen. */
export function openPictures() {
  const input = /** @type {HTMLInputElement} */ (byId("file"));
  onChosen(input, openFiles);
  for (const id of ["open", "welcome-open", "add"]) byId(id).addEventListener("click", () => input.click());

  let depth = 0; // of elements that the drag has entered and not left
  /** @param {DragEvent} event */
  const carries = event => event.dataTransfer?.types.includes("Files") ?? false;
  document.addEventListener("dragenter", event => {
    if (!carries(event)) return;
    depth++;
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", event => {
    if (carries(event) && --depth <= 0) document.body.classList.remove("dropping");
  });
  document.addEventListener("dragover", event => {
    if (carries(event)) event.preventDefault();
  });
  document.addEventListener("drop", event => {
    depth = 0;
    document.body.classList.remove("dropping");
    if (event.defaultPrevented || !carries(event)) return;
    event.preventDefault();
    const files = filesIn(event.dataTransfer);
    if (files.length) openFiles(files);
    else complain(say("trouble.dropped"));
  }, { capture: false });
  document.addEventListener("paste", event => {
    const files = filesIn(event.clipboardData);
    if (!files.length) return;
    event.preventDefault();
    openFiles(files);
  });

  whenever(["pictures", "picture", "run", "results", "words"], () => {
    const held = document.activeElement?.closest("#pictures li");
    const at = held ? [...byId("pictures").children].indexOf(held) : -1;
    byId("pictures").replaceChildren(...state.pictures.map(thumb));
    if (at >= 0) /** @type {HTMLElement | null} */ (byId("pictures").children[at]?.querySelector("button"))?.focus();
    byId("dock").hidden = state.pictures.length === 0;
  });
  whenever(["picture", "pictures"], showFacts);
}
