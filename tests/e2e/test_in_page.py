"""What only script can see: small pages, each opened at its origin and through the suffix, with the same outcome.

`SUFFIX VIEW` pages belong to an app of the default kind: what they saw is compared after suffixed names were brought
home. `ORIGIN VIEW` pages belong to an app with `view: origin` and must see the very same thing. No page may ask for an
application by its real name, and no policy may be violated.
"""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import json
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from proxy_world import SUFFIX, Origin, World, reply, wait_for, world

pytestmark = pytest.mark.e2e

PAIRS = {"app": ("app.example", "api.app.example"), "home": ("home.example", "side.home.example")}
"""For each view: the application's own name, and that of a sibling."""

HELPERS = """
const turned = (text) => text.split("").reverse().join("");
const ME = turned("@EM@"), SIDE = turned("@EDIS@"); // names that no rewriter can see
const heard = (target, type) => new Promise((done) => target.addEventListener(type, done, {once: true}));
const loaded = (node, parent = document.body) => { const done = heard(node, "load"); parent.append(node); return done; };
const json = async (response) => (await response).json();
const along = {credentials: 'include'};
const settled = async (ask) => { for (let at = 0; at < 40; at++) { const seen = ask(); if (seen.length) return seen; await new Promise((done) => setTimeout(done, 50)); } return []; };
const el = (name, more = {}) => Object.assign(document.createElement(name), more);
const tag = (text) => { const made = document.createElement("div"); made.innerHTML = text; return made.firstChild; };
const asked = (worker) => new Promise((done, fail) => { const port = worker.port ?? worker; port.onmessage = (event) => done(event.data); worker.onerror = (event) => fail(event.message ?? "worker failed"); });
"""
# What a worker does, whatever kind it is.
WORK = """
const turned = (text) => text.split("").reverse().join(""), ME = turned("@EM@"), SIDE = turned("@EDIS@");
const work = async () => {
  const own = await (await fetch("https://" + ME + "/echo")).json();
  const side = await (await fetch(new Request("https://" + SIDE + "/echo", {credentials: "include"}))).json();
  return [own.host, side.host, new URL(side.url).pathname];
};
"""


class Case(NamedTuple):
    """A page's script: its value is what it saw."""

    name: str
    script: str
    views: str = "app home"
    html: str = ""
    policy: str = ""


EVAL = "script-src 'self' 'nonce-r4nd0m'; object-src 'none'; require-trusted-types-for 'script'; trusted-types app"

