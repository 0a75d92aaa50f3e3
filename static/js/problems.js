// What becomes of a request that failed: its sentence in a toast, or in its place, and the page stays as it was.
import { toast } from "./toast.js";

const SILENT = "The console did not answer.";
const SILENT_MORE = "Check your connection and try again; nothing was repeated by itself.";
const asked = new WeakMap();

const quiet = (element) => element?.closest?.("[data-quiet]");

/** The sentence and the advice in the fragment that the server sent with its error. */
export function told(xhr) {
  const type = xhr.getResponseHeader("Content-Type") ?? "";
  if (type.startsWith("text/plain")) return { sentence: xhr.responseText.slice(0, 300), more: "" };
  const body = new DOMParser().parseFromString(xhr.responseText ?? "", "text/html");
  const sentence = body.querySelector(".problem-sentence, .problem h1")?.textContent.trim();
  if (sentence) return { sentence, more: body.querySelector(".problem-advice")?.textContent.trim() ?? "" };
  if (xhr.status === 413) return { sentence: "This is more than the console takes at once.", more: "" };
  return { sentence: `The console answered with an error (${xhr.status}).`, more: "Try again." };
}

function isFragment(xhr) {
  return (xhr.responseText ?? "").trimStart().startsWith('<div class="problem"');
}

// A panel that asked for it shows the problem where its content would be; what is asked again later replaces it.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, requestConfig, elt } = event.detail;
  if (xhr.status < 400 || xhr.status === 422 || xhr.getResponseHeader("HX-Redirect")) return;
  const place = requestConfig.elt.closest("[data-problem=inline]");
  if (!place || !isFragment(xhr)) return;
  event.detail.shouldSwap = true;
  event.detail.isError = false;
  event.detail.swapOverride = "innerHTML";
  asked.set(elt, requestConfig);
});

document.addEventListener("htmx:afterSettle", (event) => {
  const place = event.detail.elt; // htmx goes on to use the same detail
  const request = asked.get(place);
  const problem = place.querySelector?.(":scope > [data-problem]");
  if (!request || !problem || request.verb !== "get") return;
  problem.querySelector(".acts").hidden = false;
  problem.querySelector("[data-retry]").addEventListener("click", () => {
    const swap = request.elt.closest("[hx-swap]")?.getAttribute("hx-swap") ?? "innerHTML";
    window.htmx.ajax("GET", request.path, { source: request.elt, target: place, swap: swap.split(" ")[0] });
  });
});

document.addEventListener("htmx:responseError", (event) => {
  const { xhr, requestConfig } = event.detail;
  if (xhr.getResponseHeader("HX-Redirect") || quiet(requestConfig?.elt)) return;
  const { sentence, more } = told(xhr);
  toast(sentence, { kind: "problem", more });
});

for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    if (!quiet(event.detail.requestConfig?.elt ?? event.detail.elt)) toast(SILENT, { kind: "problem", more: SILENT_MORE });
  });
}
