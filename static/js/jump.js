// Ctrl-K: pages and servers by name; anything else is the exact name of a key on this server.
const dialog = document.getElementById("jump");

export function keyAddress(text) {
  const bytes = [];
  const plain = new TextEncoder();
  for (const part of text.split(/(\\x[0-9a-fA-F]{2}|\\[nrtab\\"])/)) {
    if (/^\\x/.test(part)) bytes.push(parseInt(part.slice(2), 16));
    else if (/^\\./.test(part) && part.length === 2) bytes.push({ n: 10, r: 13, t: 9, a: 7, b: 8, "\\": 92, '"': 34 }[part[1]]);
    else bytes.push(...plain.encode(part));
  }
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "") || "~";
}

if (dialog) {
  const input = dialog.querySelector("input");
  const list = dialog.querySelector("ul");
  const known = [...list.children];

  const open = () => { input.value = ""; narrow(); dialog.showModal(); input.focus(); };
  const choices = () => [...list.children].filter((line) => !line.hidden);
  const select = (line) => { for (const each of list.children) each.setAttribute("aria-selected", String(each === line)); line?.scrollIntoView({ block: "nearest" }); };

  function narrow() {
    const text = input.value.trim().toLowerCase();
    list.querySelector("[data-key-line]")?.remove();
    for (const line of known) line.hidden = text !== "" && !line.dataset.name.toLowerCase().includes(text);
    if (text && dialog.dataset.keys) list.append(keyLine(input.value));
    select(choices()[0]);
  }

  function keyLine(text) {
    const line = document.createElement("li");
    line.setAttribute("role", "option");
    line.dataset.keyLine = "";
    const link = document.createElement("a");
    link.href = `${dialog.dataset.keys}${keyAddress(text)}/`;
    link.className = "mono";
    link.textContent = text;
    const kind = document.createElement("span");
    kind.className = "muted";
    kind.textContent = "exact key";
    link.append(kind);
    line.append(link);
    return line;
  }

  input.addEventListener("input", narrow);
  input.addEventListener("keydown", (event) => {
    const lines = choices();
    const at = lines.findIndex((line) => line.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown") { event.preventDefault(); select(lines[Math.min(at + 1, lines.length - 1)]); }
    if (event.key === "ArrowUp") { event.preventDefault(); select(lines[Math.max(at - 1, 0)]); }
    if (event.key === "Enter") { event.preventDefault(); lines[at]?.querySelector("a").click(); }
  });
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); open(); }
  });
  document.addEventListener("click", (event) => event.target.closest("[data-jump]") && open());
}
