// A search between two moments: they are typed as local times, so the browser says how many minutes west of UTC that is.
const minutes = (text) => (text ? new Date(text) : new Date()).getTimezoneOffset();

function shifted(text, by) {
  const when = new Date(`${text}Z`);
  when.setUTCMinutes(when.getUTCMinutes() + by);
  return when.toISOString().slice(0, text.length > 16 ? 19 : 16);
}

/** An address may come from somebody in another time zone: show its moments as they are here. */
function localise(form, offset) {
  const fields = form.querySelectorAll('input[type="datetime-local"]');
  for (const field of fields) {
    if (field.value) field.value = shifted(field.value, Number(offset.value || 0) - minutes(field.value));
  }
}

for (const form of document.querySelectorAll('form[role="search"]:has([data-time-offset])')) {
  const offset = form.querySelector("[data-time-offset]");
  localise(form, offset);
  form.addEventListener("submit", () => {
    const typed = [...form.querySelectorAll('input[type="datetime-local"]')].map((field) => field.value).filter(Boolean);
    for (const field of form.elements) field.disabled = field.type !== "submit" && !field.value;
    offset.value = minutes(typed[0]);
    offset.disabled = !typed.length;
  });
  window.addEventListener("pageshow", () => {
    for (const field of form.elements) field.disabled = false;
  });
}
