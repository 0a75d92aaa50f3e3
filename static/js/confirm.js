// Type-to-confirm: the form's [data-confirmed] button works once each [data-confirm] field holds exactly its text.
function check(form) {
  const fields = [...form.querySelectorAll("[data-confirm]")];
  if (!fields.length) return;
  const right = fields.every((field) => field.value.trim() === field.dataset.confirm);
  for (const button of form.querySelectorAll("[data-confirmed]")) button.disabled = !right;
}

document.addEventListener("input", (event) => event.target.matches("[data-confirm]") && check(event.target.form));
const all = () => new Set([...document.querySelectorAll("[data-confirm]")].map((field) => field.form)).forEach(check);
document.addEventListener("htmx:afterSettle", all);
all();
