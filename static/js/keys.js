// The keys page: which row is open, the two panes at phone width, and a search that goes on by itself until it is stopped.
import { soon } from "./soon.js";

function markOpenRow() {
  for (const row of document.querySelectorAll("a.key-row")) {
    if (row.pathname === location.pathname) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
}

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target?.id !== "_pane") return;
  const holdsKey = document.getElementById("_pane")?.hasAttribute("data-key") ?? false;
  document.querySelector(".split")?.classList.toggle("has-detail", holdsKey);
});
document.addEventListener("htmx:pushedIntoHistory", markOpenRow);
document.addEventListener("htmx:afterSettle", soon(markOpenRow));
markOpenRow();

/** End a search where it stands: the step under way is given up, and a button offers to go on. */
function stopSearch(scan) {
  const going = scan.querySelector("[data-goes-on]");
  if (going) {
    window.htmx.trigger(going, "htmx:abort");
    going.remove();
  }
  scan.querySelector("[data-stop]")?.remove();
  scan.querySelector("progress")?.remove();
  scan.querySelector("[data-go-on]").hidden = false;
}

document.addEventListener("click", (event) => {
  const scan = event.target.closest("[data-stop]")?.closest("[data-scan]");
  if (scan) stopSearch(scan);
});
