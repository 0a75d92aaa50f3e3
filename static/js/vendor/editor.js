/**
 * The value editor: CodeMirror 6 with JSON, for pages that load build/editor.js.
 *
 *     const editor = createEditor(element, { doc: '{"a": 1}', language: "json", nonce });
 *     editor.onChange((text) => ...); editor.value(); editor.destroy();
 */
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { json, jsonParseLinter } from "@codemirror/lang-json";
import { bracketMatching, codeFolding, foldGutter, foldKeymap, indentOnInput } from "@codemirror/language";
import { linter, lintGutter, lintKeymap } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState } from "@codemirror/state";
import {
  EditorView, drawSelection, highlightActiveLine, highlightSpecialChars, keymap, lineNumbers,
} from "@codemirror/view";

import { look } from "./editor-look.js";

/** Past this many characters parsing on every keystroke is felt: such a text is edited as plain text. */
const PARSED_UP_TO = 2_000_000;

/**
 * CodeMirror unifies line ends unless it is told one; a value must come back exactly as it came. Told "\n" it keeps a
 * stray "\r" as a visible character of its line.
 */
function lineSeparator(doc) {
  return /\r\n/.test(doc) && !/(^|[^\r])\n|\r(?!\n)/.test(doc) ? "\r\n" : "\n";
}

function emptyIsFine(lint) {
  return (view) => (view.state.doc.length === 0 ? [] : lint(view));
}

function languageExtensions(language, length) {
  if (language !== "json" || length > PARSED_UP_TO) return [];
  return [json(), linter(emptyIsFine(jsonParseLinter())), lintGutter(), foldGutter(), codeFolding(), indentOnInput()];
}

function readOnly(on) {
  return [EditorState.readOnly.of(on), EditorView.editable.of(!on)];
}

/** Tab indents while writing, but Escape then Tab leaves the editor, so that the keyboard is never caught in it. */
const keys = keymap.of([
  ...defaultKeymap, ...historyKeymap, ...searchKeymap, ...foldKeymap, ...lintKeymap, indentWithTab,
]);

function extensions({ doc, language, readonly, nonce, label, slots, changed }) {
  return [
    nonce ? EditorView.cspNonce.of(nonce) : [],
    EditorState.lineSeparator.of(lineSeparator(doc)),
    lineNumbers(), history(), drawSelection(), highlightSpecialChars(), highlightActiveLine(),
    highlightSelectionMatches(), bracketMatching(), search({ top: true }), EditorView.lineWrapping,
    EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false" }),
    slots.language.of(languageExtensions(language, doc.length)),
    slots.readonly.of(readOnly(readonly)),
    EditorView.updateListener.of((update) => update.docChanged && changed()),
    keys, look,
  ];
}

/**
 * Put an editor into `parent`.
 *
 * @param {HTMLElement} parent
 * @param {object} options
 * @param {string} [options.doc] the text to begin with
 * @param {"json"|"text"} [options.language]
 * @param {boolean} [options.readonly]
 * @param {string} [options.nonce] the page's CSP nonce, for the styles CodeMirror adds
 * @param {string} [options.label] the name a screen reader says
 */
export function createEditor(parent, { doc = "", language = "text", readonly = false, nonce = "", label = "Value" } = {}) {
  const listeners = new Set();
  const slots = { language: new Compartment(), readonly: new Compartment() };
  const changed = () => listeners.forEach((listener) => listener(value()));
  const asked = { doc, language, readonly, nonce, label, slots, changed };
  const view = new EditorView({ parent, doc, extensions: extensions(asked) });
  const value = () => view.state.sliceDoc();
  const replace = (text) => {
    const insert = view.state.lineBreak === "\r\n" ? text.replace(/\r?\n/g, "\r\n") : text;
    view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert } });
  };

  return {
    view,
    value,
    replace,
    setLanguage(name) {
      const wanted = languageExtensions(name, view.state.doc.length);
      view.dispatch({ effects: slots.language.reconfigure(wanted) });
    },
    setReadonly: (on) => view.dispatch({ effects: slots.readonly.reconfigure(readOnly(on)) }),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}
