// One timer for all times on the page: TTLs that run down, and how long ago something was.
export function left(ms) {
  if (ms <= 0) return "expired";
  const parts = [];
  for (const [unit, size] of [["d", 86400000], ["h", 3600000], ["m", 60000], ["s", 1000]]) {
    if (ms >= size || (unit === "s" && !parts.length)) { parts.push(`${Math.floor(ms / size)} ${unit}`); ms %= size; }
  }
  return parts.slice(0, 2).join(" ");
}

export function ago(ms) {
  const seconds = ms / 1000;
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  return seconds < 5 ? "now" : `${Math.floor(seconds)} s ago`;
}

function write(element, text) { if (element.textContent !== text) element.textContent = text; }

function tick() {
  if (document.hidden) return;
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-expires-at]")) {
    const ms = Number(time.dataset.expiresAt) - now;
    write(time, left(ms));
    time.classList.toggle("soon", ms < 60000 && ms > 0);
    time.classList.toggle("over", ms <= 0);
  }
  for (const time of document.querySelectorAll("time[data-ago]")) write(time, ago(now - Number(time.dataset.ago)));
  for (const time of document.querySelectorAll("time[data-at]:not([data-local])")) {
    const at = new Date(Number(time.dataset.at));
    const near = Math.abs(at - now) < 43200000;
    if (!Number.isNaN(at.getTime())) write(time, near ? at.toLocaleTimeString([], { hour12: false }) : at.toLocaleString([], { hour12: false, dateStyle: "medium", timeStyle: "short" }));
    time.dataset.local = "";
  }
}

setInterval(tick, 1000);
document.addEventListener("htmx:afterSettle", tick);
document.addEventListener("visibilitychange", tick);
tick();
