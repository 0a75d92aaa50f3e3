// Watch a key: read it again every few seconds while the tab is visible, and at once when the server sends an event of it; mark the
// cells that changed.
import { followKey } from "./live/key_events.js";

const EVERY_MS = 3000;
const JITTER_MS = 1500;

let timer = 0;
let unfollow = () => {};
let before = null;

const pane = () => document.querySelector("#_pane[data-key]");
const cells = () => [...document.querySelectorAll("#_pane [data-cell]")];

/** What a cell says: a TTL by the moment it ends, for its words change by themselves; JSON by its text, folded or not. */
function reading(cell) {
  const ends = cell.querySelector("time[data-expires-at]")?.dataset.expiresAt;
  return ends ? { ends: Number(ends) } : { text: cell.querySelector("pre.json")?.dataset.text ?? cell.textContent };
}

function differs(was, is) {
  if ("ends" in was && "ends" in is) return Math.abs(was.ends - is.ends) > JITTER_MS;
  return was.text !== is.text;
}

function show() {
  for (const button of document.querySelectorAll("[data-watch]")) button.setAttribute("aria-pressed", String(timer !== 0));
}

function stop() {
  clearInterval(timer);
  unfollow();
  timer = 0;
  before = null;
  show();
}

function read() {
  const at = pane();
  if (!at) return stop();
  if (document.hidden || document.querySelector("dialog[open]")) return;
  before = { key: at.dataset.key, cells: new Map(cells().map((cell) => [cell.dataset.cell, reading(cell)])) };
  window.htmx.ajax("GET", at.dataset.key, { target: at, swap: "outerHTML" });
}

/** Only what was there before and reads otherwise now has changed; another key in the pane is another story. */
function markChanges() {
  const now = pane();
  if (!before || !now) return;
  if (before.key === now.dataset.key) {
    for (const cell of cells()) {
      const was = before.cells.get(cell.dataset.cell);
      if (was && differs(was, reading(cell))) cell.classList.add("changed");
    }
  }
  before = null;
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-watch]")) return;
  if (timer) return stop();
  timer = setInterval(read, EVERY_MS);
  unfollow = pane() ? followKey(pane().dataset.key, read) : unfollow;
  show();
});

document.addEventListener("htmx:afterSettle", () => {
  if (!timer) return;
  if (!pane()) return stop();
  show();
  markChanges();
});

// The problem was told once: it is for the person to begin again.
for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, () => timer && stop());
}
