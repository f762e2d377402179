// Where a walk may go from this page: links within the application, and buttons that only open something.
(host) => {
  const DANGER = /log.?out|sign.?out|log.?off|delete|remove|drop|purge|discard|destroy|clear|reset|revoke|unsubscribe|cancel|pay|buy|order|checkout|send|submit|publish|deploy|shut.?down|restart|stop|download|export|install|update|save|upload|print/i;
  const seen = (element) => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && getComputedStyle(element).visibility !== "hidden";
  };
  const links = [], buttons = [];
  for (const link of document.querySelectorAll("a[href]")) {
    let url;
    try { url = new URL(link.href); } catch { continue; }
    const said = (link.textContent || "") + " " + url.pathname + url.search + " " + (link.title || "");
    if (url.protocol !== location.protocol || url.host !== host || link.hasAttribute("download") || !seen(link)) continue;
    if (/\.(?:zip|gz|tar|pdf|docx?|xlsx?|pptx?|png|jpe?g|gif|mp4|exe|iso|csv|xml|rss|atom)$/i.test(url.pathname)) continue;
    links.push({ path: url.pathname + url.search + url.hash, danger: DANGER.test(said), out: /log.?out|sign.?out|log.?off/i.test(said) });
  }
  for (const button of document.querySelectorAll("button[aria-expanded=false], [role=tab][aria-selected=false], button[aria-haspopup]")) {
    const name = (button.getAttribute("aria-label") || button.textContent || "").replace(/\s+/g, " ").trim().slice(0, 60);
    if (!name || DANGER.test(name) || !seen(button) || button.disabled || button.closest("form")) continue;
    buttons.push([button.getAttribute("role") || "button", name]);
  }
  return { links, buttons };
}
