// [data-copy="text"], or [data-copy-from="#id"] for a text that stands on the page; says so on the button, not in a toast.
import { toast } from "./toast.js";

const SAID_MS = 1200;

function textOf(button) {
  if (button.dataset.copy !== undefined) return button.dataset.copy;
  const from = document.querySelector(button.dataset.copyFrom);
  return from?.dataset.text ?? from?.value ?? from?.textContent ?? "";
}

/** Where the page is not served securely there is no clipboard: a hidden field and the old command do it. */
function copyOldWay(text) {
  const field = Object.assign(document.createElement("textarea"), { value: text, className: "sr-only" });
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  if (!copied) throw new Error("refused");
}

async function copy(button) {
  const text = textOf(button);
  try {
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else copyOldWay(text);
  } catch {
    toast("The browser does not allow copying here.", { kind: "problem" });
    return;
  }
  const label = button.getAttribute("aria-label");
  button.classList.add("copied");
  button.setAttribute("aria-label", "Copied");
  setTimeout(() => {
    button.classList.remove("copied");
    if (label === null) button.removeAttribute("aria-label");
    else button.setAttribute("aria-label", label);
  }, SAID_MS);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (!button) return;
  event.preventDefault();
  event.stopPropagation();
  copy(button);
}, true);
