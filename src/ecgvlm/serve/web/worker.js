/** The page without its server: its own files come from the cache where the network gives nothing. No answer, and no
 * picture of a patient, is ever kept: what lies below /v1/ passes by. */

const CACHE = "ecgvlm-shell";
const SHELL = [
  "./", "style.css", "icon.svg", "app.webmanifest", "theme.js", "app.js", "api.js", "caliper.js", "chat.js", "compare.js",
  "correct.js", "dom.js", "intake.js", "language.js", "panels.js", "paper.js", "viewer.js",
  ...["de", "fr", "es", "pt", "it", "nl", "pl", "ru", "tr", "zh", "hi", "ar"].map((code) => `texts/${code}.json`),
];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(SHELL)));
  self.skipWaiting();
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const names = SHELL.map((name) => new URL(name, self.registration.scope).pathname);
  if (request.method === "GET" && url.origin === self.location.origin && names.includes(url.pathname)) {
    event.respondWith(fetched(request));
  }
});

/** From the server, and kept; from what was kept where it does not answer. */
async function fetched(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(request, { ignoreSearch: true });
    if (kept) return kept;
    throw error;
  }
}
