// Pictures as the canvas wants them: decoded once, with a smaller copy for small zooms, and let go when not shown.

import { filePreview } from "./api.js";

/** @typedef {import("./types.js").Layer} Layer */
/** @typedef {import("./types.js").Picture} Picture */

const SCREEN = 2560;           // longest side of the smaller copy
const MOST_PIXELS = 110e6;     // more are not kept decoded: four bytes each
const PREVIEW = 4096;          // longest side of what the server decodes for us
const THUMBNAIL = 208;         // longest side, twice what is shown, for dense screens

/**
 * A layer that can be shown at once; the smaller copy takes the place of the whole as soon as it is made.
 * @param {ImageBitmap} bitmap whose ownership passes to the layer
 * @param {number} width of the picture that it stands for
 * @param {number} height
 * @returns {Promise<Layer>}
 */
async function layered(bitmap, width, height) {
  const by = SCREEN / Math.max(bitmap.width, bitmap.height);
  /** @type {Layer} */
  const layer = { full: null, small: bitmap, width, height, settled: Promise.resolve() };
  if (by > 0.8) return layer;
  const shrunk = createImageBitmap(bitmap, {
    resizeWidth: Math.max(1, Math.round(bitmap.width * by)),
    resizeHeight: Math.max(1, Math.round(bitmap.height * by)),
    resizeQuality: "medium",
  });
  if (bitmap.width * bitmap.height > MOST_PIXELS) {
    layer.small = await shrunk;
    bitmap.close();
    return layer;
  }
  layer.full = bitmap;
  layer.settled = shrunk.then(small => {
    if (layer.full) layer.small = small;
    else small.close(); // it was let go meanwhile
  }, () => {});
  return layer;
}

/**
 * Decode a file that the browser knows, upright.
 * @param {Blob} blob
 * @returns {Promise<Layer>}
 */
export async function layerOf(blob) {
  const bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
  return layered(bitmap, bitmap.width, bitmap.height);
}

/**
 * A copy of a picture, of its proportions but smaller, as a layer of the whole.
 * @param {Blob} blob
 * @param {number} width
 * @param {number} height
 * @returns {Promise<Layer>}
 */
export async function layerOfCopy(blob, width, height) {
  return layered(await createImageBitmap(blob), width, height);
}

/**
 * The layer of a picture: decoded here, or by the server where the browser does not know the format or sees another
 * size in it than the server does.
 * @param {Picture} picture
 * @returns {Promise<Layer>}
 */
export async function layerOfPicture(picture) {
  const here = picture.remote && !decodable(picture.remote.format) ? null : await layerOf(picture.file).catch(() => null);
  if (here && !picture.remote) return here;
  const remote = await picture.ready;
  if (here && here.width === remote.width && here.height === remote.height) return here;
  if (here) release(here);
  return layerOfCopy(await filePreview(remote.id, PREVIEW), remote.width, remote.height);
}

/** Whether browsers show a format. @param {string} format @returns {boolean} */
export function decodable(format) {
  return /^(jpe?g|png|webp|gif|bmp|avif)$/i.test(format);
}

/** Give the memory back. @param {Layer | null} layer */
export function release(layer) {
  if (!layer) return;
  layer.full?.close();
  layer.full = null;
  layer.small.close();
}

/**
 * A small copy, as an object URL. Alpha stays.
 * @param {Layer} layer
 * @returns {Promise<string>} rejects where the layer is let go meanwhile
 */
export async function thumbnailOf(layer) {
  await layer.settled;
  const bitmap = layer.small;
  const by = Math.min(1, THUMBNAIL / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(bitmap.width * by)), Math.max(1, Math.round(bitmap.height * by)));
  const brush = canvas.getContext("2d");
  if (!brush) throw new Error("no canvas to be had");
  brush.imageSmoothingQuality = "high";
  brush.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return URL.createObjectURL(await canvas.convertToBlob({ type: "image/webp", quality: 0.85 }));
}
