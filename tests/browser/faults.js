// What is wrong with a page as it stands, a line each: for test_every_page.py.
async ({ width, theme }) => {
  const narrow = width < 720;
  // The wish for a theme or a width arrives some frames later.
  while (innerWidth !== width || !matchMedia(`(prefers-color-scheme: ${theme})`).matches) await new Promise(requestAnimationFrame);
  for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
  const faults = [];
  const shown = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getBoundingClientRect().width > 1;
  const say = (fault, element, more = "") =>
    faults.push(`${fault}: ${element.cloneNode().outerHTML.slice(0, 120)} ${(element.textContent ?? "").trim().replace(/\s+/g, " ").slice(0, 40)} ${more}`);
  const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);
  const named = (element) =>
    element.ariaLabel || element.title || element.ariaLabelledByElements?.length || [...(element.labels ?? [])].some((label) => label.textContent.trim());

  for (const field of all("input:not([type=hidden]), select, textarea, progress")) if (!named(field)) say("no label", field);
  for (const act of all("a[href], button, summary")) if (!act.textContent.trim() && !named(act)) say("no name", act);
  for (const head of all("thead th")) if (!head.textContent.trim() && !named(head)) say("a column without a head", head);

  const headings = [...document.querySelectorAll("h1, h2, h3, h4")].filter((each) => each.checkVisibility());
  if (!narrow && headings.filter((each) => each.localName === "h1").length !== 1) faults.push("not one h1");
  headings.reduce((before, heading) => {
    const level = Number(heading.localName[1]);
    if (level > before + 1 && before) say(`h${level} after h${before}`, heading);
    return level;
  }, 0);

  const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
  for (const id of new Set(ids)) if (ids.filter((each) => each === id).length > 1) faults.push(`two elements are #${id}`);
  for (const name of ["for", "aria-labelledby", "aria-describedby", "aria-controls", "popovertarget"]) {
    for (const element of document.querySelectorAll(`[${name}]`)) {
      for (const id of element.getAttribute(name).split(/\s+/)) if (!document.getElementById(id)) say(`${name} means nothing`, element, id);
    }
  }

  if (document.documentElement.scrollWidth > innerWidth) faults.push(`the page is ${document.documentElement.scrollWidth} px wide`);
  const may = ".nav, .tabs, .segmented, pre.hex, .cm-scroller"; // a row of links, or a dump that has its columns
  for (const element of all("main, main *")) {
    const scrolls = /auto|scroll/.test(getComputedStyle(element).overflowX) && !element.matches(may);
    if (scrolls && element.scrollWidth > element.clientWidth + 1) say("scrolls sideways", element, `${element.scrollWidth} px`);
  }

  const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const colour = (css) => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = css;
    pixel.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = pixel.getImageData(0, 0, 1, 1).data;
    return { rgb: [red, green, blue], alpha: alpha / 255 };
  };
  const over = ({ rgb, alpha }, ground) => rgb.map((part, at) => part * alpha + ground[at] * (1 - alpha));
  const up = (element) => (element ? [element, ...up(element.parentElement)] : []);
  const ground = (element) => up(element).reverse().reduce((under, each) => over(colour(getComputedStyle(each).backgroundColor), under), [255, 255, 255]);
  const light = (rgb) => {
    const [red, green, blue] = rgb.map((part) => (part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const told = new Set();
  for (const element of all("body *:not(script, style, option)")) {
    const words = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!words || element.closest(":disabled, .sr-only, .skip")) continue;
    const { color } = getComputedStyle(element);
    const behind = ground(element);
    const key = `${color} ${behind}`;
    if (told.has(key)) continue;
    told.add(key);
    const [dark, bright] = [light(over(colour(color), behind)), light(behind)].sort((one, other) => one - other);
    const ratio = (bright + 0.05) / (dark + 0.05);
    if (ratio < 4.5) say(`contrast ${ratio.toFixed(2)}`, element);
  }
  return faults;
}
