// --- elements: URLs that scripts give them, one by one or as markup ------------------------------------------------------

const URL_PROPERTIES = {
  HTMLAnchorElement: ["href"], HTMLAreaElement: ["href"], HTMLLinkElement: ["href"], HTMLBaseElement: ["href"],
  HTMLScriptElement: ["src"], HTMLImageElement: ["src", "lowsrc"], HTMLIFrameElement: ["src"], HTMLFrameElement: ["src"],
  HTMLEmbedElement: ["src"], HTMLObjectElement: ["data", "codeBase"], HTMLSourceElement: ["src"], HTMLMediaElement: ["src"],
  HTMLTrackElement: ["src"], HTMLVideoElement: ["poster"], HTMLInputElement: ["src", "formAction"], HTMLButtonElement: ["formAction"],
  HTMLFormElement: ["action"], HTMLBodyElement: ["background"], HTMLQuoteElement: ["cite"], HTMLModElement: ["cite"],
};
const TEXT_PROPERTIES = {
  HTMLImageElement: ["srcset"], HTMLSourceElement: ["srcset"], HTMLLinkElement: ["imageSrcset"], HTMLAnchorElement: ["ping"],
};
const READ_ONLY = { HTMLImageElement: ["currentSrc"], HTMLMediaElement: ["currentSrc"] };
const held = new WeakMap(); // element: the integrity that its page gave it

/** Integrity holds for the origin's bytes. Where the resource is ours it is only remembered, elsewhere it stays. */
const settleIntegrity = (element) => {
  const value = held.get(element);
  if (value === undefined) return;
  const url = nativeAttribute.get(element, element.localName === "link" ? "href" : "src");
  if (url === null) return;
  if (isOurs(url)) nativeAttribute.remove(element, "integrity");
  else nativeAttribute.set(element, "integrity", value);
};
const isPinned = (element) => element.localName === "script" || element.localName === "link";
const nativeAttribute = inWindow
  ? {
      get: ((native) => (element, name) => apply(native, element, [name]))(Element.prototype.getAttribute),
      set: ((native) => (element, name, value) => apply(native, element, [name, value]))(Element.prototype.setAttribute),
      remove: ((native) => (element, name) => apply(native, element, [name]))(Element.prototype.removeAttribute),
    }
  : null;

const untrusted = (value) => typeof value === "string" || typeof value === "number" || value instanceof URL;

/** One attribute written by script: what goes to the browser. */
const attributeGiven = (element, name, value) => {
  if (!mapsAttribute(name)) return value;
  if (/^integrity$/i.test(name)) return value;
  if (/^src$/i.test(name) && isFrame(element)) return frameUrl(value);
  return untrusted(value) || (typeof value === "object" && value !== null && !isTrusted(value)) ? attributeOutward(name, value) : value;
};
const isFrame = (element) => element.localName === "iframe" || element.localName === "frame" || element.localName === "embed";
const isTrusted = (value) =>
  (here.TrustedHTML && value instanceof here.TrustedHTML) || (here.TrustedScriptURL && value instanceof here.TrustedScriptURL) ||
  (here.TrustedScript && value instanceof here.TrustedScript) || false;

