// The shapes of what the modules hand to one another, for editors and for `tsc --checkJs`; nothing here runs.

/**
 * One method of a task, as `GET /api/v1/tasks` tells it.
 * @typedef {object} Method
 * @property {string} name
 * @property {string} summary
 * @property {string} [cost] what it costs, in words
 * @property {string} [prefer] when to prefer it, in words
 * @property {number | null} seconds_per_megapixel null where there is no estimate
 * @property {number} spare_seconds up to which the automatic choice takes the mean of 2, 4 or 8 views
 * @property {boolean} iterative
 * @property {boolean} default what "auto" takes for a picture of a megapixel
 */

/**
 * One option in a JSON Schema.
 * @typedef {object} Property
 * @property {string | string[]} [type]
 * @property {Property[]} [anyOf]
 * @property {string} [title]
 * @property {string} [description]
 * @property {unknown} [default]
 * @property {unknown[]} [enum]
 * @property {unknown[]} [examples] what may be written, where other words may be too
 * @property {number} [minimum]
 * @property {number} [maximum]
 * @property {string} [format] "file-id" for a second picture
 * @property {boolean} [x-shared] whether it is an option of every task
 * @property {string} [x-unit]
 */

/**
 * @typedef {object} Task
 * @property {string} name
 * @property {string} title
 * @property {string} summary
 * @property {"none" | "optional" | "required"} mask
 * @property {Method[]} methods
 * @property {{properties: Record<string, Property>, required?: string[]}} schema
 */

/**
 * @typedef {object} Limits
 * @property {number} upload_bytes
 * @property {number} pixels
 */

/**
 * A picture as the server holds it; width and height are upright.
 * @typedef {object} Remote
 * @property {string} id
 * @property {string} name
 * @property {number} width
 * @property {number} height
 * @property {string} format
 * @property {number} bytes
 * @property {boolean} has_alpha
 */

/**
 * @typedef {object} Problem
 * @property {string} title
 * @property {number} [status]
 * @property {string} [detail]
 * @property {string} [option] the option that is wrong, where it is one
 */

/**
 * @typedef {object} Job
 * @property {string} id
 * @property {string} task
 * @property {"queued" | "running" | "done" | "failed" | "cancelled"} state
 * @property {number | null} position
 * @property {{index: number, total: number, seconds_left: number | null, note: string | null} | null} progress
 * @property {number} previews
 * @property {string[]} notes
 * @property {{width: number, height: number, format: string, bytes: number, name: string} | null} result
 * @property {Problem | null} problem
 */

/**
 * A decoded picture: all its pixels, and a copy no larger than screens are. `full` is null where the copy is all.
 * @typedef {object} Layer
 * @property {ImageBitmap | null} full
 * @property {ImageBitmap} small
 * @property {number} width of the picture, in its own pixels
 * @property {number} height
 * @property {Promise<void>} settled when the copy is made; until then it is the whole
 */

/**
 * One picture in the strip.
 * @typedef {object} Picture
 * @property {number} id
 * @property {File} file
 * @property {string} name
 * @property {number} width 0 until it is known
 * @property {number} height
 * @property {Remote | null} remote
 * @property {Promise<Remote>} ready settles when the server has it
 * @property {Layer | null} layer only of the picture that is shown
 * @property {string | null} thumbnail object URL
 * @property {string | null} trouble why it cannot be used
 * @property {import("./mask.js").Mask | null} mask
 * @property {Result[]} results the oldest first
 * @property {Result | null} shown which result is compared with it
 * @property {Run | null} run what is under way
 */

/**
 * What came out of a run.
 * @typedef {object} Result
 * @property {number} id
 * @property {string} task
 * @property {string} method as it was asked for, "" where there is only one
 * @property {string[]} notes
 * @property {number} seconds
 * @property {boolean} cancelled the best until it was cancelled
 * @property {number} width
 * @property {number} height
 * @property {string} format
 * @property {string} name
 * @property {string} job
 * @property {Blob} blob the file as the server wrote it
 * @property {string | null} thumbnail object URL
 * @property {Layer | null} layer
 */

/**
 * A job and what goes before it.
 * @typedef {object} Run
 * @property {Picture} picture
 * @property {Task} task
 * @property {import("./mask.js").Mask | null} mask of this picture, or of another one
 * @property {string} method
 * @property {Record<string, unknown>} options
 * @property {string | null} format
 * @property {"waiting" | "sending" | "queued" | "running" | "ended"} state
 * @property {Job | null} job
 * @property {Layer | null} preview
 * @property {number} started milliseconds, of performance.now()
 * @property {boolean} cancelled
 */

export {};
