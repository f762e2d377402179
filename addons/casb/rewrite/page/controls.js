// --- copying, cutting, pasting and printing: what the rules are, and asking the proxy (controlled pages only) -----------

/** Rules until others are known: nothing without asking. */
const ASK_ALL = { do: { copy: "ask text", cut: "ask text", paste: "ask text", print: "ask text", download: "ask" } };
const LONGEST = 100_000;
const HEARTBEAT_MS = 60_000;
const control = (install) => {
  part(install);
  always.push(install);
};
const { JSON: Json, setTimeout: later, setInterval: repeat } = here;
const decoded = (text) => Json.parse(utf8(atob(text.replace(/-/g, "+").replace(/_/g, "/"))));
let rules = inWindow && ownControls ? quietlyOr(ASK_ALL, () => decoded(ownControls)) : ASK_ALL;
const secret = rules.page ?? "";
const takeRules = (told) => {
  if (told && typeof told === "object" && told.do && typeof told.do === "object") rules = { ...told, page: secret };
};

/** What holds for an activity: `act` is allow, audit, ask or block; `text` says whether the proxy needs the text. */
const ruleFor = (kind) => {
  const [act, text] = (rules.do[kind] || "allow").split(" ");
  return { act, text: text === "text" };
};

const post = (path, value) =>
  nativeFetch(`${page}${BASE}${path}`, {
    method: "POST", credentials: "same-origin", mode: "same-origin", cache: "no-store",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: Json.stringify(value),
  });

/** Tell the proxy of an attempt; its answer, or null when there is none. */
const attempt = async (kind, text, via) => {
  const told = { activity: kind, via, length: text.length };
  if (ruleFor(kind).text) Object.assign(told, text.length > LONGEST ? { cut: true } : { text });
  try {
    const answer = await (await post("activity", told)).json();
    takeRules(answer.table);
    if (answer.action === "notify" && byHand()) explain?.({ ...answer, kind: "notify", key: `in-page ${kind}` }, answer.activity);
    return answer;
  } catch {
    return null;
  }
};
const passes = (answer) => ["allow", "audit", "notify"].includes(answer?.action);

const refusal = (answer, kind) => {
  const words = { copy: "Copying", cut: "Cutting", paste: "Pasting", print: "Printing" };
  const said = answer?.message ? answer : { title: `${words[kind]} is blocked`, message: `${words[kind]} could not be checked, so it was not carried out.` };
  explain?.({ kind: "block", ...said, key: `in-page ${kind}` }, answer?.activity ?? "");
};
const byHand = () => here.navigator?.userActivation?.isActive !== false;

/** What is said when there is nothing against it, and it could not wait for that. */
const AGAIN = { title: "Please try again", message: "The policy has changed meanwhile." };
const LATER = {
  event: AGAIN, api: AGAIN, drop: AGAIN, keyboard: AGAIN, "print()": AGAIN,
  drag: { title: "Please copy it instead", message: "What is dragged out of the page cannot be checked in time." },
  menu: { title: "Please print in another way", message: "Printing by the browser's menu cannot be checked in time. Press Ctrl+P, or use a button of the page." },
};

/** It did not happen: say so to the log and to the person. A page that tries by itself opens no dialog. */
const recent = new Map();
const refuse = async (kind, text, via) => {
  const key = `${kind} ${via} ${text.length}`;
  const quiet = via === "api" && !byHand();
  if (performance.now() - (recent.get(key) ?? -1e9) < 1000) return; // one key press can be several attempts
  if (recent.size > 50) recent.clear();
  recent.set(key, performance.now());
  const answer = await attempt(kind, text, via);
  if (quiet) return;
  refusal(passes(answer) ? { ...LATER[via], activity: answer.activity } : answer, kind);
};

/** May it happen? Asks, and says why not. */
const granted = async (kind, text, via) => {
  const answer = await attempt(kind, text, via);
  if (passes(answer)) return true;
  if (via !== "api" || byHand()) refusal(answer, kind);
  return false;
};

const stop = (event) => {
  event.preventDefault();
  event.stopImmediatePropagation();
};
const notAllowed = (realm) => Promise.reject(new realm.DOMException("Not allowed by policy.", "NotAllowedError"));

