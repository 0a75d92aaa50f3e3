// The keys page: which row is open, the two panes on a narrow screen, stopping a search, watching a key.
const pane = () => document.getElementById("_pane");

function mark() {
  const here = location.pathname;
  for (const row of document.querySelectorAll("a.key-row")) {
    if (row.pathname === here) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
}

document.addEventListener("htmx:afterSwap", (event) => {
  const split = document.querySelector(".split");
  if (split && event.detail.target?.id === "_pane") split.classList.toggle("has-detail", Boolean(pane()?.hasAttribute("data-key")));
});
document.addEventListener("htmx:pushedIntoHistory", mark);
document.addEventListener("htmx:afterSettle", mark);
mark();

document.addEventListener("click", (event) => {
  const stop = event.target.closest("[data-stop]");
  if (!stop) return;
  const scan = stop.closest("[data-scan]");
  const going = scan.querySelector("[data-goes-on]");
  if (going) { htmx.trigger(going, "htmx:abort"); going.remove(); }
  stop.remove();
  scan.querySelector("progress")?.remove();
  scan.querySelector("[data-go-on]").hidden = false;
});

let watching = 0;
let before = null;

function cells() {
  return new Map([...document.querySelectorAll("#_pane [data-cell]")].map((cell) => [cell.dataset.cell, cell.textContent]));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-watch]");
  if (!button) return;
  watching = watching ? void clearInterval(watching) || 0 : setInterval(refresh, 3000);
  button.setAttribute("aria-pressed", String(Boolean(watching)));
});

function refresh() {
  const at = pane();
  if (!at?.hasAttribute("data-key")) { clearInterval(watching); watching = 0; return; }
  if (document.hidden || document.querySelector("dialog[open]")) return;
  before = cells();
  htmx.ajax("GET", at.dataset.key, { target: at, swap: "outerHTML" });
}

document.addEventListener("htmx:afterSettle", () => {
  const button = document.querySelector("[data-watch]");
  if (!watching || !button) return;
  button.setAttribute("aria-pressed", "true");
  if (!before) return;
  for (const cell of document.querySelectorAll("#_pane [data-cell]")) cell.classList.toggle("changed", before.get(cell.dataset.cell) !== cell.textContent);
  before = null;
});
