// --- what a policy did: notices, and the way back to sign-in (windows only) ---------------------------------------------

let show = null;
let explain = null; // (notice, activity, go): the dialog for something that was refused
if (inWindow) show = (() => {
  const WATCH_MS = 10_000;
  const POLL_MS = 250;
  const NOTICE = /(?:^|; *)casb_notice=([A-Za-z0-9._-]{1,128})(?=;|$)/;
  // --- the dialog -------------------------------------------------------------------------------------------------

  const STYLE = `
    :host { all: initial }
    dialog {
      box-sizing: border-box; width: min(30rem, calc(100vw - 2rem)); max-height: calc(100vh - 2rem); overflow: auto;
      padding: 0; border: 1px solid #c5cbd3; border-radius: 10px; background: #fff; color: #1b1f24;
      font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; box-shadow: 0 12px 40px rgb(0 0 0 / .28);
    }
    dialog::backdrop { background: rgb(15 20 28 / .5) }
    .bar { height: 6px; background: #b3261e }
    .protect .bar { background: #8a5a00 } .sign-in .bar, .step-up .bar, .re-evaluate .bar, .coach .bar, .notify .bar { background: #0b57d0 }
    label { display: block; font-weight: 600; margin: 0 0 .25rem }
    select, textarea {
      box-sizing: border-box; width: 100%; margin: 0 0 .9rem; padding: .45rem .6rem; font: inherit; color: inherit;
      background: #fff; border: 1px solid #57606a; border-radius: 6px
    }
    textarea { min-height: 5.5em; resize: vertical } [role=alert] { color: #b3261e; font-weight: 600 }
    .body { padding: 1.1rem 1.4rem 1.3rem }
    h2 { margin: 0 0 .5rem; font-size: 1.2rem; line-height: 1.3 }
    p { margin: 0 0 .9rem; white-space: pre-line; overflow-wrap: anywhere }
    dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0 0 1rem; font-size: .87rem }
    dt { color: #57606a } dd { margin: 0; overflow-wrap: anywhere }
    .actions { display: flex; flex-wrap: wrap; gap: .7rem; justify-content: flex-end; align-items: center }
    a { color: #0b57d0; margin-inline-end: auto }
    button {
      font: inherit; padding: .4rem 1.1rem; border-radius: 6px; border: 1px solid #57606a; background: #fff;
      color: #1b1f24; cursor: pointer; min-height: 2.2rem
    }
    button.primary { background: #0b57d0; border-color: #0b57d0; color: #fff }
    :focus-visible { outline: 3px solid #0b57d0; outline-offset: 2px }
    @media (prefers-color-scheme: dark) {
      dialog { background: #1f242b; color: #e8eaed; border-color: #4a525c }
      dt { color: #aab2bb } a { color: #a8c7fa }
      select, textarea { background: #14181d; border-color: #8d96a0 } [role=alert] { color: #ff8a80 }
      button { background: #1f242b; color: #e8eaed; border-color: #8d96a0 }
      :focus-visible { outline-color: #a8c7fa }
    }
    @media (forced-colors: active) { .bar { background: CanvasText } }
    @media (prefers-reduced-motion: no-preference) {
      dialog[open] { animation: in .12s ease-out } @keyframes in { from { opacity: 0; transform: translateY(6px) } }
    }`;

  const make = (name, text, properties = {}) => {
    const element = document.createElement(name);
    if (text) element.textContent = text;
    return Object.assign(element, properties);
  };

  const word = (value) => (typeof value === "string" || typeof value === "number" ? String(value).slice(0, 2000) : "");

  const web = (value) => {
    try {
      const url = new URL(word(value), location.origin);
      return url.protocol === "https:" || url.protocol === "http:" ? url : null;
    } catch {
      return null;
    }
  };

  let open = null;
  const waiting = [];

  const rows = (notice) => {
    const list = make("dl");
    const words = notice.words;
    for (const [label, value] of [
      [words.file || "File", notice.file],
      [words.policy || "Policy", notice.policy],
      [words.activity || "Activity", notice.activity],
    ]) {
      if (word(value)) list.append(make("dt", label), make("dd", word(value)));
    }
    return list;
  };

  const buttons = (notice, close) => {
    const actions = make("div", "", { className: "actions" });
    const help = notice.help_url && web(notice.help_url);
    if (help) actions.append(make("a", notice.help_text || "Get help", { href: help.href, target: "_blank", rel: "noopener noreferrer" }));
    const asks = notice.go || notice.coach;
    const label = asks ? notice.words.cancel || "Not now" : notice.words.close || "Close";
    const dismiss = make("button", label, { type: "button", onclick: close });
    actions.append(dismiss);
    if (notice.coach) {
      actions.append(make("button", notice.words.send, { type: "submit", className: "primary" }));
      return [actions, null];
    }
    if (notice.go) {
      const go = make("button", notice.go.label, { type: "button", className: "primary" });
      go.addEventListener("click", () => notice.go.run(close));
      actions.append(go);
      return [actions, go];
    }
    dismiss.className = "primary";
    return [actions, dismiss];
  };

  /** The question why: fields, and what becomes of the answer. */
  const question = (notice, form, close) => {
    const { coach, words } = notice;
    const field = (name, label, element) => {
      form.append(make("label", label, { htmlFor: name }), Object.assign(element, { id: name, name, dir: "auto" }));
      return element;
    };
    let reason = null, text = null;
    if (coach.reasons.length) {
      reason = field("reason", words.reason, make("select", "", { required: true }));
      reason.append(make("option", words.choose, { value: "" }), ...coach.reasons.map((each) => make("option", word(each))));
    }
    if (coach.text !== "no") text = field("text", words.text, make("textarea", "", { maxLength: 1000, required: coach.text === "required" }));
    const trouble = make("p");
    trouble.setAttribute("role", "alert");
    form.append(trouble);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const told = { c: coach.id, reason: reason?.value ?? "", text: text?.value ?? "" };
      try {
        const answer = await nativeFetch(`${location.origin}${BASE}justify`, {
          method: "POST", credentials: "same-origin", mode: "same-origin", cache: "no-store",
          headers: { "Content-Type": "application/json", Accept: "application/json" },
          body: JSON.stringify(told),
        });
        if (!answer.ok) throw new Error("refused");
        notice.justified = await answer.json();
        close();
      } catch {
        trouble.textContent = words.missing;
      }
    });
    return reason ?? text;
  };

  /** Show one notice; a second waits for the first to be closed, that of one activity is shown once. */
  const told = new Set();
  const show = (notice) => {
    const same = (other) => other && other.key === notice.key;
    if (same(open) || waiting.some(same) || told.has(notice.key)) return;
    if (open) {
      if (waiting.length < 5) waiting.push(notice);
      else notice.closed?.();
      return;
    }
    if (!document.documentElement) return;
    if (notice.activity && !notice.again) told.add(notice.key); // several requests may tell of it, one after the other
    open = notice;
    const before = document.activeElement;
    const host = document.createElement("casb-notice");
    const root = host.attachShadow({ mode: "closed" });
    const sheet = new CSSStyleSheet(); // a page's style-src does not concern it
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    const dialog = make("dialog", "", { className: word(notice.kind).replace(/[^a-z-]/g, "") });
    dialog.setAttribute("aria-labelledby", "title");
    dialog.setAttribute("aria-describedby", "message");
    const body = make(notice.coach ? "form" : "div", "", { className: "body" });
    if (notice.words.lang) dialog.lang = word(notice.words.lang);
    dialog.dir = notice.words.dir === "rtl" ? "rtl" : "ltr";
    const [actions, button] = buttons(notice, () => dialog.close());
    body.append(make("h2", word(notice.title), { id: "title" }));
    body.append(make("p", word(notice.message), { id: "message", dir: "auto" }));
    const first = notice.coach ? question(notice, body, () => dialog.close()) : button;
    body.append(rows(notice), actions);
    dialog.append(make("div", "", { className: "bar" }), body);
    root.append(dialog);
    for (const type of ["keydown", "keyup", "keypress", "click", "mousedown"]) {
      host.addEventListener(type, (event) => event.stopPropagation()); // the application's shortcuts stay out of it
    }
    dialog.addEventListener("close", () => {
      host.remove();
      open = null;
      notice.closed?.(notice.justified ?? null);
      if (before && before.isConnected && before !== document.body) before.focus?.({ preventScroll: true });
      if (waiting.length) show(waiting.shift());
    });
    document.documentElement.append(host);
    dialog.showModal();
    first?.focus();
  };

  /** The outermost window of the same origin: a frame may be too small for a dialog. */
  const shower = () => {
    let best = show;
    try {
      for (let frame = window; frame !== frame.parent; ) {
        frame = frame.parent;
        best = frame[KEY]?.show ?? best; // throws for another origin
      }
    } catch {
      /* as far as we may go */
    }
    return best;
  };

  const TITLES = { protect: "This file was protected", block: "Blocked by your organisation" };

  /** What a question about something that a page cannot ask for again comes to: the person does it again. */
  const repeat = (notice) => (said) => {
    if (said) explain({ ...notice, coach: null, kind: "notify", key: `${notice.activity} said`, message: notice.words?.repeat }, "");
  };
  const plain = (value) => (value && typeof value === "object" ? value : {});

  explain = (notice, activity, go, closed) => {
    const kind = word(notice.kind) || "block";
    shower()({
      key: word(notice.key) || activity,
      again: Boolean(notice.key), // the same may be tried again, as soon as the dialog is closed
      go,
      coach: Array.isArray(notice.coach?.reasons) ? notice.coach : null,
      words: plain(notice.words),
      closed: closed ?? (notice.coach ? repeat(notice) : null),
      kind,
      title: word(notice.title) || TITLES[kind] || TITLES.block,
      message: word(notice.message) || "A security policy of your organisation applies to what you just did.",
      file: word(notice.file),
      policy: word(notice.policy),
      activity,
      help_url: word(notice.help_url),
      help_text: word(notice.help_text),
    });
  };

  // --- downloads --------------------------------------------------------------------------------------------------

  /** The cookie that the proxy leaves on the answer which took a download's place. */
  const take = () => {
    if (document.visibilityState !== "visible") return;
    let found = null;
    try {
      found = NOTICE.exec(nativeCookie.read());
    } catch {
      return; // a sandboxed document has no cookies
    }
    if (!found) return;
    nativeCookie.write("casb_notice=; Max-Age=0; Path=/; Secure; SameSite=Lax");
    ask(found[1]);
  };

  /** What to tell of an activity. A download that is still being judged is asked for again. */
  const ask = (id) =>
    nativeFetch(`${location.origin}${BASE}notice/${id}`, {
      credentials: "same-origin",
      cache: "no-store",
      headers: { Accept: "application/json" },
    })
      .then((response) => (response.ok ? response.json() : {}))
      .catch(() => ({}))
      .then(plain)
      .then((notice) => {
        if (notice.casb === "passing") return void ask(id);
        if (notice.casb === "fine") return;
        const resume = (said) => said && (said.url ? location.assign(said.url) : repeat(notice)(said));
        explain(notice, id, null, notice.coach && resume);
      });

  let until = 0;
  let timer = 0;
  const tick = () => {
    take();
    if (performance.now() >= until) {
      clearInterval(timer);
      timer = 0;
    }
  };
  const watch = () => {
    until = performance.now() + WATCH_MS;
    timer ||= setInterval(tick, POLL_MS);
  };
  const passive = { capture: true, passive: true };
  for (const type of ["click", "auxclick", "submit"]) window.addEventListener(type, watch, passive);
  window.addEventListener("keydown", (event) => event.key === "Enter" && watch(), passive);
  for (const type of ["beforeunload", "pageshow"]) window.addEventListener(type, watch, passive);
  document.addEventListener("visibilitychange", watch, passive);
  window.cookieStore?.addEventListener?.("change", (event) => {
    if (event.changed.some((cookie) => cookie.name === "casb_notice")) take();
  });

  // --- answers of ours to requests of the page ----------------------------------------------------------------------

  const ours = (url) =>
    url !== null &&
    (url.origin === location.origin ||
      (url.protocol === "https:" &&
        ((config.suffix && url.hostname.endsWith(tail)) || (config.login && url.host === config.login))));

  const GO = {
    "sign-in": ["Your session has ended", "Sign in again to go on. What you have not saved in this page may be lost.", "Sign in"],
    "step-up": ["One more check is needed", "Your organisation asks you to confirm who you are before this step.", "Continue"],
    "re-evaluate": ["Please confirm that it is you", "Some time has passed, or your network or device has changed. It takes a moment.", "Continue"],
  };

  // A window of its own proves more, so that what is open in this one stays; at its end it tells us.
  const openWindow = window.open;
  const Channel = window.BroadcastChannel;
  const proofs = new Map(); // address -> promise: requests of one page share one window

  const prove = (body, url) => {
    let waiting = proofs.get(url.href);
    if (waiting) return waiting;
    const [title, message, label] = GO[body.casb];
    waiting = new Promise((resolve) => {
      let channel = null;
      const run = (close) => {
        channel ||= new Channel("casb.step-up");
        channel.onmessage = () => {
          resolve(true);
          close();
        };
        if (!apply(openWindow, window, [url.href, "casb-step-up", "popup,width=560,height=720"])) leave(url);
      };
      const closed = () => {
        channel?.close();
        resolve(false); // what was resolved before stays so
      };
      const notice = { key: url.href, kind: body.casb, words: plain(body.words), title, message: word(body.message) || message };
      shower()({ ...notice, policy: word(body.policy), activity: word(body.activity), again: true, go: { label, run }, closed });
    }).finally(() => proofs.delete(url.href));
    proofs.set(url.href, waiting);
    return waiting;
  };

  const leave = (url) => {
    try {
      window.top.location.assign(url.href);
    } catch {
      location.assign(url.href);
    }
  };

  const proving = (status, body) => {
    if (status !== 401 || !body || (body.casb !== "step-up" && body.casb !== "re-evaluate")) return null;
    const url = typeof body.url === "string" ? web(body.url) : null;
    return ours(url) && Channel ? prove(body, url) : null;
  };

  const isJson = (type) => typeof type === "string" && /^application\/json\b/i.test(type);

  /** A request of the page was stopped for more proof or a justification: it is asked again once that is given. */
  interpose = (response, again) => {
    const { status } = response;
    if ((status !== 401 && status !== 403) || !isJson(quietly(() => response.headers.get("content-type")))) return response;
    const stopped = (body) => {
      const proof = again && proving(status, body);
      if (proof) return proof.then((proven) => (proven ? again().then(observed) : response));
      if (status !== 403 || body?.casb !== "coach" || !body.coach) return response;
      return new Promise((done) => {
        const closed = (said) => {
          if (said && !again) repeat(body)(said);
          done(said && again ? again() : response);
        };
        explain({ ...body, kind: "coach" }, word(body.activity), null, closed);
      });
    };
    return response.clone().json().then(stopped, () => response);
  };

  const answered = (status, body, script) => {
    if (!body || typeof body !== "object") return;
    if (status === 403 && body.casb === "coach" && script) {
      explain({ ...body, kind: "coach" }, word(body.activity));
      return;
    }
    if (status === 403 && body.casb === "blocked") {
      explain({ kind: "block", ...body }, word(body.activity));
      return;
    }
    if (proving(status, body)) return;
    const go = status === 401 && Object.hasOwn(GO, body.casb) && GO[body.casb];
    const url = go && typeof body.url === "string" ? web(body.url) : null;
    if (!go || !ours(url)) return;
    const [title, message, label] = go;
    const run = () => leave(url);
    shower()({ key: body.casb, kind: body.casb, words: plain(body.words), title, message: word(body.message) || message, go: { label, run } });
  };

  const seen = (response) => {
    try {
      if ((response.status === 401 || response.status === 403) && isJson(response.headers.get("content-type"))) {
        const status = response.status;
        response.clone().json().then((body) => answered(status, body), () => {});
      }
    } catch {
      /* the page gets its response whatever happens here */
    }
    return response;
  };

  const heard = (event) => {
    const request = event.currentTarget;
    try {
      if ((request.status !== 401 && request.status !== 403) || !isJson(request.getResponseHeader("content-type"))) return;
      const status = request.status;
      if (request.responseType === "" || request.responseType === "text") answered(status, JSON.parse(request.responseText), true);
      else if (request.responseType === "json") answered(status, request.response, true);
      else new Response(request.response).json().then((body) => answered(status, body, true), () => {});
    } catch {
      /* the page gets its response whatever happens here */
    }
  };

  observers.push(seen);
  requestObservers.push((request) => request.addEventListener("load", heard));
  watch();
  return show;
})();
