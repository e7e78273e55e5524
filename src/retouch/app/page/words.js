// What the page says, in the language that was chosen.

import { en } from "./words-en.js";
import { zh } from "./words-zh.js";

/** @type {Record<string, Record<string, string>>} */
const LANGUAGES = { en, zh };
const KEPT_AS = "retouch-language";

let language = pick();

/** The language that was chosen before, or else the browser's, or else English. @returns {string} */
function pick() {
  const wished = [localStorage.getItem(KEPT_AS), ...navigator.languages].map(tag => (tag ?? "").slice(0, 2));
  return wished.find(tag => tag in LANGUAGES) ?? "en";
}

/** The language as its tag in HTML. @returns {string} */
export function languageTag() {
  return language === "zh" ? "zh-Hans" : language;
}

/** Take the other language; the caller shows everything anew. */
export function switchLanguage() {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem(KEPT_AS, language);
}

/**
 * The words under `key`; `{name}` in them is replaced by `values.name`. A key that is not known comes back as it is.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function say(key, values = {}) {
  const words = LANGUAGES[language][key] ?? en[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/**
 * The words under `key` in the chosen language, or `fallback`: what the server says about a task that came later.
 * @param {string} key
 * @param {string | undefined} fallback
 * @returns {string}
 */
export function sayOr(key, fallback) {
  return LANGUAGES[language][key] ?? fallback ?? "";
}

/** Write the words into the elements that ask for them: data-say for text, data-say-label for name and tooltip. */
export function sayAll() {
  document.documentElement.lang = languageTag();
  for (const element of document.querySelectorAll("[data-say]")) {
    element.textContent = say(/** @type {HTMLElement} */ (element).dataset.say ?? "");
  }
  for (const element of document.querySelectorAll("[data-say-label]")) {
    const words = say(/** @type {HTMLElement} */ (element).dataset.sayLabel ?? "");
    element.setAttribute("aria-label", words);
    element.setAttribute("title", words);
  }
}

/**
 * A time in words that do not promise more than an estimate can: 3 s, 4 min, 1.5 h.
 * @param {number} seconds
 * @returns {string}
 */
export function duration(seconds) {
  if (seconds < 1) return say("time.moment");
  if (seconds < 60) return say("time.seconds", { n: seconds < 10 ? Math.round(seconds) : 5 * Math.round(seconds / 5) });
  if (seconds < 5400) return say("time.minutes", { n: Math.round(seconds / 60) });
  return say("time.hours", { n: Number((seconds / 3600).toFixed(seconds < 36000 ? 1 : 0)) });
}

/**
 * A time that was measured.
 * @param {number} seconds
 * @returns {string}
 */
export function measured(seconds) {
  if (seconds < 60) return say("time.seconds", { n: seconds.toFixed(seconds < 10 ? 1 : 0) });
  return say("time.clock", { n: `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}` });
}

/**
 * A size of a file: 640 kB, 3.2 MB.
 * @param {number} bytes
 * @returns {string}
 */
export function fileSize(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
