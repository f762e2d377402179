// --- where the page is and where it goes --------------------------------------------------------------------------------

const stands = new WeakMap(); // a real Location and its stand-in
const realms = new WeakSet(); // windows that this realm has put itself into

/** The origin view's `location`: same behaviour, other names. */
const locationStand = (real, realm) => {
  const known = stands.get(real);
  if (known) return known;
  const made = Object.create(realm.Location?.prototype ?? null);
  const field = (name, get, set) => defineProperty(made, name, { get, set, enumerable: true, configurable: false });
  field("href", () => toOrigin(real.href), (to) => void (real.href = outward(to)));
  field("origin", () => toOrigin(real.origin), undefined);
  field("protocol", () => parsed(toOrigin(real.href))?.protocol ?? real.protocol, (to) => void (real.protocol = to));
  field("host", () => hostInward(real.host), (to) => void (real.href = withHost(real, to)));
  field("hostname", () => hostInward(real.host).replace(/:\d+$/, ""), (to) => void (real.href = withHost(real, to)));
  field("port", () => /:(\d+)$/.exec(hostInward(real.host))?.[1] ?? "", (to) => void (real.port = to));
  for (const name of ["pathname", "search", "hash"]) field(name, () => real[name], (to) => void (real[name] = to));
  field("ancestorOrigins", () => originList(real.ancestorOrigins), undefined);
  const call = (name, run) => defineProperty(made, name, { value: stand(real[name], { apply: run }), enumerable: true });
  call("assign", (native, self, args) => apply(native, real, withArgument(args, 0, outward)));
  call("replace", (native, self, args) => apply(native, real, withArgument(args, 0, outward)));
  call("reload", (native) => apply(native, real, []));
  call("toString", () => toOrigin(real.href));
  stands.set(real, made);
  return made;
};
const withHost = (real, to) => {
  const url = new URL(toOrigin(real.href));
  url.host = to;
  return outward(url.href);
};
const originList = (list) => list && listLike(list, Array.from(list, toOrigin));
const listLike = (list, names) => {
  const made = Object.create(getPrototypeOf(list));
  names.forEach((name, at) => defineProperty(made, at, { value: name, enumerable: true }));
  defineProperty(made, "length", { value: names.length });
  defineProperty(made, "item", { value: (at) => names[at] ?? null });
  defineProperty(made, "contains", { value: (name) => names.includes(name) });
  defineProperty(made, Symbol.iterator, { value: names[Symbol.iterator].bind(names) });
  return made;
};

const tagOf = Object.prototype.toString;
const hrefOf = inWindow ? getOwnPropertyDescriptor(here.location, "href").get : null;
/** Is it the real Location of a window that we may look into? Its getter knows its own kind, whatever the realm. */
const isLocation = (value) =>
  value === here.location ||
  (value !== null && typeof value === "object" && tagOf.call(value) === "[object Location]" &&
    quietly(() => typeof apply(hrefOf, value, []) === "string") === true);
const isWindow = (value) => quietly(() => value !== null && typeof value === "object" && value.window === value) === true;
const isForeignLocation = (value) =>
  value !== null && typeof value === "object" && quietly(() => getPrototypeOf(value) === null && typeof value.replace === "function" && quietly(() => value.assign) === undefined) === true;

/** What rewritten scripts call (rewrite/script.py). */
const forScripts = {
  here: (value) => {
    if (inWindow) {
      if (value === here.location) return locationStand(value, here);
      if (value === null || typeof value !== "object") return value;
      if (isLocation(value)) return locationStand(value, here);
      if (isForeignLocation(value)) return foreignStand(value);
    }
    return value;
  },
  set: (value, to, assign) => {
    if (inWindow && isLocation(value)) value.href = outward(to);
    else assign(to);
    return to;
  },
  put: (owner, to) => {
    if (inWindow && (isWindow(owner) || owner?.nodeType === 9)) owner.location = outward(to);
    else owner.location = to;
    return to;
  },
  post: (owner, ...args) => {
    if (isWindow(owner) && args.length > 1) {
      const target = args[1];
      args[1] = typeof target === "string" ? outward(target) : target?.targetOrigin ? { ...target, targetOrigin: outward(target.targetOrigin) } : target;
    }
    return owner.postMessage(...args);
  },
  code,
  back: toOrigin,
};
const foreignStand = (real) => {
  const made = { replace: (to) => real.replace(outward(to)) };
  return defineProperty(made, "href", { set: (to) => void (real.href = outward(to)) }) && made;
};
if (original && !entered) defineProperty(here, "casb$", { value: Object.freeze(forScripts) });

