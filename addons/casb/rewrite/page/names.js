// --- host names: the same laws as rewrite/hosts.py, and tested against the same vectors -------------------------------

const exact = new Set(config.exact);
const parents = new Set(config.parents);
const plain = new Set(config.plain);
const plainParents = new Set(config.plain_parents);
const publicNames = new Set(config.public);
const tail = "." + config.suffix;
const portTail = config.port ? ":" + config.port : "";
const PORTED = /--p([1-9][0-9]{0,4})$/;
const FLAT = /^(x?)([a-z0-9_-]+)--x(x?)((?:[1-9][0-9]{0,4})?)$/;
const SECURE = { "http:": "https:", "https:": "https:", "ws:": "wss:", "wss:": "wss:" };
const PLAIN = { "http:": "http:", "https:": "http:", "ws:": "ws:", "wss:": "ws:" };
const STANDARD = { "https:": "443", "wss:": "443", "http:": "80", "ws:": "80" };
const ABSOLUTE = /^[\x00-\x20]*(?:[a-z][a-z0-9+.-]*:|[/\\][\t\r\n]*[/\\])/i;
const SIMPLE = /^(https?:|wss?:)\/\/((?:[a-z0-9-]+\.)*[a-z][a-z0-9-]*)(?::([1-9][0-9]{0,4}))?(?=[/?#]|$)/; // no parser needed
const OPAQUE = /^[\x00-\x20]*(?:blob|data|javascript|about|mailto|tel):/i;

const listed = (names, above, host, port) => {
  const end = port ? ":" + port : "";
  if (names.has(host + end)) return true;
  if (!above.size) return false;
  for (let dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) {
    if (above.has(host.slice(dot + 1) + end)) return true;
  }
  return false;
};
const knows = (host, port) => listed(exact, parents, host, port);

/** As `casb.spelling.spell`: a host ([IPv6] in brackets) and its port of its own ("" else), without the suffix. */
const spell = (host, port) => {
  if (host.startsWith("[")) {
    const base = groups(host.slice(1, -1)).join("-") + "--v6";
    return port ? `${base}--p${port}` : base;
  }
  if (config.flat) {
    const body = host.replace(/-/g, "--").replace(/\./g, "-");
    const mark = body.startsWith("xn--") ? "x" : "";
    const label = `${mark}${body}--x${mark}${port}`;
    if (label.length <= 63) return label;
  }
  return port ? `${host}--p${port}` : host;
};
const groups = (address) => {
  const [left, right] = address.split("::");
  const before = left ? left.split(":") : [];
  const behind = right ? right.split(":") : [];
  return address.includes("::") ? [...before, ...Array(8 - before.length - behind.length).fill("0"), ...behind] : before;
};

/** As `casb.spelling.read`: `app.example` or `app.example:8444` for a suffix host; "" when it is none of ours. */
const originHost = (host) => {
  if (!config.suffix || !host.endsWith(tail)) return "";
  const name = host.slice(0, -tail.length);
  const ported = PORTED.exec(name);
  let [bare, port] = ported ? [name.slice(0, ported.index), ported[1]] : [name, ""];
  const flat = config.flat && FLAT.exec(name);
  if (/^[0-9a-f]{1,4}(?:-[0-9a-f]{1,4}){7}--v6$/.test(bare)) {
    bare = parsed(`https://[${bare.slice(0, -4).replace(/-/g, ":")}]`)?.hostname ?? "";
  } else if (flat) {
    const body = flat[3] ? flat[2] : flat[1] + flat[2];
    bare = body.replace(/-+/g, (run) => (run.length === 1 ? "." : "-".repeat(run.length >> 1)));
    port = flat[4];
  }
  if (!bare || port === "80" || port === "443" || spell(bare, port) !== name || !knows(bare, port)) return "";
  return port ? `${bare}:${port}` : bare;
};

/** The suffix form, public port included, of a host and its port ("" or not the scheme's own); "" for strangers. */
const suffixHost = (host, port) => {
  const bare = host.endsWith(".") ? host.slice(0, -1) : host;
  const own = port === "80" || port === "443" ? "" : port;
  return knows(bare, own) ? spell(bare, own) + tail + portTail : "";
};

const parsed = (text, base) => {
  try {
    return new URL(text, base);
  } catch {
    return null;
  }
};
const withUser = (url) => (url.username || url.password ? `${url.username}${url.password ? ":" + url.password : ""}@` : "");
const rest = (url) => `${url.pathname}${url.search}${url.hash}`;
const baseOf = () => (inWindow ? location.protocol + "//x" : "https://x");

/** A URL as the browser must ask for it; the very same value when there is nothing to map. */
const outward = (input) => {
  if (!config.suffix || input === undefined || input === null) return input;
  const text = typeof input === "string" ? input : String(input);
  const simple = SIMPLE.exec(text);
  if (simple) {
    const port = simple[3] === STANDARD[simple[1]] ? "" : simple[3] ?? "";
    const authority = suffixHost(simple[2], port);
    if (authority) return `${SECURE[simple[1]]}//${authority}${text.slice(simple[0].length)}`;
    if (port || !config.port || !simple[2].endsWith(tail)) return input;
  } else if (!ABSOLUTE.test(/[\t\r\n]/.test(text) ? text.replace(/[\t\r\n]/g, "") : text) || OPAQUE.test(text)) return input;
  const url = parsed(text, baseOf());
  const secure = url && SECURE[url.protocol];
  if (!secure) return input;
  const authority = suffixHost(url.hostname, url.port);
  if (authority) {
    const scheme = /^[\x00-\x20]*[/\\]/.test(text) ? "" : secure;
    return `${scheme}//${withUser(url)}${authority}${rest(url)}`;
  }
  // "https://" + hostname, put together without our port.
  if (config.port && url.port === "" && originHost(url.hostname)) {
    url.protocol = secure;
    url.port = config.port;
    return url.href;
  }
  return input;
};

/** The reverse, for an absolute URL: always a string. */
const toOrigin = (text) => {
  if (typeof text !== "string" || !text.includes(tail)) return text;
  if (text.startsWith("blob:")) return "blob:" + toOrigin(text.slice(5));
  const url = /^(?:https?|wss?):\/\//i.test(text) ? parsed(text) : null;
  if (!url || (url.port && url.port !== (config.port || "443"))) return text; // our port may be left out
  const origin = originHost(url.hostname);
  if (!origin) return text;
  const scheme = isPlain(origin) ? PLAIN[url.protocol] : SECURE[url.protocol];
  const bare = /^[^:]+:\/\/[^/?#]*$/.test(text); // an origin has no path
  return `${scheme}//${withUser(url)}${origin}${bare ? "" : rest(url)}`;
};
const partsOf = (authority) => {
  const found = /^(.*?)(?::([0-9]+))?$/.exec(authority);
  return authority.endsWith("]") ? [authority, ""] : [found[1], found[2] ?? ""];
};
const isPlain = (origin) => {
  const [host, port] = partsOf(origin);
  return listed(plain, plainParents, host, port);
};

/** What the page is told of a URL: in the suffix view, what it is, and nothing needs to be wrapped. */
const inward = original ? toOrigin : null;

/** `authority` or `host` without a scheme, as `location.host` gives it. */
const hostInward = (authority) => {
  const url = parsed("https://" + authority);
  return (url && (url.port || "443") === (config.port || "443") && originHost(url.hostname)) || authority;
};

/** A host name alone; parents of ours (`document.domain`) lose the suffix too. */
const nameInward = (name) => (typeof name === "string" && name.endsWith(tail) ? partsOf(originHost(name) || name.slice(0, -tail.length))[0] : name);

/** This realm's own name at home: "" where there is none (opaque origins, other hosts). */
const ownName = originHost(here.location?.hostname ?? "") || originHost(parsed(page)?.hostname ?? "");

/** `Domain=` as the browser must be told it, or null when the cookie must not be set (RFC 6265bis, 5.7). */
const cookieDomain = (given) => {
  let parent = String(given).trim().toLowerCase().replace(/^\./, "");
  if (parent === config.suffix) return null;
  if (parent.endsWith(tail)) parent = parent.slice(0, -tail.length);
  const [host, port] = partsOf(ownName);
  if (!ownName || !(host === parent || host.endsWith("." + parent))) return null;
  if (config.flat || port || publicNames.has(parent) || !parent.includes(".")) return host === parent || port || config.flat ? "" : null;
  return parent + tail;
};

/** A cookie as scripts write it; null when the browser at the real host would have refused it. */
const cookieOutward = (input) => {
  const text = String(input);
  if (!config.suffix || !/;\s*domain\s*=/i.test(text)) return text;
  if (!ownName) return originHostless() ? text : null;
  let domain = "";
  const kept = text.split(";").filter((piece, at) => {
    const found = at > 0 && /^\s*domain\s*=(.*)$/is.exec(piece);
    if (found) domain = found[1].trim();
    return !found;
  });
  if (!domain) return text;
  const mapped = cookieDomain(domain);
  if (mapped === null) return null;
  return mapped ? `${kept.join(";")}; Domain=${mapped}` : kept.join(";");
};
/** Not under the suffix at all: nothing to guard there. */
const originHostless = () => !(here.location?.hostname ?? "").endsWith(tail);

// --- URLs inside other text ------------------------------------------------------------------------------------------

const IN_TEXT = /(https?:|wss?:)?(\/\/)([^\s"'`<>\\/?#()&]+)/gi;
const outwardIn = (text) =>
  text.replace(IN_TEXT, (whole) => {
    const mapped = outward(whole);
    return mapped === whole ? whole : mapped.replace(/\/$/, "");
  });
const backOne = (whole, scheme) => (scheme ? toOrigin(whole) : toOrigin("https:" + whole).replace(/^https?:/, ""));
const inwardIn = original
  ? (text) => (typeof text === "string" && text.includes(tail) ? text.replace(IN_TEXT, backOne) : text)
  : null;

const URLS = /^(?:href|src|action|formaction|poster|data|background|manifest|longdesc|classid|codebase|cite|xlink:href|profile)$/i;
const TEXTS = /^(?:srcset|imagesrcset|ping|style)$/i;
const TAG = /<([a-z][^\s/>]*)((?:[^"'>]|"[^"]*"|'[^']*')*)>/gi;
const ATTRIBUTE = /([^\s"'<>/=]+)(\s*=\s*)(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))/g;
const ENTITIES = { "&amp;": "&", "&quot;": '"', "&#39;": "'", "&lt;": "<", "&gt;": ">" };
const unescaped = (text) => text.replace(/&(?:amp|quot|#39|lt|gt);/g, (entity) => ENTITIES[entity]);
const escapedText = (text) => text.replace(/&/g, "&amp;").replace(/"/g, "&quot;");

/** An attribute's value as the browser must get it; `name` in any case. */
const attributeOutward = (name, value) => {
  if (URLS.test(name)) return outward(value);
  if (TEXTS.test(name)) return outwardIn(String(value));
  if (/^srcdoc$/i.test(name)) return framed(String(value));
  if (original && /^on[a-z]+$/i.test(name)) return code(value);
  return value;
};
const mapsAttribute = (name) => URLS.test(name) || TEXTS.test(name) || /^(?:srcdoc|integrity)$/i.test(name) || (original && /^on/i.test(name));

/** Markup as the browser must get it: only inside tags and style sheets, never the text that people read. */
const htmlOutward = (input) => {
  if (!config.suffix || typeof input !== "string" || !input.includes("<")) return input;
  const scripted = original && /<script|\son\w+\s*=/i.test(input);
  if (!scripted && !input.includes("//") && !/srcdoc/i.test(input)) return input;
  let html = input.replace(TAG, (tag, name, attributes) => {
    if (!/[=]/.test(attributes)) return tag;
    const changed = attributes.replace(ATTRIBUTE, (whole, key, equals, double, single, bare) => {
      if (!mapsAttribute(key)) return whole;
      if (/^integrity$/i.test(key)) return ownResource(attributes) ? "" : whole;
      const value = unescaped(double ?? single ?? bare);
      const mapped = String(attributeOutward(key, value));
      return mapped === value ? whole : `${key}${equals}"${escapedText(mapped)}"`;
    });
    return changed === attributes ? tag : `<${name}${changed}>`;
  });
  html = html.replace(/(<style[^>]*>)([^]*?)(<\/style)/gi, (_, open, css, close) => open + outwardIn(css) + close);
  if (original) {
    html = html.replace(/(<script(?![^>]*\btype\s*=\s*["']?(?!module|text\/javascript|application\/javascript))[^>]*>)([^]*?)(<\/script)/gi,
      (_, open, text, close) => open + code(text) + close);
  }
  return html;
};

/** Does a tag's own URL lead to a host of ours, whose resources may have been rewritten? */
const ownResource = (attributes) => {
  const found = /\b(?:src|href)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))/i.exec(attributes);
  return found !== null && isOurs(unescaped(found[1] ?? found[2] ?? found[3]));
};
const isOurs = (text) => {
  const url = parsed(String(outward(text)), inWindow ? document.baseURI : here.location?.href);
  return url !== null && originHost(url.hostname) !== "";
};

// --- scripts as text (the origin view): the proxy parses; here the plain cases must do ---------------------------------

const PIECES = new RegExp(
  [
    /\/\*[^]*?\*\/|\/\/[^\n]*/, // comments
    /"(?:[^"\\\n]|\\[^])*"|'(?:[^'\\\n]|\\[^])*'/, // strings
    /(?<![\w$.])((?:(?:window|self|globalThis|document|top|parent|frames)\s*\.\s*)?location)(?![\w$])(?!\s*(?::|\())(?!\s*=(?!=))/,
    /(?<![\w$.])((?:window|self|globalThis|document|top|parent)\s*\.\s*)?location\s*=(?!=)\s*([^;\n]+)/,
  ].map((piece) => piece.source).join("|"),
  "g",
);

/** Script text made here (`eval`, `new Function`, handlers): reads and plain assignments of `location`. */
const code = (input) => {
  if (!original || typeof input !== "string" || !input.includes("location")) return input;
  return input.replace(PIECES, (whole, read, owner, value) => {
    if (read) return `casb$.here(${read})`;
    if (value === undefined) return whole;
    return `casb$.put(${owner ? owner.replace(/\s*\.\s*$/, "") : "globalThis"},${value})`;
  });
};

/** Trusted Types: their policies map what they make, so that an object of theirs is used as it is. */
part((realm) => {
  method(realm.TrustedTypePolicyFactory?.prototype, "createPolicy", (native, self, args) => {
    const given = args[1];
    if (!given || typeof given !== "object") return apply(native, self, args);
    const mapping = { createHTML: htmlOutward, createScriptURL: outward, createScript: code };
    const rules = {};
    for (const name of Object.keys(mapping)) {
      const rule = given[name];
      if (typeof rule === "function") rules[name] = (...all) => mapping[name](apply(rule, given, all));
      else if (rule !== undefined && rule !== null) rules[name] = rule;
    }
    return apply(native, self, [args[0], rules]);
  });
});
