// What the page tells: quietly to screen readers, or as a notice that everybody sees.

import { byId, icon, make } from "./dom.js";
import { say } from "./words.js";

const STAYS = 6000; // milliseconds; troubles stay until they are closed

/** Tell screen readers. @param {string} words */
export function announce(words) {
  byId("live").textContent = words;
}

/** @param {string} words @param {"info" | "trouble"} kind */
function show(words, kind) {
  const gone = () => notice.remove();
  const notice = make("div", { class: `notice ${kind}`, role: kind === "trouble" ? "alert" : "status" },
    make("p", {}, words),
    make("button", { type: "button", class: "quiet square", "aria-label": say("close"), click: gone }, icon("close")));
  const notices = byId("notices");
  for (const other of notices.children) if (other.querySelector("p")?.textContent === words) other.remove();
  notices.append(notice);
  while (notices.children.length > 4) notices.firstElementChild?.remove();
  if (kind === "info") setTimeout(gone, STAYS);
}

/** A notice that goes away by itself. @param {string} words */
export function tell(words) {
  show(words, "info");
}

/** A notice of something that did not work; it stays until it is closed. @param {unknown} trouble */
export function complain(trouble) {
  show(trouble instanceof Error ? trouble.message : String(trouble), "trouble");
}
