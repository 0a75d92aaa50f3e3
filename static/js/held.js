// What replaces itself (a poll, the next step of a search) does not do so under a pressed button: between the press and the
// release there would be another button, and no click. It waits for the release.
const CLICK_MS = 100; // a finger's click comes a little after its release
let pressed = null;
let timer = 0;
const held = new Map();

document.addEventListener("pointerdown", ({ target, button }) => {
  if (button !== 0) return;
  clearTimeout(timer);
  pressed = target;
}, true);

for (const name of ["pointerup", "pointercancel"]) {
  document.addEventListener(name, () => {
    clearTimeout(timer);
    timer = setTimeout(release, CLICK_MS);
  }, true);
}

function release() {
  pressed = null;
  const swaps = [...held.values()];
  held.clear();
  for (const swap of swaps) swap();
}

// Whether what is pressed stands in a place that comes beside the answer's own (hx-swap-oob).
function isBeside(response) {
  for (let at = pressed; at; at = at.parentElement) if (at.id && response.includes(`id="${at.id}" hx-swap-oob`)) return true;
  return false;
}

document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, xhr, requestConfig, serverResponse, shouldSwap, swapOverride } = event.detail;
  const { elt, triggeringEvent } = requestConfig;
  if (!shouldSwap || xhr.status >= 400 || triggeringEvent?.isTrusted) return;
  if (!target.contains(pressed) && !isBeside(serverResponse)) return;
  event.detail.shouldSwap = false;
  const style = swapOverride ?? elt.closest("[hx-swap]")?.getAttribute("hx-swap") ?? "innerHTML";
  held.set(target, () => {
    // The click may have ended what this was a part of.
    if (!elt.isConnected || !target.isConnected) return;
    const spec = { swapStyle: style.split(" ")[0], swapDelay: 0, settleDelay: 0 };
    window.htmx.swap(target, serverResponse, spec, { contextElement: elt, eventInfo: event.detail });
  });
});
