/** The page: which ECG pages are open, which one is shown, and what is being read. */

import * as api from "./api.js";
import { showCompare } from "./compare.js";
import { clone, make, say, sentence } from "./dom.js";
import { takeIn } from "./intake.js";
import { language, t, translate } from "./language.js";
import { showRead, splitVerdict } from "./panels.js";

// An app of its own where the browser can install one; its files are there without the server, too.
navigator.serviceWorker?.register("worker.js").catch(() => {});

const AT_ONCE = 2; // pages that are being read at the same time
const $ = (id) => document.getElementById(id);

/** The server's own description, asked for once; null until it has come. */
let about = null;
const pages = [];
let shown = null; // the page on the screen
let comparing = false;
let count = 0;

/** One page of a file. state: "waiting", "reading", "read" or "failed". */
class Page {
  constructor(file, index = undefined, pictureToo = false) {
    this.id = ++count;
    this.file = file;
    this.index = index;
    this.pictureToo = pictureToo;
    this.name = index === undefined ? file.name : `${file.name}, page ${index + 1}`;
    this.state = "waiting";
    this.progress = 0;
    this.picture = "";
    this.read = null;
    this.error = null;
    this.chat = [];
    this.ecg = 1; // of those on the picture
    this.about = about;
    this.control = new AbortController(); // ends the reading of a page that is removed
  }

  /** Send the page again by its id, or itself where the server no longer has it; call(fields) does the sending. */
  async again(call) {
    if (this.read.id) {
      try {
        return await call({ id: this.read.id, ecg: this.ecg });
      } catch (error) {
        if (error.code !== "gone") throw error;
      }
    }
    return call({ image: this.file, page: this.index, ecg: this.ecg });
  }

  /** A page each for the other ECGs on the picture, which were read with this one. */
  others() {
    const { others = [], id, picture } = this.read;
    return others.map((read, k) => Object.assign(new Page(this.file, this.index), {
      ecg: k + 2, name: `${this.name} (ECG ${k + 2})`, state: "read", picture: this.picture, read: { ...read, id, picture },
    }));
  }
}

async function receive(files) {
  if (!files.length) return;
  await translated;
  try {
    await learn();
  } catch (error) {
    fail(error);
    return;
  }
  const fresh = files.map((file) => new Page(file));
  pages.push(...fresh);
  comparing = false;
  show(fresh[0]);
  work();
}

/** Know the server before anything is sent to it, and ask for a key where it wants one. */
async function learn() {
  about ??= await api.about(language);
  $("model").textContent = about.model ? t("Model {name}.", { name: about.model }) : "";
  $("label-count").textContent = Object.keys(about.labels).length;
  $("key-open").hidden = !about.keys;
  if (about.store) {
    $("privacy").textContent =
      t("Pages go to this server only, which keeps what it reads, as its owner set it up. No third party is asked anything.");
  }
}

function fail(error) {
  say(error.message);
  $("formats").textContent = error.message;
  $("formats").classList.add("failed");
}

/** Read what waits, a few at a time. */
function work() {
  const busy = pages.filter((page) => page.state === "reading").length;
  for (const page of pages.filter((page) => page.state === "waiting").slice(0, AT_ONCE - busy)) readPage(page);
}

async function readPage(page) {
  page.state = "reading";
  page.about = about;
  refresh(page);
  if (!page.picture && !page.pictureToo) {
    page.picture = await ownPicture(page.file);
    page.pictureToo = !page.picture;
    refresh(page);
  }
  try {
    await readOnce(page);
  } catch (error) {
    page.error = error;
    page.state = "failed";
    if (error.name !== "AbortError") say(`${page.name}: ${error.message}`);
    if (error.code === "unauthorized") askForKey();
  }
  refresh(page);
  work();
}

