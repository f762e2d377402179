"""Scripts through the parser: which places are edited, that the result still parses and still means the same."""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

import json
import shutil
import subprocess

import pytest
import tree_sitter_javascript
from hypothesis import given, settings
from hypothesis import strategies as st
from tree_sitter import Language, Parser

from casb.model.app import View
from casb.rewrite.hosts import HostMap
from casb.rewrite.script import ScriptRewriter, is_module, needs_parsing, placed, rewrite_script

HOSTS = HostMap("casb.test", 8443, ["app.example", "*.wild.example"])
NOWHERE = HostMap("", 443, [])
NODE = shutil.which("node") or "node"
PARSER = Parser(Language(tree_sitter_javascript.language()))

ORIGIN = [
    ("a = location.host", "a = casb$.here(location).host", "a name"),
    ("window.location.href", "casb$.here(window.location).href", "a member"),
    ("a.b().location", "casb$.here(a.b().location)", "of anything"),
    ('self["location"].host', 'casb$.here(self["location"]).host', "spelled as a string"),
    ("f(location, {location})", "f(casb$.here(location), {location:casb$.here(location)})", "shorthand"),
    ("location = x + 1;", "casb$.set(location,x + 1,casb$v=>location=casb$v);", "assigned"),
    ("window.location = u", "casb$.put(window,u)", "a member assigned"),
    ("top.location = self.location", "casb$.put(top,casb$.here(self.location))", "both sides"),
    ("a.location.location = location", "casb$.put(casb$.here(a.location),casb$.here(location))", "nested"),
    ("a?.location.href", "casb$.here(a?.location)?.href", "a chain that may end early"),
    ("a?.location\n  .href", "casb$.here(a?.location)\n  ?.href", "over lines"),
    ("a?.location[k]", "casb$.here(a?.location)?.[k]", "computed"),
    ("a?.location?.href", "casb$.here(a?.location)?.href", "twice"),
    ("typeof location", "typeof location", "asks whether it is there"),
    ("typeof location.href", "typeof casb$.here(location).href", "asks about a part"),
    ("delete o.location", "delete o.location", "needs the reference"),
    ("this.location('x')", "this.location('x')", "a method of that name"),
    ("var location, o = {location: 1}; class C { location = 2; location() {} }", None, "declarations and keys"),
    ("function location() {} ; location()", None, "a function of that name"),
    ("const {location} = window; location.host", "const {location} = window; casb$.here(location).host", "taken apart"),
    ("(location) => location.host", "(location) => casb$.here(location).host", "a parameter"),
    ("'location' + \"my location\" + /location/ + `location` // location", None, "text"),
    ("`${location.host}`", "`${casb$.here(location).host}`", "inside a template"),
    ("mylocation.host; location2; $location; a.locations", None, "longer names"),
    ("export {location}; import {location as x} from 'y'", None, "names of modules"),
    ("import 'https://app.example/m.js'", "import 'https://app.example.casb.test:8443/m.js'", "a specifier"),
    ("import a from '//app.example/m.js'", "import a from '//app.example.casb.test:8443/m.js'", "without a scheme"),
    ("export * from \"https://app.example/m.js\"", "export * from \"https://app.example.casb.test:8443/m.js\"", "re-exported"),
    ("import('https://app.example/m.js')", "import('https://app.example.casb.test:8443/m.js')", "a literal import"),
    ("import './m.js'; import x from 'react'", None, "relative and bare"),
    ("new URL('x', import.meta.url)", "new URL('x', casb$.back(import.meta.url))", "where a module is"),
    ("eval(text)", "eval(casb$.code(text))", "direct"),
    ("(0, eval)(text); window.eval(text)", "(0, eval)(casb$.code(text)); window.eval(casb$.code(text))", "indirect"),
    ("a.eval(text); evaluate(x)", None, "not eval"),
    ("w.postMessage(d, t)", "casb$.post(w,d, t)", "a window of any origin"),
    ("a.location.w.postMessage({a: [1, 2]}, '*')", "casb$.post(casb$.here(a.location).w,{a: [1, 2]}, '*')", "nested"),
    ("port.postMessage(null); postMessage(d, t); a?.postMessage(d, t)", None, "ports, and what the guard wraps"),
    ("const u = 'https://app.example/'", None, "literals stay"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "expected", "why"), ORIGIN)
def test_the_origin_view(source: str, expected: str | None, why: str) -> None:
    out = rewrite_script(source.encode(), HOSTS, view=View.ORIGIN).decode()
    assert out == (source if expected is None else expected), why
    assert not PARSER.parse(out.encode()).root_node.has_error


MAPPED = '(globalThis[Symbol.for("casb.guard")]?.url??String)'
SUFFIXED = [
    ("if (location.host === 'app.example') go()", "if (location.host === 'app.example.casb.test:8443') go()", "literals"),
    ("import('./x.js')", None, "a literal"),
    ("import(base + '/x.js')", f"import({MAPPED}(base + '/x.js'))", "computed"),
    ("import(`${a}/x`, {with: {type: 'json'}})", f"import({MAPPED}(`${{a}}/x`), {{with: {{type: 'json'}}}})", "with attributes"),
    ("import(/* webpackIgnore: true */ a)", f"import(/* webpackIgnore: true */ {MAPPED}(a))", "behind a comment"),
    ("import(import(a).b)", f"import({MAPPED}(import({MAPPED}(a)).b))", "nested"),
    ("'import(x)'; o.import(x)", None, "no import"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "expected", "why"), SUFFIXED)
