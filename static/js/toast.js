// Messages that come and go: window.dispatchEvent(new CustomEvent("toast", {detail: {text, more, kind, undo}})), or HX-Trigger "toast".
const KEPT_MS = { done: 6000, info: 8000, problem: 12_000 };
const MOST = 4;
const region = document.getElementById("toasts");
const shape = document.getElementById("toast");
const list = document.getElementById("toasts-polite");

// While a dialog is open everything outside it is inert and under its veil: the messages move into it, and out before it empties.
function settle() {
  const home = (list.childElementCount && document.querySelector("dialog[open]")) || document.body;
  if (region.parentElement !== home) home.append(region);
}

function leaveDialog() {
  if (region.parentElement !== document.body) document.body.append(region);
}

/** Leaves by itself, but not while somebody points at it or is in it. */
function leave(box, after) {
  let timer = setTimeout(() => box.remove(), after);
  const stay = () => clearTimeout(timer);
  const go = () => {
    stay();
    timer = setTimeout(() => box.remove(), 3000);
  };
  box.addEventListener("pointerenter", stay);
  box.addEventListener("focusin", stay);
  box.addEventListener("pointerleave", go);
  box.addEventListener("focusout", go);
}

async function undo(box, { url, values }) {
  box.remove();
  await window.htmx.ajax("POST", url, { source: document.body, swap: "none", values: values ?? {} });
}

/**
 * Show a message.
 * @param {string} text
 * @param {{kind?: "done"|"problem"|"info", more?: string, undo?: {url: string, label?: string, values?: object}}} [options]
 */
export function toast(text, { kind = "done", more = "", undo: back = null } = {}) {
  const box = shape.content.firstElementChild.cloneNode(true);
  const known = kind in KEPT_MS ? kind : "info";
  box.classList.add(`toast-${known}`);
  for (const icon of box.querySelectorAll("[data-icon]")) {
    if (icon.dataset.icon === known) icon.replaceWith(icon.firstElementChild);
    else icon.remove();
  }
  if (known === "problem") box.setAttribute("role", "alert");
  box.querySelector("[data-text]").textContent = text;
  if (more) Object.assign(box.querySelector("[data-more]"), { textContent: more, hidden: false });
  if (back?.url) {
    const button = box.querySelector("[data-undo]");
    button.hidden = false;
    button.textContent = back.label ?? "Undo";
    button.addEventListener("click", () => undo(box, back));
  }
  box.querySelector("[data-close]").addEventListener("click", () => box.remove());
  list.append(box);
  while (list.childElementCount > MOST) list.firstElementChild.remove();
  settle();
  leave(box, back?.url ? 15_000 : KEPT_MS[known]);
}

document.addEventListener("close", leaveDialog, true);
document.addEventListener("htmx:beforeSwap", leaveDialog);
document.addEventListener("htmx:afterSwap", settle);
window.addEventListener("toast", ({ detail }) => toast(String(detail.text ?? detail.value ?? ""), detail));
for (const message of list.querySelectorAll("template[data-toast]")) {
  const text = message.content.textContent.trim();
  message.remove();
  toast(text, { kind: message.dataset.kind });
}
