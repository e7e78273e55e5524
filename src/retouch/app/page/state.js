// What the page knows, and who is told when it changes.

/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").Picture} Picture */

/** @typedef {"tasks" | "task" | "pictures" | "picture" | "mask" | "results" | "run" | "progress" | "tool" | "view" | "words"} Topic */

export const state = {
  /** @type {Task[]} */
  tasks: [],
  version: "",
  device: "",
  /** @type {import("./types.js").Limits | null} */
  limits: null,
  /** @type {Task | null} */
  task: null,
  /** Task name -> method. @type {Map<string, string>} */
  methods: new Map(),
  /** Task name -> the options that were changed from their defaults. @type {Map<string, Record<string, unknown>>} */
  options: new Map(),
  /** The format that results are written in, null for that of the picture. @type {string | null} */
  format: null,
  /** @type {Picture[]} */
  pictures: [],
  /** @type {Picture | null} */
  current: null,
  /** @type {"hand" | "brush" | "eraser"} */
  tool: "hand",
  /** Diameter in pixels of the picture. */
  brush: 60,
  maskVisible: true,
  /** The newest mask that was painted or opened, for other pictures. @type {import("./mask.js").Mask | null} */
  lastMask: null,
  /** Whether the original is shown alone, while the key or the button is held. */
  peeking: false,
};

const bus = new EventTarget();

/**
 * Tell all who listen that something of these topics has changed.
 * @param {...Topic} topics
 */
export function changed(...topics) {
  for (const topic of topics) bus.dispatchEvent(new Event(topic));
}

/**
 * Call `listener` now and whenever one of the topics changes.
 * @param {Topic[]} topics
 * @param {() => void} listener
 */
export function whenever(topics, listener) {
  for (const topic of topics) bus.addEventListener(topic, listener);
  listener();
}

/** Whether the chosen task can use a mask. @returns {boolean} */
export function wantsMask() {
  return state.task !== null && state.task.mask !== "none";
}

/** The chosen method of the chosen task. @returns {string} */
export function chosenMethod() {
  return state.task ? methodOf(state.task) : "";
}

/**
 * The method that is chosen for a task: the last one taken, or the schema's default, or "".
 * @param {Task} task
 * @returns {string}
 */
export function methodOf(task) {
  const property = task.schema.properties.method;
  return state.methods.get(task.name) ?? (property ? String(property.default ?? "auto") : "");
}

/** The changed options of the chosen task. @returns {Record<string, unknown>} */
export function chosenOptions() {
  if (!state.task) return {};
  const known = state.options.get(state.task.name) ?? {};
  state.options.set(state.task.name, known);
  return known;
}
