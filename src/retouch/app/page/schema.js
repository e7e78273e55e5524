// What a JSON Schema property asks for. Pure.

/** @typedef {import("./types.js").Property} Property */
/** @typedef {import("./types.js").Task} Task */

/**
 * A property as a form needs it: without the alternatives, and whether it may stay open.
 * @typedef {object} Field
 * @property {string} name
 * @property {"choice" | "switch" | "number" | "text" | "picture"} kind
 * @property {boolean} whole whether a number has no fraction
 * @property {boolean} open whether it may be left to Retouch (null)
 * @property {boolean} required
 * @property {unknown[]} choices
 * @property {unknown} initial
 * @property {number | undefined} minimum
 * @property {number | undefined} maximum
 * @property {string} title
 * @property {string} unit
 * @property {string} words
 */

/**
 * @param {string} name
 * @param {Property} property
 * @param {boolean} required
 * @returns {Field}
 */
export function fieldOf(name, property, required) {
  const several = property.anyOf ?? [];
  const open = several.some(each => each.type === "null") || (Array.isArray(property.type) && property.type.includes("null"));
  const core = { ...(several.find(each => each.type !== "null") ?? {}), ...property };
  const types = [core.type ?? "string"].flat().filter(type => type !== "null");
  if (several.length) types.splice(0, types.length, ...several.flatMap(each => each.type ?? []).filter(type => type !== "null"));
  const choices = (core.enum ?? several.flatMap(each => each.enum ?? [])).filter(value => value !== null);
  /** @type {Field["kind"]} */
  let kind = "text";
  if (core.format === "file-id") kind = "picture";
  else if (choices.length) kind = "choice";
  else if (types[0] === "boolean") kind = "switch";
  else if (types[0] === "number" || types[0] === "integer") kind = "number";
  return {
    name, kind, whole: types[0] === "integer", open, required, choices, initial: property.default,
    minimum: core.minimum, maximum: core.maximum, title: property.title ?? name,
    unit: property["x-unit"] ?? "", words: property.description ?? "",
  };
}

/** Options that say how it is computed, not what comes out, beside those that the server marks as shared by all tasks. */
const APART = new Set(["ensemble", "model", "calibrate", "network", "features", "explain"]);

/** The page paints the mask and inverts it by itself. */
const MASKS = new Set(["mask", "invert_mask"]);

/**
 * The methods that can be used here: those the schema names.
 * @param {Task} task
 * @returns {import("./types.js").Method[]}
 */
export function usableMethods(task) {
  const named = task.schema.properties.method?.enum;
  return named ? task.methods.filter(method => named.includes(method.name)) : task.methods;
}

/**
 * The fields of a task's form: those of the picture first, those of the computation apart.
 * @param {Task} task
 * @param {string} method the chosen one
 * @returns {{near: Field[], apart: Field[]}}
 */
export function fieldsOf(task, method) {
  const needed = new Set(task.schema.required ?? []);
  const chosen = task.methods.find(each => each.name === method);
  const iterates = chosen ? chosen.iterative : usableMethods(task).some(each => each.iterative);
  /** @type {Field[]} */
  const near = [];
  /** @type {Field[]} */
  const apart = [];
  for (const [name, property] of Object.entries(task.schema.properties)) {
    if (name === "method" || MASKS.has(name)) continue;
    // effort is for methods that iterate, the budget for the automatic choice
    if (name === "effort" && !iterates) continue;
    if (name === "budget" && method !== "auto") continue;
    const field = fieldOf(name, property, needed.has(name));
    const shared = APART.has(name) || (property["x-shared"] && name !== "effort");
    (shared && !field.required ? apart : near).push(field);
  }
  // what decides most comes first: what must be given, then the task's own options, then the effort
  /** @param {Field} field */
  const rank = field => (field.required ? 0 : field.name === "effort" ? 2 : 1);
  near.sort((a, b) => rank(a) - rank(b));
  return { near, apart };
}

/**
 * The step of a number's control: a hundredth of a narrow range, else tenths or whole numbers.
 * @param {Field} field
 * @returns {number}
 */
export function stepOf({ whole, minimum, maximum }) {
  if (whole) return 1;
  if (minimum === undefined || maximum === undefined) return 0.1;
  return maximum - minimum <= 4 ? 0.05 : maximum - minimum <= 32 ? 0.1 : 1;
}

/** Whether a number is better set with a slider: it has a narrow range and a default. @param {Field} field */
export function slides({ kind, minimum, maximum, open }) {
  return kind === "number" && !open && minimum !== undefined && maximum !== undefined && maximum - minimum <= 64;
}
