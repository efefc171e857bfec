/** The page picture with its overlay: layers, zoom, pan, calipers. One object a picture on the screen. */

import { Caliper } from "./caliper.js";
import { clone, draw, make, say } from "./dom.js";
import { t } from "./language.js";
import { Paper } from "./paper.js";

const LAYERS = ["grid", "leads", "traces", "beats", "intervals", "evidence"];
const remembered = new Set(["traces", "beats"]); // the layers that a new viewer shows
const MAX_ZOOM = 24; // screen px for one px of the picture
const LEFT_BELOW = -8; // corner of a lead's outline: four sides of eight points, clockwise from the left top
const points = (list) => list.map(([x, y]) => `${x},${y}`).join(" ");

export class Viewer extends EventTarget {
  /** place: element to fill. read: of /v1/read, with overlay. picture: URL of the picture. name: for screen readers. */
  constructor(place, read, picture, name) {
    super();
    this.read = read;
    this.shown = new Set(remembered);
    this.size = read.picture;
    this.paper = new Paper(read);
    this.k = 1; // screen px for one px of the picture
    this.x = 0; // screen px where its left top corner lies
    this.y = 0;
    this.fitted = true;
    this.pointers = new Map();

    this.element = clone("viewer-template");
    const find = (selector) => this.element.querySelector(selector);
    this.stage = find(".stage");
    this.sheet = find(".sheet");
    this.image = find(".picture");
    this.image.src = picture;
    this.image.style.width = `${this.size.width}px`;
    this.image.style.height = `${this.size.height}px`;
    this.stage.setAttribute("aria-label", `${name}: picture of the page. Arrow keys move it, plus and minus zoom.`);
    this.stage.style.aspectRatio = `${this.size.width} / ${this.size.height}`;
    this.#drawLayers();
    this.#layerButtons(find(".layers"));
    this.caliper = new Caliper(this, find(".readout"));
    find("[data-do=full]").hidden = !document.fullscreenEnabled;
    for (const button of this.element.querySelectorAll("[data-do]")) {
      button.addEventListener("click", () => this.#do(button.dataset.do));
    }
    this.stage.addEventListener("pointerdown", (event) => this.#down(event));
    this.stage.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) this.stage.addEventListener(end, (event) => this.#up(event));
    this.stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.stage.addEventListener("dblclick", (event) => this.zoom(2, this.#at(event)));
    this.stage.addEventListener("keydown", (event) => this.#key(event));
    place.replaceChildren(this.element);
    new ResizeObserver(() => this.fitted && this.fit()).observe(this.stage);
    this.fit();
  }

  /** Show the whole page. */
  fit() {
    const { clientWidth: w, clientHeight: h } = this.stage;
    if (!w || !h) return;
    this.k = this.least = Math.min(w / this.size.width, h / this.size.height);
    this.x = (w - this.k * this.size.width) / 2;
    this.y = (h - this.k * this.size.height) / 2;
    this.fitted = true;
    this.#place();
  }

  /** Zoom around a point of the stage, in screen px; its middle where none is given. */
  zoom(factor, at = [this.stage.clientWidth / 2, this.stage.clientHeight / 2]) {
    const k = Math.min(Math.max(this.k * factor, this.least), MAX_ZOOM);
    if (k <= this.least) {
      this.fit();
      return;
    }
    this.x = at[0] - ((at[0] - this.x) * k) / this.k;
    this.y = at[1] - ((at[1] - this.y) * k) / this.k;
    this.k = k;
    this.fitted = false;
    this.#place();
  }

  pan(dx, dy) {
    if (this.fitted) return;
    this.x += dx;
    this.y += dy;
    this.#place();
  }

  /** Zoom and middle as the two viewers of a comparison share them: relative to the whole page. */
  get view() {
    const { clientWidth: w, clientHeight: h } = this.stage;
    return {
      zoom: this.k / this.least,
      x: (w / 2 - this.x) / this.k / this.size.width,
      y: (h / 2 - this.y) / this.k / this.size.height,
    };
  }

  set view({ zoom, x, y }) {
    if (zoom <= 1) {
      this.fit();
      return;
    }
    this.k = this.least * zoom;
    this.x = this.stage.clientWidth / 2 - x * this.k * this.size.width;
    this.y = this.stage.clientHeight / 2 - y * this.k * this.size.height;
    this.fitted = false;
    this.#place();
  }

  /** Switch a layer; without `on` to the other state. */
  toggle(name, on = !this.shown.has(name)) {
    for (const layers of [this.shown, remembered]) layers[on ? "add" : "delete"](name);
    this.layers[name].classList.toggle("hidden", !on);
    const button = this.element.querySelector(`[data-layer=${name}]`);
    button.setAttribute("aria-pressed", on);
    if (name === "evidence" && on && !this.layers.evidence.hasChildNodes()) this.dispatchEvent(new Event("evidence"));
  }

  /** Mark where a finding shows; null for none. An event "evidence" asks for one, where the layer has none to show. */
  showEvidence(label) {
    const shown = label === null ? [] : (this.read.overlay.evidence[label]?.regions ?? []);
    this.layers.evidence.replaceChildren(
      ...shown.map((region) => draw("polygon", { points: points(region.outline), class: "region" })),
    );
    if (shown.length) this.toggle("evidence", true);
  }

  /** Screen px of the stage -> px of the picture, and back. */
  toPicture([x, y]) {
    return [(x - this.x) / this.k, (y - this.y) / this.k];
  }

  toStage([x, y]) {
    return [x * this.k + this.x, y * this.k + this.y];
  }

  #drawLayers() {
    const { overlay } = this.read;
    const drawn = {
      grid: this.paper.lines().map((line) => draw("polyline", { points: points(line) })),
      intervals: overlay.intervals.map(({ name, outline }) =>
        draw("polygon", { points: points(outline), class: name.toLowerCase() }, draw("title", {}, name))),
      traces: overlay.traces.flatMap(({ lines }) => lines.map((line) => draw("polyline", { points: points(line) }))),
      leads: overlay.leads.flatMap(({ lead, outline }) => [
        draw("polygon", { points: points(outline) }),
        // Below the trace: above it stands the printed name.
        draw("text", { x: outline.at(LEFT_BELOW)[0], y: outline.at(LEFT_BELOW)[1], dy: "1em" }, lead),
      ]),
      evidence: [],
      beats: overlay.beats.map(({ at, premature }) =>
        draw("circle", { cx: at[0], cy: at[1], r: 0.7 * this.read.page.px_per_mm, class: premature ? "premature" : "beat" })),
    };
    this.layers = Object.fromEntries(Object.entries(drawn).map(([name, shapes]) =>
      [name, draw("g", { class: `layer ${name}${this.shown.has(name) ? "" : " hidden"}` }, ...shapes)]));
    this.layers.leads.setAttribute("font-size", 3.2 * this.read.page.px_per_mm);
    this.sheet.append(...Object.values(this.layers));
  }

  #layerButtons(place) {
    place.append(...LAYERS.map((name, k) => {
      const button = make("button", { type: "button", title: `${t(name)} (${k + 1})` }, name);
      button.dataset.layer = name;
      button.setAttribute("aria-pressed", this.shown.has(name));
      button.hidden = name === "evidence" && !this.#hasEvidence;
      button.addEventListener("click", () => this.toggle(name));
      return button;
    }));
  }

  get #hasEvidence() {
    return Object.values(this.read.overlay.evidence).some(({ regions }) => regions.length);
  }

  #do(what) {
    if (what === "caliper") this.caliper.toggle();
    else if (what === "fit") this.fit();
    else if (what === "full") this.#fullScreen();
    else this.zoom(what === "in" ? 1.5 : 1 / 1.5);
  }

  #fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.element.requestFullscreen();
  }

