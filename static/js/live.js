// The Pub/Sub page: what is watched (the address), the socket it comes by, and the parts of the page that show it.
import { readAddress, writeAddress } from "./live/address.js";
import { Channels } from "./live/channels.js";
import { Chart } from "./live/chart.js";
import { Counts } from "./live/counts.js";
import { Detail } from "./live/detail.js";
import { watchPublish } from "./live/publish.js";
import { Replay } from "./live/replay.js";
import { LiveSocket } from "./live/socket.js";
import { Stream } from "./live/stream.js";
import { clock, number, show, span, unshow } from "./live/text.js";

const root = document.getElementById("live");
const find = (selector) => root.querySelector(selector);
const watched = readAddress();
const form = find("[data-filter]").elements;
const state = { lostAt: 0, recording: null, replaying: null };

const counts = new Counts(root);
const chart = new Chart(find("[data-chart-here]"), root.dataset.chart);
const stream = new Stream(find("[data-list-here]"), { onOpen: (row) => detail.open(row), onFollow: (on) => { act("follow").checked = on; }, hue: (name) => chart.colourOf(name) });
const detail = new Detail(find("[data-detail]"), root.dataset.payload, { askWhole: (id) => socket.send("whole", { id }) });
const channels = new Channels(root, root.dataset.channels, { toggle });
const replay = new Replay(find("[data-timeline]"), root.dataset.recordings, { play, stop: () => socket.send("stop_replay") });
const place = root.dataset.socket.replace(/pubsub\/$/, "live/");
const socket = new LiveSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${place}`, { onFrame, onState });

function limit(name) { return Number(document.querySelector(`[data-limit-${name}]`).value) || null; }

function act(name) { return document.querySelector(`[data-act="${name}"]`); }

// what is watched

const same = (a, b) => a[0] === b[0] && a[1] === b[1];

function toggle(pair, only = false) {
  const held = watched.subscriptions.some((each) => same(each, pair));
  if (held && only) return;
  watched.subscriptions = held ? watched.subscriptions.filter((each) => !same(each, pair)) : [...watched.subscriptions, pair];
  watch();
}

function filter() {
  const mode = watched.mode === "icontains" ? "contains" : watched.mode;
  return { mode, text: unshow(watched.text), ignore_case: watched.mode === "icontains", channel: unshow(watched.on) };
}

function watch() {
  writeAddress(watched);
  channels.setSubscribed(watched.subscriptions);
  find("[data-filter-error]").hidden = true;
  if (watched.subscriptions.length && !counts.since) counts.since = Date.now();
  find("[data-empty]").hidden = Boolean(watched.subscriptions.length || stream.store.length || watched.recording);
  act("record").disabled = !watched.subscriptions.length && !state.recording;
  socket.send("watch", { subscriptions: watched.subscriptions, filter: filter() });
}

function readForm() {
  Object.assign(watched, { text: form.text.value, mode: form.mode.value, on: form.channel.value });
  if (!watched.recording) watch();
}

// what the server says

const frames = {
  hello() { watch(); if (state.lostAt) stream.addMark(Date.now(), `connected again after ${span(Date.now() - state.lostAt)}; what came meanwhile was not received`, "gap"); state.lostAt = 0; if (watched.recording) openRecording(); },
  batch(frame) {
    counts.add(frame);
    stream.addBatch(frame);
    const at = frame.at.length ? frame.at[frame.at.length - 1][0] : Date.now();
    if (frame.buffer) stream.addMark(at, `${number(frame.buffer)} messages dropped: the console could not prepare them as fast as they came`, "drop");
    if (frame.slow_filter) stream.addMark(at, `${number(frame.slow_filter)} messages dropped: the filter had no time for them`, "drop");
  },
  missed({ counts: missed }) { counts.add(missed); stream.addMark(Date.now(), `${number(missed.browser)} messages dropped: this browser did not take them in time`, "drop"); },
  tick(frame) { chart.add(frame); channels.setTotals(frame.at, frame.subs); },
  gap({ what, since, until }) {
    if (!until) counts.add({ gaps: 1 });
    stream.addMark(until ?? since, until ? `back after ${span(until - since)}: ${what}` : `gap: ${what}`, "gap");
    say(until ? "" : `${what}. Since ${clock(since)}; trying again.`);
  },
  subscriptions({ state: rows, lost_since: since }) { channels.setState(rows); if (since) say(`The server cannot be heard since ${clock(since)}; trying again.`); },
  ungranted({ names }) {
    watched.subscriptions = watched.subscriptions.filter((pair) => !names.some((name) => same(name, pair)));
    writeAddress(watched);
    channels.setSubscribed(watched.subscriptions);
    say(`Your grant does not cover ${names.map(([, name]) => show(name)).join(", ")} any more.`);
  },
  whole({ id, p }) { detail.setWhole(id, p); },
  problem({ sentence, advice }) { const line = find("[data-filter-error]"); line.textContent = `${sentence} ${advice}`.trim(); line.hidden = false; },
  recording(frame) { setRecording(frame); },
  // Answers come in the order of what was asked: this one is later than the problem of a filter before it.
  watching() { find("[data-filter-error]").hidden = true; },
  replayed({ at }) { replay.progress(at); },
  replay_end() { replay.end(); },
};

function onFrame(frame) { frames[frame.t]?.(frame); later(); }

function onState(now, why, kind) {
  if (now === "open") { say(""); return; }
  if (now === "ended" && kind === "sign-in") { location.assign(`/accounts/login/?next=${encodeURIComponent(location.pathname + location.search)}`); return; }
  if (!state.lostAt) { state.lostAt = Date.now(); if (counts.since && now === "lost") { counts.add({ gaps: 1 }); stream.addMark(state.lostAt, `gap: ${why}`, "gap"); } }
  channels.setState([]); // until the next socket tells
  say(now === "ended" ? why : `${why} Since ${clock(state.lostAt)}; trying again.`, now === "ended");
  later();
}

function say(text, final = false) {
  const line = find("[data-state]");
  line.hidden = !text;
  line.textContent = text;
  line.classList.toggle("is-final", final);
}

let drawn = 0;
function later() {
  drawn ||= requestAnimationFrame(() => {
    drawn = 0;
    counts.show(stream.shown, stream.store.left);
    find("[data-empty]").hidden = Boolean(watched.subscriptions.length || stream.store.length || watched.recording);
    find("[data-foot]").textContent = stream.paused ? `paused · ${number(stream.waiting)} more waiting` : stream.store.left ? `the newest ${number(stream.shown)} of ${number(stream.shown + stream.store.left)}` : "";
  });
}

// recordings

function setRecording(frame) {
  const on = frame.state === "recording";
  if (!on && state.recording !== frame.id) return; // told already
  state.recording = on ? frame.id : null;
  act("record").setAttribute("aria-pressed", String(on));
  act("record").disabled = !on && !watched.subscriptions.length;
  if (!on) window.dispatchEvent(new CustomEvent("toast", { detail: { text: `Recorded ${number(frame.messages)} messages, ${frame.gaps ? `${frame.gaps} gaps` : "lossless"}.`, kind: "done" } }));
}

async function openRecording() {
  find("[data-chart-here]").hidden = true;
  if (!state.replaying) state.replaying = await replay.open(watched.recording);
}

function play(since, speed) {
  stream.clear();
  counts.reset();
  counts.since = Date.now();
  socket.send("replay", { id: watched.recording, since, speed, filter: filter() });
}

function showRecordings() {
  const dialog = document.getElementById("live-recordings");
  dialog.showModal();
  window.htmx.ajax("GET", root.dataset.recordings, { target: "#_recordings", swap: "outerHTML" });
}

/** A closed dialog asks no more how far its recordings are. */
document.getElementById("live-recordings").addEventListener("close", () => {
  const empty = document.createElement("div");
  empty.id = "_recordings";
  document.getElementById("_recordings").replaceWith(empty);
});

// what a person does

const acts = {
  pause(button) { stream.pause(!stream.paused); button.setAttribute("aria-pressed", String(stream.paused)); },
  record() {
    const sent = state.recording ? socket.send("stop_recording", { id: state.recording }) : socket.send("record", { seconds: limit("seconds"), bytes: limit("bytes") });
    if (!sent) window.dispatchEvent(new CustomEvent("toast", { detail: { text: "There is no connection to the console now: press it again when there is.", kind: "problem" } }));
  },
  clear() { stream.clear(); counts.reset(); chart.clear(); counts.since = watched.subscriptions.length ? Date.now() : 0; },
  recordings: showRecordings,
};

document.addEventListener("click", ({ target }) => {
  const button = target.closest("button[data-act]");
  if (button) { acts[button.dataset.act](button); later(); }
  if (target.closest("#live-recordings [data-dialog-close]")) document.getElementById("live-recordings").close();
});
act("follow").addEventListener("change", ({ target }) => stream.setFollowing(target.checked));
find("[data-filter]").addEventListener("submit", (event) => { event.preventDefault(); readForm(); });
find("[data-filter]").addEventListener("change", ({ target }) => { if (target.name !== "highlight") readForm(); });
form.highlight.addEventListener("input", () => { stream.highlight = form.highlight.value.toLowerCase(); stream.list.ask(); });
form.mode.addEventListener("change", placeholder);
if (find(".live-publish")) watchPublish(find(".live-publish"));
if (matchMedia("(max-width: 900px)").matches) find(".live-publish-fold")?.removeAttribute("open");

function placeholder() {
  form.text.placeholder = { contains: "only messages that contain …", icontains: "only messages that contain …", regex: "only messages that match …", json: '$.asset = "BRL"' }[form.mode.value];
}

form.text.value = watched.text;
form.mode.value = watched.mode;
form.channel.value = watched.on;
placeholder();
channels.setSubscribed(watched.subscriptions);
setInterval(later, 1000);
later();
