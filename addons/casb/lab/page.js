// What a page shows, as lines: one for each element that says something, in the order of the composed tree, frames of
// the same origin and open shadow roots included. Evaluated in pages by casb.lab.walk; changes nothing.
() => {
  const lines = [];
  const QUIET = new Set(["SCRIPT", "STYLE", "NOSCRIPT", "TEMPLATE", "LINK", "META", "HEAD", "BASE", "CASB-NOTICE"]);
  const SAYING = ["role", "href", "src", "alt", "type", "name", "aria-label", "title", "placeholder", "action", "data"];
  const visit = (node, depth) => {
    if (lines.length >= 20000 || depth > 200) return;
    if (node.nodeType === Node.TEXT_NODE) {
      const text = node.data.replace(/\s+/g, " ").trim();
      if (text) lines.push("“" + text.slice(0, 400) + "”");
      return;
    }
    if (node.nodeType !== Node.ELEMENT_NODE || QUIET.has(node.tagName) || node.tagName.startsWith("CASB-")) return;
    const parts = [node.tagName.toLowerCase()];
    for (const name of SAYING) {
      const value = node.getAttribute(name);
      if (value) parts.push(`${name}=${value.startsWith("data:") ? "data:" : value.slice(0, 300)}`);
    }
    if (node instanceof HTMLInputElement && !["password", "hidden"].includes(node.type)) parts.push(`value=${node.value.slice(0, 200)}`);
    if (parts.length > 1) lines.push(parts.join(" "));
    if (node.shadowRoot) for (const child of node.shadowRoot.childNodes) visit(child, depth + 1);
    for (const child of node.childNodes) visit(child, depth + 1);
    if (node.tagName === "IFRAME" || node.tagName === "FRAME") {
      let inside = null;
      try { inside = node.contentDocument; } catch { /* another origin */ }
      if (inside && inside.body) visit(inside.body, depth + 1);
    }
  };
  if (document.body) visit(document.body, 0);
  return lines;
}
