// --- requests without credentials from one host of ours to another -----------------------------------------------------
// A browser leaves our session cookie out of them. They are sent with it and marked: the proxy takes the application's
// own cookies out and answers as the application would have answered without any (control/siblings.py).

const ANONYMOUS = "x-casb-anonymous";
const crosses = (url) =>
  Boolean(config.suffix && page) && url.protocol === "https:" && url.origin !== page && url.hostname.endsWith(tail);

part((realm) => {
  const bare = realm.Request && Object.getOwnPropertyDescriptor(realm.Request.prototype, "credentials")?.get;
  method(realm, "fetch", (native, self, args) => {
    const marked = quietlyOr(null, () => {
      if (args.length === 0) return null;
      const [input, init] = args;
      const isRequest = input instanceof realm.Request;
      const asked = (init && init.credentials) || (isRequest ? bare.call(input) : "same-origin");
      const mode = (init && init.mode) || (isRequest ? input.mode : "cors");
      if (asked === "include" || mode !== "cors") return null;
      const url = new URL(outward(isRequest ? input.url : String(input)), document_base(realm));
      if (!crosses(url)) return null;
      const headers = new realm.Headers((init && init.headers) || (isRequest ? input.headers : undefined));
      headers.set(ANONYMOUS, "1");
      return [input, { ...(init || {}), credentials: "include", headers }];
    });
    return apply(native, self, marked || args);
  });

  const far = new WeakSet();
  method(realm.XMLHttpRequest?.prototype, "open", (native, self, args) => {
    const result = apply(native, self, args);
    quietly(() => {
      far.delete(self);
      if (crosses(new URL(outward(String(args[1])), document_base(realm)))) far.add(self);
    });
    return result;
  });
  method(realm.XMLHttpRequest?.prototype, "send", (native, self, args) => {
    if (far.has(self) && !self.withCredentials) {
      self.withCredentials = true;
      self.setRequestHeader(ANONYMOUS, "1");
    }
    return apply(native, self, args);
  });
});
const document_base = (realm) => (realm.document ? realm.document.baseURI : realm.location.href);
