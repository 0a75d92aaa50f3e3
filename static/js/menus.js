// details.menu: closes on Escape, on a press elsewhere and after a choice; arrow keys move in it; one at a time is open.
const opened = () => [...document.querySelectorAll("details.menu[open]")];
const lines = (menu) => [...menu.querySelectorAll(".menu-list :is(a, button):not(:disabled)")];

document.addEventListener("pointerdown", (event) => {
  for (const menu of opened()) if (!menu.contains(event.target)) menu.open = false;
});

document.addEventListener("click", (event) => {
  const chosen = event.target.closest(".menu-list :is(a, button)");
  if (!chosen || chosen.closest(".segmented")) return;
  const menu = chosen.closest("details.menu");
  menu.querySelector("summary").focus(); // a dialog that opens now gives the focus back here
  menu.open = false;
});

document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.("details.menu[open]")) return;
  for (const menu of opened()) if (menu !== event.target && !menu.contains(event.target)) menu.open = false;
}, true);

document.addEventListener("focusout", (event) => {
  const menu = event.target.closest?.("details.menu[open]");
  if (menu && event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  const menu = event.target.closest?.("details.menu[open]");
  if (!menu) return;
  if (event.key === "Escape") {
    menu.open = false;
    menu.querySelector("summary").focus();
    event.stopPropagation();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    const all = lines(menu);
    const at = all.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
    all.at(at < 0 ? -1 : at % all.length)?.focus();
  }
});
