// Where the picture lies on the stage: zoom and place, in pixels of the page. Pure arithmetic.

/** @typedef {{left: number, top: number, right: number, bottom: number}} Box */

export const MOST_ZOOM = 40;

export class View {
  constructor() {
    /** Page pixels a pixel of the picture. */
    this.zoom = 1;
    /** Where the picture's corner lies on the stage. */
    this.x = 0;
    this.y = 0;
    /** Whether the picture is to fill the room, whatever becomes of it. */
    this.fitted = true;
    this.width = 1;
    this.height = 1;
    /** The part of the stage that nothing covers. @type {Box} */
    this.room = { left: 0, top: 0, right: 1, bottom: 1 };
  }

  /**
   * Another picture, or the same one again.
   * @param {number} width
   * @param {number} height
   */
  picture(width, height) {
    this.width = width || 1;
    this.height = height || 1;
  }

  /** The zoom at which all of it is seen; small pictures are not blown up more than eight times. */
  get fitting() {
    const wide = Math.max(1, this.room.right - this.room.left), tall = Math.max(1, this.room.bottom - this.room.top);
    return Math.min(wide / this.width, tall / this.height, 8);
  }

  /**
   * Hold zoom and place to what makes sense: all of the picture is in the middle; what is larger may be moved and
   * zoomed about any point, as long as it covers half of the room or lies in it.
   */
  settle() {
    const fitting = this.fitting;
    const least = Math.min(fitting, 1) / 4;
    this.zoom = this.fitted ? fitting : Math.min(Math.max(this.zoom, least), MOST_ZOOM);
    const { left, top, right, bottom } = this.room;
    const whole = this.zoom <= fitting;
    /** @param {number} at @param {number} from @param {number} to @param {number} length */
    const place = (at, from, to, length) => {
      if (whole) return from + (to - from - length) / 2;
      const kept = Math.min(length, (to - from) / 2);
      return Math.min(Math.max(at, from + kept - length), to - kept);
    };
    this.x = place(this.x, left, right, this.width * this.zoom);
    this.y = place(this.y, top, bottom, this.height * this.zoom);
  }

  /** All of the picture is seen again. */
  fit() {
    this.fitted = true;
    this.settle();
  }

  /**
   * Zoom by a factor; what lies under the point stays there.
   * @param {number} factor
   * @param {number} [px] on the stage, by default the middle of the room
   * @param {number} [py]
   */
  zoomBy(factor, px = (this.room.left + this.room.right) / 2, py = (this.room.top + this.room.bottom) / 2) {
    const before = this.zoom;
    const least = Math.min(this.fitting, 1) / 4;
    this.zoom = Math.min(Math.max(this.zoom * factor, least), MOST_ZOOM);
    this.fitted = false;
    this.x = px - ((px - this.x) * this.zoom) / before;
    this.y = py - ((py - this.y) * this.zoom) / before;
    this.settle();
  }

  /** @param {number} dx @param {number} dy */
  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.settle();
  }

  /** Whether there is more of the picture than the room shows. */
  get larger() {
    const { left, top, right, bottom } = this.room;
    return this.width * this.zoom > right - left + 1 || this.height * this.zoom > bottom - top + 1;
  }

  /**
   * A point of the stage in pixels of the picture.
   * @param {number} px
   * @param {number} py
   * @returns {[number, number]}
   */
  toPicture(px, py) {
    return [(px - this.x) / this.zoom, (py - this.y) / this.zoom];
  }

  /** A box of the picture on the stage. @param {Box} box @returns {Box} */
  toStage(box) {
    return {
      left: this.x + box.left * this.zoom, top: this.y + box.top * this.zoom,
      right: this.x + box.right * this.zoom, bottom: this.y + box.bottom * this.zoom,
    };
  }
}
