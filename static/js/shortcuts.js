// Single keys: what carries data-shortcut is focused or clicked; j and k walk a list; ? lists them all.
const typing = (element) => element.closest("input, textarea, select, [contenteditable], dialog[open], .cm-editor");
const dialog = document.getElementById("shortcuts");

function act(element) {
  if (element.matches("input, select, textarea")) { element.focus(); element.select?.(); } else element.click();
}

function walk(step) {
  const rows = [...document.querySelectorAll("[data-list] a.row, [data-list] summary.row, [data-list] [data-row]")].filter((row) => row.offsetParent !== null);
  const at = rows.indexOf(document.activeElement);
  (rows[at + step] || rows[step > 0 ? 0 : rows.length - 1])?.focus();
}

function show() {
  const lines = [["?", "This list"], ["Ctrl K", "Jump to a key, server or page"], ["j / k", "Next and previous row"], ["Enter", "Open the row"], ["Esc", "Close"]];
  for (const each of document.querySelectorAll("[data-shortcut]")) lines.push([each.dataset.shortcut, each.dataset.shortcutLabel || each.textContent.trim()]);
  dialog.querySelector("tbody").replaceChildren(...lines.map(([key, label]) => {
    const row = document.createElement("tr");
    const first = document.createElement("td"), second = document.createElement("td"), kbd = document.createElement("kbd");
    kbd.textContent = key; first.append(kbd); second.textContent = label; row.append(first, second);
    return row;
  }));
  dialog.showModal();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (event.key === "?") { event.preventDefault(); show(); return; }
  if (event.key === "j" || event.key === "k") { event.preventDefault(); walk(event.key === "j" ? 1 : -1); return; }
  const target = [...document.querySelectorAll("[data-shortcut]")].find((each) => each.dataset.shortcut === event.key && each.offsetParent !== null);
  if (target) { event.preventDefault(); act(target); }
});
