// Light, dark, or as the system has it; remembered in this browser, and set before the first paint by base.html.
const root = document.documentElement;

function apply(choice) {
  if (choice) root.dataset.theme = choice;
  else delete root.dataset.theme;
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
  }
}

function choose(choice) {
  try {
    if (choice) localStorage.setItem("theme", choice);
    else localStorage.removeItem("theme");
  } catch {
    // Storage is closed in this browser: the choice holds for this page.
  }
  apply(choice);
  window.dispatchEvent(new CustomEvent("themechange"));
}

/** What a CSS variable like "--accent" is in the theme of now, for what is drawn on a canvas. */
export function colour(name) {
  const probe = document.createElement("span");
  probe.hidden = true;
  root.append(probe);
  probe.style.color = `var(${name})`;
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-theme-choice]");
  if (button) choose(button.dataset.themeChoice);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => window.dispatchEvent(new CustomEvent("themechange")));
window.addEventListener("storage", (event) => event.key === "theme" && apply(event.newValue ?? ""));
apply(root.dataset.theme ?? "");
