// The HTTP interface, as functions. Whatever goes wrong is thrown as a Refusal that people can read.

import { say } from "./words.js";

/** @typedef {import("./types.js").Job} Job */
/** @typedef {import("./types.js").Remote} Remote */
/** @typedef {import("./types.js").Problem} Problem */

const ROOT = "/api/v1";

/** What the server refused, and why. */
export class Refusal extends Error {
  /**
   * @param {Problem} problem
   * @param {number} retryAfter seconds, 0 where the server did not say
   */
  constructor(problem, retryAfter = 0) {
    super(problem.detail || problem.title);
    this.status = problem.status ?? 0;
    this.option = problem.option ?? null;
    this.retryAfter = retryAfter;
  }
}

/**
 * @param {string} path below /api/v1
 * @param {RequestInit} [init]
 * @returns {Promise<Response>}
 */
async function ask(path, init) {
  let response;
  try {
    response = await fetch(ROOT + path, init);
  } catch {
    throw new Refusal({ title: say("trouble.server") });
  }
  if (response.ok) return response;
  /** @type {Problem} */
  let problem = { title: say("trouble.status", { n: response.status }) };
  if (response.headers.get("Content-Type")?.includes("json")) problem = await response.json().catch(() => problem);
  throw new Refusal({ ...problem, status: response.status }, Number(response.headers.get("Retry-After")) || 0);
}

/** @returns {Promise<{version: string, device: string, limits: import("./types.js").Limits, tasks: import("./types.js").Task[]}>} */
export async function getTasks() {
  return (await ask("/tasks")).json();
}

/**
 * @param {Blob} blob the file, byte by byte as it is
 * @param {string} name
 * @returns {Promise<Remote>}
 */
export async function sendFile(blob, name) {
  const headers = { "Content-Type": blob.type || "application/octet-stream", "X-File-Name": encodeURIComponent(name) };
  return (await ask("/files", { method: "POST", body: blob, headers })).json();
}

/** @param {string} id */
export async function forgetFile(id) {
  await ask(`/files/${id}`, { method: "DELETE" });
}

/**
 * The picture as the server decodes it, for formats that the browser cannot.
 * @param {string} id
 * @param {number} size longest side, at most
 * @returns {Promise<Blob>}
 */
export async function filePreview(id, size) {
  return (await ask(`/files/${id}/preview?size=${size}`)).blob();
}

/**
 * @param {{task: string, file: string, mask: string | null, options: Record<string, unknown>, format: string | null}} order
 * @returns {Promise<Job>}
 */
export async function startJob(order) {
  const headers = { "Content-Type": "application/json" };
  return (await ask("/jobs", { method: "POST", body: JSON.stringify(order), headers })).json();
}

/** @param {string} id @returns {Promise<Job>} */
export async function getJob(id) {
  return (await ask(`/jobs/${id}`)).json();
}

/** Cancel a job, or remove one that has ended. @param {string} id */
export async function endJob(id) {
  await ask(`/jobs/${id}`, { method: "DELETE" });
}

/** The newest picture of a job that is under way. @param {string} id @param {number} size @returns {Promise<Blob>} */
export async function jobPreview(id, size) {
  return (await ask(`/jobs/${id}/preview?size=${size}`)).blob();
}

/**
 * The result as a file, or with `size` a copy for the screen.
 * @param {string} id
 * @param {number} [size]
 * @returns {Promise<Blob>}
 */
export async function jobResult(id, size) {
  return (await ask(`/jobs/${id}/result${size ? `?size=${size}` : ""}`)).blob();
}

const ENDED = new Set(["done", "failed", "cancelled"]);

/**
 * Hear about a job until it has ended: by server-sent events, and by asking where they break off for good.
 * @param {Job} job
 * @param {(job: Job, what: "state" | "progress" | "preview") => void} hear
 * @returns {Promise<Job>} as it ended
 */
export function followJob(job, hear) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(`${ROOT}/jobs/${job.id}/events`);
    let over = false;
    /** @param {Job} now @param {"state" | "progress" | "preview"} what */
    const told = (now, what) => {
      if (over) return;
      hear(now, what);
      if (!ENDED.has(now.state)) return;
      over = true;
      source.close();
      resolve(now);
    };
    for (const what of /** @type {const} */ (["state", "progress", "preview"])) {
      source.addEventListener(what, event => told(JSON.parse(event.data), what));
    }
    source.addEventListener("error", async () => {
      // while it is CONNECTING the browser tries again by itself, but it cannot tell that a job is gone
      try {
        told(await getJob(job.id), "state");
        if (!over && source.readyState === EventSource.CLOSED) poll();
      } catch (error) {
        if (over || !(error instanceof Refusal) || (error.status === 0 && source.readyState !== EventSource.CLOSED)) return;
        over = true;
        source.close();
        reject(error);
      }
    });
    const poll = async () => {
      while (!over) {
        await new Promise(done => setTimeout(done, 1000));
        try {
          told(await getJob(job.id), "state");
        } catch (error) {
          over = true;
          reject(error);
        }
      }
    };
  });
}
