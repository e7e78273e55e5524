// Runs: a few jobs at the server at a time, the rest waits here; the picture as it forms, and cancelling.

import { endJob, followJob, jobPreview, jobResult, Refusal, sendFile, startJob } from "./api.js";
import { attachments, blame } from "./form.js";
import { decodable, layerOf, layerOfCopy, release, thumbnailOf } from "./layers.js";
import { writeMask } from "./maskfile.js";
import { reusable } from "./masktools.js";
import { announce, complain, tell } from "./notices.js";
import { sendAgain } from "./pictures.js";
import { changed, chosenMethod, chosenOptions, state, wantsMask } from "./state.js";
import { redraw } from "./stage.js";
import { say, sayOr } from "./words.js";

/** @typedef {import("./types.js").Run} Run */
/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {import("./types.js").Result} Result */
/** @typedef {import("./types.js").Job} Job */

const AT_ONCE = 2;             // one is computed while the next one lies ready; browsers hold few connections open
const PREVIEW = 1280;          // longest side of the picture as it forms
const MOST_PIXELS = 110e6;     // larger results are shown by a copy
const RESULT_COPY = 4096;

/** @type {Run[]} */
const waiting = [];
/** @type {Set<Run>} */
const under = new Set();

/** What is waiting or under way. @returns {number} */
export function unfinished() {
  return waiting.length + under.size;
}

/** Run the chosen task on a picture. */
export function runCurrent() {
  if (state.current) start([state.current]);
}

/** Run the chosen task on all pictures. */
export function runAll() {
  start(state.pictures);
}

/** @param {Picture[]} pictures */
function start(pictures) {
  const { task } = state;
  if (!task) return;
  const options = { ...chosenOptions() };
  for (const name of task.schema.required ?? []) {
    if (name === "mask" || name === "method" || options[name] !== undefined) continue;
    const words = say("trouble.needed");
    if (!blame(name, words)) complain(`${name}: ${words}`);
    return;
  }
  let without = 0, borrowed = 0;
  for (const picture of pictures) {
    if (picture.run && picture.run.state !== "ended") continue;
    let mask = task.mask !== "none" && picture.mask && !picture.mask.empty ? picture.mask : null;
    if (task.mask === "required" && !mask) {
      // a mask that was tried on one picture is for all of its size
      if (pictures.length > 1 && reusable(picture)) mask = state.lastMask;
      if (!mask || mask.empty) {
        without++;
        continue;
      }
      borrowed++;
    }
    picture.run = {
      picture, task, mask, method: chosenMethod(), options, format: state.format, state: "waiting", job: null, preview: null,
      started: performance.now(), cancelled: false,
    };
    waiting.push(picture.run);
  }
  if (borrowed) tell(say("mask.borrowed", { n: borrowed }));
  if (without) {
    const words = pictures.length > 1 ? say("trouble.masks", { n: without }) : say("trouble.paint");
    tell(words);
    if (state.tool === "hand" && pictures.length === 1) state.tool = "brush";
    changed("tool");
  }
  changed("run");
  pump();
}

function pump() {
  while (under.size < AT_ONCE) {
    const run = waiting.shift();
    if (!run) break;
    under.add(run);
    carry(run).catch(error => fail(run, error)).finally(() => {
      under.delete(run);
      run.state = "ended";
      release(run.preview);
      run.preview = null;
      changed("run", "results");
      pump();
    });
  }
}

/** Masks as files at the server, sent once for each of their states. @type {WeakMap<object, {version: number, id: string}>} */
const sentMasks = new WeakMap();

/** @param {import("./mask.js").Mask | null} mask @param {boolean} anew @returns {Promise<string | null>} */
async function maskId(mask, anew) {
  if (!mask || mask.empty) return null;
  const sent = sentMasks.get(mask);
  if (sent?.version === mask.version && !anew) return sent.id;
  const { version } = mask;
  const remote = await sendFile(await writeMask(mask), "mask.png");
  sentMasks.set(mask, { version, id: remote.id });
  return remote.id;
}

/**
 * Hand the job in; where the server is full, again and again.
 * @param {Run} run
 * @returns {Promise<Job | null>} null when it was cancelled meanwhile
 */
async function handIn(run) {
  const { picture, task } = run;
  let anew = false;
  for (;;) {
    if (run.cancelled) return null;
    try {
      const remote = await picture.ready;
      const options = { ...run.options };
      if (run.method) options.method = run.method;
      const mask = await maskId(run.mask, anew);
      if (run.cancelled) return null;
      return await startJob({ task: task.name, file: remote.id, mask, options, format: run.format });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.status === 429) await new Promise(done => setTimeout(done, 1000 * Math.max(1, error.retryAfter)));
      else if ([404, 410].includes(error.status) && !anew) {
        // files are kept for a while only: everything is sent again, once
        anew = true;
        sendAgain(picture);
        for (const [name, value] of Object.entries(run.options)) {
          const file = typeof value === "string" ? attachments.get(value) : undefined;
          if (!file) continue;
          const sent = await sendFile(file, file.name);
          attachments.set(sent.id, file);
          if (state.options.get(task.name)?.[name] === value) chosenOptions()[name] = sent.id;
          run.options[name] = sent.id;
        }
      } else throw error;
    }
  }
}

