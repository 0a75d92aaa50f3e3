// pre[data-json]: JSON in colours that folds. Read by tokens and never by JSON.parse: digits, order and repeated names stay as they
// came. What is folded is only built when it is opened, and what is out of sight costs no layout (`content-visibility` in values.css).
const TOKEN = /[{}[\],:]|"[^"\\]*(?:\\.[^"\\]*)*"|[^\s{}[\],:"]+/y;
const SPACE = /\s*/y;
const OPEN_DEPTH = 3;
const MOST_LINES = 200;
const MOST_CHARACTERS = 4_000_000;

class NotJson extends Error {}

function reader(text) {
  let at = 0;
  const skip = () => {
    SPACE.lastIndex = at;
    SPACE.test(text);
    at = SPACE.lastIndex;
  };
  return {
    next() {
      skip();
      TOKEN.lastIndex = at;
      const found = TOKEN.exec(text);
      if (!found) throw new NotJson();
      at = TOKEN.lastIndex;
      return found[0];
    },
    ends() {
      skip();
      return at >= text.length;
    },
  };
}

/** {open, lines: [{name, value}]} for a container, the token for the rest; without recursion, for depth is not bounded. */
export function parse(text) {
  const tokens = reader(text);
  const root = { open: "", lines: [] };
  const stack = [root];
  let name = null;
  while (!tokens.ends()) {
    const token = tokens.next();
    const into = stack.at(-1);
    if (token === "{" || token === "[") {
      const container = { open: token, lines: [] };
      into.lines.push({ name, value: container });
      stack.push(container);
      name = null;
    } else if (token === "}" || token === "]") {
      if (stack.length < 2 || (token === "}") !== (into.open === "{")) throw new NotJson();
      stack.pop();
    } else if (token === ":") {
      const last = into.lines.pop();
      if (into.open !== "{" || typeof last?.value !== "string") throw new NotJson();
      name = last.value;
    } else if (token !== ",") {
      into.lines.push({ name, value: token });
      name = null;
    }
  }
  if (stack.length !== 1 || root.lines.length !== 1) throw new NotJson();
  return root.lines[0].value;
}

function span(kind, text) {
  const element = document.createElement("span");
  element.className = kind;
  element.textContent = text;
  return element;
}

function scalar(token) {
  const kind = token[0] === '"' ? "string" : /^-?\d/.test(token) ? "number" : "word";
  return span(kind, token);
}

function lead(line) {
  return line.name === null ? [] : [span("name", line.name), ": "];
}

/** The lines of a container from `start` on, and a button for those beyond MOST_LINES. */
function fill(inside, container, depth, start = 0) {
  const shown = container.lines.slice(start, start + MOST_LINES);
  for (const [at, line] of shown.entries()) {
    const element = document.createElement("span");
    element.className = "line";
    const comma = start + at < container.lines.length - 1 ? "," : "";
    element.append(...lead(line), ...value(line.value, depth + 1, comma));
    inside.append(element);
  }
  const rest = container.lines.length - start - shown.length;
  if (rest <= 0) return;
  const more = document.createElement("button");
  more.type = "button";
  more.className = "more";
  more.textContent = `${rest} more`;
  more.addEventListener("click", () => {
    more.remove();
    fill(inside, container, depth, start + MOST_LINES);
  });
  inside.append(more);
}

function folding(container, depth, close) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const noun = container.open === "{" ? "name" : "element";
  const many = container.lines.length;
  summary.append(container.open, span("folded", `${many} ${noun}${many === 1 ? "" : "s"}`));
  const inside = document.createElement("span");
  inside.className = "inside";
  details.append(summary, inside);
  const build = () => inside.childElementCount || fill(inside, container, depth);
  details.addEventListener("toggle", () => details.open && build());
  details.open = depth < OPEN_DEPTH;
  if (details.open) build();
  return [details, close];
}

function value(found, depth, comma = "") {
  if (typeof found === "string") return [scalar(found), comma];
  const close = (found.open === "{" ? "}" : "]") + comma;
  return found.lines.length ? folding(found, depth, close) : [found.open + close];
}

/** Colour and fold one block; what is not JSON after all, or too long, stays the text it is. */
export function dress(block) {
  const text = block.textContent;
  delete block.dataset.json;
  if (text.length > MOST_CHARACTERS) return;
  try {
    const found = parse(text);
    const line = document.createElement("span");
    line.className = "line";
    line.append(...value(found, 0));
    block.replaceChildren(line);
    block.dataset.text = text;
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
  }
}

function dressAll() {
  for (const block of document.querySelectorAll("pre[data-json]")) dress(block);
}

// The script's own tests run it where there is no page.
if (globalThis.document) {
  document.addEventListener("htmx:afterSettle", dressAll);
  dressAll();
}
