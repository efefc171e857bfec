/** Two ends that can be moved over the page, and the time and voltage between them. */

import { draw, make, say } from "./dom.js";
import { t } from "./language.js";

const REACH = 9; // screen px within which an end snaps

export class Caliper {
  /** viewer: of the page. readout: element that says what lies between the ends. */
  constructor(viewer, readout) {
    this.viewer = viewer;
    this.readout = readout;
    this.on = false;
    this.ends = [];
    this.box = draw("rect", { class: "span" });
    this.lines = [0, 1].map(() => draw("line", { class: "edge" }));
    this.group = draw("g", { class: "caliper hidden" }, this.box, ...this.lines);
    viewer.element.querySelector(".overlay").append(this.group);
    this.label = make("output", { className: "caliper-label hidden" });
    this.handles = ["Caliper, first end", "Caliper, second end"].map((name, k) => this.#handle(name, k));
    viewer.element.querySelector(".handles").append(this.label, ...this.handles);
  }

  toggle() {
    this.on = !this.on;
    const { element, stage, read, paper, size } = this.viewer;
    element.querySelector("[data-do=caliper]").setAttribute("aria-pressed", this.on);
    stage.classList.toggle("measuring", this.on);
    if (this.on && !this.ends.length) {
      // The first RR interval of a rhythm strip, or what 40 mm in the middle of the page hold.
      const beats = read.overlay.beats.filter((beat) => beat.rhythm);
      this.ends = beats.length > 1 ? [beats[0].at, beats[1].at] : [0, 40].map((mm) => {
        const [x, y] = paper.toMm([size.width / 2, size.height / 2]).map(Math.round);
        return paper.toPx([x + mm, y]);
      });
    }
    for (const part of [this.group, this.label, ...this.handles]) part.classList.toggle("hidden", !this.on);
    this.readout.textContent = "";
    if (this.on) this.#tell();
    else say("Caliper put away");
    this.viewer.pan(0, 0);
    this.place();
  }

  /** A new span from a point of the stage on; free: without snapping. */
  start(at, free) {
    const end = this.#snapped(at, free);
    this.ends = [end, end];
    this.place();
  }

  drag(at, free) {
    this.ends[1] = this.#snapped(at, free);
    this.place();
    this.#tell();
  }

  /** Draw it where the viewer's zoom and position put it. */
  place() {
    if (!this.on) return;
    const { viewer } = this;
    const [a, b] = this.ends.map((end) => viewer.toStage(end));
    const set = (element, values) => Object.entries(values).forEach(([name, value]) => element.setAttribute(name, value));
    const [left, right] = [Math.min(a[0], b[0]), Math.max(a[0], b[0])];
    const [top, bottom] = [Math.min(a[1], b[1]), Math.max(a[1], b[1])];
    set(this.box, { x: left, y: top, width: right - left, height: bottom - top });
    [a, b].forEach(([x], k) => set(this.lines[k], { x1: x, x2: x, y1: top - 24, y2: bottom + 24 }));
    [a, b].forEach(([x, y], k) => {
      this.handles[k].style.transform = `translate(${x}px, ${y}px)`;
    });
    const { clientWidth: width } = viewer.stage;
    this.label.value = this.#words();
    const x = Math.min(Math.max((left + right) / 2, this.label.offsetWidth / 2 + 4), width - this.label.offsetWidth / 2 - 4);
    const above = top - 32 - this.label.offsetHeight;
    this.label.style.transform = `translate(${x - this.label.offsetWidth / 2}px, ${above > 0 ? above : bottom + 32}px)`;
    const { ms } = viewer.paper.between(...this.ends);
    for (const handle of this.handles) {
      handle.setAttribute("aria-valuenow", Math.round(ms));
      handle.setAttribute("aria-valuetext", this.label.value);
    }
  }

  #words() {
    const { ms, mv } = this.viewer.paper.between(...this.ends);
    const rate = ms >= 150 ? ` · ${Math.round(60_000 / ms)} bpm` : "";
    return `${Math.round(ms)} ms${rate} · ${mv.toFixed(2).replace("-0.00", "0.00").replace("-", "−")} mV`;
  }

  #tell() {
    this.readout.textContent = t("Caliper: {span}", { span: this.#words() });
  }

  #snapped(at, free) {
    const end = this.viewer.toPicture(at);
    return free ? end : this.viewer.paper.snap(end, REACH / this.viewer.k);
  }

  #handle(name, k) {
    const handle = make("div", { className: "handle hidden", tabIndex: 0, role: "slider" });
    handle.setAttribute("aria-label", t(name));
    const { stage } = this.viewer;
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      handle.dataset.held = "";
    });
    handle.addEventListener("pointermove", (event) => {
      if (!("held" in handle.dataset)) return;
      const box = stage.getBoundingClientRect();
      this.ends[k] = this.#snapped([event.clientX - box.left, event.clientY - box.top], event.altKey);
      this.place();
      this.#tell();
    });
    for (const end of ["pointerup", "pointercancel"]) handle.addEventListener(end, () => delete handle.dataset.held);
    handle.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!way) return;
      event.preventDefault();
      event.stopPropagation();
      // A fifth of a millimetre, or with Shift a whole one: 8 or 40 ms at 25 mm/s.
      const { paper } = this.viewer;
      const mm = paper.toMm(this.ends[k]);
      this.ends[k] = paper.toPx(mm.map((value, axis) => value + way[axis] * (event.shiftKey ? 1 : 0.2)));
      this.place();
      this.#tell();
    });
    return handle;
  }
}