def test_the_suffix_view(source: str, expected: str | None, why: str) -> None:
    out = rewrite_script(source.encode(), HOSTS, view=View.SUFFIX).decode()
    assert out == (source if expected is None else expected), why


def test_what_needs_no_parser_is_the_same_object() -> None:
    source = b"const locations = 1; // nothing here"
    assert not needs_parsing(source, View.ORIGIN)
    assert rewrite_script(source, HOSTS, view=View.ORIGIN) is source
    assert rewrite_script(b"location", NOWHERE, view=View.ORIGIN) == b"location", "nothing to map, nothing to hide"


def test_a_large_script_is_parsed_once_per_map() -> None:
    source = b"import 'https://app.example/m.js'; location.host;" + b" " * 20_000
    other = HostMap("other.test", 443, ["app.example"])
    first = rewrite_script(source, HOSTS, view=View.ORIGIN)
    assert rewrite_script(source, HOSTS, view=View.ORIGIN) is first
    assert b"app.example.other.test/m.js" in rewrite_script(source, other, view=View.ORIGIN)
    assert b"casb$" not in rewrite_script(source, HOSTS, view=View.SUFFIX)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"import a from 'x'", True),
        (b"x; export {y}", True),
        (b"const u = import.meta.url", True),
        (b"import('x')", False),
        (b"importScripts('x'); const exports = {}", False),
        (b"'import x from y'", False),
    ],
)
def test_modules(source: bytes, expected: bool) -> None:
    assert is_module(source) is expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (b"x", b"G;x"),
        (b'"use strict"; x', b'"use strict";G;; x'),
        (b"/* c */ 'use strict'\nx", b"/* c */ 'use strict';G;\nx"),
        (b"\xef\xbb\xbfx", b"\xef\xbb\xbfG;x"),
        (b"", b"G;"),
        (b"'a' + b", b"G;'a' + b"),
    ],
)
def test_what_is_put_in_front_stands_behind_directives(script: bytes, expected: bytes) -> None:
    assert placed(b"G;", script) == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([each[0] for each in ORIGIN + SUFFIXED]), max_size=6),
    st.integers(1, 40),
    st.sampled_from(View),
)
def test_any_cut_gives_the_same_bytes(parts: list[str], step: int, view: View) -> None:
    source = ";\n".join(parts).encode()
    rewriter = ScriptRewriter(HOSTS, view)
    out = b"".join([rewriter.feed(source[at : at + step]) for at in range(0, len(source), step)]) + rewriter.finish()
    assert out == rewrite_script(source, HOSTS, view=view)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=" \n\"'`/\\()[]{}.?:;=+,$location>evalimport*<!-", max_size=80) | st.binary(max_size=60))
def test_any_bytes_come_through(source: str | bytes) -> None:
    data = source.encode() if isinstance(source, str) else source
    for view in View:
        assert isinstance(rewrite_script(data, HOSTS, view=view), bytes)


def test_a_script_beyond_the_limit_streams() -> None:
    source = b"const u = 'https://app.example/'; location.host; " * 50
    for view, named in ((View.SUFFIX, b"app.example.casb.test"), (View.ORIGIN, b"'https://app.example/'")):
        rewriter = ScriptRewriter(HOSTS, view, limit=1000)
        out = b"".join([rewriter.feed(source[at : at + 100]) for at in range(0, len(source), 100)]) + rewriter.finish()
        assert out.count(named) == 50
        assert b"casb$" not in out


def test_the_guard_comes_first_in_a_worker() -> None:
    rewriter = ScriptRewriter(HOSTS, View.SUFFIX, before=lambda source: b"G();" if b"x" in source else b"H();")
    assert rewriter.feed(b"'use strict'; x") + rewriter.finish() == b"'use strict';G();; x"


GUARD = """
const real = {host: "app.example.casb.test"}, stand = {host: "app.example", set href(v) { log.push("go " + v) }};
const log = [];
globalThis.casb$ = {
  here: (v) => (v === real ? stand : v), code: (v) => v, back: (v) => v,
  set: (v, to, assign) => { if (v === real) stand.href = to; else assign(to); return to; },
  put: (o, to) => { if (o.location === real) stand.href = to; else o.location = to; return to; },
};
const win = Object.freeze({location: real});
"""
RUN = [
    ("((location) => location.host)(real)", "app.example"),
    ("(() => { let location = 1; location = 2; return location; })()", 2),
    ("(() => { const o = {}; o.location = 'x'; return o.location; })()", "x"),
    ("(win.location = 'u', log[0])", "go u"),
    ("win?.location.host", "app.example"),
    ("[undefined?.location.host.length] + 'x'", "x"),
    ("(({location}) => location.host)(win)", "app.example"),
    ("Object.entries({location: 5, ...{a: 1}}).length", 2),
    ("(() => { const o = {n: 3, location() { return this.n; }}; return o.location(); })()", 3),
    ("((location = real) => ({location}).location.host)()", "app.example"),
    ("`${win.location.host.split('.').slice(-2).join('.')}`", "app.example"),
    ("/(^|\\.)app\\.example$/.test(win['location'].host)", True),
]  # fmt: skip


def test_rewritten_scripts_mean_the_same() -> None:
    lines = [rewrite_script(source.encode(), HOSTS, view=View.ORIGIN).decode() for source, _ in RUN]
    program = GUARD + "console.log(JSON.stringify([" + ",\n".join(lines) + "]))"
    done = subprocess.run(
        [NODE, "-e", program], capture_output=True, text=True, timeout=30, check=True
    )  # our own program
    assert json.loads(done.stdout) == [expected for _, expected in RUN]
