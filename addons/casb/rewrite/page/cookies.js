// --- cookies ----------------------------------------------------------------------------------------------------------

const OURS = /^(?:casb_notice|casb_k\.|__host-casb_)/i;
const withoutOurs = (text) => {
  if (typeof text !== "string" || !/casb_/i.test(text)) return text;
  return text.split("; ").filter((crumb) => !OURS.test(crumb)).join("; ");
};
const cookieCrumbs = inWindow ? getOwnPropertyDescriptor(Document.prototype, "cookie") : null;
const nativeCookie = cookieCrumbs?.set // reads and writes for ourselves
  ? { read: () => apply(cookieCrumbs.get, document, []), write: (text) => apply(cookieCrumbs.set, document, [text]) }
  : null;

part((realm) => {
  const prototype = realm.Document?.prototype;
  const descriptor = prototype && getOwnPropertyDescriptor(prototype, "cookie");
  if (descriptor?.set && descriptor.configurable) {
    const get = stand(descriptor.get, { apply: (native, self, args) => withoutOurs(apply(native, self, args)) });
    const set = stand(descriptor.set, {
      apply: (native, self, args) => {
        const text = cookieOutward(args[0]);
        if (text === null || OURS.test(text.trim())) return undefined;
        return apply(native, self, [text]);
      },
    });
    defineProperty(prototype, "cookie", { ...descriptor, get, set });
  }
  const store = realm.CookieStore?.prototype;
  const withDomain = (args) =>
    withArgument(args, 0, (given) => {
      if (!given || typeof given !== "object" || !given.domain) return given;
      const domain = cookieDomain(given.domain);
      return { ...given, domain: domain === null ? "invalid." + config.suffix + ".invalid" : domain || null };
    });
  const ours = (args) => OURS.test(String(args[0]?.name ?? args[0] ?? ""));
  for (const name of ["set", "delete"]) {
    method(store, name, (native, self, args) => (ours(args) ? Promise.resolve() : apply(native, self, withDomain(args))));
  }
  const told = (cookie) => {
    if (!cookie || !original || !cookie.domain?.endsWith(tail)) return cookie;
    return { ...cookie, domain: cookie.domain.slice(0, -tail.length) };
  };
  method(store, "get", async (native, self, args) => (ours(args) ? null : told(await apply(native, self, withUrl0(args)))));
  method(store, "getAll", async (native, self, args) =>
    (await apply(native, self, withUrl0(args))).filter((cookie) => !OURS.test(cookie.name)).map(told));

  accessor(realm.Document?.prototype, "domain", (name) => (original ? nameInward(name) : name), (name) => {
    const text = String(name);
    return config.suffix && !text.endsWith(tail) && ownName && (ownName === text || ownName.endsWith("." + text)) ? text + tail : name;
  });
});
const withUrl0 = (args) => withArgument(args, 0, (given) => (given && typeof given === "object" && given.url ? { ...given, url: outward(given.url) } : given));