  #place() {
    const { clientWidth: w, clientHeight: h } = this.stage;
    // Half of the stage stays filled, so that the page cannot be lost.
    this.x = Math.min(Math.max(this.x, w / 2 - this.k * this.size.width), w / 2);
    this.y = Math.min(Math.max(this.y, h / 2 - this.k * this.size.height), h / 2);
    this.image.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.k})`;
    this.sheet.setAttribute("transform", `translate(${this.x} ${this.y}) scale(${this.k})`);
    // On a phone the page scrolls under a finger until the picture is zoomed or measured.
    this.stage.style.touchAction = this.fitted && !this.caliper?.on ? "pan-x pan-y" : "none";
    this.stage.classList.toggle("zoomed", !this.fitted);
    this.caliper?.place();
    this.dispatchEvent(new Event("view"));
  }

  #at(event) {
    const box = this.stage.getBoundingClientRect();
    return [event.clientX - box.left - this.stage.clientLeft, event.clientY - box.top - this.stage.clientTop];
  }

  #down(event) {
    if (event.button !== 0 || event.target.closest(".handle")) return;
    this.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.#at(event));
    if (this.caliper.on && this.pointers.size === 1) this.caliper.start(this.#at(event), event.altKey);
  }

  #move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.#at(event);
    if (this.pointers.size === 2) {
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const apart = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]);
      this.zoom(apart(now) / Math.max(1, apart(before)), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
      this.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    } else if (this.caliper.on) {
      this.caliper.drag(now, event.altKey);
    } else {
      this.pan(now[0] - before[0], now[1] - before[1]);
    }
    this.pointers.set(event.pointerId, now);
  }

  #up(event) {
    this.pointers.delete(event.pointerId);
  }

  #wheel(event) {
    // A plain wheel scrolls the document unless the picture is in use.
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== this.stage) return;
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), this.#at(event));
  }

  #key(event) {
    if (event.target !== this.stage || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 60;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const layer = LAYERS.filter((name) => name !== "evidence" || this.#hasEvidence)[Number(key) - 1];
    const actions = {
      "+": () => this.zoom(1.25),
      "=": () => this.zoom(1.25),
      "-": () => this.zoom(0.8),
      0: () => this.fit(),
      ArrowLeft: () => this.pan(step, 0),
      ArrowRight: () => this.pan(-step, 0),
      ArrowUp: () => this.pan(0, step),
      ArrowDown: () => this.pan(0, -step),
      c: () => this.caliper.toggle(),
      f: () => this.#fullScreen(),
    };
    if (layer) {
      this.toggle(layer);
      say(`${t(layer)}: ${t(this.shown.has(layer) ? "shown" : "hidden")}`);
    } else if (actions[key] && !(this.fitted && key.startsWith("Arrow"))) {
      actions[key]();
    } else return;
    event.preventDefault();
  }
}
