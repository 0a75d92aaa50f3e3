// Dialogs: #dialog opens when the server fills it, closes when its act has succeeded; [data-dialog-open], [data-dialog-close].
const place = document.getElementById("dialog");
let opener = null;

function open(dialog) {
  if (dialog.open) return;
  const had = document.activeElement;
  opener = had?.closest("details.menu")?.querySelector("summary") ?? had;
  dialog.showModal();
  const first = dialog.querySelector("[autofocus]")
    ?? dialog.querySelector("input:not([type=hidden]), select, textarea, .button-primary:not(.button-danger)")
    ?? dialog.querySelector("[data-dialog-close]"); // never what cannot be undone
  first?.focus();
}

// The browser gives the focus back by itself, unless what had it was replaced meanwhile, or is in a menu that has closed.
function closed(dialog) {
  if (dialog === place) place.replaceChildren();
  const now = document.activeElement;
  if (opener?.isConnected && (now === document.body || dialog.contains(now))) opener.focus();
  else if (opener && !opener.isConnected) (document.querySelector("[data-row][aria-current], [data-list] [data-row]") ?? document.getElementById("main"))?.focus();
  opener = null;
}

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target !== place) return;
  if (place.childElementCount) open(place);
  else place.close();
});

// A 2xx answer to an act from within is its success; a 422 came back as the form again.
document.addEventListener("htmx:afterRequest", (event) => {
  const { elt, requestConfig, successful, xhr } = event.detail;
  const dialog = elt.closest?.("dialog[open]");
  if (!dialog || !successful || xhr.status >= 300 || requestConfig.verb === "get" || elt.closest("[data-dialog-stay]")) return;
  dialog.close();
});

document.addEventListener("close-dialog", () => place.close());
document.addEventListener("close", (event) => event.target.matches?.("dialog") && closed(event.target), true);

document.addEventListener("click", (event) => {
  const asks = event.target.closest("[data-dialog-open]");
  if (asks) {
    const dialog = document.getElementById(asks.dataset.dialogOpen);
    if (dialog) open(dialog);
  } else if (event.target.closest("[data-dialog-close]")) {
    event.target.closest("dialog")?.close();
  }
});

// A press on the veil closes; a drag that only ends there (from a text selection) does not.
document.addEventListener("pointerdown", (event) => {
  const dialog = event.target;
  if (!dialog.matches?.("dialog[open]")) return;
  const box = dialog.getBoundingClientRect();
  const outside = event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom;
  if (outside) dialog.close();
});
