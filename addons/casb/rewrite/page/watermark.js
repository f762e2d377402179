// --- the person's name across the screen --------------------------------------------------------------------------------

const MARK_STYLE = `:host {
  all: initial !important; position: fixed !important; inset: 0 !important; display: block !important; overflow: hidden !important;
  visibility: visible !important; opacity: 1 !important; pointer-events: none !important; z-index: 2147483647 !important;
  user-select: none !important; transform: none !important; clip-path: none !important; filter: none !important;
  width: auto !important; height: auto !important; contain: strict !important;
}
div { position: absolute; inset: -30%; display: flex; flex-wrap: wrap; align-content: space-around; gap: 5.5rem 4rem; transform: rotate(-24deg) }
span { font: 600 15px/1 system-ui, sans-serif; color: rgb(110 110 110 / .26); white-space: nowrap;
  text-shadow: 0 0 1px rgb(255 255 255 / .35); -webkit-print-color-adjust: exact; print-color-adjust: exact }`;

/** Drawn once in each page: a frame of this origin lies under that of its parent. */
const outermost = () => quietlyOr(true, () => here.parent === here || !here.parent[KEY]);
let mark = null;
const drawMark = () => {
  const root = document.documentElement;
  if (!rules.mark || !root) return;
  if (!mark) {
    mark = document.createElement("casb-watermark");
    mark.setAttribute("aria-hidden", "true");
    const inside = mark.attachShadow({ mode: "closed" });
    const sheet = new here.CSSStyleSheet();
    sheet.replaceSync(MARK_STYLE);
    inside.adoptedStyleSheets = [sheet];
    const tiles = document.createElement("div");
    for (let at = 0; at < 120; at++) tiles.append(Object.assign(document.createElement("span"), { textContent: rules.mark }));
    inside.append(tiles);
  }
  if (mark.parentNode !== root) root.append(mark);
  for (const name of ["style", "class", "hidden", "popover", "inert"]) mark.removeAttribute(name);
};
if (inWindow && rules.mark && outermost()) {
  quietly(drawMark);
  document.addEventListener("DOMContentLoaded", () => quietly(drawMark));
  // One list of children, that of <html>, hardly ever changes: nothing in the page itself is watched.
  const watch = new here.MutationObserver(() => mark?.parentNode !== document.documentElement && quietly(drawMark));
  watch.observe(document, { childList: true });
  const below = () => document.documentElement && watch.observe(document.documentElement, { childList: true });
  below();
  document.addEventListener("DOMContentLoaded", below);
  checks.push(() => {
    const there = mark?.isConnected;
    quietly(drawMark);
    quietly(below);
    return there ? "" : "watermark";
  });
}
