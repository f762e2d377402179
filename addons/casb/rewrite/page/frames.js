// --- realms that this one makes: frames without an address of their own, windows, workers --------------------------------

const guardUrl = ownUrl || (page && `${page}${BASE}guard.js`);
const guardTag = `<script src="${guardUrl}"${ownControls && ` data-casb="${ownControls}"`}></` + "script>";
const framedMark = BASE + "guard.js";

/** A document given as text, with the guard first. */
const framed = (text) => {
  const html = htmlOutward(text);
  if (!guardUrl || html.includes(framedMark)) return html;
  const head = /^(?:\s|<!--[^]*?-->|<!doctype[^>]*>|<html[^>]*>|<head[^>]*>)*/i.exec(html);
  return html.slice(0, head[0].length) + nonced(guardTag) + html.slice(head[0].length);
};
const nonced = (tag) => (ownNonce ? tag.replace("<script", `<script nonce="${ownNonce}"`) : tag);

/** The URL of a frame: documents inside a `data:` or `blob:` URL get the guard too. */
const blobs = new Map();
const frameUrl = (value) => {
  const text = String(value);
  const script = /^[\x00-\x20]*javascript:([^]*)$/i.exec(text);
  if (script) return `javascript:${ENTERED}${code(script[1])}`;
  const data = /^data:text\/html((?:;[^,;]*)*?)(;base64)?,([^]*)$/i.exec(text);
  if (data) {
    return quietlyOr(value, () => `data:text/html${data[1]},${encodeURIComponent(framed(data[2] ? utf8(atob(data[3])) : decodeURIComponent(data[3])))}`);
  }
  const blob = blobs.get(text);
  if (blob && /^text\/html/i.test(blob.type)) return makeUrl(new Blob([nonced(guardTag), blob], { type: blob.type }));
  return outward(value);
};
const ENTERED = 'try{parent[Symbol.for("casb.guard")].enter(globalThis)}catch{}'; // it runs before any event tells of it
const utf8 = (binary) => quietlyOr(binary, () => new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(binary, (byte) => byte.charCodeAt(0))));
const makeUrl = here.URL?.createObjectURL?.bind(here.URL);

/** Put ourselves into a window of this origin that has no guard yet. */
const enter = (other) => {
  quietly(() => {
    if (!other || other === here) return;
    const inside = other.document; // throws for another origin
    if (other[KEY]) return again(inside);
    install(other);
    defineProperty(other, KEY, { value: here[KEY], configurable: true }); // a page that comes there brings its own
    if (original) defineProperty(other, "casb$", { value: Object.freeze(forScripts), configurable: true });
    again(inside);
  });
};

/** Frames of this origin are entered as soon as they are there: their first `load` comes while they are inserted. */
const again = (root) => {
  if (!root?.addEventListener) return;
  root.addEventListener("load", onLoad, true); // the same listener is never added twice; document.open() removes it
};
const onLoad = (event) => {
  const name = event.target?.localName;
  if (name === "iframe" || name === "frame" || name === "object" || name === "embed") enter(contentOf(event.target));
};
const windowGetters = {};
let renew = null; // puts right what a new document in an entered window lacks
const contentOf = (element) => {
  const get = windowGetters[element.localName];
  return get ? quietly(() => apply(get, element, [])) : null;
};

part((realm) => {
  if (!realm.HTMLIFrameElement) return;
  for (const [name, tag] of [["HTMLIFrameElement", "iframe"], ["HTMLFrameElement", "frame"], ["HTMLObjectElement", "object"]]) {
    const prototype = realm[name]?.prototype;
    if (realm === here && prototype) windowGetters[tag] = getOwnPropertyDescriptor(prototype, "contentWindow")?.get;
    accessor(prototype, "contentWindow", (other) => (enter(other), other));
    accessor(prototype, "contentDocument", (inside) => (inside && enter(inside.defaultView), inside));
  }
  method(realm.Element.prototype, "attachShadow", (native, self, args) => {
    const root = apply(native, self, args);
    again(root);
    return root;
  });
  method(realm.Document.prototype, "open", (native, self, args) => {
    const changed = args.length > 2 ? withArgument(args, 0, outward) : args; // the old form of window.open
    const done = apply(native, self, changed);
    again(self);
    return done;
  });
  quietly(() => again(realm.document));
});

