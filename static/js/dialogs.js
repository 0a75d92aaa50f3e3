// A dialog that the server sent into #dialog opens itself; Escape, its Cancel and a finished act close it. Menus close on a click elsewhere.
const place = document.getElementById("dialog");
let opener = null;

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.target === place && !place.querySelector("dialog[open]")) opener = document.activeElement;
});
document.addEventListener("htmx:afterSwap", () => {
  const dialog = place.querySelector("dialog:not([open])");
  if (dialog) dialog.showModal();
});
place.addEventListener("close", () => { place.replaceChildren(); opener?.isConnected && opener.focus(); }, true);

document.addEventListener("click", (event) => {
  const open = event.target.closest("[data-dialog-open]");
  if (open) document.getElementById(open.dataset.dialogOpen)?.showModal();
  if (event.target.closest("[data-dialog-close]")) event.target.closest("dialog")?.close();
  if (event.target.nodeName === "DIALOG") event.target.close();
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const menu of document.querySelectorAll("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
});
