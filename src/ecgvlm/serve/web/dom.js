/** Small helpers around the document. */

import { t } from "./language.js";

/** The clone of a <template>'s only element. */
export const clone = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);

/** An element with properties and children: make("li", {className: "a"}, "text", child). */
export function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children.map((child) => (typeof child === "string" ? t(child) : child)));
  return element;
}

/** An SVG element with attributes. */
export function draw(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Say a sentence to screen readers. */
export function say(sentence) {
  document.getElementById("status").textContent = t(sentence);
}

/** Have the browser keep a file. */
export function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** 0.973 -> "97%", with the ends as the answers say them. */
export function percent(p) {
  const whole = Math.round(100 * p);
  return leftToRight(whole < 1 ? "<1%" : whole > 99 ? ">99%" : `${whole}%`);
}

/** Figures as they are written everywhere, also within Arabic, which would turn > into <. */
export function leftToRight(text) {
  return document.documentElement.dir === "rtl" ? `\u2066${text}\u2069` : text;
}

/** A number with a true minus sign, and a unit with the space that belongs before it. */
export const signed = (value) => String(value).replace("-", "−");
export const space = (unit) => (unit === "°" ? unit : ` ${unit}`);

export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
