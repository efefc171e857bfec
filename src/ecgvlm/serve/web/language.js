/** The page in the reader's language: texts/XX.json has what each English text is called there. */

const NAMES = {
  en: "English", de: "Deutsch", fr: "Français", es: "Español", pt: "Português", it: "Italiano", nl: "Nederlands",
  pl: "Polski", ru: "Русский", tr: "Türkçe", zh: "中文", hi: "हिन्दी", ar: "العربية",
};
const ATTRIBUTES = ["aria-label", "placeholder", "title"];
const KEPT = "language";

let texts = {};

/** The language of the page: what was chosen last, else the browser's, else English. */
export const language = [stored(), ...navigator.languages.map((tag) => tag.slice(0, 2))].find((code) => code in NAMES) ?? "en";

/** A text in the language of the page, filled in: t("up to {high}", {high: "100 ms"}). */
export function t(text, parts = {}) {
  return (texts[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => parts[name] ?? whole);
}

/** Put everything that stands in the document and its templates into the language, and offer the others in `select`. */
export async function translate(select) {
  select.append(...Object.entries(NAMES).map(([code, name]) => new Option(name, code, false, code === language)));
  select.addEventListener("change", () => {
    try {
      localStorage.setItem(KEPT, select.value);
    } catch {
      return; // storage may be blocked
    }
    location.reload();
  });
  if (language === "en") return;
  texts = await (await fetch(`texts/${language}.json`)).json();
  document.documentElement.lang = language;
  document.documentElement.dir = language === "ar" ? "rtl" : "ltr";
  for (const root of [document.body, ...[...document.querySelectorAll("template")].map(({ content }) => content)]) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    while (walker.nextNode()) put(walker.currentNode);
  }
}

function put(node) {
  if (node.nodeType === Node.TEXT_NODE) {
    const text = node.data.trim();
    if (text in texts) node.data = node.data.replace(text, texts[text]);
    return;
  }
  for (const name of ATTRIBUTES) {
    if (node.getAttribute(name) in texts) node.setAttribute(name, texts[node.getAttribute(name)]);
  }
}

function stored() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}