async function readOnce(page) {
  const fields = { image: page.file, page: page.index, overlay: true, preview: page.pictureToo || undefined, language };
  const uploaded = (fraction) => {
    page.progress = fraction;
    refreshProgress(page);
  };
  for (;;) {
    try {
      page.read = await api.read(fields, uploaded, page.control.signal);
      break;
    } catch (error) {
      if (!error.retryAfter || !pages.includes(page)) throw error;
      page.progress = 0;
      page.note = t("The server is busy; trying again in {seconds} s.", { seconds: error.retryAfter });
      refreshProgress(page);
      await new Promise((done) => setTimeout(done, 1000 * error.retryAfter));
      page.note = "";
    }
  }
  page.picture = page.read.preview ?? page.picture;
  delete page.read.preview;
  page.state = "read";
  say(`${page.name}: ${page.read.answer}`);
  if (page.index === undefined && page.read.pages > 1) {
    // The server chose the first ECG of the file, perhaps on two pages; those behind it may show others.
    const numbers = page.read.page_numbers;
    const first = Math.max(...numbers) + 1;
    const others = Array.from({ length: page.read.pages - first }, (_, k) => new Page(page.file, first + k, page.pictureToo));
    pages.splice(pages.indexOf(page) + 1, 0, ...others);
    if (numbers.length === 1) page.index = numbers[0];
    page.name = `${page.file.name}, page ${numbers.map((number) => number + 1).join(" + ")}`;
  }
  const more = page.others();
  if (!more.length) return;
  pages.splice(pages.indexOf(page) + 1, 0, ...more);
  page.name = `${page.name} (ECG 1)`;
}

/** URL of the file's picture where the browser can draw it, else "". */
async function ownPicture(file) {
  if (!file.type.startsWith("image/") || /tiff?$/.test(file.type)) return "";
  const url = URL.createObjectURL(file);
  const picture = new Image();
  picture.src = url;
  try {
    await picture.decode();
    return url;
  } catch {
    URL.revokeObjectURL(url);
    return "";
  }
}

function remove(page) {
  pages.splice(pages.indexOf(page), 1);
  page.control.abort();
  if (page.picture.startsWith("blob:") && !pages.some((other) => other.picture === page.picture)) {
    URL.revokeObjectURL(page.picture);
  }
  if (shown === page) show(pages.at(-1) ?? null);
  else strip();
}

/** Put a page on the screen; null: the start. */
function show(page) {
  shown = page;
  comparing = false;
  $("start").hidden = page !== null;
  $("work").hidden = page === null;
  document.body.classList.toggle("working", page !== null);
  strip();
  if (page === null) {
    $("view").replaceChildren();
    $("choose").focus();
    return;
  }
  draw(page);
}

function refresh(page) {
  strip();
  if (shown === page && !comparing) draw(page);
}

function draw(page) {
  if (page.state === "read") {
    showRead($("view"), page);
  } else if (page.state === "failed") {
    showRefusal(page);
  } else {
    showWait(page);
  }
}

function showWait(page) {
  const element = clone("wait-template");
  element.querySelector("h2").textContent = page.name;
  element.querySelector("progress").setAttribute("aria-label", t("Reading {name}", { name: page.name }));
  if (page.picture) element.querySelector("img").src = page.picture;
  else element.querySelector(".sweep").remove();
  $("view").replaceChildren(element);
  refreshProgress(page);
}

function refreshProgress(page) {
  const bar = document.querySelector(".wait progress");
  if (shown !== page || !bar) return;
  const words = document.querySelector(".wait .small");
  if (page.state === "waiting") {
    bar.value = 0;
    words.textContent = t("Waits for the pages before it.");
  } else if (page.progress < 1) {
    bar.value = page.progress;
    words.textContent = page.note || t("Sending, {share}", { share: `${Math.round(100 * page.progress)}%` });
  } else {
    bar.removeAttribute("value"); // how long reading takes cannot be told
    words.textContent = t("Finding the grid, following the traces, judging.");
  }
}

