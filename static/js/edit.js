// Changing keys: the editor of a value, and what the page reads anew afterwards (HX-Trigger "key-changed", "key-listed").
const pane = () => document.querySelector("#_pane[data-key]");

function join(address, query) {
  return query ? `${address}${address.includes("?") ? "&" : "?"}${query}` : address;
}

// The pane reads itself again where it stood: the same face and page of the value.
function reread() {
  const at = pane();
  if (!at) return;
  const shown = at.querySelector("[data-value-query]")?.dataset.valueQuery ?? "";
  window.htmx.ajax("GET", join(at.dataset.key, shown), { target: at, swap: "outerHTML" });
}

function drop(address) {
  for (const row of document.querySelectorAll("a.key-row")) if (row.pathname === address) row.remove();
}

document.addEventListener("key-changed", ({ detail }) => {
  if (detail?.gone) drop(detail.gone);
  reread();
});
document.addEventListener("key-listed", ({ detail }) => detail?.gone && drop(detail.gone));

function say(place, text, wrong) {
  const said = place.closest(".edit-value").querySelector("[data-said]");
  said.textContent = text;
  said.classList.toggle("danger", wrong);
}

function isJson(using) {
  return using === "json" || using.endsWith("+json");
}

// Pretty, token by token: JSON.parse would change numbers.
export function format(text) {
  let out = "", depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gs)) {
    if (token === "{" || token === "[") { depth += 1; out += token + line(); }
    else if (token === "}" || token === "]") { depth -= 1; out = /[{[]\s*$/.test(out) ? out.trimEnd() + token : out + line() + token; }
    else if (token === ",") out += token + line();
    else out += token === ":" ? ": " : token;
  }
  return out;
}

// The policy of the page counts, not that of the partial that came later.
const pageNonce = () => document.querySelector("script[nonce]")?.nonce ?? "";

const follows = (one, other) => Boolean(one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING);

// CodeMirror stands in for the textarea and writes back into it; without it (or for hex) the textarea itself serves.
async function enhance(place) {
  const area = document.getElementById(place.dataset.for);
  const field = place.closest(".edit-value");
  const usings = [...field.querySelectorAll("[data-using]")];
  const using = () => (usings.find((each) => each.checked) ?? usings[0])?.value ?? "text";
  const { createEditor } = await import(place.dataset.editor);
  if (!place.isConnected) return;
  const language = () => (isJson(using()) ? "json" : "text");
  const editor = createEditor(place, { doc: area.value, language: language(), nonce: pageNonce(), label: "Value" });
  const button = field.querySelector("[data-format]");
  const check = (text) => {
    button.hidden = language() !== "json";
    if (language() !== "json" || !text.trim() || text.length > 200_000) return say(place, "", false);
    try { JSON.parse(text); say(place, "", false); } catch (error) { say(place, `Not JSON: ${error.message}`, true); }
  };
  editor.onChange((text) => { area.value = text; check(text); });
  for (const each of usings) each.addEventListener("change", () => { editor.setLanguage(language()); check(editor.value()); });
  button.addEventListener("click", () => editor.replace(format(editor.value())));
  area.hidden = true;
  area.removeAttribute("id"); // htmx would carry attributes of this element over to the one of the next dialog
  place.hidden = false;
  check(area.value);
  const label = field.querySelector(".edit-forms > label");
  label.removeAttribute("for");
  label.addEventListener("click", () => editor.focus());
  const empty = [...place.closest("form").querySelectorAll("input.mono:not([name=ttl])")].find((each) => !each.value && each.checkVisibility() && follows(each, place));
  (empty ?? editor).focus();
}

document.addEventListener("htmx:afterSettle", () => {
  for (const place of document.querySelectorAll("[data-editor][hidden]:not([data-met])")) {
    place.dataset.met = "";
    enhance(place).catch(() => { place.hidden = true; });
  }
});

// Ctrl+Enter sends the dialog.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  const form = event.target.closest?.(".edit-form");
  if (form) { event.preventDefault(); form.requestSubmit(form.querySelector("footer .button-primary") ?? undefined); }
}, true);
