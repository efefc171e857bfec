// Bright or dark before anything is drawn: what was chosen last, else what the system says.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage may be blocked
    }
  };
  const show = () => {
    root.dataset.theme = stored() ?? (dark.matches ? "dark" : "bright");
  };
  dark.addEventListener("change", show);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#theme")) return;
    const next = root.dataset.theme === "dark" ? "bright" : "dark";
    try {
      localStorage.setItem("theme", next);
    } catch {
      // then it lasts until the page is left
    }
    root.dataset.theme = next;
  });
  show();
})();