part((realm) => {
  const documents = realm.Document?.prototype;
  for (const name of ["URL", "documentURI", "referrer"]) accessor(documents, name, inward);
  accessor(realm.Node?.prototype, "baseURI", inward);
  accessor(realm, "origin", inward);
  accessor(realm.WorkerGlobalScope?.prototype, "origin", inward);
  for (const name of ["pushState", "replaceState"]) {
    method(realm.History?.prototype, name, (native, self, args) => apply(native, self, withArgument(args, 2, outward)));
  }
  method(realm, "open", (native, self, args) => {
    const made = apply(native, self, withArgument(args, 0, outward));
    if (!args[0] || /^about:/i.test(String(args[0]))) enter(made); // any other page brings its own
    return made;
  });
  method(realm.Navigation?.prototype, "navigate", (native, self, args) => apply(native, self, withArgument(args, 0, outward)));
  accessor(realm.NavigationHistoryEntry?.prototype, "url", inward);
  accessor(realm.NavigationDestination?.prototype, "url", inward);
  for (const name of ["oldURL", "newURL"]) accessor(realm.HashChangeEvent?.prototype, name, inward);
  accessor(realm.StorageEvent?.prototype, "url", inward);
  accessor(realm.ErrorEvent?.prototype, "filename", inward);
  accessor(realm.Client?.prototype, "url", inward);
  for (const name of ["documentURI", "blockedURI", "referrer", "sourceFile"]) accessor(realm.SecurityPolicyViolationEvent?.prototype, name, inward);
  accessor(realm.SecurityPolicyViolationEvent?.prototype, "originalPolicy", inwardIn);
  for (const name of ["href", "origin"]) accessor(realm.WorkerLocation?.prototype, name, inward);
  if (original && realm.WorkerLocation) {
    accessor(realm.WorkerLocation.prototype, "host", hostInward);
    accessor(realm.WorkerLocation.prototype, "hostname", () => hostInward(realmHost).replace(/:\d+$/, ""));
    accessor(realm.WorkerLocation.prototype, "port", () => /:(\d+)$/.exec(hostInward(realmHost))?.[1] ?? "");
    method(realm.WorkerLocation.prototype, "toString", (native, self, args) => toOrigin(apply(native, self, args)));
  }

  // Whatever leads this window elsewhere, `location = …` included, passes here, and can be told the right way.
  const navigation = quietly(() => realm.navigation);
  navigation?.addEventListener("navigate", (event) => {
    const url = nativeDestination(event.destination);
    const mapped = outward(url);
    if (mapped === url || !event.cancelable || event.formData || event.downloadRequest !== null) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    report("navigation", url);
    if (event.navigationType === "replace") realm.location.replace(mapped);
    else realm.location.assign(mapped);
  });
});
const realmHost = here.location?.host ?? "";
const destinationUrl = getOwnPropertyDescriptor(here.NavigationDestination?.prototype ?? {}, "url")?.get;
const nativeDestination = (destination) => quietly(() => apply(destinationUrl, destination, [])) ?? destination.url;

// --- messages between windows -------------------------------------------------------------------------------------------

part((realm) => {
  accessor(realm.MessageEvent?.prototype, "origin", inward);
  if (!inWindow) return;
  method(realm, "postMessage", (native, self, args) => {
    if (args.length < 2) return apply(native, self, args);
    const target = args[1];
    if (typeof target === "string") return apply(native, self, withArgument(args, 1, outward));
    if (target && typeof target === "object" && typeof target.targetOrigin === "string") {
      return apply(native, self, withArgument(args, 1, (options) => ({ ...options, targetOrigin: outward(options.targetOrigin) })));
    }
    return apply(native, self, args);
  });
  if (original) {
    wrap(realm, "Function", {
      apply: (native, self, args) => apply(native, self, withArgument(args, args.length - 1, code)),
      construct: (native, args, self) => construct(native, withArgument(args, args.length - 1, code), self),
    });
    for (const name of ["setTimeout", "setInterval"]) {
      method(realm, name, (native, self, args) => apply(native, self, withArgument(args, 0, code)));
    }
  }
});
