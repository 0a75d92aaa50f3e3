// Rows of the keys list that are selected: a box before each row and folder, x and Space, a range with Shift, all that is shown.
// What is selected stays so while more rows are loaded or another filter is shown; the bar under the list says what it is.
import { soon } from "./soon.js";

const bar = () => document.querySelector("[data-selection]");
const list = () => document.querySelector(".keys-list > .rows");

/** By "names id" or "folders id": how many keys a folder has, null for a key. */
const selected = new Map();
let place = "";
let last = null;

const rowOf = (box) => box.closest(".pick").nextElementSibling;
const boxOf = (row) => row?.previousElementSibling?.matches(".pick") ? row.previousElementSibling.querySelector("input") : null;
const boxes = () => [...(list()?.querySelectorAll(".pick input") ?? [])];

function idOf(row) {
  if (row.dataset.pickId) return `folders ${row.dataset.pickId}`;
  return `names ${row.pathname.split("/").filter(Boolean).at(-1)}`;
}

function nameOf(row) {
  const folder = row.dataset.pickId !== undefined;
  const name = row.querySelector(".name");
  return `Select ${folder ? "all keys in " : ""}${name?.title || name?.textContent || "this key"}`;
}

function addBox(row) {
  const label = Object.assign(document.createElement("label"), { className: "pick" });
  const box = Object.assign(document.createElement("input"), { type: "checkbox", tabIndex: -1, checked: selected.has(idOf(row)) });
  box.setAttribute("aria-label", nameOf(row));
  label.append(box);
  row.before(label);
  (row.querySelector("summary") ?? row).setAttribute("aria-keyshortcuts", "x");
  mark(row, box.checked);
}

function mark(row, on) {
  const shown = row.matches("details") ? row.querySelector("summary") : row;
  shown.classList.toggle("picked", on);
}

/** After rows came: boxes for those that have none. Another db begins with nothing selected. */
function addBoxes() {
  if (!bar() || !list()) return;
  const here = new URL(bar().action).pathname;
  if (place !== here) selected.clear();
  place = here;
  for (const row of list().querySelectorAll("a.key-row, details.folder")) if (!boxOf(row)) addBox(row);
  show();
}

function set(box, on) {
  const row = rowOf(box);
  const id = idOf(row);
  box.checked = on;
  mark(row, on);
  if (on) selected.set(id, row.dataset.pickKeys ? Number(row.dataset.pickKeys) : null);
  else selected.delete(id);
}

const ids = (kind) => [...selected.keys()].filter((key) => key.startsWith(`${kind} `)).map((key) => key.slice(kind.length + 1));
const counted = (count, word) => `${count.toLocaleString("en").replaceAll(",", "\u202f")} ${word}${count === 1 ? "" : "s"}`;

const bytesOf = (id) => atob(id.replaceAll("-", "+").replaceAll("_", "/"));

/** Keys in the selected folders; one that stands in another is counted with it. */
function keysInFolders() {
  const all = ids("folders").map((id) => [bytesOf(id), selected.get(`folders ${id}`)]);
  const outer = all.filter(([prefix]) => !all.some(([other]) => other !== prefix && prefix.startsWith(other)));
  return outer.reduce((sum, [, count]) => sum + count, 0);
}

function words() {
  const keys = ids("names").length;
  const folders = ids("folders").length;
  const parts = folders ? [`${counted(folders, "folder")} of ${counted(keysInFolders(), "key")}`] : [];
  if (keys) parts.push(counted(keys, "key"));
  return `${parts.join(" and ")} selected`;
}

function show() {
  const form = bar();
  if (!form) return;
  const some = selected.size > 0;
  form.hidden = !some;
  form.elements.names.value = ids("names").join(",");
  form.elements.folders.value = ids("folders").join(",");
  form.querySelector("[data-selection-words]").textContent = some ? words() : "";
  const shown = boxes();
  const all = form.querySelector("[data-pick-all]");
  all.textContent = `Select all ${shown.length} shown`;
  all.hidden = shown.every((box) => box.checked);
}

/** From the box that was last set to this one, all as this one. */
function setRange(box, on) {
  const all = boxes();
  const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
  for (const each of from < 0 ? [box] : all.slice(from, to + 1)) set(each, on);
}

function toggle(box, on, range) {
  if (range) setRange(box, on);
  else set(box, on);
  last = box;
  show();
}

function selectAll() {
  for (const box of boxes()) set(box, true);
  show();
}

function selectNone() {
  for (const box of boxes()) if (box.checked) set(box, false);
  selected.clear();
  show();
}

let shift = false;
document.addEventListener("click", (event) => {
  shift = event.shiftKey;
  if (event.target.closest("[data-pick-all]")) selectAll();
  else if (event.target.closest("[data-pick-none]")) selectNone();
}, true);

document.addEventListener("change", (event) => {
  if (event.target.matches(".pick input")) toggle(event.target, event.target.checked, shift);
});

/** The box of the row that has the focus. */
function focusedBox() {
  const at = document.activeElement;
  const row = at?.closest?.(".keys-list a.key-row, .keys-list details.folder");
  return at?.matches(".pick input") ? at : row ? boxOf(row) : null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && selected.size && !event.target.closest("input[type=search], textarea, select, details.menu")) return selectNone();
  const box = focusedBox();
  const space = event.key === " " && document.activeElement.matches("a.key-row");
  if (!box || !(space || event.key === "x" || event.key === "X")) return;
  event.preventDefault();
  toggle(box, !box.checked, event.shiftKey);
});

document.addEventListener("htmx:afterSettle", soon(addBoxes));
window.addEventListener("pageshow", addBoxes);
addBoxes();
