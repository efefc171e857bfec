/** Questions about one page; the answer's words appear as they come. */

import * as api from "./api.js";
import { make, say } from "./dom.js";
import { language, t } from "./language.js";

const SUGGESTED = [
  "What is the rhythm?",
  "Are the intervals normal?",
  "Is there ST elevation, and in which leads?",
  "Is there a bundle branch block?",
  "How sure are you?",
];

/** Make a chat of the section `element`. page: of app.js; its `chat` keeps what was said while other pages are shown. */
export function talk(element, page) {
  const log = element.querySelector(".log");
  const form = element.querySelector("form");
  const field = form.elements.question;
  const stop = form.querySelector(".stop");
  const suggestions = element.querySelector(".suggestions");
  field.id = `question-${page.id}`;
  form.querySelector("label").htmlFor = field.id;

  const show = ({ from, text, failed }) => {
    const entry = make("p", { className: `turn ${from}${failed ? " failed" : ""}` },
      make("span", { className: "sr" }, from === "you" ? "You: " : "Answer: "), make("span", { className: "text" }, text));
    log.append(entry);
    log.scrollTop = log.scrollHeight;
    return entry;
  };
  page.chat.forEach(show);

  async function ask(question) {
    if (stop.onclick) return; // one at a time
    const before = page.chat.filter(({ from }) => from === "you").map(({ text }) => text);
    const turn = { from: "answer", text: "" };
    page.chat.push({ from: "you", text: question });
    show(page.chat.at(-1));
    const entry = show(turn);
    entry.classList.add("coming");
    log.setAttribute("aria-busy", "true"); // read out once it is whole
    const control = new AbortController();
    stop.hidden = false;
    stop.onclick = () => control.abort();
    const put = (text) => {
      turn.text = text;
      entry.querySelector(".text").textContent = text;
      log.scrollTop = log.scrollHeight;
    };
    try {
      const answer = await page.again((fields) => {
        put("");
        return api.ask({ ...fields, question, before, language }, (piece) => put(turn.text + piece), control.signal);
      });
      put(answer || turn.text);
    } catch (error) {
      turn.failed = true;
      entry.classList.add("failed");
      put(error.name === "AbortError" ? `${turn.text} … ${t("stopped")}`.trim() : error.message);
    }
    page.chat.push(turn);
    entry.classList.remove("coming");
    log.setAttribute("aria-busy", "false");
    stop.hidden = true;
    stop.onclick = null;
    say(turn.text);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const question = field.value.trim();
    if (!question || stop.onclick) return;
    field.value = "";
    ask(question);
  });
  suggestions.append(...SUGGESTED.map((question) => {
    const button = make("button", { type: "button" }, question);
    button.addEventListener("click", () => ask(t(question)));
    return make("li", {}, button);
  }));
}