/** @param {Run} run */
async function carry(run) {
  run.state = "sending";
  changed("run");
  run.job = await handIn(run);
  if (!run.job) return;
  if (run.cancelled) endJob(run.job.id).catch(() => {}); // while it was on its way
  run.state = "queued";
  changed("run");
  const ended = await followJob(run.job, (job, what) => hear(run, job, what));
  if (ended.problem && ended.state === "failed") throw new Refusal(ended.problem);
  if (ended.result) await finish(run, ended);
  else if (ended.state === "cancelled") announce(say("run.cancelled"));
}

/** @param {Run} run @param {Job} job @param {"state" | "progress" | "preview"} what */
function hear(run, job, what) {
  const before = run.state;
  run.job = job;
  if (job.state === "running" && run.state !== "running") {
    run.state = "running";
    run.started = performance.now();
  }
  if (run.state !== before) changed("run");
  else changed("progress");
  if (what === "preview" || (job.previews > 0 && !run.preview)) preview(run);
}

/** Runs whose preview is on its way: newer ones are left out meanwhile. @type {WeakSet<Run>} */
const fetching = new WeakSet();

/** @param {Run} run */
async function preview(run) {
  const { picture, job } = run;
  if (picture !== state.current || !job || fetching.has(run)) return;
  fetching.add(run);
  try {
    const layer = await layerOfCopy(await jobPreview(job.id, PREVIEW), picture.width, picture.height);
    if (!under.has(run) || picture !== state.current) return release(layer);
    release(run.preview);
    run.preview = layer;
    redraw();
  } catch {
    // the next one will do
  } finally {
    fetching.delete(run);
  }
}

let count = 0;

/** @param {Run} run @param {Job} job */
async function finish(run, job) {
  const made = job.result;
  if (!made) return;
  const { picture } = run;
  const seconds = (performance.now() - run.started) / 1000;
  const blob = await jobResult(job.id);
  /** @type {Result} */
  const result = {
    id: ++count, task: run.task.name, method: run.method, notes: job.notes, seconds,
    cancelled: job.state === "cancelled", width: made.width, height: made.height, format: made.format, name: made.name,
    job: job.id, blob, thumbnail: null, layer: null,
  };
  if (!state.pictures.includes(picture)) return;
  const layer = await layerOfResult(result);
  result.thumbnail = await thumbnailOf(layer);
  if (picture === state.current) result.layer = layer;
  else release(layer);
  picture.results.push(result);
  picture.shown = result;
  if (picture === state.current && wantsMask()) {
    state.tool = "hand"; // to look at it; the brush brings the mask back
    state.maskVisible = false;
  }
  changed("results", "tool", "view");
  announce(say(result.cancelled ? "run.best" : "run.done", { task: sayOr(`task.${run.task.name}`, run.task.title) }));
}

/**
 * A result as it is shown: the file itself, or a copy of what browsers cannot show.
 * @param {Result} result
 */
export async function layerOfResult(result) {
  if (decodable(result.format) && result.width * result.height <= MOST_PIXELS) {
    const layer = await layerOf(result.blob).catch(() => null);
    if (layer) return layer;
  }
  return layerOfCopy(await jobResult(result.job, RESULT_COPY), result.width, result.height);
}

/** @param {Run} run @param {unknown} error */
function fail(run, error) {
  if (run.cancelled && error instanceof Refusal && error.status === 404) return;
  const shown = state.task === run.task && error instanceof Refusal && error.option !== null && blame(error.option, error.message);
  const many = state.pictures.length > 1;
  if (!shown) complain(many ? `${run.picture.name}: ${error instanceof Error ? error.message : error}` : error);
}

/** Cancel what runs on a picture; a method that iterates leaves its best so far. @param {Picture} picture */
export function cancel(picture) {
  const { run } = picture;
  if (!run || run.state === "ended") return;
  run.cancelled = true;
  const at = waiting.indexOf(run);
  if (at >= 0) {
    waiting.splice(at, 1);
    run.state = "ended";
  } else if (run.job) endJob(run.job.id).catch(() => {});
  changed("run");
}

/** Cancel everything. */
export function cancelAll() {
  for (const picture of state.pictures) cancel(picture);
}
