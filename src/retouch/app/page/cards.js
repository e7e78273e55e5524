// Task and method, chosen from cards that say what each is for and how long it takes.

import { byId, icon, make } from "./dom.js";
import { usableMethods } from "./schema.js";
import { changed, methodOf, state, whenever } from "./state.js";
import { duration, say, sayOr } from "./words.js";

/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./types.js").Method} Method */

const KEPT_AS = "retouch-task";

/** @param {Task} task @returns {string} */
export function taskTitle(task) {
  return sayOr(`task.${task.name}`, task.title);
}

/** @param {string} name @returns {string} */
export function methodTitle(name) {
  return sayOr(`method.${name}`, name);
}

/** What a method is for, in a few words. @param {Task} task @param {Method} method @returns {string} */
function purpose(task, method) {
  return sayOr(`for.${task.name}.${method.name}`, method.prefer || method.summary);
}

/**
 * How long a method takes for the current picture, in words; "" where nobody knows.
 * @param {Task} task
 * @param {string} name of the method, "auto" or ""
 * @returns {string}
 */
export function estimate(task, name) {
  const picture = state.current;
  const megapixels = picture?.width ? (picture.width * picture.height) / 1e6 : 0;
  const budget = Number(state.options.get(task.name)?.budget ?? task.schema.properties.budget?.default);
  const methods = usableMethods(task);
  const method = name === "auto" ? methods.find(each => each.default) : methods.find(each => each.name === name || methods.length === 1);
  const pace = method?.seconds_per_megapixel ?? null;
  // on a large picture the automatic choice is another, within what it may spend
  if (name === "auto" && budget > 0 && (pace === null || pace * megapixels > budget)) return say("time.most", { time: duration(budget) });
  if (pace === null) return "";
  if (!megapixels) return say("time.per.megapixel", { time: duration(pace) });
  const once = pace * megapixels;
  const spare = name === "auto" ? Math.min(method?.spare_seconds ?? 0, budget) : 0;
  const seconds = once * ([8, 4, 2].find(views => views * once <= spare) ?? 1);
  return seconds < 1 ? duration(seconds) : say("time.about", { time: duration(seconds) });
}

/** @param {Task} task */
function chooseTask(task) {
  state.task = task;
  localStorage.setItem(KEPT_AS, task.name);
  changed("task");
}

/** @param {string} name */
function chooseMethod(name) {
  if (!state.task) return;
  state.methods.set(state.task.name, name);
  changed("task");
}

/**
 * @param {string | null} label for screen readers
 * @param {string} title
 * @param {string} words
 * @param {string} time
 * @returns {HTMLElement}
 */
function cardWords(label, title, words, time) {
  return make("span", { class: "card-words" },
    label ? make("span", { class: "unseen" }, `${label}: `) : null,
    make("span", { class: "card-title" }, make("strong", {}, title), time ? make("small", { class: "card-time" }, time) : null),
    make("small", {}, words));
}

/**
 * A card that can be chosen.
 * @param {{art: string | null, title: string, words: string, time: string, chosen: boolean, choose: () => void}} what
 * @returns {HTMLButtonElement}
 */
function card({ art, title, words, time, chosen, choose }) {
  return make("button", { type: "button", class: "card", "aria-pressed": String(chosen), click: choose },
    art ? icon(art) : null, cardWords(null, title, words, time));
}

/**
 * The head of a list of cards: what is chosen.
 * @param {HTMLDetailsElement} list
 * @param {{art: string | null, title: string, words: string, time: string, label: string}} what
 */
function showHead(list, { art, title, words, time, label }) {
  const head = /** @type {HTMLElement} */ (list.querySelector("summary"));
  head.replaceChildren(
    ...(art ? [icon(art)] : []),
    cardWords(label, title, words, time),
    icon("chevron"));
}

function showTasks() {
  const list = /** @type {HTMLDetailsElement} */ (byId("tasks"));
  const { task } = state;
  if (!task) return;
  showHead(list, {
    art: `task-${task.name}`, title: taskTitle(task), words: sayOr(`about.${task.name}`, task.summary), time: "",
    label: say("tasks"),
  });
  byId("task-cards").replaceChildren(...state.tasks.map(each => card({
    art: `task-${each.name}`, title: taskTitle(each), words: sayOr(`about.${each.name}`, each.summary), time: "",
    chosen: each === task, choose: () => {
      chooseTask(each);
      close(list);
    },
  })));
}

function showMethods() {
  const list = /** @type {HTMLDetailsElement} */ (byId("methods"));
  const { task } = state;
  const automatic = Boolean(task?.schema.properties.method);
  byId("method-section").hidden = !task || !automatic || usableMethods(task).length < 2;
  if (!task || !automatic) return;
  const now = methodOf(task), method = task.methods.find(each => each.name === now);
  showHead(list, {
    art: null, title: methodTitle(now), words: method ? purpose(task, method) : say("method.auto.for"),
    time: estimate(task, now), label: say("methods"),
  });
  /** @param {string} name */
  const choose = name => () => {
    chooseMethod(name);
    close(list);
  };
  byId("method-cards").replaceChildren(
    card({
      art: null, title: methodTitle("auto"), words: say("method.auto.for"), time: estimate(task, "auto"),
      chosen: now === "auto", choose: choose("auto"),
    }),
    ...usableMethods(task).map(each => card({
      art: null, title: methodTitle(each.name), words: purpose(task, each), time: estimate(task, each.name),
      chosen: each.name === now, choose: choose(each.name),
    })));
}

/** A choice was made: the list folds up, and the keyboard goes on at its head. @param {HTMLDetailsElement} list */
function close(list) {
  const held = list.contains(document.activeElement) || document.activeElement === document.body;
  list.open = false;
  if (held) list.querySelector("summary")?.focus({ preventScroll: true });
}

/** The task to begin with: the one used last, else the first. */
export function chooseFirstTask() {
  const before = state.tasks.find(task => task.name === localStorage.getItem(KEPT_AS));
  state.task = before ?? state.tasks[0] ?? null;
  if (!before) /** @type {HTMLDetailsElement} */ (byId("tasks")).open = true;
  changed("task");
}

/** Begin to show. */
export function openCards() {
  whenever(["tasks", "task", "words"], showTasks);
  whenever(["tasks", "task", "words", "picture"], showMethods);
}
