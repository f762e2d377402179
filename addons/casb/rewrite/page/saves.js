// --- files that a page makes itself: asked of the proxy before they are saved ---------------------------------------------
// Script puts files together out of pieces that are no files (JSON, canvas, chunks), and hands them to the browser as
// blob: and data: URLs or writes them by the file system's interface. No response tells of that.

const LARGEST = 64 * 1024 * 1024; // what is larger is not told: `unscannable` applies
const SAVED = /^(?:blob|data|filesystem):/i;
const SHOWN = /^(?:text\/html|application\/(?:xhtml\+xml|pdf)|image\/|audio\/|video\/|text\/plain)/i;
const FRAMES = /^(?:iframe|frame|embed|object)$/;
const saving = () => ruleFor("download").act !== "allow";
const nativeCreateUrl = here.URL?.createObjectURL?.bind(here.URL);
const { TextEncoder: Encoder, btoa: toBase64 } = here;
const made = new Map(); // blob: URL → its Blob, as long as the page keeps it

const askSave = async (told, blob) => {
  const bytes = new Encoder().encode(Json.stringify(told));
  const head = toBase64(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  try {
    const response = await nativeFetch(`${page}${BASE}save`, {
      method: "POST", credentials: "same-origin", mode: "same-origin", cache: "no-store",
      headers: { "Content-Type": "application/octet-stream", Accept: "application/json", "Casb-Save": head },
      body: blob ?? "",
    });
    const answer = await response.json();
    takeRules(answer.table);
    return answer;
  } catch {
    return null;
  }
};

/** May a file be saved? Name, type and size first, the content where policy asks for it. Says why not. */
const maySave = async (name, blob, via) => {
  const told = { name: String(name ?? "").slice(0, 1024), type: String(blob?.type ?? "").slice(0, 200), size: blob?.size ?? null, via };
  let answer = await askSave(told, null);
  if (answer?.action === "content") {
    const whole = blob && blob.size <= LARGEST;
    answer = await askSave({ ...told, content: whole ? "told" : "none" }, whole ? blob : null);
  }
  if (passes(answer)) return true;
  const said = answer?.message ? answer : { title: "The file was not saved", message: "It could not be checked, so it was not saved." };
  explain?.({ kind: "block", key: `save ${told.name}`, title: said.title, message: said.message, file: told.name, policy: said.policy }, answer?.activity ?? "");
  return false;
};

/** What a blob: or data: URL holds; null when it cannot be had. */
const blobOf = async (url) => {
  const known = made.get(url);
  if (known) return known;
  try {
    return await (await nativeFetch(url)).blob();
  } catch {
    return null;
  }
};

const allowed = new Set(); // URLs that are being saved with leave
/** Save a URL after it was granted, by a link of ours. */
const saveNow = (realm, blob, url, name) => {
  const link = realm.document.createElement("a");
  const address = blob && nativeCreateUrl ? nativeCreateUrl(blob) : url;
  link.setAttribute("href", address);
  link.setAttribute("download", name);
  allowed.add(address);
  apply(nativeClick, link, []);
  later(() => {
    allowed.delete(address);
    if (address !== url) URL.revokeObjectURL(address);
  }, 60_000);
};
const nativeClick = getOwnPropertyDescriptor(here.HTMLElement?.prototype ?? {}, "click")?.value;

const askAndSave = (realm, url, name, via) => {
  const told = made.get(url); // before the page takes its URL back
  (told ? Promise.resolve(told) : blobOf(url)).then(async (blob) => {
    if (await maySave(name, blob, via)) saveNow(realm, blob, url, name);
  });
};

/** A link whose target never passes the proxy. Empty: none of our business. */
const savedBy = (link) => {
  if (!saving() || link?.localName !== "a" || typeof link.getAttribute !== "function") return "";
  const url = String(link.getAttribute("href") ?? link.href?.baseVal ?? "").trim();
  if (!SAVED.test(url) || allowed.has(url)) return "";
  const type = made.get(url)?.type ?? /^data:([^;,]*)/i.exec(url)?.[1] ?? "";
  return link.hasAttribute("download") || !SHOWN.test(type) ? url : "";
};
const linkAt = (event) => event.composedPath().find((each) => each.localName === "a") ?? null;

control((realm) => {
  if (!realm.document) return;
  method(realm.URL, "createObjectURL", (native, self, args) => {
    const url = apply(native, self, args);
    if (args[0] instanceof realm.Blob || args[0] instanceof here.Blob) {
      if (made.size >= 1000) made.delete(made.keys().next().value);
      made.set(url, args[0]);
    }
    return url;
  });
  method(realm.URL, "revokeObjectURL", (native, self, args) => {
    const url = String(args[0]);
    later(() => made.delete(url), 5000); // a click may still be under way
    return apply(native, self, args);
  });
  const onClick = (event) => {
    const link = linkAt(event);
    const url = savedBy(link);
    if (!url) return;
    event.preventDefault();
    askAndSave(realm, url, link.getAttribute("download") ?? "", "link");
  };
  for (const type of ["click", "auxclick"]) realm.addEventListener(type, onClick, true);
  // Links that are in no document: their clicks are seen by nobody else.
  method(realm.HTMLElement?.prototype, "click", (native, self, args) => {
    const url = self.isConnected ? "" : savedBy(self);
    return url ? void askAndSave(realm, url, self.getAttribute("download") ?? "", "script") : apply(native, self, args);
  });
  method(realm.EventTarget?.prototype, "dispatchEvent", (native, self, args) => {
    const url = args[0]?.type === "click" && self.nodeType === 1 && !self.isConnected ? savedBy(self) : "";
    return url ? (askAndSave(realm, url, self.getAttribute("download") ?? "", "script"), true) : apply(native, self, args);
  });
  // What else navigates to such a URL: location, forms, frames, window.open.
  quietly(() => realm.navigation?.addEventListener("navigate", (event) => {
    const url = event.destination?.url ?? "";
    if (!saving() || !event.cancelable || !SAVED.test(url) || allowed.has(url)) return;
    const type = made.get(url)?.type ?? /^data:([^;,]*)/i.exec(url)?.[1] ?? "";
    if (typeof event.downloadRequest !== "string" && SHOWN.test(type)) return;
    event.preventDefault();
    askAndSave(realm, url, event.downloadRequest ?? "", "navigation");
  }));
  method(realm, "open", (native, self, args) => {
    const url = String(args[0] ?? "");
    const type = made.get(url)?.type ?? /^data:([^;,]*)/i.exec(url)?.[1] ?? "";
    if (!saving() || !SAVED.test(url) || SHOWN.test(type)) return apply(native, self, args);
    askAndSave(realm, url, "", "window");
    return null;
  });
  // A frame that is sent to a file saves it, and tells of no navigation.
  const toFrame = (value) => {
    const url = String(value).trim();
    const type = made.get(url)?.type ?? /^data:([^;,]*)/i.exec(url)?.[1] ?? "";
    if (!saving() || !SAVED.test(url) || SHOWN.test(type)) return value;
    askAndSave(realm, url, "", "frame");
    return "about:blank";
  };
  for (const name of ["HTMLIFrameElement", "HTMLFrameElement", "HTMLEmbedElement"]) accessor(realm[name]?.prototype, "src", null, toFrame);
  accessor(realm.HTMLObjectElement?.prototype, "data", null, toFrame);
  method(realm.Element?.prototype, "setAttribute", (native, self, args) => {
    const framing = FRAMES.test(self.localName) && /^(?:src|data)$/i.test(args[0]);
    return apply(native, self, framing ? withArgument(args, 1, toFrame) : args);
  });
  for (const name of ["msSaveBlob", "msSaveOrOpenBlob"]) {
    method(realm.Navigator?.prototype, name, (native, self, args) => {
      if (!saving()) return apply(native, self, args);
      maySave(args[1], args[0], "script").then((granted) => granted && apply(native, self, args));
      return true;
    });
  }
});

// --- the file system's interface -----------------------------------------------------------------------------------------

const outside = new WeakSet(); // handles of the person's own files and folders; the origin's private ones are none
const outsideOf = (value) => {
  for (const each of Array.isArray(value) ? value : [value]) if (each && typeof each === "object") outside.add(each);
  return value;
};

/** A stream in the place of the file's own: all of it is asked for when it is closed, and only then written. */
const heldStream = (realm, real, name) => {
  const steps = [];
  let size = 0;
  const flush = async () => {
    for (const step of steps.splice(0)) await real.write(step);
  };
  const sink = {
    write: async (step) => {
      const data = step?.type ? step.data : step;
      size += data?.size ?? data?.byteLength ?? String(data ?? "").length;
      steps.push(step);
      if (size > LARGEST) throw notSaved(realm);
    },
    close: async () => {
      if (!(await maySave(name, contentsOf(realm, steps), "file system"))) {
        await quietly(() => real.abort())?.catch?.(() => {});
        throw notSaved(realm);
      }
      await flush();
      await real.close();
    },
    abort: (reason) => real.abort(reason),
  };
  const stream = new realm.WritableStream(sink);
  const once = async (step) => {
    const writer = stream.getWriter();
    try {
      await writer.write(step);
    } finally {
      writer.releaseLock();
    }
  };
  const own = { write: once, seek: (position) => once({ type: "seek", position }), truncate: (to) => once({ type: "truncate", size: to }) };
  for (const [key, value] of Object.entries(own)) defineProperty(stream, key, { value, configurable: true });
  return stream;
};
const notSaved = (realm) => new realm.DOMException("Not allowed by policy.", "NotAllowedError");

/** What the file will hold, step by step. */
const contentsOf = (realm, steps) => {
  let whole = new Blob([]);
  let at = 0;
  const put = (data) => {
    const part = new Blob([data]);
    const gap = at > whole.size ? [new Uint8Array(at - whole.size)] : [];
    whole = new Blob([whole.slice(0, at), ...gap, part, whole.slice(at + part.size)]);
    at += part.size;
  };
  for (const step of steps) {
    if (step?.type === "seek") at = step.position;
    else if (step?.type === "truncate") {
      whole = whole.slice(0, step.size);
      at = Math.min(at, step.size);
    } else if (step?.type === "write") {
      at = step.position ?? at;
      put(step.data);
    } else put(step);
  }
  return whole;
};

control((realm) => {
  for (const name of ["showSaveFilePicker", "showOpenFilePicker", "showDirectoryPicker"]) {
    method(realm, name, (native, self, args) => apply(native, self, args).then(outsideOf));
  }
  for (const name of ["getFileHandle", "getDirectoryHandle"]) {
    method(realm.FileSystemDirectoryHandle?.prototype, name, (native, self, args) =>
      apply(native, self, args).then((handle) => (outside.has(self) ? outsideOf(handle) : handle)));
  }
  method(realm.DataTransferItem?.prototype, "getAsFileSystemHandle", (native, self, args) => apply(native, self, args).then(outsideOf));
  method(realm.FileSystemFileHandle?.prototype, "createWritable", (native, self, args) => {
    const writable = apply(native, self, args);
    return saving() && outside.has(self) ? writable.then((real) => heldStream(realm, real, self.name)) : writable;
  });
});
