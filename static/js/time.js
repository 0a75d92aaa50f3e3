// One timer for every time on the page: TTLs that run down, how long ago something was, moments in the reader's own zone.
// Words as in console/templatetags/format.py.
const UNITS = [["y", 31_536_000], ["d", 86_400], ["h", 3600], ["m", 60], ["s", 1]];

/** The server's clock less ours, in ms, as of when the page came. */
const offset = Number(globalThis.document?.querySelector("meta[name=server-time]")?.content ?? Date.now()) - Date.now();

export const now = () => Date.now() + offset;

/** What is left of a life: the two largest units, rounded up to a second. */
export function lifeText(ms) {
  let left = Math.ceil(ms / 1000);
  const first = UNITS.findIndex(([, size]) => left >= size);
  if (first < 0) return "0 s";
  const parts = [];
  for (const [unit, size] of UNITS.slice(first, first + 2)) {
    if (left >= size) parts.push(`${Math.floor(left / size)} ${unit}`);
    left %= size;
  }
  return parts.join(" ");
}

export function agoText(ms) {
  const away = Math.abs(ms) / 1000;
  if (away < 2) return "now";
  const [size, unit] = away < 60 ? [1, "s"] : away < 3600 ? [60, "min"] : away < 172_800 ? [3600, "h"] : away < 69_120_000 ? [86_400, "d"] : [31_536_000, "y"];
  const words = `${Math.floor(away / size)} ${unit}`;
  return ms < 0 ? `in ${words}` : `${words} ago`;
}

const pad = (number) => String(number).padStart(2, "0");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** The time today, day and time this year, the date otherwise; in the reader's zone. */
export function momentText(when, today = new Date()) {
  const clock = `${pad(when.getHours())}:${pad(when.getMinutes())}`;
  if (when.toDateString() === today.toDateString()) return `${clock}:${pad(when.getSeconds())}`;
  if (when.getFullYear() === today.getFullYear()) return `${when.getDate()} ${MONTHS[when.getMonth()]} ${clock}`;
  return `${when.getFullYear()}-${pad(when.getMonth() + 1)}-${pad(when.getDate())} ${clock}`;
}

const write = (element, text) => element.textContent !== text && (element.textContent = text);

function tick() {
  const at = now();
  for (const time of document.querySelectorAll("time[data-expires-at]:not(.ttl-over)")) {
    const left = Number(time.dataset.expiresAt) - at;
    write(time, left > 0 ? lifeText(left) : "expired");
    time.classList.toggle("ttl-short", left > 0 && left < 60_000);
    time.classList.toggle("ttl-over", left <= 0);
  }
}

function refresh() {
  const at = now();
  for (const time of document.querySelectorAll("time[data-ago]")) write(time, agoText(at - Date.parse(time.dateTime)));
}

function localise(within) {
  for (const time of within.querySelectorAll("time[data-moment]:not([data-local])")) {
    const when = new Date(time.dateTime);
    if (Number.isNaN(when.getTime())) continue;
    write(time, momentText(when));
    time.title = `${when.toLocaleString()} (${time.title})`;
    time.dataset.local = "";
  }
}

function everything() {
  if (document.hidden) return;
  tick();
  refresh();
  localise(document);
}

function start() {
  let seconds = 0;
  setInterval(() => {
    if (document.hidden) return;
    tick();
    if (++seconds % 10 === 0) refresh();
  }, 1000);
  document.addEventListener("htmx:afterSettle", everything);
  document.addEventListener("visibilitychange", everything);
  everything();
}

// The script's own tests run it where there is no page.
if (globalThis.document) start();
