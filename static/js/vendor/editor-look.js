/** How the editor looks: only CSS variables of ours, so that light, dark and system themes hold without code. */
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorView } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const frame = EditorView.theme({
  "&": { color: "var(--text, CanvasText)", backgroundColor: "var(--bg, Canvas)", fontSize: "13px", maxHeight: "60vh" },
  "&.cm-focused": { outline: "2px solid var(--accent, Highlight)", outlineOffset: "-1px" },
  ".cm-scroller": { fontFamily: "var(--mono, 'JetBrains Mono Variable', monospace)", lineHeight: "20px" },
  ".cm-content": { caretColor: "var(--text, CanvasText)" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--text, CanvasText)" },
  ".cm-gutters": { color: "var(--muted, GrayText)", backgroundColor: "transparent", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--text, CanvasText) 4%, transparent)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "color-mix(in srgb, var(--accent, Highlight) 26%, transparent)",
  },
  ".cm-selectionMatch, .cm-searchMatch": { backgroundColor: "color-mix(in srgb, var(--accent, Highlight) 16%, transparent)" },
  ".cm-searchMatch-selected": { outline: "1px solid var(--accent, Highlight)" },
  ".cm-panels": { color: "inherit", backgroundColor: "var(--bg-soft, Canvas)", borderColor: "var(--line, GrayText)" },
  ".cm-tooltip": { color: "inherit", backgroundColor: "var(--bg, Canvas)", border: "1px solid var(--line, GrayText)" },
  ".cm-foldPlaceholder": { color: "var(--muted, GrayText)", backgroundColor: "transparent", border: "1px solid var(--line, GrayText)" },
});

// The hues of the types, which are told apart in both themes.
const colours = HighlightStyle.define([
  { tag: tags.propertyName, color: "var(--accent)" },
  { tag: tags.string, color: "var(--list)" },
  { tag: tags.number, color: "var(--set)" },
  { tag: [tags.bool, tags.null], color: "var(--hash)" },
  { tag: tags.invalid, color: "var(--danger)" },
]);

export const look = [frame, syntaxHighlighting(colours)];
