// --- the clipboard: events of the browser, and the interface for scripts ------------------------------------------------

const MARK = /\[casb:([0-9a-f]{32})\]/;
const marker = (id) => `Kept inside ${rules.app || "the application"} by your organisation. [casb:${id}]`;
const nativeClipboard = here.Clipboard?.prototype ?? {};
const clipboardCall = (name) => getOwnPropertyDescriptor(nativeClipboard, name)?.value;
const nativeWrite = clipboardCall("write");
const nativeWriteText = clipboardCall("writeText");
const NativeItem = here.ClipboardItem;
let inside = null; // the newest text kept inside: {id, data}

/** Keep text for pasting inside; the placeholder that the system's clipboard gets in its place. */
const keepInside = (id, data) => {
  inside = { id, data };
  const texts = Object.fromEntries(Object.entries(data).filter(([, text]) => text.length <= LONGEST));
  quietly(() => post("clipboard", { id, data: texts }).catch(() => {}));
};
const newId = () => Array.from(here.crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const insideData = async (id) => {
  if (inside?.id === id) return inside.data;
  try {
    const response = await post("paste", { id });
    return response.ok ? (await response.json()).data : null;
  } catch {
    return null;
  }
};

/** Put text on the system's clipboard after it was granted. The browser may want another press of a key for it. */
const writeOut = async (realm, data) => {
  const clipboard = realm.navigator.clipboard;
  const parts = Object.entries(data).filter(([type]) => type === "text/plain" || type === "text/html");
  const write = () => {
    if (parts.length < 2 || !NativeItem) return apply(nativeWriteText, clipboard, [data["text/plain"] ?? ""]);
    return apply(nativeWrite, clipboard, [[new NativeItem(Object.fromEntries(parts.map(([type, text]) => [type, new Blob([text], { type })])))]]);
  };
  try {
    await write();
  } catch {
    explain?.(
      { kind: "step-up", key: "in-page granted", title: "Copying was allowed", message: "Your browser asks for one more step: press Copy." },
      "",
      { label: "Copy", run: (close) => write().catch(() => {}).then(close) },
    );
  }
};

const editable = (realm) => {
  let field = realm.document.activeElement;
  while (field?.shadowRoot?.activeElement) field = field.shadowRoot.activeElement;
  return field;
};

/** Copy and cut. Without a rule that needs the page's own handlers to run, they do not get to see the event. */
const onCopy = (event, realm) => {
  const kind = event.type;
  const { act } = ruleFor(kind);
  if (act === "allow") return;
  const text = selectedAt(event, realm);
  if (act === "audit") return void attempt(kind, text, "event");
  if (act === "block" && !rules.inside) {
    stop(event);
    return void refuse(kind, text, "event");
  }
  const data = new Map();
  const markup = selectedMarkup(realm);
  const id = newId();
  event.preventDefault();
  if (rules.inside) putData(event.clipboardData, "text/plain", marker(id));
  holdData(event.clipboardData, data);
  const field = editable(realm);
  later(async () => {
    const own = data.size > 0; // the page put in what it means by copying
    if (!own && text) {
      data.set("text/plain", text);
      if (markup && !markup.includes("data-casb")) data.set("text/html", markup);
    }
    if (!data.size) return;
    const plain = data.get("text/plain") ?? text;
    const all = Object.fromEntries(data);
    const answer = await attempt(kind, plain, rules.inside ? "inside" : "event");
    if (passes(answer)) await writeOut(realm, all);
    else if (rules.inside) keepInside(id, all);
    else return refusal(answer, kind);
    if (kind === "cut" && !own) removeSelected(realm, field);
  }, 0);
};
const removeSelected = (realm, field) => quietly(() => (field?.focus?.(), realm.document.execCommand("delete")));

/** Paste after all: the page's handlers see an event like the browser's; what they leave alone is typed in as text. */
const pasteIn = (realm, target, data, files, type) => {
  const transfer = new realm.DataTransfer();
  for (const [kind, text] of Object.entries(data)) putData(transfer, kind, text);
  for (const file of files) transfer.items.add(file);
  const more = { bubbles: true, cancelable: true, composed: true };
  const event = type === "drop" ? new realm.DragEvent("drop", { ...more, dataTransfer: transfer }) : new realm.ClipboardEvent("paste", { ...more, clipboardData: transfer });
  mine.add(event);
  const place = target?.isConnected ? target : realm.document.activeElement ?? realm.document;
  if (place.dispatchEvent(event) && data["text/plain"]) realm.document.execCommand("insertText", false, data["text/plain"]);
};
const contents = (transfer) => {
  const data = {};
  for (const type of transfer?.types ?? []) if (type !== "Files") data[typeOf(type)] = dataOf(transfer, type);
  return [data, [...(transfer?.files ?? [])]];
};

const bringIn = async (realm, target, data, files, type, id) => {
  if (id && rules.inside) {
    const kept = await insideData(id);
    if (!kept) return void explain?.({ kind: "block", key: "in-page gone", title: "Nothing to paste", message: "This text was kept inside another application, or is no longer kept. Copy it again." }, "");
    data = kept;
  }
  const { act } = ruleFor("paste");
  const via = type === "drop" ? "drop" : id ? "inside" : "event";
  if (act === "ask" && !(await granted("paste", data["text/plain"] ?? "", via))) return;
  if (act === "audit") attempt("paste", data["text/plain"] ?? "", via);
  pasteIn(realm, target, data, files, type);
};

const onPaste = (event, realm) => {
  const { act } = ruleFor("paste");
  const transfer = event.clipboardData;
  const plain = dataOf(transfer, "text/plain");
  const id = rules.inside ? MARK.exec(plain)?.[1] : undefined;
  if (act === "block") {
    stop(event);
    return void refuse("paste", plain, "event");
  }
  if (act !== "ask" && !id) return void (act === "audit" && attempt("paste", plain, "event"));
  const [data, files] = contents(transfer);
  const target = event.composedPath()[0];
  stop(event);
  bringIn(realm, target, data, files, "paste", id);
};

control((realm) => {
  if (!realm.document) return;
  guardEvent(realm, "copy", (event) => onCopy(event, realm));
  guardEvent(realm, "cut", (event) => onCopy(event, realm));
  guardEvent(realm, "paste", (event) => onPaste(event, realm));
  // What the browser's own menu offers for pictures, links and a selection tells no page of it.
  realm.addEventListener("contextmenu", (event) => {
    if (ruleFor("copy").act !== "block") return;
    const taken = event.composedPath().some((node) => MENUS.has(node.localName) || (node.localName === "a" && node.href));
    if (taken || selectedAt(event, realm)) event.preventDefault();
  }, true);
});
const MENUS = new Set(["img", "picture", "svg", "canvas", "video", "audio", "area"]);

// --- navigator.clipboard ------------------------------------------------------------------------------------------------

const textOf = async (items) => {
  for (const item of items ?? []) {
    if (item?.types?.includes?.("text/plain")) return await (await item.getType("text/plain")).text();
    if (item?.types?.includes?.("text/html")) return await (await item.getType("text/html")).text();
  }
  return "";
};
const keepText = (realm, text) => {
  const id = newId();
  keepInside(id, { "text/plain": text });
  return apply(nativeWriteText, realm.navigator.clipboard, [marker(id)]);
};

control((realm) => {
  const clipboard = realm.Clipboard?.prototype;
  const out = (name, reading) =>
    method(clipboard, name, (native, self, args) => {
      const { act } = ruleFor("copy");
      if (act === "allow") return apply(native, self, args);
      const go = async () => {
        const text = await reading(args[0]);
        if (act === "audit") return void attempt("copy", text, "api"), apply(native, self, args);
        if (act === "block" && !rules.inside) return void refuse("copy", text, "api"), notAllowed(realm);
        const answer = await attempt("copy", text, rules.inside ? "inside" : "api");
        if (passes(answer)) return apply(native, self, args);
        if (rules.inside) return keepText(realm, text);
        if (byHand()) refusal(answer, "copy");
        return notAllowed(realm);
      };
      return go();
    });
  out("writeText", async (text) => String(text));
  out("write", textOf);

  method(clipboard, "readText", (native, self, args) => {
    const { act } = ruleFor("paste");
    if (act === "allow" && !rules.inside) return apply(native, self, args);
    if (act === "block") return void refuse("paste", "", "api"), notAllowed(realm);
    return (async () => {
      let text = await apply(native, self, args);
      const id = rules.inside && MARK.exec(text)?.[1];
      if (id) text = (await insideData(id))?.["text/plain"] ?? "";
      if (act === "ask" && !(await granted("paste", text, "api"))) return notAllowed(realm);
      if (act === "audit") attempt("paste", text, "api");
      return text;
    })();
  });
  method(clipboard, "read", (native, self, args) => {
    const { act } = ruleFor("paste");
    if (act === "allow" && !rules.inside) return apply(native, self, args);
    if (act === "block") return void refuse("paste", "", "api"), notAllowed(realm);
    return (async () => {
      let items = await apply(native, self, args);
      let text = await textOf(items);
      const id = rules.inside && MARK.exec(text)?.[1];
      if (id) {
        text = (await insideData(id))?.["text/plain"] ?? "";
        items = [new realm.ClipboardItem({ "text/plain": new Blob([text], { type: "text/plain" }) })];
      }
      if (act === "ask" && !(await granted("paste", text, "api"))) return notAllowed(realm);
      if (act === "audit") attempt("paste", text, "api");
      return items;
    })();
  });
  method(realm.Navigator?.prototype, "share", (native, self, args) => {
    const { act } = ruleFor("copy");
    const text = quietlyOr("", () => [args[0]?.title, args[0]?.text, args[0]?.url].filter(Boolean).join("\n"));
    if (act === "allow") return apply(native, self, args);
    if (act === "audit") return void attempt("copy", text, "api"), apply(native, self, args);
    if (act === "block") return void refuse("copy", text, "api"), notAllowed(realm);
    return granted("copy", text, "api").then((yes) => (yes ? apply(native, self, args) : notAllowed(realm)));
  });
});