/** What is selected where an event happened: in fields, in shadow trees and in the document. */
const selectedAt = (event, realm) => {
  const target = event.composedPath?.()[0] ?? event.target;
  let field = target?.nodeType === 1 ? target : target?.parentElement ?? null;
  if (field?.selectionStart === undefined) {
    field = realm.document.activeElement;
    while (field?.shadowRoot?.activeElement) field = field.shadowRoot.activeElement;
  }
  const text = quietly(() =>
    typeof field?.value === "string" && typeof field.selectionStart === "number" ? field.value.slice(field.selectionStart, field.selectionEnd) : "");
  if (text) return text;
  const root = target?.getRootNode?.();
  return String(quietly(() => root?.getSelection?.()) || "") || String(realm.getSelection?.() ?? "");
};
const selectedMarkup = (realm) =>
  quietly(() => {
    const selection = realm.getSelection();
    if (!selection.rangeCount || selection.isCollapsed) return "";
    const box = realm.document.createElement("div");
    box.append(selection.getRangeAt(0).cloneContents());
    return box.innerHTML;
  }) ?? "";

/** Data that a page's own handlers hand over while we hold an event: kept here, and out of the system's reach. */
const caught = new WeakMap(); // DataTransfer → Map of type → text
const typeOf = (type) => {
  const lower = String(type).toLowerCase();
  return lower === "text" ? "text/plain" : lower === "url" ? "text/uri-list" : lower;
};
const nativeSet = getOwnPropertyDescriptor(here.DataTransfer?.prototype ?? {}, "setData")?.value;
const nativeGet = getOwnPropertyDescriptor(here.DataTransfer?.prototype ?? {}, "getData")?.value;
const putData = (transfer, type, text) => apply(nativeSet, transfer, [type, text]);
const dataOf = (transfer, type) => quietlyOr("", () => apply(nativeGet, transfer, [type]));
const lists = new WeakMap(); // DataTransferItemList → its DataTransfer
const holdData = (transfer, data = new Map()) => {
  if (!transfer) return data;
  caught.set(transfer, data);
  quietly(() => lists.set(transfer.items, transfer));
  return data;
};
control((realm) => {
  const transfer = realm.DataTransfer?.prototype;
  method(transfer, "setData", (native, self, args) => {
    const data = caught.get(self);
    return data && args.length > 1 ? void data.set(typeOf(args[0]), String(args[1])) : apply(native, self, args);
  });
  method(transfer, "getData", (native, self, args) => {
    const data = caught.get(self);
    return data && args.length ? data.get(typeOf(args[0])) ?? "" : apply(native, self, args);
  });
  method(transfer, "clearData", (native, self, args) => {
    const data = caught.get(self);
    if (!data) return apply(native, self, args);
    return args.length ? void data.delete(typeOf(args[0])) : void data.clear();
  });
  accessor(transfer, "types", (types, self) => {
    const data = caught.get(self);
    return data ? Object.freeze([...data.keys()]) : types;
  });
  method(realm.DataTransferItemList?.prototype, "add", (native, self, args) => {
    const data = args.length > 1 && caught.get(lists.get(self));
    return data ? (data.set(typeOf(args[1]), String(args[0])), null) : apply(native, self, args);
  });
});

// Where no name is mapped, nobody else enters the frames that have no page of their own.
always.push((realm) => {
  for (const [name, tag] of [["HTMLIFrameElement", "iframe"], ["HTMLFrameElement", "frame"], ["HTMLObjectElement", "object"]]) {
    if (realm === here) windowGetters[tag] = getOwnPropertyDescriptor(realm[name]?.prototype ?? {}, "contentWindow")?.get;
  }
  quietly(() => again(realm.document));
});

// --- is everything still in its place? ----------------------------------------------------------------------------------

const probes = new Map(); // event of ours → what it tries
const checks = []; // each gives the name of a part that is out of place, or ""
/** Listen for `type` in front of the page; a probe of ours goes no further. */
const guardEvent = (realm, type, run) => {
  realm.addEventListener(type, (event) => {
    if (probes.has(event)) {
      probes.delete(event);
      event.stopImmediatePropagation();
      return;
    }
    if (event.isTrusted || !mine.has(event)) run(event);
  }, true);
};
const mine = new WeakSet(); // events that we dispatch for the page
const Probe = here.Event;
const answers = (type) => {
  const probe = new Probe(type);
  probes.set(probe, type);
  here.dispatchEvent(probe);
  return !probes.delete(probe);
};
const beat = (broken) =>
  quietly(() => post("alive", broken.length ? { page: secret, broken } : { page: secret })
    .then((response) => (response.ok ? response.json() : null))
    .then((answer) => answer && takeRules(answer.table), () => {}));
const pulse = () => {
  const broken = ["copy", "cut", "paste"].filter((type) => !answers(type));
  for (const check of checks) {
    const name = quietly(check);
    if (name) broken.push(name);
  }
  beat(broken);
};
if (inWindow && secret) {
  beat([]);
  if (!entered) repeat(() => document.visibilityState === "visible" && pulse(), HEARTBEAT_MS);
}
