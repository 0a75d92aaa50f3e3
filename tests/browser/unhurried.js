// For tests on a busy machine: a page shows itself once its scripts have run, and messages stay, as they do while somebody points at them.
(() => {
  const veil = new CSSStyleSheet();
  veil.replaceSync("html { visibility: hidden !important; }");
  document.adoptedStyleSheets = [veil];
  addEventListener("DOMContentLoaded", () => {
    document.adoptedStyleSheets = [];
    const list = document.getElementById("toasts-polite");
    const hold = () => { for (const toast of list.children) toast.dispatchEvent(new PointerEvent("pointerenter")); };
    if (!list) return;
    new MutationObserver(hold).observe(list, { childList: true });
    hold();
  });
})();
