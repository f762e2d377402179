/* Runs first in every realm of a controlled application: pages, frames, workers. It maps what only script can see,
 * and the parts beside it do the rest. It decides nothing: the proxy does.
 *
 * Plain script, no build step; `guard.py` joins the parts in order into one function. A part calls `part(install)`, and
 * `install(realm)` runs once for each realm: this one, and those that this one makes (about:blank and the like), which
 * no script of ours reaches before the page's own. Wrapped functions stay what they were, native look included. */
const KEY = Symbol.for("casb.guard");
const BASE = "/.casb/";
const here = globalThis;
const { URL, Blob, TextDecoder } = here; // pages bring their own
const inWindow = typeof Window === "function" && here instanceof Window;
const ownScript = inWindow ? document.currentScript : null;
const ownNonce = ownScript?.nonce || "";
const ownControls = ownScript?.getAttribute("data-casb") ?? "";
ownScript?.remove();
if (here[KEY]?.realm === here) return; // a page may come to carry the tag twice
// A window that was about:blank, entered by the page that made it, may go on to a page of its own and stays the same
// window then: what was put into it is still there, and is not put in twice.
const entered = here[KEY] ?? null;
const ownUrl = ownScript?.src || "";
const page = config.page || (ownUrl && new URL(ownUrl).origin) || (here.location?.protocol === "https:" ? here.location.origin : "");
const original = config.view === "origin";
const nativeFetch = here.fetch?.bind(here);
const sourceOf = Function.prototype.toString;
const { apply, construct, getOwnPropertyDescriptor, defineProperty, getPrototypeOf } = Reflect;

const parts = [];
const part = (install) => parts.push(install);
const always = []; // those that have a task where no name is mapped, too

// --- wrapping -------------------------------------------------------------------------------------------------------

const natives = new WeakMap(); // our stand-in for a function, and what it stands in for

/** A Proxy in the place of a function: name, length, prototype and statics stay. */
const stand = (native, handler) => {
  const proxy = new Proxy(native, handler);
  natives.set(proxy, natives.get(native) ?? native);
  return proxy;
};

/** Replace a method or a constructor of `owner`; what a worker's global has, it has from its prototypes. */
const wrap = (given, name, handler) => {
  let owner = given;
  while (!inWindow && owner && given === here && !getOwnPropertyDescriptor(owner, name)) owner = getPrototypeOf(owner);
  const descriptor = owner && getOwnPropertyDescriptor(owner, name);
  if (!descriptor || typeof descriptor.value !== "function" || !descriptor.configurable) return;
  const proxy = stand(descriptor.value, handler);
  defineProperty(owner, name, { ...descriptor, value: proxy });
  const prototype = descriptor.value.prototype;
  if (handler.construct && prototype && getOwnPropertyDescriptor(prototype, "constructor")?.value === descriptor.value) {
    defineProperty(prototype, "constructor", { value: proxy, writable: true, enumerable: false, configurable: true });
  }
};

/** Replace a method by `(native, self, args) => …`. */
const method = (owner, name, call) => wrap(owner, name, { apply: call });

/** Replace an accessor: `read` maps what comes out, `write` what goes in, each with the object as second argument. */
const accessor = (owner, name, read, write) => {
  const descriptor = owner && getOwnPropertyDescriptor(owner, name);
  if (!descriptor?.configurable) return;
  const { get, set } = descriptor;
  const changed = { ...descriptor };
  if (get && read) changed.get = stand(get, { apply: (native, self, args) => read(apply(native, self, args), self) });
  if (set && write) {
    changed.set = stand(set, { apply: (native, self, args) => apply(native, self, [write(args[0], self), ...args.slice(1)]) });
  }
  defineProperty(owner, name, changed);
};

/** Replace the argument at `index` by what `map` makes of it. */
const withArgument = (args, index, map) => {
  if (args.length <= index) return args;
  const value = map(args[index]);
  if (value === args[index]) return args;
  const changed = [...args];
  changed[index] = value;
  return changed;
};

part((realm) => {
  method(realm.Function?.prototype, "toString", (native, self, args) => apply(native, natives.get(self) ?? self, args));
});

/** `run`, whose failure is nobody's business: what the page does goes on as without us. */
const quietly = (run) => {
  try {
    return run();
  } catch {
    return undefined;
  }
};
