// --- what asks for something: fetch, XMLHttpRequest, sockets, beacons, caches, and what they tell of it ----------------

/** An `integrity` that the page knows for a resource of ours is that of the origin's bytes, not of ours. */
const requestInit = (input, init, realm) => {
  if (!init || typeof init !== "object" || !init.integrity) return init;
  const url = input instanceof realm.Request ? input.url : input;
  return isOurs(url) ? { ...init, integrity: "" } : init;
};
const fetched = (args, realm) => {
  if (args.length === 0) return args;
  const isRequest = args[0] instanceof realm.Request;
  const changed = isRequest ? args : withArgument(args, 0, outward);
  return changed.length > 1 ? withArgument(changed, 1, (init) => quietlyOr(init, () => requestInit(changed[0], init, realm))) : changed;
};
const quietlyOr = (fallback, run) => {
  try {
    return run();
  } catch {
    return fallback;
  }
};

/** Other parts look at answers here: `observe(response)`, once for each fetch of the page. */
const observers = [];
const observed = (response) => {
  for (const observe of observers) quietly(() => observe(response));
  return response;
};
let interpose = null; // `interpose(response, again)`: the answer that the page gets in the end
const settled = (again) => (response) => (interpose ? interpose(observed(response), again) : observed(response));
/** How to ask the same once more; null where what was sent is gone by then. */
const repeating = (native, self, args, realm) => {
  const [input, init] = args;
  if (init?.body instanceof (realm.ReadableStream ?? Object)) return null;
  if (!(input instanceof realm.Request)) return () => apply(native, self, args);
  const copy = input.bodyUsed ? null : quietly(() => input.clone());
  return copy && (() => apply(native, self, [copy, ...args.slice(1)]));
};
const requestObservers = []; // and `watch(request)` for each XMLHttpRequest opened

/** Where no name is mapped, in the forward mode, answers are looked at all the same. */
const watchAnswers = (realm) => {
  method(realm, "fetch", (native, self, args) => {
    const again = quietlyOr(null, () => repeating(native, self, args, realm));
    return apply(native, self, args).then(settled(again));
  });
  method(realm.XMLHttpRequest?.prototype, "open", (native, self, args) => {
    for (const watch of requestObservers) watch(self);
    return apply(native, self, args);
  });
};

part((realm) => {
  const opened = new WeakSet();
  method(realm, "fetch", (native, self, args) => {
    const mapped = fetched(args, realm);
    const again = quietlyOr(null, () => repeating(native, self, mapped, realm));
    return apply(native, self, mapped).then(settled(again));
  });
  wrap(realm, "Request", { construct: (native, args, self) => construct(native, fetched(args, realm), self) });
  accessor(realm.Request?.prototype, "url", inward);
  accessor(realm.Response?.prototype, "url", inward);
  method(realm.Response, "redirect", (native, self, args) => apply(native, self, withArgument(args, 0, outward)));

  method(realm.XMLHttpRequest?.prototype, "open", (native, self, args) => {
    if (self instanceof realm.XMLHttpRequest && !opened.has(self)) {
      opened.add(self);
      for (const watch of requestObservers) watch(self);
    }
    return apply(native, self, withArgument(args, 1, outward));
  });
  accessor(realm.XMLHttpRequest?.prototype, "responseURL", inward);

  for (const name of ["WebSocket", "EventSource", "WebTransport", "WebSocketStream"]) {
    wrap(realm, name, { construct: (native, args, self) => construct(native, withArgument(args, 0, outward), self) });
    accessor(realm[name]?.prototype, "url", inward);
  }
  const agent = realm.Navigator?.prototype;
  method(agent, "sendBeacon", (native, self, args) => apply(native, self, withArgument(args, 0, outward)));
  method(agent, "registerProtocolHandler", (native, self, args) => apply(native, self, withArgument(args, 1, outward)));
  method(agent, "unregisterProtocolHandler", (native, self, args) => apply(native, self, withArgument(args, 1, outward)));

  for (const [name, first] of [["match", 0], ["matchAll", 0], ["add", 0], ["put", 0], ["delete", 0], ["keys", 0]]) {
    method(realm.Cache?.prototype, name, (native, self, args) => apply(native, self, withArgument(args, first, named)));
  }
  method(realm.Cache?.prototype, "addAll", (native, self, args) => apply(native, self, withArgument(args, 0, (all) => Array.from(all, named))));
  method(realm.CacheStorage?.prototype, "match", (native, self, args) => apply(native, self, withArgument(args, 0, named)));

  accessor(realm.PerformanceEntry?.prototype, "name", inward);
  method(realm.Performance?.prototype, "getEntriesByName", (native, self, args) => apply(native, self, withArgument(args, 0, named)));
  for (const name of ["FontFace", "Notification"]) {
    wrap(realm, name, {
      construct: (native, args, self) =>
        construct(native, withArgument(args, 1, (given) => (name === "FontFace" ? (typeof given === "string" ? outwardIn(given) : given) : pictured(given))), self),
    });
  }
  wrap(realm, "Audio", { construct: (native, args, self) => construct(native, withArgument(args, 0, outward), self) });
});

const named = (request) => (typeof request === "string" || request instanceof URL ? outward(request) : request);
const pictured = (options) => {
  if (!options || typeof options !== "object") return options;
  const changed = { ...options };
  for (const name of ["icon", "image", "badge"]) if (changed[name]) changed[name] = outward(changed[name]);
  return changed;
};
