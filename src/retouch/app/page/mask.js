// A mask at the picture's own resolution: one byte a pixel, 0 or 255. Brushes draw into it without soft borders, so what
// is painted, what is saved and what is opened again are the same mask, bit by bit.

const TILE = 128;
const KEPT_EDITS = 100;
const HALVINGS = 4;

/**
 * What a tile held before an edit: one value all over, or its bytes.
 * @typedef {number | Uint8Array} Saved
 */

/** @typedef {{left: number, top: number, right: number, bottom: number}} Box right and bottom are excluded */

/**
 * A level of the mask for small zooms: the mean over the marked pixels below it.
 * @typedef {{width: number, height: number, bytes: Uint8Array}} Level
 */

export class Mask {
  /** @param {number} width @param {number} height */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.bytes = new Uint8Array(width * height);
    /** How many pixels are marked. */
    this.marked = 0;
    /** Rises with every change. */
    this.version = 0;
    /** @type {Level[]} */
    this.levels = [{ width, height, bytes: this.bytes }];
    for (let k = 1; k <= HALVINGS; k++) {
      const w = Math.ceil(this.levels[k - 1].width / 2), h = Math.ceil(this.levels[k - 1].height / 2);
      this.levels.push({ width: w, height: h, bytes: new Uint8Array(w * h) });
    }
    this.across = Math.ceil(width / TILE);
    this.down = Math.ceil(height / TILE);
    /** @type {Map<number, Saved> | null} */
    this.edit = null;
    /** @type {Map<number, Saved>[]} */
    this.past = [];
    /** @type {Map<number, Saved>[]} */
    this.future = [];
  }

  get canUndo() {
    return this.past.length > 0;
  }

  get canRedo() {
    return this.future.length > 0;
  }

  get empty() {
    return this.marked === 0;
  }

  get full() {
    return this.marked === this.width * this.height;
  }

  /** Begin an edit, which undo takes back as one. */
  begin() {
    this.edit = new Map();
  }

  /** End the edit; one that changed nothing is forgotten. */
  commit() {
    const edit = this.edit;
    this.edit = null;
    if (!edit) return;
    for (const [tile, saved] of edit) if (this.#same(tile, saved)) edit.delete(tile);
    if (!edit.size) return;
    this.past.push(edit);
    if (this.past.length > KEPT_EDITS) this.past.shift();
    this.future = [];
  }

  /** Take the edit back that is under way. */
  abort() {
    if (this.edit) this.#swap(this.edit);
    this.edit = null;
  }

  /** @returns {boolean} whether there was anything to take back */
  undo() {
    const edit = this.past.pop();
    if (edit) this.future.push(this.#swap(edit));
    return edit !== undefined;
  }

  /** @returns {boolean} whether there was anything to do again */
  redo() {
    const edit = this.future.pop();
    if (edit) this.past.push(this.#swap(edit));
    return edit !== undefined;
  }

  /**
   * Mark (or clear) all pixels whose centre lies within `radius` of the line from one point to another.
   * @param {number} x0 in pixels of the picture, whose first pixel has its centre at 0.5
   * @param {number} y0
   * @param {number} x1
   * @param {number} y1
   * @param {number} radius
   * @param {boolean} mark
   * @returns {Box} what may have changed
   */
  stroke(x0, y0, x1, y1, radius, mark) {
    const box = this.#clip(Math.min(x0, x1) - radius, Math.min(y0, y1) - radius, Math.max(x0, x1) + radius, Math.max(y0, y1) + radius);
    if (box.left >= box.right || box.top >= box.bottom) return box;
    this.#save(box);
    const value = mark ? 255 : 0;
    const length = Math.hypot(x1 - x0, y1 - y0);
    const nx = length ? (-(y1 - y0) / length) * radius : 0, ny = length ? ((x1 - x0) / length) * radius : 0;
    const corners = [[x0 + nx, y0 + ny], [x1 + nx, y1 + ny], [x1 - nx, y1 - ny], [x0 - nx, y0 - ny]];
    for (let row = box.top; row < box.bottom; row++) {
      // the shape is convex: in each row it is one run, the hull of two disks' and the band's between them
      const y = row + 0.5;
      let low = Infinity, high = -Infinity;
      for (const [x, middle] of [[x0, y0], [x1, y1]]) {
        const rest = radius * radius - (y - middle) * (y - middle);
        if (rest < 0) continue;
        low = Math.min(low, x - Math.sqrt(rest));
        high = Math.max(high, x + Math.sqrt(rest));
      }
      for (let side = 0; length && side < 4; side++) {
        const [ax, ay] = corners[side], [bx, by] = corners[(side + 1) % 4];
        if (ay === by || y < Math.min(ay, by) || y > Math.max(ay, by)) continue;
        const x = ax + ((y - ay) / (by - ay)) * (bx - ax);
        low = Math.min(low, x);
        high = Math.max(high, x);
      }
      const from = Math.max(box.left, Math.ceil(low - 0.5)), to = Math.min(box.right, Math.floor(high - 0.5) + 1);
      if (from < to) this.#fill(row * this.width + from, row * this.width + to, value);
    }
    this.#refresh(box);
    return box;
  }

  /** Mark nothing; one edit. */
  clear() {
    this.#whole(() => this.bytes.fill(0));
  }

  /** Mark what was not marked; one edit. */
  invert() {
    this.#whole(() => {
      for (let i = 0; i < this.bytes.length; i++) this.bytes[i] = 255 - this.bytes[i];
    });
  }

  /** Take another mask of the same size, as `width * height` bytes of 0 or 255; one edit. @param {Uint8Array} bytes */
  replace(bytes) {
    if (bytes.length !== this.bytes.length) throw new RangeError("a mask of another size");
    this.#whole(() => this.bytes.set(bytes));
  }

  /**
   * The level to show at a zoom: the coarsest that still has a pixel for each pixel of the screen.
   * @param {number} zoom screen pixels a pixel of the picture
   * @returns {{level: Level, factor: number}} factor: pixels of the picture along a pixel of the level
   */
  levelFor(zoom) {
    const k = Math.min(HALVINGS, Math.max(0, Math.floor(Math.log2(1 / zoom))));
    return { level: this.levels[k], factor: 2 ** k };
  }

  /** @param {() => void} change */
  #whole(change) {
    this.begin();
    const all = { left: 0, top: 0, right: this.width, bottom: this.height };
    this.#save(all);
    change();
    this.#recount();
    this.#refresh(all);
    this.commit();
  }

  /** @param {number} left @param {number} top @param {number} right @param {number} bottom @returns {Box} */
  #clip(left, top, right, bottom) {
    return {
      left: Math.max(0, Math.floor(left)), top: Math.max(0, Math.floor(top)),
      right: Math.min(this.width, Math.ceil(right)), bottom: Math.min(this.height, Math.ceil(bottom)),
    };
  }

  /** @param {number} from @param {number} to @param {number} value */
  #fill(from, to, value) {
    let differing = 0;
    for (let i = from; i < to; i++) if (this.bytes[i] !== value) differing++;
    this.bytes.fill(value, from, to);
    this.marked += value ? differing : -differing;
  }

  #recount() {
    let marked = 0;
    for (let i = 0; i < this.bytes.length; i++) marked += this.bytes[i] & 1;
    this.marked = marked;
  }

  /** @param {number} tile @returns {Box} */
  #box(tile) {
    const left = (tile % this.across) * TILE, top = Math.floor(tile / this.across) * TILE;
    return { left, top, right: Math.min(left + TILE, this.width), bottom: Math.min(top + TILE, this.height) };
  }

  /** Keep the tiles that a box touches as they are now, unless this edit has them already. @param {Box} box */
  #save(box) {
    if (!this.edit) throw new Error("no edit was begun");
    for (let ty = Math.floor(box.top / TILE); ty * TILE < box.bottom; ty++) {
      for (let tx = Math.floor(box.left / TILE); tx * TILE < box.right; tx++) {
        const tile = ty * this.across + tx;
        if (!this.edit.has(tile)) this.edit.set(tile, this.#read(tile));
      }
    }
  }

  /** @param {number} tile @returns {Saved} */
  #read(tile) {
    const { left, top, right, bottom } = this.#box(tile);
    const saved = new Uint8Array((right - left) * (bottom - top));
    for (let y = top; y < bottom; y++) saved.set(this.bytes.subarray(y * this.width + left, y * this.width + right), (y - top) * (right - left));
    for (let i = 1; i < saved.length; i++) if (saved[i] !== saved[0]) return saved;
    return saved[0];
  }

  /** @param {number} tile @param {Saved} saved @returns {boolean} */
  #same(tile, saved) {
    const now = this.#read(tile);
    if (typeof now === "number" || typeof saved === "number") return now === saved;
    for (let i = 0; i < now.length; i++) if (now[i] !== saved[i]) return false;
    return true;
  }

  /**
   * Put the saved tiles back.
   * @param {Map<number, Saved>} edit
   * @returns {Map<number, Saved>} what they held until now
   */
  #swap(edit) {
    /** @type {Map<number, Saved>} */
    const before = new Map();
    for (const [tile, saved] of edit) {
      before.set(tile, this.#read(tile));
      const { left, top, right, bottom } = this.#box(tile), wide = right - left;
      for (let y = top; y < bottom; y++) {
        const at = y * this.width;
        if (typeof saved === "number") this.bytes.fill(saved, at + left, at + right);
        else this.bytes.set(saved.subarray((y - top) * wide, (y - top + 1) * wide), at + left);
      }
      this.#refresh({ left, top, right, bottom });
    }
    this.#recount();
    return before;
  }

  /** Bring the smaller levels up to date below a box. @param {Box} box */
  #refresh(box) {
    this.version++;
    let { left, top, right, bottom } = box;
    for (let k = 1; k < this.levels.length; k++) {
      const from = this.levels[k - 1], to = this.levels[k];
      left >>= 1;
      top >>= 1;
      right = Math.min(to.width, (right + 1) >> 1);
      bottom = Math.min(to.height, (bottom + 1) >> 1);
      for (let y = top; y < bottom; y++) {
        const upper = 2 * y * from.width, lower = Math.min(2 * y + 1, from.height - 1) * from.width;
        for (let x = left; x < right; x++) {
          const one = 2 * x, two = Math.min(one + 1, from.width - 1);
          // rounded upwards, so that a hairline is never lost
          to.bytes[y * to.width + x] =
            (from.bytes[upper + one] + from.bytes[upper + two] + from.bytes[lower + one] + from.bytes[lower + two] + 3) >> 2;
        }
      }
    }
  }
}
