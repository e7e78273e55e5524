// Masks as files: written as PNG of one bit a pixel, read from any picture by the rule of the command line.

const SIGNATURE = new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]);

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

/** @param {Uint8Array} bytes @returns {number} */
function crc32(bytes) {
  let c = 0xffffffff;
  for (const byte of bytes) c = CRC_TABLE[(c ^ byte) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

/** @param {string} name @param {Uint8Array} data @returns {Uint8Array<ArrayBuffer>} a chunk of a PNG file */
function chunk(name, data) {
  const whole = new Uint8Array(data.length + 12);
  const view = new DataView(whole.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) whole[4 + i] = name.charCodeAt(i);
  whole.set(data, 8);
  view.setUint32(8 + data.length, crc32(whole.subarray(4, 8 + data.length)));
  return whole;
}

/** @param {Uint8Array<ArrayBuffer>} bytes @returns {Promise<Uint8Array>} as zlib packs them */
async function deflate(bytes) {
  const packed = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}

/**
 * The mask as a grey PNG of one bit a pixel, white where it marks. The browser's own encoder would need four bytes a
 * pixel to begin with.
 * @param {{width: number, height: number, bytes: Uint8Array}} mask
 * @returns {Promise<Blob>}
 */
export async function writeMask({ width, height, bytes }) {
  const row = 1 + Math.ceil(width / 8); // a byte for the filter (none), then the bits
  const rows = new Uint8Array(row * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) if (bytes[y * width + x]) rows[y * row + 1 + (x >> 3)] |= 128 >> (x & 7);
  }
  const header = new Uint8Array(13); // the rest is 0: grey, deflate, no filter, not interlaced
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header[8] = 1;
  const parts = [SIGNATURE, chunk("IHDR", header), chunk("IDAT", await deflate(rows)), chunk("IEND", new Uint8Array())];
  return new Blob(parts, { type: "image/png" });
}

const WHITE = 0xffffffff, BLACK = 0xff000000; // ABGR, as bytes lie
const STRIP = 512; // rows that are read at once: a whole large picture would need four bytes a pixel

/**
 * A mask out of any picture that the browser reads. Where its alpha is solid in some places and clear in others, it was
 * drawn into the alpha; else it is marked where the luma is at least one half.
 * @param {Blob} blob
 * @returns {Promise<{width: number, height: number, bytes: Uint8Array}>} 0 or 255 a pixel
 */
export async function readMask(blob) {
  const bitmap = await createImageBitmap(blob, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
  const { width, height } = bitmap;
  const luma = new Uint8Array(width * height), alpha = new Uint8Array(width * height);
  let solid = 0;
  const brush = new OffscreenCanvas(width, Math.min(STRIP, height)).getContext("2d", { willReadFrequently: true });
  if (!brush) throw new Error("no canvas to be had");
  brush.globalCompositeOperation = "copy";
  for (let top = 0; top < height; top += STRIP) {
    const tall = Math.min(STRIP, height - top);
    brush.drawImage(bitmap, 0, top, width, tall, 0, 0, width, tall);
    const { data } = brush.getImageData(0, 0, width, tall);
    const pixels = new Uint32Array(data.buffer);
    for (let i = 0, at = top * width; i < data.length; i += 4, at++) {
      const pixel = pixels[i >> 2];
      if (pixel === WHITE || pixel === BLACK) { // as nearly all are, in a mask
        luma[at] = pixel === WHITE ? 255 : 0;
        alpha[at] = 255;
        solid++;
        continue;
      }
      luma[at] = 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2] >= 127.5 - 1e-4 ? 255 : 0;
      alpha[at] = data[i + 3] >= 128 ? 255 : 0;
      solid += alpha[at] & 1;
    }
  }
  bitmap.close();
  return { width, height, bytes: solid > 0 && solid < width * height ? alpha : luma };
}