part((realm) => {
  if (!realm.Element) return;
  const element = realm.Element.prototype;
  for (const [table, write, read] of [
    [URL_PROPERTIES, outward, inward],
    [TEXT_PROPERTIES, (value) => (untrusted(value) ? outwardIn(String(value)) : value), inwardIn],
    [READ_ONLY, null, inward],
  ]) {
    for (const [name, properties] of Object.entries(table)) {
      for (const property of properties) {
        const pins = (name === "HTMLScriptElement" || name === "HTMLLinkElement") && table === URL_PROPERTIES;
        const frame = property === "src" && (name === "HTMLIFrameElement" || name === "HTMLFrameElement" || name === "HTMLEmbedElement");
        accessor(realm[name]?.prototype, property, read, write && ((value) => (isTrusted(value) ? value : frame ? frameUrl(value) : write(value))));
        if (pins) after(realm[name]?.prototype, property, settleIntegrity);
      }
    }
  }
  if (original) linkParts(realm);
  for (const name of ["HTMLScriptElement", "HTMLLinkElement"]) integrityOf(realm[name]?.prototype);
  accessor(realm.SVGAnimatedString?.prototype, "baseVal", inward, outward);
  accessor(realm.SVGAnimatedString?.prototype, "animVal", inward);

  for (const [name, at] of [["setAttribute", 0], ["setAttributeNS", 1]]) {
    method(element, name, (native, self, args) => {
      if (args.length < at + 2) return apply(native, self, args);
      const key = String(args[at]);
      if (!mapsAttribute(key)) return apply(native, self, args);
      if (/^integrity$/i.test(key) && isPinned(self)) {
        held.set(self, String(args[at + 1]));
        return settleIntegrity(self);
      }
      const done = apply(native, self, withArgument(args, at + 1, (value) => attributeGiven(self, key, value)));
      if (held.has(self)) settleIntegrity(self);
      return done;
    });
  }
  for (const [name, at] of [["getAttribute", 0], ["getAttributeNS", 1]]) {
    method(element, name, (native, self, args) => {
      const value = apply(native, self, args);
      if (value === null) return /^integrity$/i.test(String(args[at])) ? held.get(self) ?? null : null;
      if (!original || !mapsAttribute(String(args[at]))) return value;
      return inwardIn(value);
    });
  }
  const ofElement = (attribute, value) => (attribute.ownerElement ? attributeGiven(attribute.ownerElement, attribute.name, value) : attributeOutward(attribute.name, value));
  accessor(realm.Attr?.prototype, "value", original ? (value, self) => (mapsAttribute(self.name) ? inwardIn(value) : value) : null, (value, self) => (mapsAttribute(self.name) ? ofElement(self, value) : value));
  for (const name of ["setAttributeNode", "setAttributeNodeNS"]) {
    method(element, name, (native, self, args) => {
      const attribute = args[0];
      if (realm.Attr && attribute instanceof realm.Attr && !attribute.ownerElement && mapsAttribute(attribute.name)) attribute.value = String(attribute.value);
      return apply(native, self, args);
    });
  }

  const html = (value) => (typeof value === "string" ? htmlOutward(value) : value);
  for (const prototype of [element, realm.ShadowRoot?.prototype]) {
    accessor(prototype, "innerHTML", inwardIn, (value, self) => (self.localName === "style" ? cssOutward(value) : self.localName === "script" ? code(value) : html(value)));
    accessor(prototype, "outerHTML", inwardIn, html);
    method(prototype, "setHTMLUnsafe", (native, self, args) => apply(native, self, withArgument(args, 0, html)));
    method(prototype, "getHTML", (native, self, args) => (inwardIn ? inwardIn(apply(native, self, args)) : apply(native, self, args)));
  }
  method(element, "insertAdjacentHTML", (native, self, args) => apply(native, self, withArgument(args, 1, html)));
  method(realm.Range?.prototype, "createContextualFragment", (native, self, args) => apply(native, self, withArgument(args, 0, html)));
  method(realm.DOMParser?.prototype, "parseFromString", (native, self, args) => apply(native, self, withArgument(args, 0, html)));
  method(realm.Document, "parseHTMLUnsafe", (native, self, args) => apply(native, self, withArgument(args, 0, html)));
  for (const name of ["write", "writeln"]) {
    method(realm.Document?.prototype, name, (native, self, args) => {
      const done = apply(native, self, args.map((value) => written(self, value)));
      again(self);
      return done;
    });
  }
  accessor(realm.HTMLIFrameElement?.prototype, "srcdoc", inwardIn, (value) => (typeof value === "string" ? framed(value) : value));

  const styled = (self, value) => (self.localName === "style" ? cssOutward(value) : self.localName === "script" ? code(value) : value);
  accessor(realm.Node?.prototype, "textContent", null, (value, self) => (self.nodeType === 1 ? styled(self, value) : value));
  accessor(realm.HTMLScriptElement?.prototype, "text", null, code);
  method(realm.CSSStyleSheet?.prototype, "insertRule", (native, self, args) => apply(native, self, withArgument(args, 0, cssOutward)));
  for (const name of ["replace", "replaceSync"]) {
    method(realm.CSSStyleSheet?.prototype, name, (native, self, args) => apply(native, self, withArgument(args, 0, cssOutward)));
  }
  method(realm.CSSStyleDeclaration?.prototype, "setProperty", (native, self, args) => apply(native, self, withArgument(args, 1, cssOutward)));
  accessor(realm.CSSStyleDeclaration?.prototype, "cssText", inwardIn, cssOutward);
});

const cssOutward = (value) => (typeof value === "string" && value.includes("//") ? outwardIn(value) : value);

/** `document.write` may come in pieces: what is no whole tag yet goes on as it is. */
const written = (target, value) => (typeof value === "string" ? htmlOutward(value) : value);

/** Run `then(element)` after a property was set. */
const after = (owner, name, then) => {
  const descriptor = owner && getOwnPropertyDescriptor(owner, name);
  if (!descriptor?.set || !descriptor.configurable) return;
  const set = stand(descriptor.set, {
    apply: (native, self, args) => {
      apply(native, self, args);
      if (held.has(self)) then(self);
    },
  });
  defineProperty(owner, name, { ...descriptor, set });
};

const integrityOf = (prototype) => {
  const descriptor = prototype && getOwnPropertyDescriptor(prototype, "integrity");
  if (!descriptor?.set || !descriptor.configurable) return;
  const get = stand(descriptor.get, { apply: (native, self, args) => held.get(self) ?? apply(native, self, args) });
  const set = stand(descriptor.set, {
    apply: (native, self, args) => {
      if (!isPinned(self)) return apply(native, self, args);
      held.set(self, String(args[0]));
      return settleIntegrity(self);
    },
  });
  defineProperty(prototype, "integrity", { ...descriptor, get, set });
};

/** `a.host` and the like, in the origin view. */
const linkParts = (realm) => {
  for (const name of ["HTMLAnchorElement", "HTMLAreaElement"]) {
    const prototype = realm[name]?.prototype;
    if (!prototype) continue;
    accessor(prototype, "origin", toOrigin);
    accessor(prototype, "host", (host) => hostInward(host));
    accessor(prototype, "hostname", (_, self) => hostInward(nativeHost(self)).replace(/:\d+$/, ""));
    accessor(prototype, "port", (_, self) => /:(\d+)$/.exec(hostInward(nativeHost(self)))?.[1] ?? "");
    method(prototype, "toString", (native, self, args) => toOrigin(apply(native, self, args)));
  }
};
const hostGetter = inWindow ? getOwnPropertyDescriptor(HTMLAnchorElement.prototype, "host").get : null;
const areaHostGetter = inWindow ? getOwnPropertyDescriptor(HTMLAreaElement.prototype, "host").get : null;
const nativeHost = (link) => apply(link.localName === "area" ? areaHostGetter : hostGetter, link, []);
