/** One page that has been read: its answer, findings, measurements, report and questions, beside its picture. */

import * as api from "./api.js";
import { talk } from "./chat.js";
import { correctable } from "./correct.js";
import { clone, leftToRight, make, percent, save, say, sentence, signed, space } from "./dom.js";
import { language, t } from "./language.js";
import { Viewer } from "./viewer.js";

const QUALITY = [[0.75, "clear page"], [0.5, "fair page"], [0, "poor page, read with care"]];
/** Show a page in `place`. page: of app.js, with `read` and `about`. Returns the viewer. */
export function showRead(place, page) {
  const { read, about } = page;
  const element = clone("read-template");
  const find = (selector) => element.querySelector(selector);

  const [word, rest] = splitVerdict(read.answer);
  find(".verdict").classList.add(read.findings.includes("NORM") ? "normal" : "abnormal");
  find(".verdict-word").textContent = word;
  find(".verdict-text").textContent = rest;
  find(".chips").append(...chips(page).map((text) => make("li", {}, text)));

  place.replaceChildren(element);
  const viewer = new Viewer(find(".viewer-place"), read, page.picture, page.name);
  showFindings(element, read, about, viewer);
  find(".measurements tbody").append(...Object.entries(about.measurements).map((entry) => measurement(entry, read)));
  find(".cannot ul").append(...unknown(read, about).map((text) => make("li", {}, text)));
  showReport(find(".report"), page);
  talk(find(".chat"), page);
  correctable(find(".correct"), page);
  return viewer;
}

/** "ABNORMAL - Atrial Fibrillation" -> ["ABNORMAL", "Atrial Fibrillation"]. */
export function splitVerdict(answer) {
  const match = /^(\S+(?: \S+)?) - (.*)$/s.exec(answer);
  return match ? [match[1], match[2]] : ["", answer];
}

function chips({ read }) {
  const { layout, mm_per_s: speed, mm_per_mv: gain, quality } = read.page;
  const [, words] = QUALITY.find(([least]) => quality >= least);
  const figures = [`${speed} mm/s`, `${gain} mm/mV`, `${read.seconds.toFixed(1)} s`].map(leftToRight);
  return [layout, ...figures.slice(0, 2), `${t(words)} (${percent(quality)})`, figures[2]];
}

function showFindings(element, read, about, viewer) {
  const byProbability = (a, b) => read.labels[b] - read.labels[a];
  const all = Object.keys(read.labels).sort(byProbability);
  const found = all.filter((label) => read.findings.includes(label));
  const others = all.filter((label) => !found.includes(label));
  const row = (label) => finding(label, read, about, viewer, element);
  const nothing = make("li", { className: "nothing" }, "None of the findings reaches its threshold.");
  element.querySelector(".found").append(...(found.length ? found.map(row) : [nothing]));
  element.querySelector(".other").append(...others.map(row));
  viewer.addEventListener("evidence", () => element.querySelector(".show")?.click());
  element.querySelector(".findings summary").textContent = t("{count} more, judged and not found", { count: others.length });
}

function finding(label, read, about, viewer, element) {
  const p = read.labels[label];
  const threshold = read.thresholds[label];
  const bar = make("div", { className: "meter" }, make("div", { className: "fill" }), make("div", { className: "mark" }));
  bar.setAttribute("aria-hidden", "true");
  bar.style.setProperty("--p", p);
  bar.style.setProperty("--threshold", threshold);
  const item = make("li", { className: read.findings.includes(label) ? "is-found" : "" },
    make("span", { className: "name" }, sentence(about.labels[label] ?? label)),
    make("span", { className: "percent" }, percent(p)),
    bar,
    make("span", { className: "sr" }, t(", counts from {share} on", { share: percent(threshold) })));
  item.dataset.label = label;
  const evidence = read.overlay.evidence[label];
  if (evidence?.text) item.append(make("p", { className: "why" }, evidence.text));
  if (evidence?.regions?.length) {
    const button = make("button", { type: "button", className: "show" }, "Show");
    button.setAttribute("aria-label", t("Show {finding} on the page", { finding: about.labels[label] ?? label }));
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") === "false";
      for (const other of element.querySelectorAll(".show")) other.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", on);
      viewer.showEvidence(on ? label : null);
      const leads = [...new Set(evidence.regions.map((region) => region.lead))].join(", ");
      if (on) say(t("Marked on the page: leads {leads}", { leads }));
    });
    item.append(button);
  }
  return item;
}

function measurement([key, { name, unit, low, high }], read) {
  const value = read.measurements[key];
  const [least, most] = [low ?? -Infinity, high ?? Infinity];
  const known = value !== null && value !== undefined;
  const flag = !known ? "" : read.borderline.includes(key) ? "borderline"
    : Math.round(value) < least ? "low" : Math.round(value) > most ? "high" : "normal";
  const cell = make("td", { className: `value ${flag}` });
  if (known) {
    cell.append(make("b", {}, signed(Math.round(value))), space(unit));
    if (flag !== "normal") cell.append(make("span", { className: "flag" }, flag));
  } else {
    cell.append(make("span", { className: "small" }, "not known"));
  }
  return make("tr", {},
    make("th", { scope: "row" }, sentence(name)), cell, make("td", { className: "range" }, range(low, high, unit)));
}

/** 60, 100, "bpm" -> "60 to 100 bpm"; a limit that is null is left open. */
export function range(low, high, unit) {
  const most = `${signed(high)}${space(unit)}`;
  if (low === null && high === null) return t("depends on the rate");
  if (low === null) return t("up to {high}", { high: most });
  if (high === null) return t("from {low}", { low: `${signed(low)}${space(unit)}` });
  return t("{low} to {high}", { low: signed(low), high: most });
}

function unknown(read, about) {
  const reasons = Object.entries(about.measurements)
    .filter(([key]) => read.measurements[key] === null)
    .map(([key, { name }]) => `${sentence(name)}: ${about.reasons[read.measurements.reasons[key]] ?? about.reasons.unclear}.`);
  return [
    ...read.cautions.map((code) => `${sentence(about.cautions[code])}.`),
    ...reasons,
    "Anything that is not among those findings: drug effects, electrolytes, rare syndromes.",
    "Whether a change is new, what the patient feels, or what to do about it.",
  ];
}

function showReport(element, page) {
  element.querySelector(".report-text").textContent = page.read.report;
  const copy = element.querySelector("[data-copy]");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(`${page.read.answer}\n\n${page.read.report}\n\nNot a medical device.`);
      flash(copy, "Copied");
    } catch {
      // Browsers allow it on HTTPS and on this machine only.
      getSelection().selectAllChildren(element.querySelector(".report-text"));
      flash(copy, "Selected: press Ctrl+C");
    }
  });
  for (const button of element.querySelectorAll("[data-report], [data-leads]")) {
    const { report, leads } = button.dataset;
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const path = report ? "v1/report" : "v1/digitize";
        const { blob, name } = await page.again((fields) => api.file(path, { ...fields, format: report ?? leads, language }));
        save(blob, name ?? `${page.name}.${report ?? leads}`);
        say(`${button.textContent} saved`);
      } catch (error) {
        flash(button, "Failed");
        say(error.message);
      }
      button.disabled = false;
    });
  }
}

/** Show another text on a button for two seconds. */
function flash(button, text) {
  const before = button.textContent;
  button.textContent = t(text);
  say(text);
  setTimeout(() => {
    button.textContent = before;
  }, 2000);
}
