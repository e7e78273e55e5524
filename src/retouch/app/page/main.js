// Retouch in the browser: what is done first.

import { getTasks } from "./api.js";
import { chooseFirstTask, openCards } from "./cards.js";
import { byId, icon } from "./dom.js";
import { openForm } from "./form.js";
import { openKeys, zoom } from "./keys.js";
import { openMaskTools } from "./masktools.js";
import { complain } from "./notices.js";
import { openPanel } from "./panel.js";
import { openPictures } from "./pictures.js";
import { openPointer } from "./pointer.js";
import { openResults } from "./results.js";
import { openRunBar } from "./runbar.js";
import { openStage, view, zoomToPixels } from "./stage.js";
import { changed, state } from "./state.js";
import { say } from "./words.js";

for (const place of document.querySelectorAll("[data-icon]")) {
  place.prepend(icon(/** @type {HTMLElement} */ (place).dataset.icon ?? ""));
}

openPanel();
openPictures();
openMaskTools();
openStage();
openPointer();
openCards();
openForm();
openRunBar();
openResults();
openKeys();

byId("zoom-in").addEventListener("click", () => zoom(1.25));
byId("zoom-out").addEventListener("click", () => zoom(0.8));
byId("zoom-pixels").addEventListener("click", () => zoomToPixels());
byId("zoom-fit").addEventListener("click", () => {
  view.fit();
  changed("view");
});

/** Learn what the server can do; while it cannot be reached, try again. */
async function learn() {
  for (;;) {
    try {
      const told = await getTasks();
      Object.assign(state, { tasks: told.tasks, version: told.version, device: told.device, limits: told.limits });
      byId("about").textContent = say("version", { version: told.version, device: told.device });
      chooseFirstTask();
      changed("tasks", "picture");
      document.body.classList.add("ready");
      return;
    } catch (error) {
      complain(error);
      await new Promise(done => setTimeout(done, 3000));
    }
  }
}

await learn();
