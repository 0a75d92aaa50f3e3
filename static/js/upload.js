// Uploading a backup: a form[data-upload] sends its file in pieces, goes on after the network broke, and after the page was left.
import { told } from "./problems.js";

const WAITS_MS = [500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000];
const kept = (file) => `upload:${location.pathname}:${file.name}:${file.size}:${file.lastModified}`;

class Refused extends Error {
  constructor(xhr) {
    const { sentence, more } = told(xhr);
    super(`${sentence} ${more}`.trim());
    this.status = xhr.status;
  }
}

/** One request; rejects with Refused for an answer that refuses, with an Error without status when nothing answered. */
function ask(state, method, url, body, onProgress) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    state.xhr = xhr;
    xhr.open(method, url);
    xhr.setRequestHeader("X-CSRFToken", state.token);
    xhr.setRequestHeader("HX-Request", "true");
    xhr.upload.onprogress = (event) => onProgress?.(event.loaded);
    xhr.onload = () => (xhr.status < 300 ? resolve(xhr.responseText ? JSON.parse(xhr.responseText) : null) : reject(new Refused(xhr)));
    xhr.onerror = () => reject(new Error("silent"));
    xhr.onabort = () => reject(new Error("given up"));
    xhr.send(body ?? null);
  });
}

/** Where to go on: an upload of the same file that broke off, else a new one. */
async function begin(state, file) {
  const url = localStorage.getItem(kept(file));
  if (url) {
    try {
      return { url, ...(await ask(state, "GET", url)) };
    } catch (error) {
      if (!error.status) throw error;
      localStorage.removeItem(kept(file));
    }
  }
  const begun = await ask(state, "POST", state.form.dataset.upload, new URLSearchParams({ name: file.name, size: file.size }));
  localStorage.setItem(kept(file), begun.url);
  return begun;
}

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

/** The next piece; where the upload is then. What did not get through is asked for, not sent twice. */
async function send(state, file, url, at, piece) {
  for (let tries = 0; ; tries++) {
    try {
      const answer = await ask(state, "PUT", `${url}?at=${at}`, file.slice(at, at + piece), (sent) => show(state, file, at + sent));
      return answer.at;
    } catch (error) {
      if (state.over || tries === WAITS_MS.length || (error.status && error.status < 500 && error.status !== 409)) throw error;
      say(state, "The connection broke; it goes on by itself.");
      await wait(WAITS_MS[tries]);
      try {
        const now = await ask(state, "GET", url);
        if (now.at !== at) return now.at;
      } catch (again) {
        if (again.status && again.status < 500) throw again;
      }
    }
  }
}

function show(state, file, at) {
  state.bar.value = (100 * at) / file.size;
  say(state, `${(at / 1e6).toFixed(1)} of ${(file.size / 1e6).toFixed(1)} MB`);
}

function say(state, text, wrong = false) {
  state.said.textContent = text;
  state.said.classList.toggle("danger", wrong);
}

async function run(state, file) {
  const begun = await begin(state, file);
  for (let at = begun.at; at < file.size; ) {
    show(state, file, at);
    at = await send(state, file, begun.url, at, begun.piece);
  }
  say(state, "All of it is here.");
  const { next } = await ask(state, "POST", begun.url + "finish/");
  localStorage.removeItem(kept(file));
  location.assign(next);
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches?.("form[data-upload]")) return;
  event.preventDefault();
  const file = form.elements.file.files[0];
  const part = (name) => form.querySelector(`[data-upload-${name}]`);
  const state = { form, token: form.elements.csrfmiddlewaretoken.value, bar: part("bar"), said: part("said"), over: false };
  const busy = (yes) => {
    for (const one of [part("send"), form.elements.file]) one.disabled = yes;
    state.bar.hidden = !yes;
  };
  form.closest("dialog")?.addEventListener("close", () => ((state.over = true), state.xhr?.abort()), { once: true });
  busy(true);
  say(state, "");
  try {
    await run(state, file);
  } catch (error) {
    busy(false);
    if (error.status) localStorage.removeItem(kept(file));
    if (!state.over) say(state, error.status ? error.message : "The console does not answer. Choose Upload to go on from where it is.", true);
    else say(state, "");
  }
});
