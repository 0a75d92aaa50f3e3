// A bar over the page while something a person asked for takes longer than 300 ms.
const bar = document.getElementById("busy");
const running = new Set();
let timer = 0;

const counts = (event) => !event.detail.elt.closest?.("[data-quiet]");

document.addEventListener("htmx:beforeRequest", (event) => {
  if (!counts(event)) return;
  running.add(event.detail.xhr);
  if (running.size === 1) timer = setTimeout(() => bar.toggleAttribute("data-on", true), 300);
});

document.addEventListener("htmx:afterRequest", (event) => {
  running.delete(event.detail.xhr);
  if (running.size) return;
  clearTimeout(timer);
  bar.toggleAttribute("data-on", false);
});

// A link or a form that leaves the page has no afterRequest: the browser shows its own progress.
window.addEventListener("pagehide", () => bar.toggleAttribute("data-on", false));
