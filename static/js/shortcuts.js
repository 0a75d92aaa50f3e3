// Single keys: [data-shortcut] is clicked or focused; j and k walk the rows of a list, arrows as well once one has the focus; ? shows them all.
const dialog = document.getElementById("shortcuts");
const busyWith = "input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable=true], .cm-editor, dialog[open]";
const visible = (element) => element.getClientRects().length > 0 && !element.disabled;

function act(element) {
  if (!element.matches("input, select, textarea")) return element.click();
  element.focus();
  element.select?.();
}

function rows() {
  const lists = [...document.querySelectorAll("[data-list]")].filter(visible);
  const list = document.activeElement?.closest("[data-list]") ?? lists[0];
  return list ? [...list.querySelectorAll("[data-row], summary.row")].filter(visible) : [];
}

/** A row that is not a link itself is stood for by the link in it. */
const focusable = (row) => (row.matches("a, button, summary, [tabindex]") ? row : row.querySelector("a, button, summary"));

function walk(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const open = all.findIndex((row) => row.matches("[aria-current], [aria-selected=true], .selected"));
  const from = at >= 0 ? at : open;
  const next = from < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(from + step, 0), all.length - 1);
  const target = focusable(all[next]);
  target?.focus({ preventScroll: true });
  all[next].scrollIntoView({ block: "nearest" });
}

/** Arrows within a list: up and down walk, right and left open and close a folder, left goes to the folder around. */
function arrow(event) {
  const row = document.activeElement?.closest("[data-list] :is([data-row], summary.row)");
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!row || !event.key.startsWith("Arrow") || event.shiftKey) return false;
  const folder = row.matches("summary") ? row.parentElement : null;
  const opens = event.key === "ArrowRight";
  const around = (folder ?? row).parentElement.closest("details.folder")?.querySelector("summary");
  if (step) walk(step);
  else if (folder && folder.open !== opens) row.click();
  else if (opens && folder) walk(1);
  else if (!opens && around) around.focus();
  else return false;
  event.preventDefault();
  return true;
}

function list() {
  const lines = dialog.querySelector("dl");
  for (const old of lines.querySelectorAll("[data-here]")) old.remove();
  const seen = new Set();
  for (const each of [...document.querySelectorAll("[data-shortcut]")].filter(visible).reverse()) {
    if (seen.has(each.dataset.shortcut)) continue;
    seen.add(each.dataset.shortcut);
    const term = Object.assign(document.createElement("dt"), { innerHTML: "<kbd></kbd>" });
    const words = document.createElement("dd");
    term.firstElementChild.textContent = each.dataset.shortcut;
    words.textContent = each.dataset.shortcutLabel || each.textContent.trim();
    term.dataset.here = words.dataset.here = "";
    lines.prepend(term, words);
  }
}

export function showShortcuts() {
  list();
  if (!dialog.open) dialog.showModal();
}

document.addEventListener("click", (event) => event.target.closest('[data-dialog-open="shortcuts"]') && list(), true);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
  if (event.target.closest(busyWith)) {
    if (event.key === "Escape" && event.target.matches("input[data-shortcut]")) event.target.blur();
    return;
  }
  if (event.key === "?") return showShortcuts();
  if (arrow(event)) return;
  if (event.key === "j" || event.key === "k") return walk(event.key === "j" ? 1 : -1);
  const target = [...document.querySelectorAll("[data-shortcut]")].find((each) => each.dataset.shortcut === event.key && visible(each));
  if (!target) return;
  event.preventDefault();
  act(target);
});
