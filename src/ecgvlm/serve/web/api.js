/** The server's HTTP interface, as docs/serving.md describes it. */

import { language, t } from "./language.js";

/** What the API's codes mean, where the page does not speak the server's English. */
const MEANT = {
  not_an_ecg: "No twelve named leads are found on it.",
  unreadable_file: "The file is damaged, or holds no page that can be read.",
  unsupported_format: "Files of this kind are not read. Save the page as JPEG, PNG or PDF.",
  too_large: "The file is too large. Scan it at 300 dpi, or make it smaller.",
  too_small: "The picture is too small to read an ECG.",
  overloaded: "The server is busy. Try again in a moment.",
  rate_limited: "Too many requests. Try again in a moment.",
  unauthorized: "This server asks for a key. It is kept in this tab only.",
  gone: "The server no longer has this page.",
};

/** An error that the server states, or that the way to it had: `code` of the API, a sentence in the page's language,
 * what was said, seconds to wait or null. */
export class ApiError extends Error {
  constructor(code, said, retryAfter = null) {
    super(language !== "en" && code in MEANT ? t(MEANT[code]) : said);
    this.code = code;
    this.said = said;
    this.retryAfter = retryAfter;
  }
}

let key = "";
try {
  key = sessionStorage.getItem("key") ?? "";
} catch {
  // storage may be blocked; the key then lasts until the page is left
}

export function useKey(value) {
  key = value.trim();
  try {
    sessionStorage.setItem("key", key);
  } catch {
    // see above
  }
}

const headers = () => (key ? { Authorization: `Bearer ${key}` } : {});
const json = (value) => ({ body: JSON.stringify(value), headers: { "Content-Type": "application/json" } });

function form(fields) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const item of Array.isArray(value) ? value : [value]) if (item !== undefined) data.append(name, item);
  }
  return data;
}

function refused(status, text, retryAfter) {
  let error;
  try {
    error = JSON.parse(text).error;
  } catch {
    // not the API's JSON: a proxy's page, say
  }
  const message = error?.message ?? t("The server answered {status}.", { status });
  return new ApiError(error?.code ?? `http_${status}`, message, retryAfter === null ? null : Number(retryAfter) || 1);
}

const unreachable = () => new ApiError("unreachable", t("The server cannot be reached. Is it still running?"));

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...options.headers, ...headers() } });
  } catch (error) {
    throw error.name === "AbortError" ? error : unreachable();
  }
  if (!response.ok) throw refused(response.status, await response.text(), response.headers.get("Retry-After"));
  return response;
}

/** What the server is, and what things are called in a language. */
export async function about(language) {
  return (await request(`v1/about?language=${language}`, {})).json();
}

/** Read one page. fields: of the form; progress(fraction uploaded). Resolves to the JSON object of /v1/read. */
export function read(fields, progress, signal) {
  // XMLHttpRequest, as fetch does not tell how far an upload is.
  return new Promise((resolve, reject) => {
    const http = new XMLHttpRequest();
    http.open("POST", "v1/read");
    for (const [name, value] of Object.entries(headers())) http.setRequestHeader(name, value);
    http.upload.onprogress = (event) => progress(event.loaded / event.total);
    http.onerror = () => reject(unreachable());
    http.onabort = () => reject(new DOMException("The page was removed.", "AbortError"));
    signal.addEventListener("abort", () => http.abort());
    http.onload = () => {
      if (http.status !== 200) {
        reject(refused(http.status, http.responseText, http.getResponseHeader("Retry-After")));
        return;
      }
      const answer = JSON.parse(http.responseText);
      if (answer.ok) resolve(answer);
      else reject(new ApiError(answer.error.code, answer.error.message));
    };
    http.send(form(fields));
  });
}

/** Ask about a page; said(text) gets every piece as it comes. Resolves to the whole answer. */
export async function ask(fields, said, signal) {
  const response = await request("v1/ask", { method: "POST", body: form(fields), signal });
  let answer = "";
  for await (const { event, data } of events(response.body)) {
    if (event === "token") said(data.text);
    else if (event === "error") throw new ApiError(data.code, data.message);
    else if (event === "done") answer = data.answer;
  }
  return answer;
}

/** Server-sent events of a stream of bytes: {event, data}, data parsed as JSON. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value.replaceAll("\r", "");
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const lines = part.split("\n");
      const field = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart());
      const data = field("data").join("\n");
      if (data) yield { event: field("event")[0] ?? "message", data: JSON.parse(data) };
    }
  }
}

/** What a camera's view shows: {grid, leads, px_per_mm, problem}. view: a JPEG blob. */
export async function look(view) {
  return (await request("v1/aim", { method: "POST", body: form({ image: view }) })).json();
}

/** Fetch a file that the server makes of a page: {blob, name}. */
export async function file(path, fields) {
  const response = await request(path, { method: "POST", body: form(fields) });
  const name = /filename="?([^";]+)/.exec(response.headers.get("Content-Disposition") ?? "");
  return { blob: await response.blob(), name: name?.[1] };
}

/** Say what a page shows instead. correction: {labels: [code, ...], report: string or null}. */
export async function correct(id, correction) {
  await request(`v1/reads/${encodeURIComponent(id)}/corrections`, { method: "POST", ...json(correction) });
}

/** Have the server delete a page that it keeps. */
export async function forget(id) {
  await request(`v1/reads/${encodeURIComponent(id)}`, { method: "DELETE" });
}
