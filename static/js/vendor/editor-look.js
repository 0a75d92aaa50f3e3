/** How the editor looks: only CSS variables of ours, so that light, dark and system themes hold without code. */
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorView } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const frame = EditorView.theme({
  "&": { color: "var(--text, CanvasText)", backgroundColor: "var(--surface, Canvas)", fontSize: "13px", maxHeight: "60vh" },
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
  ".cm-panels": { color: "inherit", backgroundColor: "var(--surface-2, Canvas)", borderColor: "var(--line, GrayText)" },
  ".cm-tooltip": { color: "inherit", backgroundColor: "var(--surface, Canvas)", border: "1px solid var(--line, GrayText)" },
  ".cm-foldPlaceholder": { color: "var(--muted, GrayText)", backgroundColor: "transparent", border: "1px solid var(--line, GrayText)" },
});

const colours = HighlightStyle.define([
  { tag: tags.propertyName, color: "var(--syntax-name, #3f51d6)" },
  { tag: tags.string, color: "var(--syntax-string, #2f7d4f)" },
  { tag: tags.number, color: "var(--syntax-number, #a45a00)" },
  { tag: [tags.bool, tags.null], color: "var(--syntax-word, #9b3fb5)" },
  { tag: tags.invalid, color: "var(--danger, #c62828)" },
]);

export const look = [frame, syntaxHighlighting(colours)];
