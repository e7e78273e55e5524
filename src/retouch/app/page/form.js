// The form of a task's options, made from its JSON Schema.

import { sendFile } from "./api.js";
import { byId, icon, make } from "./dom.js";
import { onChosen } from "./files.js";
import { complain } from "./notices.js";
import { fieldsOf, slides, stepOf } from "./schema.js";
import { changed, chosenMethod, chosenOptions, state, whenever } from "./state.js";
import { say, sayOr } from "./words.js";

/** @typedef {import("./schema.js").Field} Field */

/** File id -> the file that was sent under it, to send it again when the server has let it go. @type {Map<string, File>} */
export const attachments = new Map();

/** Options that are wrong, and why. @type {Map<string, string>} */
const wrong = new Map();

/** Write next to its option what the server says against it. @param {string} name @param {string} words @returns {boolean} */
export function blame(name, words) {
  const plain = name.replace(/^--/, "").replace(/-/g, "_");
  if (!document.getElementById(`option-${plain}`)) return false;
  wrong.set(plain, words);
  show();
  const control = byId(`option-${plain}`);
  const rest = control.closest("details");
  if (rest) rest.open = true;
  control.focus();
  return true;
}

/** @param {string} name @param {unknown} value undefined for the default */
function set(name, value) {
  const options = chosenOptions();
  if (value === undefined) delete options[name];
  else options[name] = value;
  const was = wrong.delete(name);
  if (was || name === "budget") changed("task");
}

/** @param {Field} field @returns {string} */
function titleOf(field) {
  const own = sayOr(`option.${state.task?.name}.${field.name}`, undefined) || sayOr(`option.${field.name}`, undefined);
  if (own) return own;
  const title = (field.title || field.name).replace(/_/g, " ");
  return title[0].toUpperCase() + title.slice(1) + (field.unit ? ` (${field.unit})` : "");
}

/** @param {Field} field @returns {string} */
function wordsOf(field) {
  return sayOr(`help.${state.task?.name}.${field.name}`, undefined) || sayOr(`help.${field.name}`, field.words);
}

/** @param {unknown} choice @returns {string} */
function choiceTitle(choice) {
  return sayOr(`choice.${choice}`, String(choice));
}

/** @param {Field} field @returns {HTMLElement} */
function build(field) {
  const id = `option-${field.name}`;
  const words = wordsOf(field), fault = wrong.get(field.name);
  const value = chosenOptions()[field.name] ?? field.initial ?? null;
  const control = CONTROLS[field.kind](field, id, value);
  const input = control.id === id ? control : control.querySelector(`#${CSS.escape(id)}`);
  input?.setAttribute("aria-describedby", `${id}-words${fault ? ` ${id}-fault` : ""}`);
  if (fault) input?.setAttribute("aria-invalid", "true");
  const title = make("label", { for: id, class: "field-title" }, titleOf(field),
    field.required ? make("span", { class: "needed" }, ` ${say("needed")}`) : null);
  return make("div", { class: `field ${field.kind}${slides(field) ? " sliding" : ""}` },
    title, control,
    words ? make("small", { id: `${id}-words` }, words) : null,
    fault ? make("small", { id: `${id}-fault`, class: "fault" }, fault) : null);
}

