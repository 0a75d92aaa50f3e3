// Toasts, and what becomes of a request that failed: its sentence, with the page left as it was.
export function toast(text, { problem = false, action = null } = {}) {
  const box = document.createElement("div");
  box.className = problem ? "toast toast-problem" : "toast";
  const words = document.createElement("p");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Dismiss";
  close.addEventListener("click", () => box.remove());
  box.append(words, ...(action ? [action] : []), close);
  document.getElementById("toasts").append(box);
  setTimeout(() => box.remove(), problem ? 15000 : 8000);
}

function sentence(xhr) {
  const body = new DOMParser().parseFromString(xhr.responseText || "", "text/html");
  const told = body.querySelector("[data-problem], [role=alert]");
  if (told) {
    const first = told.querySelector("b");
    return first ? `${first.textContent} ${told.textContent.replace(first.textContent, "").trim()}` : told.textContent.trim();
  }
  return xhr.status === 413 ? "This is more than the console takes at once." : `The console answered with an error (${xhr.status}).`;
}

document.addEventListener("htmx:responseError", (event) => {
  if (!event.detail.xhr.getResponseHeader("HX-Redirect")) toast(sentence(event.detail.xhr), { problem: true });
});
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, () => toast("The console did not answer. Check your connection and try again.", { problem: true }));
}
document.addEventListener("toast", (event) => toast(event.detail.text ?? event.detail.value, event.detail));

let waiting = 0, timer = 0;
document.addEventListener("htmx:beforeRequest", () => { if (!waiting++) timer = setTimeout(() => document.body.classList.add("is-waiting"), 300); });
document.addEventListener("htmx:afterRequest", () => { if (waiting && !--waiting) { clearTimeout(timer); document.body.classList.remove("is-waiting"); } });
for (const message of document.querySelectorAll("#toasts .toast")) setTimeout(() => message.remove(), 8000);