// A link or form that came about in a way that is not listed above is looked at again before it is followed.
part((realm) => {
  if (!realm.document) return;
  const mend = (element, name) => {
    const value = element && nativeAttribute.get(element, name);
    if (!value) return;
    const mapped = outward(value);
    if (mapped === value) return;
    nativeAttribute.set(element, name, mapped);
    report("element", value);
  };
  const follow = (event) => {
    const link = event.composedPath().find((node) => node.localName === "a" || node.localName === "area");
    if (link) mend(link, "href");
  };
  realm.addEventListener("click", follow, true);
  realm.addEventListener("auxclick", follow, true);
  realm.addEventListener("submit", (event) => {
    mend(event.target, "action");
    if (event.submitter) mend(event.submitter, "formaction");
  }, true);
  for (const name of ["submit", "requestSubmit"]) {
    method(realm.HTMLFormElement.prototype, name, (native, self, args) => (mend(self, "action"), apply(native, self, args)));
  }
  method(realm.HTMLElement.prototype, "click", (native, self, args) => {
    if (self.localName === "a" || self.localName === "area") mend(self, "href");
    return apply(native, self, args);
  });
});

// --- workers ------------------------------------------------------------------------------------------------------------

const ownText = () => `(${apply(sourceOf, casb, [])})(${JSON.stringify({ ...config, page })});`;

/** The script of a worker: `blob:` and `data:` get the guard here, all else from the proxy. */
const workerUrl = (value) => {
  const text = String(value);
  const blob = blobs.get(text);
  if (blob) return makeUrl(new Blob([ownText(), "\n", blob], { type: blob.type || "text/javascript" }));
  const data = /^data:([^,;]*)((?:;[^,;]*)*?)(;base64)?,([^]*)$/i.exec(text);
  if (data) {
    return quietlyOr(value, () => `data:${data[1] || "text/javascript"}${data[2]},${encodeURIComponent(ownText() + "\n" + (data[3] ? utf8(atob(data[4])) : decodeURIComponent(data[4])))}`);
  }
  return outward(value);
};

part((realm) => {
  for (const name of ["Worker", "SharedWorker"]) {
    wrap(realm, name, {
      construct: (native, args, self) => construct(native, withArgument(args, 0, (value) => (isTrusted(value) && !blobs.has(String(value)) ? value : workerUrl(value))), self),
    });
  }
  method(realm.URL, "createObjectURL", (native, self, args) => {
    const url = apply(native, self, args);
    if (args[0] instanceof realm.Blob && !(realm.File && args[0] instanceof realm.File && args[0].size > 1 << 24)) {
      if (blobs.size > 500) blobs.delete(blobs.keys().next().value);
      if (/^(?:text\/html|application\/xhtml|(?:text|application)\/(?:x-)?(?:java|ecma)script|$)/i.test(args[0].type)) blobs.set(url, args[0]);
    }
    return url;
  });
  method(realm.URL, "revokeObjectURL", (native, self, args) => {
    blobs.delete(String(args[0]));
    return apply(native, self, args);
  });
  method(realm, "importScripts", (native, self, args) => apply(native, self, args.map((url) => outward(url))));
  method(realm.Worklet?.prototype, "addModule", (native, self, args) => apply(native, self, withArgument(args, 0, outward)));

  const container = realm.ServiceWorkerContainer?.prototype;
  method(container, "register", (native, self, args) => {
    const changed = withArgument(withArgument(args, 0, outward), 1, (options) => (options?.scope ? { ...options, scope: outward(options.scope) } : options));
    return apply(native, self, changed);
  });
  method(container, "getRegistration", (native, self, args) => apply(native, self, withArgument(args, 0, outward)));
  accessor(realm.ServiceWorkerRegistration?.prototype, "scope", inward);
  accessor(realm.ServiceWorker?.prototype, "scriptURL", inward);
  method(realm.Clients?.prototype, "openWindow", (native, self, args) => apply(native, self, withArgument(args, 0, outward)));
  method(realm.WindowClient?.prototype, "navigate", (native, self, args) => apply(native, self, withArgument(args, 0, outward)));
});

// What is asked of the reserved path is no business of the application's service worker.
if (typeof ServiceWorkerGlobalScope === "function" && here instanceof ServiceWorkerGlobalScope) {
  here.addEventListener("fetch", (event) => {
    const url = parsed(event.request.url);
    if (url?.origin === here.location.origin && url.pathname.startsWith(BASE)) event.stopImmediatePropagation();
  });
}
