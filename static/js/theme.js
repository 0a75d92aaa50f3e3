// Light, dark, or as the system has it; remembered in this browser.
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

function apply(choice) {
  root.dataset.choice = choice;
  root.dataset.theme = choice === "system" ? (dark.matches ? "dark" : "light") : choice;
  for (const button of document.querySelectorAll("[data-theme-choice]")) button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
  dispatchEvent(new CustomEvent("themechange"));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-theme-choice]");
  if (!button) return;
  localStorage.setItem("theme", button.dataset.themeChoice);
  apply(button.dataset.themeChoice);
});
dark.addEventListener("change", () => root.dataset.choice === "system" && apply("system"));
apply(root.dataset.choice || "system");
