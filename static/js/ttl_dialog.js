// The TTL dialog: only the fields of the chosen way show, presets fill in, and "will be" follows what is typed.
const UNITS = { ms: 1, s: 1000, m: 60000, h: 3600000, d: 86400000, w: 604800000 };

export function parseDuration(text) {
  text = text.trim();
  if (/^\d+(\.\d+)?$/.test(text)) text += "s";
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)\s*(ms|[smhdw])/gi)];
  if (!parts.length || parts.map((part) => part[0]).join("").replaceAll(" ", "") !== text.replaceAll(" ", "")) return null;
  return Math.round(parts.reduce((sum, part) => sum + Number(part[1]) * UNITS[part[2].toLowerCase()], 0));
}

function target(form) {
  const way = form.elements.way.value;
  const now = Number(form.querySelector("[data-ttl-preview]").dataset.nowExpiresAt) || 0;
  if (way === "at") {
    const at = new Date(form.elements.at.value).getTime();
    return Number.isNaN(at) ? null : at;
  }
  const ms = parseDuration(form.elements.duration.value);
  if (ms === null) return null;
  if (way === "in") return Date.now() + ms;
  return now ? now + (way === "extend" ? ms : -ms) : null;
}

function preview(form) {
  const way = form.elements.way.value;
  for (const part of form.querySelectorAll("[data-way]")) part.hidden = !part.dataset.way.split(" ").includes(way);
  const at = target(form);
  const offset = form.querySelector("[data-time-offset]");
  offset.value = at === null ? new Date().getTimezoneOffset() : new Date(at).getTimezoneOffset();
  const shown = form.querySelector("[data-ttl-preview]");
  if (at === null || at > 8.64e15) shown.textContent = "—";
  else if (at <= Date.now()) shown.textContent = "gone: this time has passed";
  else shown.textContent = `expires ${new Date(at).toLocaleString([], { hour12: false, dateStyle: "medium", timeStyle: "medium" })}`;
}

function formOf(element) {
  return element?.closest?.("#_ttl");
}

for (const name of ["input", "change"]) document.addEventListener(name, (event) => formOf(event.target) && preview(formOf(event.target)));
document.addEventListener("click", (event) => {
  const chip = event.target.closest("[data-fill]");
  if (!chip) return;
  document.getElementById(chip.dataset.fill).value = chip.textContent.trim();
  if (formOf(chip)) preview(formOf(chip));
});
document.addEventListener("htmx:afterSettle", () => {
  const form = document.getElementById("_ttl");
  if (form) preview(form);
});
