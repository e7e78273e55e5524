// The foot of the panel: run, how long it takes, how far it is, cancel.

import { estimate } from "./cards.js";
import { byId } from "./dom.js";
import { cancel, cancelAll, runAll, runCurrent, unfinished } from "./runs.js";
import { chosenMethod, state, whenever } from "./state.js";
import { duration, measured, say } from "./words.js";

/** @typedef {import("./types.js").Run} Run */

/** @param {Run} run @returns {string} what it is at, in words */
function standing(run) {
  const { job } = run;
  if (run.cancelled) return say("run.cancelling");
  if (run.state === "waiting") return say("run.waiting");
  if (run.state === "sending") return say("run.sending");
  if (!job || run.state === "queued") return job?.position ? say("run.queued", { n: job.position }) : say("run.starting");
  const { progress } = job;
  if (!progress) return say("run.starting");
  const words = [];
  if (progress.total > 1) words.push(`${Math.floor((100 * progress.index) / progress.total)} %`);
  if (progress.seconds_left !== null) words.push(say("run.left", { time: duration(progress.seconds_left) }));
  else words.push(say("run.elapsed", { time: measured((performance.now() - run.started) / 1000) }));
  return words.join(" · ");
}

function show() {
  const { current, task, pictures } = state;
  const run = current?.run ?? null, running = run !== null && run.state !== "ended";
  const button = /** @type {HTMLButtonElement} */ (byId("run"));
  button.disabled = !task || !current;
  button.hidden = running;
  byId("cancel").hidden = !running;
  /** @type {HTMLButtonElement} */ (byId("cancel")).disabled = run?.cancelled ?? false;
  byId("run-all").hidden = pictures.length < 2 || running;
  byId("run-all-count").textContent = say("run.all", { n: pictures.length });
  byId("cancel-all").hidden = unfinished() < 2;
  byId("progress").hidden = !running;
  byId("estimate").textContent = running || !task || !current ? "" : estimate(task, chosenMethod());
  if (running) showProgress(run);
}

/** @param {Run} run */
function showProgress(run) {
  const words = standing(run), progress = run.state === "running" ? run.job?.progress : null;
  const bar = byId("bar"), fill = byId("bar-fill");
  const part = progress && progress.total > 1 ? Math.min(1, progress.index / progress.total) : null;
  bar.classList.toggle("endless", part === null);
  fill.style.width = part === null ? "" : `${100 * part}%`;
  if (part === null) bar.removeAttribute("aria-valuenow");
  else bar.setAttribute("aria-valuenow", String(Math.round(100 * part)));
  bar.setAttribute("aria-valuetext", words);
  byId("standing").textContent = words;
  byId("note").textContent = progress?.note ?? "";
}

/** Begin to show. */
export function openRunBar() {
  byId("run").addEventListener("click", runCurrent);
  byId("run-all").addEventListener("click", runAll);
  byId("cancel").addEventListener("click", () => state.current && cancel(state.current));
  byId("cancel-all").addEventListener("click", cancelAll);
  whenever(["run", "picture", "pictures", "task", "tasks", "words"], show);
  whenever(["progress"], () => {
    const run = state.current?.run;
    if (run && run.state !== "ended") showProgress(run);
  });
  setInterval(() => {
    const run = state.current?.run;
    if (run && run.state === "running" && !run.job?.progress?.seconds_left) showProgress(run);
  }, 1000);
  window.addEventListener("beforeunload", event => {
    if (unfinished()) event.preventDefault();
  });
}
