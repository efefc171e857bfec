/** Two pages side by side, and what differs between them. */

import { clone, make, percent, sentence, signed, space } from "./dom.js";
import { t } from "./language.js";
import { Viewer } from "./viewer.js";

/** pages: those that have been read, two at least; close(): when the reader has seen enough. */
export function showCompare(place, pages, close) {
  const element = clone("compare-template");
  const selects = [...element.querySelectorAll("select")];
  const together = element.querySelector("input");
  const viewers = [];
  let moving = false;

  const show = (side) => {
    const page = pages[selects[side].selectedIndex];
    const viewer = new Viewer(element.querySelectorAll(".viewer-place")[side], page.read, page.picture, page.name);
    viewer.addEventListener("view", () => {
      const other = viewers[1 - side];
      if (moving || !other || !together.checked) return;
      moving = true; // the other one's own event must not come back
      other.view = viewer.view;
      moving = false;
    });
    viewers[side] = viewer;
    const chosen = selects.map((select) => pages[select.selectedIndex]);
    element.querySelector("tbody").replaceChildren(...differences(...chosen));
  };

  selects.forEach((select, side) => {
    select.append(...pages.map((page) => make("option", {}, page.name)));
    select.selectedIndex = side;
    select.addEventListener("change", () => show(side));
  });
  element.querySelector("[data-do=close]").addEventListener("click", close);
  place.replaceChildren(element);
  show(0);
  show(1);
  element.querySelector("h2").focus({ preventScroll: true });
}

function differences(a, b) {
  const row = (name, first, second, change, changed) => make("tr", { className: changed ? "changed" : "" },
    make("th", { scope: "row" }, sentence(name)), ...[first, second, change].map((text) => make("td", {}, text)));
  const measured = Object.entries(a.about.measurements).map(([key, { name, unit }]) => {
    const values = [a, b].map((page) => page.read.measurements[key]);
    const said = values.map((value) => (value === null ? "not known" : `${signed(Math.round(value))}${space(unit)}`));
    if (values.includes(null)) return row(name, ...said, "", false);
    const change = Math.round(values[1]) - Math.round(values[0]);
    const sign = change > 0 ? "+" : change < 0 ? "−" : "±";
    return row(name, ...said, `${sign}${Math.abs(change)}${space(unit)}`, false);
  });
  const found = Object.keys(a.read.labels).filter((label) => [a, b].some((page) => page.read.findings.includes(label)));
  const judged = found.map((label) => {
    const has = [a, b].map((page) => page.read.findings.includes(label));
    const said = [a, b].map((page, k) => `${t(has[k] ? "found" : "not found")}, ${percent(page.read.labels[label])}`);
    return row(a.about.labels[label] ?? label, ...said, has[0] === has[1] ? "same" : has[1] ? "only second" : "only first", has[0] !== has[1]);
  });
  return [...judged, ...measured];
}