/** @type {Record<Field["kind"], (field: Field, id: string, value: unknown) => HTMLElement>} */
const CONTROLS = {
  switch: (field, id, value) => make("input", {
    id, type: "checkbox", role: "switch", checked: Boolean(value),
    /** @param {{target: HTMLInputElement}} event */
    change: ({ target }) => set(field.name, target.checked === field.initial ? undefined : target.checked),
  }),

  choice: (field, id, value) => {
    const select = make("select", {
      id,
      /** @param {{target: HTMLSelectElement}} event */
      change: ({ target }) => {
        const choice = target.value === "" ? null : field.choices[Number(target.value)];
        set(field.name, choice === (field.initial ?? null) ? undefined : choice);
      },
    });
    if (field.open || field.initial === undefined) {
      select.append(make("option", { value: "" }, say(field.required ? "choose" : "automatic")));
    }
    field.choices.forEach((choice, i) => select.append(make("option", { value: String(i) }, choiceTitle(choice))));
    select.value = value === null ? "" : String(field.choices.indexOf(value));
    return select;
  },

  number: (field, id, value) => {
    const step = stepOf(field);
    const bounds = { min: field.minimum, max: field.maximum };
    /** @param {number} asked */
    const hold = asked => {
      let held = Math.min(Math.max(asked, field.minimum ?? -Infinity), field.maximum ?? Infinity);
      if (field.whole) held = Math.round(held);
      set(field.name, held === field.initial ? undefined : held);
      return held;
    };
    const box = make("input", {
      id, type: "number", inputMode: field.whole ? "numeric" : "decimal", step: field.whole ? 1 : "any", ...bounds,
      value: value === null ? "" : String(value), placeholder: field.open ? say("automatic") : "",
      change: () => {
        if (box.value === "" || Number.isNaN(box.valueAsNumber)) {
          set(field.name, undefined);
          box.value = field.initial === null || field.initial === undefined ? "" : String(field.initial);
        } else box.value = String(hold(box.valueAsNumber));
        if (slider) slider.value = box.value;
      },
    });
    /** @type {HTMLInputElement | null} */
    const slider = slides(field) ? make("input", {
      type: "range", ...bounds, step, "aria-label": titleOf(field), tabIndex: -1,
      input: () => {
        box.value = String(hold(Number(slider?.value)));
      },
    }) : null;
    if (!slider) return box;
    slider.value = String(value ?? field.minimum);
    return make("div", { class: "slide" }, slider, box);
  },

  text: (field, id, value) => make("input", {
    id, type: "text", value: value === null ? "" : String(value), spellcheck: false, autocomplete: "off",
    placeholder: field.open ? say("automatic") : "",
    /** @param {{target: HTMLInputElement}} event */
    change: ({ target }) => {
      const words = target.value.trim();
      set(field.name, words === "" || words === field.initial ? undefined : words);
    },
  }),

  picture: (field, id, value) => {
    const input = make("input", { type: "file", accept: "image/*", hidden: true });
    const file = typeof value === "string" ? attachments.get(value) : undefined;
    /** @param {File} chosen */
    const take = async chosen => {
      try {
        const remote = await sendFile(chosen, chosen.name);
        attachments.set(remote.id, chosen);
        set(field.name, remote.id);
      } catch (error) {
        complain(error);
      }
      show();
    };
    onChosen(input, ([chosen]) => take(chosen));
    const others = state.pictures.filter(picture => picture !== state.current && picture.thumbnail).slice(0, 5);
    const name = file?.name ?? say("picture.choose");
    const button = make("button", { id, type: "button", class: "choose", click: () => input.click() },
      file && value ? make("img", { src: `/api/v1/files/${value}/preview?size=160`, alt: "" }) : icon("open"),
      make("span", {}, name));
    button.addEventListener("dragover", event => event.preventDefault());
    button.addEventListener("drop", event => {
      const dropped = event.dataTransfer?.files[0];
      event.preventDefault();
      event.stopPropagation();
      if (dropped) take(dropped);
    });
    const clear = file ? make("button", {
      type: "button", class: "quiet square", "aria-label": say("picture.clear"), title: say("picture.clear"),
      click: () => {
        set(field.name, undefined);
        show();
      },
    }, icon("close")) : null;
    const offered = others.map(picture => make("button", {
      type: "button", class: "offer", title: picture.name, "aria-label": say("picture.take", { name: picture.name }),
      click: () => take(picture.file),
    }, make("img", { src: picture.thumbnail, alt: "" })));
    return make("div", { class: "picture-field" }, make("div", { class: "row" }, button, clear), input,
      offered.length ? make("div", { class: "offers" }, ...offered) : null);
  },
};

/** The format of the results, which belongs to no task. @returns {HTMLElement} */
function formatField() {
  const select = make("select", {
    id: "option-format",
    /** @param {{target: HTMLSelectElement}} event */
    change: ({ target }) => {
      state.format = target.value || null;
    },
  });
  select.append(make("option", { value: "" }, say("format.same")));
  for (const format of ["png", "jpeg", "tiff", "webp", "avif"]) select.append(make("option", { value: format }, format.toUpperCase()));
  select.value = state.format ?? "";
  return make("div", { class: "field choice" },
    make("label", { for: "option-format", class: "field-title" }, say("format")), select);
}

let shownFor = "";

function show() {
  const { task } = state;
  if (!task) return;
  if (shownFor !== task.name) {
    wrong.clear();
    shownFor = task.name;
  }
  const { near, apart } = fieldsOf(task, chosenMethod());
  byId("options-title").hidden = near.length === 0;
  byId("options").replaceChildren(...near.map(build));
  byId("more-options").replaceChildren(...apart.map(build), formatField());
}

/** Take back all changes of the options. */
function reset() {
  if (!state.task) return;
  state.options.delete(state.task.name);
  wrong.clear();
  state.format = null;
  changed("task");
}

/** Begin to show. */
export function openForm() {
  whenever(["tasks", "task", "words"], show);
  byId("options-reset").addEventListener("click", reset);
  // the pictures on offer as a second one change with the strip
  whenever(["pictures", "picture"], () => {
    if (byId("options").querySelector(".picture-field")) show();
  });
}