CASES = [
    # --- requests
    Case("fetch", "return [await json(fetch('https://' + ME + '/echo')), (await json(fetch('//' + SIDE + '/echo', along))).host, (await fetch('/echo')).url]"),
    Case("request", "const r = new Request('https://' + SIDE + '/echo?x#y', along); return [r.url, (await json(fetch(r))).host]"),
    Case("url-object", "return (await json(fetch(new URL('/echo', 'https://' + SIDE), along))).host"),
    Case("http-is-https", "return (await json(fetch(location.protocol + '//' + SIDE + '/echo', along))).host"),
    Case("xhr", "const x = new XMLHttpRequest(); x.open('GET', 'https://' + ME + '/echo'); const done = heard(x, 'load'); x.send(); await done; return [JSON.parse(x.responseText).host, x.responseURL]"),
    Case("beacon", "return navigator.sendBeacon('https://' + ME + '/echo', 'x')"),
    Case("event-source", "const e = new EventSource('https://' + ME + '/events'); const m = await heard(e, 'message'); e.close(); return [m.data, m.origin, e.url]"),
    Case("websocket", "const s = new WebSocket('wss://' + ME + '/ws', ['chat']); const m = await heard(s, 'message'); const told = JSON.parse(m.data); s.close(); return [told, s.url, s.protocol, m.origin]"),
    Case("websocket-talk", "const s = new WebSocket('wss://' + ME + '/ws'); await heard(s, 'message'); s.send(JSON.stringify({u: location.origin + '/x', t: 'é'})); const m = await heard(s, 'message'); s.close(); return JSON.parse(m.data)"),
    Case("stream", "const r = await fetch('https://' + ME + '/events'); const reader = r.body.getReader(); const first = await reader.read(); reader.cancel(); return new TextDecoder().decode(first.value)"),
    Case("integrity", "const r = await fetch('https://' + ME + '/lib.js', {integrity: '@LIB@'}); return r.status"),
    Case("script-integrity", "const s = el('script'); s.integrity = '@LIB@'; s.crossOrigin = ''; s.src = 'https://' + ME + '/lib.js'; await loaded(s); return [window.lib, s.integrity, s.getAttribute('integrity')]"),
    Case("script-integrity-attribute", "const s = el('script'); s.setAttribute('src', '/lib.js'); s.setAttribute('integrity', '@LIB@'); await loaded(s); return [window.lib, s.integrity]"),
    Case("import", "return [(await import('https://' + ME + '/module.js')).value, (await import('/module.js')).value]"),
    Case("import-inside", "return (await import('https://' + ME + '/outer.js')).value"),
    Case("performance", "await fetch('https://' + ME + '/echo?p'); return settled(() => performance.getEntriesByType('resource').map((e) => e.name).filter((n) => n.endsWith('?p')))"),
    Case("cache-storage", "const c = await caches.open('x'); await c.put('https://' + ME + '/k', new Response('v')); return [await (await c.match('https://' + ME + '/k')).text(), (await c.keys()).map((r) => r.url), await (await caches.match('/k')).text()]"),
    # --- places
    Case("literal-name", "return location.hostname === '@ME@' || location.host === '@ME@'"),
    Case("literal-origin", "return [location.origin === 'https://@ME@', window.origin === 'https://@ME@', self.origin === location.origin]"),
    Case("allow-list", "const list = await json(fetch('/names.json')); return [list.includes(location.host), list.includes(new URL(document.URL).host)]"),
    Case("computed-name", "return [location.hostname === ME, location.host === ME, location.origin === 'https://' + ME, location.href.startsWith('https://' + ME + '/'), self.origin]", "home"),
    Case("parts-of-the-name", "return [location.hostname.split('.').slice(-2).join('.'), location.hostname.endsWith('.example'), /^home\\.example$/.test(location.host), location.port, `${location}`, location + '', String(document.location)]", "home"),
    Case("switch-on-the-name", "switch (location.hostname) { case ME: return 'mine'; default: return 'stolen'; }", "home"),
    Case("document", "return [document.URL, document.documentURI, document.baseURI, document.domain, document.referrer]"),
    Case("anchor-parts", "const a = el('a', {href: 'https://' + SIDE + '/p?q#h'}); return [a.href, a.host, a.hostname, a.port, a.origin, a.protocol, a.pathname, String(a), a.getAttribute('href')]"),
    Case("relative-anchor", "const a = el('a', {href: '/p'}); return [a.href, a.host === location.host, a.getAttribute('href')]"),
    Case("history", "history.pushState({}, '', 'https://' + ME + '/pushed?x'); const seen = [location.pathname, location.search]; history.replaceState({}, '', '/replaced'); return [...seen, location.href]"),
    Case("location-methods", "const f = el('iframe', {src: '/blank.html'}); await loaded(f); const again = heard(f, 'load'); f.contentWindow.location.assign('https://' + ME + '/echo.html?a'); await again; const third = heard(f, 'load'); f.contentWindow.location = 'https://' + ME + '/echo.html?b'; await third; return [f.contentDocument.body.innerText.trim(), f.contentWindow.location.search]"),
    Case("location-properties", "const w = {location: {host: 'mine'}}; const {location: l} = w; const f = (location) => location.host; return [w.location.host, l.host, f({host: 'theirs'}), location === window.location, location === document.location, location instanceof Location, Object.prototype.toString.call(location), typeof location, 'location' in window]"),
    Case("eval", "return [eval('location.host') === location.host, new Function('return location.hostname')() === location.hostname, (0, eval)('window.location.origin') === location.origin]"),
    Case("url-of-self", "return [new URL('/x', location).href, new URL(location.href).host, new URL('?y', document.baseURI).href]"),
    Case("cookie-domain", "document.cookie = 'a=1; domain=' + location.hostname.replace(/\\.casb\\.test$/, '') + '; path=/'; document.cookie = 'b=2; path=/; domain=.@ME@'; document.cookie = 'c=3; domain=example; path=/'; document.cookie = 'd=4; domain=other.example; path=/'; const seen = document.cookie; for (const n of 'ab') document.cookie = n + '=; max-age=0; path=/; domain=@ME@'; return [seen.split('; ').filter((c) => /^[abcd]=/.test(c)).sort(), /[ab]=/.test(document.cookie)]"),
    Case("cookie-store", "await cookieStore.set({name: 'k', value: 'v', domain: ME}); const got = await cookieStore.get('k'); await cookieStore.delete({name: 'k', domain: ME}); return [got.value, await cookieStore.get('k')]"),
    Case("origin-of-messages", "const f = el('iframe', {src: 'https://' + SIDE + '/says.html'}); const m = heard(window, 'message'); document.body.append(f); const e = await m; return [e.origin, e.origin === 'https://@SIDE@', e.data]"),
    Case("post-to-a-sibling", "const f = el('iframe', {src: 'https://' + SIDE + '/echoes.html'}); await loaded(f); const m = heard(window, 'message'); f.contentWindow.postMessage('hi', 'https://@SIDE@'); return (await m).data"),
    Case("post-to-a-computed-sibling", "const f = el('iframe', {src: 'https://' + SIDE + '/echoes.html'}); await loaded(f); const m = heard(window, 'message'); f.contentWindow.postMessage('hi', 'https://' + SIDE); return (await m).data", "home"),
    Case("post-to-self", "const m = heard(window, 'message'); postMessage('x', 'https://' + ME); const e = await m; return [e.data, e.origin, e.origin === location.origin]"),
    Case("registered-handler", "navigator.registerProtocolHandler('web+x', 'https://' + ME + '/h?%s'); return true"),
    Case("open", "const w = window.open('https://' + ME + '/echo.html?w'); await heard(w, 'load'); const seen = w.document.body.innerText.trim(); w.close(); return seen"),
    # --- elements
    Case("image-property", "const i = new Image(); i.src = 'https://' + ME + '/dot.svg?1'; await heard(i, 'load'); return [i.src, i.currentSrc, i.naturalWidth]"),
    Case("image-attribute", "const i = el('img'); i.setAttribute('src', 'https://' + SIDE + '/dot.svg?2'); await heard(i, 'load'); return [i.getAttribute('src'), i.naturalWidth]"),
    Case("srcset", "const i = el('img'); i.srcset = 'https://' + ME + '/dot.svg?3 1x, //' + SIDE + '/dot.svg?4 2x'; await heard(i, 'load'); return [i.srcset, i.naturalWidth > 0]"),
    Case("inner-html", "const box = el('div'); document.body.append(box); box.innerHTML = '<img src=\"https://' + ME + '/dot.svg?5\"><p>see https://' + ME + '/x</p>'; await heard(box.firstChild, 'load'); return [box.innerHTML, box.textContent]", "home"),
    Case("inner-html-load", "const box = el('div'); document.body.append(box); box.innerHTML = '<img src=\"https://' + ME + '/dot.svg?5\"><p>see https://' + ME + '/x</p>'; await heard(box.firstChild, 'load'); return [box.firstChild.src, box.textContent]"),
    Case("insert-adjacent", "document.body.insertAdjacentHTML('beforeend', `<img id=i5 src=//${SIDE}/dot.svg?6>`); await heard(i5, 'load'); return i5.src"),
    Case("template", "const t = el('template'); t.innerHTML = `<img src='https://${ME}/dot.svg?7'>`; const i = t.content.cloneNode(true).firstChild; document.body.append(i); await heard(i, 'load'); return i.src"),
    Case("parsed-document", "const d = new DOMParser().parseFromString(`<img src='https://${ME}/dot.svg?8'>`, 'text/html'); const i = document.importNode(d.images[0], true); document.body.append(i); await heard(i, 'load'); return i.src"),
    Case("fragment", "const f = document.createRange().createContextualFragment(`<script src='https://${ME}/lib.js'><\\/script>`); const s = f.firstChild; document.body.append(f); await heard(s, 'load'); return window.lib"),
    Case("attribute-node", "const i = el('img'), a = document.createAttribute('src'); a.value = `https://${ME}/dot.svg?9`; i.setAttributeNode(a); await heard(i, 'load'); return [a.value, i.src]"),
    Case("stylesheet", "const l = el('link', {rel: 'stylesheet', href: `https://${ME}/style.css`}); await loaded(l, document.head); return [getComputedStyle(document.body).borderTopWidth, l.href]"),
    Case("style-rule", "const s = el('style'); document.head.append(s); s.sheet.insertRule(`#probe { background: url(https://${ME}/dot.svg?10) }`); const p = el('div', {id: 'probe', textContent: 'x'}); document.body.append(p); return settled(() => performance.getEntriesByType('resource').filter((e) => e.name.endsWith('dot.svg?10')).map((e) => e.responseStatus))"),
    Case("style-text", "document.head.append(el('style', {textContent: `#probe { background: url(https://${ME}/dot.svg?11) }`})); document.body.append(el('div', {id: 'probe', textContent: 'x'})); return settled(() => performance.getEntriesByType('resource').filter((e) => e.name.endsWith('dot.svg?11')).map((e) => e.responseStatus))"),
    Case("svg", "const s = document.createElementNS('http://www.w3.org/2000/svg', 'svg'), i = document.createElementNS(s.namespaceURI, 'image'); i.setAttributeNS('http://www.w3.org/1999/xlink', 'href', `https://${ME}/dot.svg?12`); s.append(i); document.body.append(s); await heard(i, 'load'); return i.href.baseVal"),
    Case("form", "const f = el('form', {action: 'https://' + ME + '/echo.html', method: 'get', target: 'there'}); f.append(el('input', {name: 'q', value: 'v'})); const i = el('iframe', {name: 'there', src: '/blank.html'}); await loaded(i); document.body.append(f); const again = heard(i, 'load'); f.submit(); await again; return [f.action, i.contentDocument.body.innerText.trim()]"),
    Case("form-post", "const f = el('form', {method: 'post', target: 'there'}); f.setAttribute('action', 'https://' + ME + '/echo.html'); f.append(el('input', {name: 'u', value: location.origin + '/a'}), el('button')); const i = el('iframe', {name: 'there', src: '/blank.html'}); await loaded(i); document.body.append(f); const again = heard(i, 'load'); f.querySelector('button').click(); await again; return i.contentDocument.body.innerText.trim()"),
    Case("anchor-click", "const i = el('iframe', {name: 'there', src: '/blank.html'}); await loaded(i); const a = tag(`<a target=there>x</a>`); a.href = 'https://' + ME + '/echo.html?c'; document.body.append(a); const again = heard(i, 'load'); a.click(); await again; return i.contentDocument.body.innerText.trim()"),
    Case("write", "const f = el('iframe'); document.body.append(f); const d = f.contentDocument; d.open(); d.write(`<img src='https://${ME}/dot.svg?13'>`); d.close(); await heard(d.images[0], 'load'); return d.images[0].src"),
    # --- frames without an address of their own
    Case("blank-frame-at-once", "const f = el('iframe'); document.body.append(f); const w = f.contentWindow; return [(await json(w.fetch('https://' + ME + '/echo'))).host, new w.Request('https://' + SIDE + '/').url]"),
    Case("blank-frame-by-index", "const f = el('iframe'); document.body.append(f); const w = window[window.length - 1]; return (await json(w.fetch('https://' + ME + '/echo'))).host"),
    Case("parsed-frame", "return (await json(frames.early.fetch('https://' + ME + '/echo'))).host", html="<iframe name=early></iframe>"),
    Case("frame-in-shadow", "const host = el('div'); document.body.append(host); const root = host.attachShadow({mode: 'open'}); root.innerHTML = '<iframe></iframe>'; const w = root.firstChild.contentWindow; return (await json(w.fetch('https://' + ME + '/echo'))).host"),
    Case("srcdoc", "const m = heard(window, 'message'); document.body.append(el('iframe', {srcdoc: `<script>fetch('https://' + '${turned(ME)}'.split('').reverse().join('') + '/echo').then((r) => r.json()).then((j) => parent.postMessage(j.host, '*'))<\\/script>`})); return (await m).data"),
    Case("srcdoc-in-markup", "return new Promise((done) => { window.told = done; onmessage = (e) => done(e.data); })", html="""<iframe srcdoc="<script>fetch('https://' + '@EM@'.split('').reverse().join('') + '/echo').then(r => r.json()).then(j => parent.postMessage(j.host, '*'))</script>"></iframe>"""),
    Case("blob-frame", "const m = heard(window, 'message'); const b = new Blob([`<script>fetch('https://' + '${turned(ME)}'.split('').reverse().join('') + '/echo').then((r) => r.json()).then((j) => parent.postMessage(j.host, '*'))<\\/script>`], {type: 'text/html'}); document.body.append(el('iframe', {src: URL.createObjectURL(b)})); return (await m).data"),
    Case("javascript-frame", "const m = heard(window, 'message'); document.body.append(el('iframe', {src: `javascript:fetch('https://' + '${turned(ME)}'.split('').reverse().join('') + '/echo').then((r) => r.json()).then((j) => parent.postMessage(j.host, '*')), void 0`})); return (await m).data"),
    Case("data-frame", "const m = heard(window, 'message'); document.body.append(el('iframe', {src: 'data:text/html,' + encodeURIComponent(`<script>fetch('https://' + '${turned(ME)}'.split('').reverse().join('') + '/open', {mode: 'no-cors'}).catch(() => 0).then(() => parent.postMessage('asked', '*'))<\\/script>`)})); return (await m).data"),
    Case("sandboxed-frame", "const m = heard(window, 'message'); const f = el('iframe', {src: '/sandboxed.html'}); f.sandbox = 'allow-scripts'; document.body.append(f); return (await m).data"),
    Case("opened-blank", "const w = window.open(''); const seen = (await json(w.fetch('https://' + ME + '/echo'))).host; w.close(); return seen"),
    Case("reused-frame", "const f = el('iframe'); document.body.append(f); f.contentWindow.mark = 1; const first = heard(f, 'load'); f.src = '/echo.html?1'; await first; const w = f.contentWindow, next = heard(f, 'load'); w.location = '/echo.html?2'; await next; return [(await json(f.contentWindow.fetch('https://' + ME + '/echo'))).host, f.contentDocument.body.innerText.trim(), f.contentWindow.location.href]"),
    Case("reused-window", "const w = window.open('/echo.html?1'); w.mark = 1; await heard(w, 'load'); w.location.href = '/echo.html?2'; await settled(() => w.location.search === '?2' && w.document.readyState === 'complete' ? [1] : []); const seen = [w.location.href, w.document.body.innerText.trim(), (await json(w.fetch('https://' + ME + '/echo'))).host]; w.close(); return seen"),
    Case("frame-natives", "const f = el('iframe'); document.body.append(f); const {fetch: fresh} = f.contentWindow; return (await json(fresh.call(window, 'https://' + ME + '/echo'))).host"),
    # --- workers
    Case("worker", "return asked(new Worker('/worker.js'))"),
    Case("worker-absolute", "return asked(new Worker('https://' + ME + '/worker.js'))"),
    Case("module-worker", "return asked(new Worker('/worker.js', {type: 'module'}))"),
    Case("importing-module-worker", "return asked(new Worker('/importing.js', {type: 'module'}))"),
    Case("shared-worker", "const w = new SharedWorker('/shared.js'); return asked(w)"),
    Case("blob-worker", "const text = await (await fetch('/worker.js')).text(); return asked(new Worker(URL.createObjectURL(new Blob([text], {type: 'text/javascript'}))))"),
    Case("blob-worker-imports", "return asked(new Worker(URL.createObjectURL(new Blob([`importScripts('https://' + '${turned(ME)}'.split('').reverse().join('') + '/worker.js')`]))))"),
    Case("worker-location", "return asked(new Worker('/where.js'))", "home"),
    Case("service-worker", "const r = await navigator.serviceWorker.register('https://' + ME + '/sw.js', {scope: 'https://' + ME + '/sw/'}); const w = r.installing ?? r.waiting ?? r.active; while (w.state !== 'activated') await heard(w, 'statechange'); const f = el('iframe', {src: '/sw/page'}); await loaded(f); const seen = f.contentDocument.body.innerText.trim(); await r.unregister(); return [r.scope, w.scriptURL, seen]"),
    # --- the page's own security
    Case("strict-policy", "return [(await json(fetch('https://' + ME + '/echo'))).host, document.scripts.length]", policy="default-src 'none'; script-src 'nonce-r4nd0m' 'strict-dynamic'; connect-src 'self' https://@SIDE@; base-uri 'none'"),
    Case("trusted-types", "const p = trustedTypes.createPolicy('app', {createHTML: (s) => s, createScriptURL: (s) => s}); const box = el('div'); document.body.append(box); box.innerHTML = p.createHTML(`<img src='https://${ME}/dot.svg?14'>`); await heard(box.firstChild, 'load'); let refused = ''; try { box.innerHTML = '<b>'; } catch (e) { refused = e.name; } const s = el('script'); s.nonce = 'r4nd0m'; s.src = p.createScriptURL(`https://${ME}/lib.js`); await loaded(s); return [box.firstChild.src, refused, window.lib]", policy=EVAL),
    Case("violation", "const v = heard(document, 'securitypolicyviolation'); const i = el('img', {src: 'https://' + SIDE + '/dot.svg?15'}); document.body.append(i); const e = await v; return [e.blockedURI, e.documentURI, e.violatedDirective]", policy="img-src 'self'"),
    Case("frozen", "Object.freeze(Function.prototype); Object.freeze(Array.prototype); Object.freeze(window.fetch); return (await json(fetch('https://' + ME + '/echo'))).host"),
    Case("natives", "return [fetch, Request, WebSocket, XMLHttpRequest.prototype.open, history.pushState, Element.prototype.setAttribute, postMessage, Worker].map((f) => [f.name, f.length, String(f), Function.prototype.toString.call(f)])"),
    Case("descriptors", "const d = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, 'src'); return [Object.keys(d), d.get.name, d.set.name, String(d.get), d.set.length, new Worker('data:,') instanceof Worker, Worker.prototype.constructor === Worker, class extends WebSocket {}.name]"),
]  # fmt: skip


