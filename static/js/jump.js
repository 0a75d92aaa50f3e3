// Ctrl-K: pages, servers and dbs by name, and the key of exactly the text that was typed.
const dialog = document.getElementById("jump");

function ready() {
  const input = dialog.querySelector("input");
  const list = dialog.querySelector(".jump-list");
  const keyLine = list.querySelector("[data-key-line]");
  const none = list.querySelector(".none");
  const places = [...list.querySelectorAll("a[data-name]")];
  for (const [at, line] of [keyLine, ...places].entries()) line.id = `jump-${at}`;

  const shown = () => [keyLine, ...places].filter((line) => !line.hidden);
  const selected = () => list.querySelector("a[aria-selected=true]");

  function select(line) {
    selected()?.setAttribute("aria-selected", "false");
    line?.setAttribute("aria-selected", "true");
    line?.scrollIntoView({ block: "nearest" });
    if (line) input.setAttribute("aria-activedescendant", line.id);
    else input.removeAttribute("aria-activedescendant");
  }

  function keyAddress(text) {
    const query = new URLSearchParams({ q: text, server: dialog.dataset.server, db: dialog.dataset.db });
    return `${dialog.dataset.url}?${query}`;
  }

  function narrow() {
    const text = input.value.trim();
    const words = text.toLowerCase();
    for (const line of places) line.hidden = !line.dataset.name.toLowerCase().includes(words);
    keyLine.hidden = !text || !dialog.dataset.server;
    if (!keyLine.hidden) {
      keyLine.querySelector(".label").textContent = text;
      keyLine.href = keyAddress(text);
    }
    none.hidden = shown().length > 0;
    // Somebody who types the beginning of a page's or server's name means that; anything else is a key.
    const meant = places.find((line) => !line.hidden && line.dataset.name.toLowerCase().startsWith(words));
    select(text && meant ? meant : shown()[0]);
  }

  function open() {
    if (dialog.open) return;
    input.value = "";
    narrow();
    dialog.showModal();
    input.focus();
  }

  function move(by) {
    const lines = shown();
    select(lines.at((lines.indexOf(selected()) + by) % lines.length));
  }

  const keys = { ArrowDown: () => move(1), ArrowUp: () => move(-1), Enter: () => selected()?.click() };
  input.addEventListener("input", narrow);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  list.addEventListener("pointermove", (event) => {
    const line = event.target.closest("a");
    if (line && line !== selected()) select(line);
  });
  document.addEventListener("click", (event) => event.target.closest("[data-jump-open]") && open());
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.key.toLowerCase() !== "k") return;
    event.preventDefault();
    open();
  });
}

if (dialog) ready();
if (/^Mac|^iP/.test(navigator.platform)) {
  for (const keys of document.querySelectorAll(".jump-box kbd, #shortcuts dl > dt:first-child kbd")) keys.textContent = "⌘ K";
}
