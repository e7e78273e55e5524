// Small helpers for elements, so that no HTML is ever made out of strings.

/**
 * The element of this id, which must be there.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element #${id}`);
  return element;
}

/**
 * A new element. Properties that hold "-" and `role` are set as attributes, `class` as the class name, functions as
 * listeners, `undefined` and `null` not at all.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Node | string | null)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (typeof value === "function") element.addEventListener(name, /** @type {EventListener} */ (value));
    else if (name === "class") element.className = String(value);
    else if (name.includes("-") || name === "role" || name === "for" || name === "list") element.setAttribute(name, String(value));
    else Reflect.set(element, name, value);
  }
  element.append(...children.filter(child => child !== null));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Line drawings on a field of 24 by 24; "task-NAME" is the picture of a task. @type {Record<string, string>} */
const PATHS = {
  open: "M3 7a2 2 0 0 1 2-2h4l2 2.5h8a2 2 0 0 1 2 2V17a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2z",
  add: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12.5l4.5 4.5L19 7.5",
  chevron: "M6 9l6 6 6-6",
  save: "M12 4v11M7 10.5l5 5 5-5M4.5 20h15",
  copy: "M9 9h10v11H9zM5 15H4V4h11v1",
  next: "M5 12h13M12.5 6.5L18 12l-5.5 5.5",
  bin: "M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13",
  hand: "M8 12V6.5a1.5 1.5 0 0 1 3 0V11m0-.5v-5a1.5 1.5 0 0 1 3 0V11m0-4a1.5 1.5 0 0 1 3 0v7c0 4-2.5 6.5-6 6.5-2.6 0-4.2-1-5.4-3.2L4.300 13.800a1.600 1.600 0 0 1 2.700-1.600L8 13.500",
  brush: "M20 4c-4 1.500-8.500 5-10.500 8.500l2.500 2.500C15.500 13 18.500 8 20 4zM8.500 14c-2 0-3 1.300-3.200 3-.1 1-.6 1.700-1.800 2 1.300 1 6.700 1.200 7-2.500",
  eraser: "M4.500 15.500l9-9 5.500 5.500-7 7H8zM9 11l5.500 5.500M11 19h8.500",
  undo: "M9 5L4.500 9.500 9 14M5 9.500h9a5 5 0 0 1 0 10h-3",
  redo: "M15 5l4.500 4.500L15 14M19 9.500h-9a5 5 0 0 0 0 10h3",
  invert: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  upload: "M12 16V5M7 9.500l5-5 5 5M4.500 20h15",
  again: "M8 8h12v12H8zM4 16V4h12M14 11v6M11 14h6",
  eye: "M2.500 12C5 7.500 8.300 5.500 12 5.500s7 2 9.500 6.500c-2.500 4.500-5.800 6.500-9.500 6.500S5 16.500 2.500 12zM12 9a3 3 0 1 1 0 6 3 3 0 0 1 0-6",
  plus: "M12 6v12M6 12h12",
  minus: "M6 12h12",
  fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  compare: "M12 3v18M4 6h5v12H4M15 6h5v12h-5",
  globe: "M12 3.500a8.500 8.500 0 1 1 0 17 8.500 8.500 0 0 1 0-17M3.500 12h17M12 3.500c5 5 5 12 0 17M12 3.500c-5 5-5 12 0 17",
  "theme-auto": "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16M14 7.500h3M14 12h5.500M14 16.500h3",
  "theme-light": "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8M12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M5.300 18.700l1.400-1.400M17.300 6.700l1.400-1.400",
  "theme-dark": "M19.500 14.500A8 8 0 0 1 9.500 4.500a8 8 0 1 0 10 10z",
  help: "M12 3.500a8.500 8.500 0 1 1 0 17 8.500 8.500 0 0 1 0-17M9.700 9.700a2.400 2.400 0 1 1 3.500 2.200c-.8.4-1.200.9-1.200 1.900M12 16.500v.1",
  panel: "M4 5h16v14H4zM14.500 5v14",
  "task-restore": "M5 19L15 9M14 4.500l.8 2.200 2.200.8-2.200.8-.8 2.200-.8-2.200-2.200-.8 2.200-.8zM18.500 12l.6 1.400 1.400.6-1.400.6-.6 1.400-.6-1.400-1.400-.6 1.400-.6zM7 4.500l.5 1.500 1.500.5-1.500.5L7 8.500 6.500 7 5 6.500 6.500 6z",
  "task-denoise": "M5 6v.1M9.500 4.500v.1M5.500 11v.1M10 9v.1M14.500 6v.1M6.500 16v.1M11 14v.1M9 19.500v.1M4.500 20v.1M14 10v10M17.500 7v13M21 4v16",
  "task-deblur": "M4 8.500V4h4.500M15.500 4H20v4.500M20 15.500V20h-4.500M8.500 20H4v-4.500M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8M12 12v.1",
  "task-inpaint": "M8.500 4.500l11 11a2.800 2.800 0 0 1-4 4l-11-11a2.800 2.800 0 0 1 4-4zM9.500 13.500l4-4M13 16.500l3.500-3.500M7.500 10L10 7.500M11.500 11.500h.1",
  "task-upscale": "M4 13h7v7H4zM13 4h7v7M20 4l-7.500 7.500M14 20h6v-6",
  "task-dejpeg": "M4 4h6v6H4zM14 14c3.500 0 6-2.500 6-6M10 14H4v6h6zM14 20c3.500 0 6-1 6-4M14 4h6",
  "task-colorize": "M12 3.500c4 4.300 6 7.300 6 10a6 6 0 0 1-12 0c0-2.700 2-5.700 6-10zM12 16.500a3 3 0 0 0 3-3",
  "task-translate": "M4 8h13M13.500 4.500L17 8l-3.500 3.500M20 16H7M10.500 12.500L7 16l3.500 3.500",
  "task-stylize": "M12 4a8 8 0 1 0 0 16c1.500 0 2-.9 1.700-2-.5-1.600.3-2.800 2-2.800H18c1.300 0 2-.8 2-2.200C20 8 16.500 4 12 4zM8 11v.1M11 7.800v.1M15.200 8.500v.1",
  "task-relight": "M9 17.500h6M10 20.500h4M12 3.500a6 6 0 0 0-3.500 10.900c.6.5.9 1.200.9 2v1.100h5.200v-1.100c0-.8.300-1.500.9-2A6 6 0 0 0 12 3.500z",
  "task-dream": "M6.500 18h10a4 4 0 0 0 .6-7.900A5.500 5.500 0 0 0 6.600 9.500 4.300 4.300 0 0 0 6.500 18zM9.500 21v.1M14 21v.1",
  "task-invert": "M12 4l8.500 4.500L12 13 3.500 8.500zM4 12.500l8 4.300 8-4.300M4 16.300l8 4.200 8-4.200",
  "task-degrade": "M4 5h16v14H4zM12.500 5l-2 4.500 3.500 2-3 3 1.500 4.500M4 15l4-3.500",
  task: "M12 4l2 6 6 2-6 2-2 6-2-6-6-2 6-2z",
};

/**
 * A line drawing. One that is not known is a star.
 * @param {string} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name] ?? PATHS.task);
  svg.append(path);
  return svg;
}