@dataclass
class Scene:
    """The origins, the worker and the browser."""

    proxy: World
    origins: dict[str, Origin]
    browser: Browser
    cookies: dict[str, str]
    contexts: dict[str, BrowserContext] = field(default_factory=dict)
    escaped: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def base(self, host: str, *, through: bool) -> str:
        return f"https://{host}.{SUFFIX}:{self.proxy.port}" if through else f"https://{host}"

    def home(self, value: Any) -> Any:
        """What was seen, with suffixed names brought home."""
        text = json.dumps(value)
        text = re.sub(rf"([a-z.]+)\.{re.escape(SUFFIX)}:{self.proxy.port}", r"\1", text)
        return json.loads(re.sub(rf"([a-z.]+)\.{re.escape(SUFFIX)}", r"\1", text).replace(f'"{self.proxy.port}"', '""'))


LIBRARY = b"window.lib = 'loaded from ' + 'https://@ME@/'.length; // https://@ME@/\n"


def filled(text: str, key: str) -> str:
    me, side = PAIRS[key]
    digest = "sha256-" + base64.b64encode(hashlib.sha256(library(key)).digest()).decode()
    for name, value in (("@ME@", me), ("@SIDE@", side), ("@EM@", me[::-1]), ("@EDIS@", side[::-1]), ("@LIB@", digest)):
        text = text.replace(name, value)
    return text


