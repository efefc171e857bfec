/** What a reader says instead, on servers that keep what they read: pages to learn from. */

import * as api from "./api.js";
import { make, say, sentence } from "./dom.js";
import { t } from "./language.js";

/** Fill the section `element`, hidden where the server keeps nothing, and of a picture's further ECGs: it is kept as
 * one. page: of app.js. */
export function correctable(element, page) {
  const { read, about } = page;
  element.hidden = !about.store || page.ecg > 1;
  const form = element.querySelector("form");
  const said = element.querySelector(".said");
  form.querySelector(".labels").append(...Object.entries(about.labels).map(([label, name]) => {
    const box = make("input", { type: "checkbox", name: "label", value: label, checked: read.findings.includes(label) });
    return make("label", { className: "check" }, box, sentence(name));
  }));
  const tell = (text, failed = false) => {
    said.textContent = t(text);
    said.classList.toggle("failed", failed);
    say(text);
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const labels = [...form.querySelectorAll("[name=label]:checked")].map((box) => box.value);
    try {
      await api.correct(read.id, { labels, report: form.elements.report.value.trim() || null });
      tell("Kept with the page. Thank you.");
    } catch (error) {
      tell(error.message, true);
    }
  });
  element.querySelector("[data-do=forget]").addEventListener("click", async () => {
    try {
      await api.forget(read.id);
      tell("The server no longer has this page.");
    } catch (error) {
      tell(error.message, true);
    }
  });
}
