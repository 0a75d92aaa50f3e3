// The publish form: the file's name on its button, and sending once more what was sent last, whatever the form holds by now.
export function watchPublish(form) {
  const repeat = form.querySelector("[data-repeat]"), name = form.querySelector("[data-file-name]");
  let sent = null, sending = null;

  form.elements.file.addEventListener("change", ({ target }) => { name.textContent = target.files[0]?.name || "File"; });
  form.addEventListener("htmx:beforeRequest", () => { sending = new FormData(form); });
  form.addEventListener("htmx:afterRequest", ({ detail }) => { if (detail.successful) { sent = sending; repeat.hidden = false; } });
  repeat.addEventListener("click", async () => {
    const answer = await fetch(form.action, { method: "POST", body: sent, headers: { "HX-Request": "true" } }).catch(() => null);
    const said = new DOMParser().parseFromString(answer ? await answer.text() : "", "text/html").body.firstElementChild;
    const place = form.querySelector("#_published");
    if (said?.id === "_published") place.replaceWith(said);
    else place.textContent = said?.textContent.trim() || "The console did not answer; nothing was sent.";
  });
}