def library(key: str) -> bytes:
    return LIBRARY.replace(b"@ME@", PAIRS[key][0].encode()).replace(
        b"'https://" + PAIRS[key][0].encode() + b"/'.length", b"'x'"
    )


def serve(origin: Origin, key: str, name: str) -> None:
    """The application's pages."""
    html, script = "text/html; charset=utf-8", "text/javascript; charset=utf-8"

    def text(path: str, body: str, kind: str, **headers: str) -> None:
        given = {"content_type": kind, "access_control_allow_origin": "*", **headers}
        origin.routes[path] = lambda handler, _body: reply(handler, 200, filled(body, key).encode(), **given)

    def echo(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        told = {
            "host": handler.headers["host"],
            "origin": handler.headers.get("origin"),
            "url": f"https://{handler.headers['host']}{handler.path}",
        }
        allowed = handler.headers.get("origin", "*")
        reply(
            handler,
            200,
            json.dumps(told).encode(),
            content_type="application/json",
            access_control_allow_origin=allowed,
            access_control_allow_credentials="true",
        )

    def echo_page(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        shown = urllib.parse.unquote(f"{handler.command} {handler.headers['host']}{handler.path} {body.decode()}")
        reply(handler, 200, f"<!doctype html><p>{shown}".encode(), content_type=html)

    def events(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("connection", "close")
        handler.end_headers()
        handler.wfile.write(f"data: hello from {handler.headers['host'].split('.')[0]}\n\n".encode())
        handler.close_connection = True

    origin.routes |= {"/echo": echo, "/open": echo, "/echo.html": echo_page, "/events": events, "/ws": socket_echo}
    text("/blank.html", "<!doctype html><title>blank</title>", html)
    text("/lib.js", library(key).decode(), script)
    text("/module.js", "export const value = 'module';", script)
    text(
        "/outer.js",
        "const at = 'https://' + '@EM@'.split('').reverse().join(''); export const value = (await import(at + '/module.js')).value + new URL('x', import.meta.url).pathname;",
        script,
    )
    text("/names.json", '["other.example", "@ME@"]', "application/json")
    text("/dot.svg", '<svg xmlns="http://www.w3.org/2000/svg" width="3" height="3"/>', "image/svg+xml")
    text("/style.css", "body { border-top: 7px solid }", "text/css")
    text(
        "/says.html",
        "<!doctype html><script>parent.postMessage('from ' + location.pathname, 'https://@ME@')</script>",
        html,
    )
    text(
        "/echoes.html",
        "<!doctype html><script>onmessage = (e) => e.source.postMessage([e.data, e.origin === 'https://@ME@'], e.origin)</script>",
        html,
    )
    text(
        "/sandboxed.html",
        "<!doctype html><script>fetch('https://' + '@EM@'.split('').reverse().join('') + '/open', {mode: 'no-cors'}).catch(() => 0).then(() => parent.postMessage(['asked', self.origin], '*'))</script>",
        html,
    )
    text(
        "/worker.js",
        "'use strict';" + WORK + "work().then((seen) => postMessage(seen), (error) => postMessage(String(error)));",
        script,
    )
    text(
        "/importing.js",
        "import {value} from './module.js';"
        + WORK
        + "work().then((seen) => postMessage([value, ...seen]), (error) => postMessage(String(error)));",
        script,
    )
    text(
        "/shared.js",
        WORK
        + "onconnect = (event) => work().then((seen) => event.ports[0].postMessage(seen), (error) => event.ports[0].postMessage(String(error)));",
        script,
    )
    text(
        "/where.js",
        "postMessage([location.host, location.href, location.origin, self.location.hostname, self.origin, location.port, String(location)]);",
        script,
    )
    text(
        "/sw.js",
        WORK
        + "onactivate = (event) => event.waitUntil(clients.claim()); onfetch = (event) => event.respondWith(work().then((seen) => new Response('<p>' + seen.join(' '), {headers: {'content-type': 'text/html'}})));",
        script,
    )
    for case in CASES:
        if key not in case.views.split():
            continue
        body = f"<!doctype html><html><head><title>{case.name}</title></head><body>{case.html}<script nonce=r4nd0m>{HELPERS}\nwindow.result = (async () => {{ {case.script} }})();</script></body></html>"
        extra = {"content_security_policy": filled(case.policy, key)} if case.policy else {}
        text(f"/case/{case.name}", body, html, **extra)


MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def socket_echo(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """A WebSocket that tells whom it talks to, then repeats what it hears and says where it heard a name of its own."""
    from wsproto import ConnectionType
    from wsproto import events as ws
    from wsproto.connection import Connection

    key = (handler.headers.get("sec-websocket-key") or "").encode()
    handler.send_response(101)
    told = {
        "upgrade": "websocket",
        "connection": "upgrade",
        "sec-websocket-accept": base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest()).decode(),
    }
    if handler.headers.get("sec-websocket-protocol"):
        told["sec-websocket-protocol"] = handler.headers["sec-websocket-protocol"].split(",")[0].strip()
    for name, value in told.items():
        handler.send_header(name, value)
    handler.end_headers()
    talk, sock = Connection(ConnectionType.SERVER), handler.connection
    sock.sendall(
        talk.send(ws.TextMessage(json.dumps({"host": handler.headers["host"], "origin": handler.headers["origin"]})))
    )
    while data := sock.recv(65536):
        talk.receive_data(data)
        for event in talk.events():
            if isinstance(event, ws.TextMessage):
                clean = SUFFIX not in event.data
                sock.sendall(talk.send(ws.TextMessage(json.dumps({"heard": event.data, "clean": clean}))))
            elif isinstance(event, ws.CloseConnection):
                sock.sendall(talk.send(event.response()))
                return
    handler.close_connection = True


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("in-page")
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(world(folder, start=False))
        origins = {}
        for key, names in PAIRS.items():
            for name in names:
                place = folder / name
                place.mkdir()
                origins[name] = origin = Origin(place, name)
                stack.callback(origin.close)
                serve(origin, key, name)
                view = "origin" if key == "home" else "suffix"
                text = f"id: {name.replace('.', '-')}\nname: {name}\ndomains: [{name}]\nrewrite: {{view: {view}}}\n"
                proxy.write(
                    f"apps/{name.replace('.', '-')}.yaml",
                    text + f'upstream: {{connect: "127.0.0.1:{origin.port}", ca: {origin.ca}}}\n',
                )
        proxy.start()
        sessions = {name: proxy.session(host=f"{name}.{SUFFIX}").partition("=") for name in origins}
        rules = [f"MAP {name} 127.0.0.1:{origin.port}" for name, origin in origins.items()]
        rules += [f"MAP *.{SUFFIX} 127.0.0.1", "MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"]
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=[
                "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--ignore-certificate-errors",
                "--host-resolver-rules=" + ", ".join(rules),
            ],
        )  # fmt: skip
        stack.callback(browser.close)
        cookies = {name: "".join(cookie) for name, cookie in sessions.items()}
        made = Scene(proxy=proxy, origins=origins, browser=browser, cookies=cookies)
        for way in ("direct", "through"):
            made.contexts[way] = browser.new_context(ignore_https_errors=True)
        for name, cookie in sessions.items():
            made.contexts["through"].add_cookies([
                {"name": cookie[0], "value": cookie[2], "url": f"https://{name}.{SUFFIX}:{proxy.port}/", "secure": True, "httpOnly": True, "sameSite": "None"}
            ])  # fmt: skip

        def watch(request: Request) -> None:
            if re.search(r"^(?:https?|wss?)://[a-z.]*\.example[:/]", request.url):
                made.escaped.append(request.url)

        made.contexts["through"].on("request", watch)
        yield made


def outcome(scene: Scene, way: str, host: str, case: Case) -> Any:
    page: Page = scene.contexts[way].new_page()
    page.set_default_timeout(8000)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        page.goto(f"{scene.base(host, through=way == 'through')}/case/{case.name}")
        timed = "Promise.race([window.result, new Promise((_, fail) => setTimeout(() => fail(new Error('no outcome')), 6000))])"
        return page.evaluate(
            f"async () => {{ try {{ return {{ok: await {timed}}}; }} catch (error) {{ return {{failed: String(error)}}; }} }}"
        )
    finally:
        scene.messages = said
        page.close()


TABLE = [(key, case) for case in CASES for key in case.views.split()]


@pytest.mark.parametrize(("key", "case"), TABLE, ids=[f"{case.name}-{key}" for key, case in TABLE])
def test_the_page_sees_the_same(scene: Scene, key: str, case: Case) -> None:
    host = PAIRS[key][0]
    direct = outcome(scene, "direct", host, case)
    assert "ok" in direct, (direct, scene.messages)
    scene.escaped.clear()
    through = outcome(scene, "through", host, case)
    if key == "app":
        through = scene.home(through)
    assert through == direct, scene.messages
    assert scene.escaped == []


STYLED = "const p = el('div', {textContent: 'x'}); p.style.backgroundImage = `url(https://${SIDE}/dot.svg?out)`; document.body.append(p); return settled(() => performance.getEntriesByType('resource').filter((e) => e.name.endsWith('?out')).map(() => 1))"


def test_what_escapes_all_the_same_is_in_the_activity_log_once(scene: Scene) -> None:
    """A property of a style declaration is no accessor that could be wrapped: the image is asked for, without a session."""
    host, side = PAIRS["app"]
    case = Case("escape", STYLED)
    body = f"<!doctype html><body><script>{HELPERS}\nwindow.result = (async () => {{ {STYLED} }})();</script>"
    scene.origins[host].page("/case/escape", filled(body, "app").encode(), content_type="text/html")
    for _ in range(2):
        assert outcome(scene, "through", host, case) == {"ok": [1]}

    def told() -> list[dict[str, Any]]:
        escapes = [each for each in scene.proxy.records() if "escape." in json.dumps(each["reasons"])]
        return [each for each in escapes if each["reasons"][0]["fact"] == f"it asked for {side}"]

    record = wait_for(lambda: told() and told()[0], "the report", 5)
    assert record["action"] == "audit"
    assert len(told()) == 1
    assert "?out" not in json.dumps(record)
    asked = [each for each in scene.origins[side].seen if each.path == "/dot.svg?out"]
    assert asked
    assert all("cookie" not in each.headers for each in asked)


def test_the_guard_is_small_and_cached_for_good(scene: Scene) -> None:
    host = PAIRS["app"][0]
    page = scene.proxy.ask("/case/fetch", host=f"{host}.{SUFFIX}", cookie=scene.cookies[host])
    found = re.search(r'src="(/\.casb/guard\.js\?v=[^"]+)"', page.text)
    assert found
    script = scene.proxy.ask(found[1], host=f"{host}.{SUFFIX}")
    assert "immutable" in script.headers["cache-control"]
    assert script.headers["cross-origin-resource-policy"] == "cross-origin"
    assert len(gzip.compress(script.body)) < 20_000
    assert "no-cache" in scene.proxy.ask("/.casb/guard.js?v=other", host=f"{host}.{SUFFIX}").headers["cache-control"]