function showRefusal(page) {
  const element = clone("refusal-template");
  if (page.picture) element.querySelector("img").src = page.picture;
  else element.querySelector("img").remove();
  const { code, message, said } = page.error;
  element.querySelector("h2").textContent = t(code === "not_an_ecg" ? "I see no 12-lead ECG here" : "This page could not be read");
  element.querySelector(".message").textContent = sentence(message);
  if (said === message) element.querySelector(".said").remove();
  else element.querySelector(".said").textContent = sentence(said);
  element.querySelector("ul").hidden = !["not_an_ecg", "too_small"].includes(code);
  element.querySelector("[data-do=again]").addEventListener("click", () => {
    page.state = "waiting";
    page.progress = 0;
    refresh(page);
    work();
  });
  element.querySelector("[data-do=remove]").addEventListener("click", () => remove(page));
  $("view").replaceChildren(element);
}

/** The row of open pages. */
function strip() {
  const focused = document.activeElement?.closest?.("#pages li")?.dataset.page;
  $("pages").replaceChildren(...pages.map(tile));
  if (focused) $("pages").querySelector(`[data-page="${focused}"] .open`)?.focus();
  const left = pages.filter((page) => ["waiting", "reading"].includes(page.state)).length;
  $("count").textContent = left && pages.length > 1 ? t("{done} of {all} done", { done: pages.length - left, all: pages.length }) : "";
  $("compare-open").hidden = pages.filter((page) => page.state === "read").length < 2;
  $("compare-open").setAttribute("aria-pressed", comparing);
}

function tile(page) {
  const words = { waiting: "waits", reading: "is being read", read: "", failed: "not read" }[page.state];
  const verdict = page.state === "read" ? splitVerdict(page.read.answer).filter(Boolean).join(": ") : words;
  const open = make("button", { type: "button", className: "open" },
    ...(page.picture ? [make("img", { src: page.picture, alt: "" })] : []),
    make("span", { className: "title" }, page.name), make("span", { className: "result" }, verdict));
  if (page === shown && !comparing) open.setAttribute("aria-current", "true");
  open.addEventListener("click", () => show(page));
  const close = make("button", { type: "button", className: "close", title: t("Remove") }, "×");
  close.setAttribute("aria-label", t("Remove {name}", { name: page.name }));
  close.addEventListener("click", () => remove(page));
  const item = make("li", { className: page.state }, open, close);
  item.dataset.page = page.id;
  return item;
}

function toggleCompare() {
  if (comparing) {
    show(shown);
    return;
  }
  comparing = true;
  strip();
  showCompare($("view"), pages.filter((page) => page.state === "read"), () => show(shown));
}

function askForKey() {
  if (!$("key").open) $("key").showModal();
}

async function showSamples() {
  const response = await fetch("samples/samples.json").catch(() => null); // none without the server
  $("samples-title").hidden = !response?.ok;
  if (!response?.ok) return;
  const samples = await response.json();
  $("samples").append(...samples.map(({ file, title, note, width, height }) => {
    const button = make("button", { type: "button" },
      make("img", { src: `samples/${file}`, alt: "", loading: "lazy", width, height }),
      make("span", { className: "title" }, title), make("span", { className: "note" }, note));
    button.addEventListener("click", async () => {
      const blob = await (await fetch(`samples/${file}`)).blob();
      receive([new File([blob], `${t(title)}, simulated.webp`, { type: blob.type })]);
    });
    return make("li", {}, button);
  }));
}

const translated = translate($("language")).catch(fail); // without its words the page stays English
takeIn(receive); // at once: what comes before the page's words waits for them
$("compare-open").addEventListener("click", toggleCompare);
$("key-open").addEventListener("click", askForKey);
$("key").addEventListener("close", () => {
  if ($("key").returnValue !== "save") return;
  api.useKey($("key-value").value);
  for (const page of pages.filter(({ error }) => error?.code === "unauthorized")) {
    page.error = null;
    page.state = "waiting";
    refresh(page);
  }
  work();
});
await translated;
showSamples();
learn().catch(fail);
