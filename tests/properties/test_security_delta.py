"""The policy that a browser receives is never weaker than the origin's, over generated responses.

Each policy is judged by a model of what browsers do (`csp_model`, and the small ones here), on the origin's head at
the origin's addresses and on the mapped head at the mapped addresses. A place under the suffix stands for both schemes
of a host, for there is only https: allowed there means allowed at one of them. The only exceptions are what we add:
`<page>/.casb/guard.js` as a script, `<page>/.casb/` to connect to, the hash of the guard in a policy with
`strict-dynamic` that has not the nonce on our tag, and the name of its Trusted Types policy. One thing cannot be said
in a source list: "every host on the default port, but not those of ours that are on another at home".
"""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

import dataclasses
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from casb.rewrite.context import RewriteContext
from casb.rewrite.headers import Field, page_policy_of, request_headers, response_headers
from casb.rewrite.hosts import HostMap
from csp_model import FALLBACKS, Address, all_allow, parse_all

NAMES = [
    "app.example",
    "app.example:8444",
    "cdn.app.example",
    "*.wild.example",
    "plain.test",
    "app.co.uk",
    "one.many.test",
]
MAPS = [
    HostMap("casb.test", 8443, NAMES, plain=["plain.test"]),
    HostMap("casb.test", 443, NAMES, plain=["plain.test"]),
    HostMap("casb.test", 8443, NAMES, plain=["plain.test"], flat=True),
    HostMap("casb.test", 8443, [name for name in NAMES if ":" not in name], plain=["plain.test"]),
]
HOSTS = ["app.example", "app.example:8444", "app.example:8445", "cdn.app.example", "x.wild.example", "wild.example",
         "plain.test", "one.many.test", "two.many.test", "app.co.uk", "notapp.example", "app.example.evil.test", "other.test"]  # fmt: skip
PATHS = ["/", "/a", "/a/b.js", "/.casb/guard.js", "/.casb/x"]
PROBES = [f"{scheme}://{host}{path}" for scheme in ("https", "http", "wss", "ws") for host in HOSTS for path in PATHS]
DIGEST = "sha256-Z3VhcmQ="

sources = (
    st.sampled_from(
        ["'self'", "'none'", "*", "https:", "http:", "wss:", "data:", "'unsafe-inline'", "'unsafe-eval'", "'strict-dynamic'",
         "'nonce-one'", "'nonce-two'", "'sha256-abc='", "'report-sample'", "https://*:443", "https://*", "*:8443", "*:80"]
    )
    | st.tuples(
        st.sampled_from(["", "", "https://", "http://", "wss://", "HTTPS://"]),
        st.sampled_from(["", "", "*."]),
        st.sampled_from(["app.example", "APP.Example", "cdn.app.example", "wild.example", "x.wild.example", "example", "plain.test",
                         "many.test", "one.many.test", "co.uk", "app.co.uk", "other.test", "evil.test", "casb.test", "test"]),
        st.sampled_from(["", "", "", ":443", ":80", ":8443", ":8444", ":8445", ":*"]),
        st.sampled_from(["", "", "/", "/a", "/a/"]),
    ).map("".join)
)  # fmt: skip
directives = st.tuples(
    st.sampled_from(
        [*sorted({name for names in FALLBACKS.values() for name in names}), "Script-Src", "unknown\u00a0x"]
    ),
    st.lists(sources, max_size=4),
).map(lambda pair: " ".join([pair[0], *pair[1]]))
policies = st.lists(directives, min_size=1, max_size=4).map("; ".join)
headers = st.lists(st.lists(policies, min_size=1, max_size=2).map(", ".join), min_size=1, max_size=2)
pages = st.sampled_from(["app.example", "x.wild.example", "plain.test", "app.example:8444"])


EVERY = re.compile(r"(?:://\*(?: |,|;|:80|:443|$)|(?: |^)\*:(?:80|443))")
"""A source for every host on the default port; `EVERY` is the last exception, see `csp.map_source`."""


def head(values: list[str], name: bytes = b"Content-Security-Policy") -> list[Field]:
    return [(name, value.encode()) for value in values]


def given_as(fields: list[Field], name: bytes) -> list[str]:
    return [value.decode() for key, value in fields if key.lower() == name.lower()]


def preimages(hosts: HostMap, mapped: str) -> list[str]:
    """Every probe at the origins that is this place under the suffix."""
    return [url for url in PROBES if hosts.url_to_suffix(url) == mapped]


@settings(max_examples=150, deadline=None)
@given(headers, st.sampled_from(MAPS), pages, st.booleans())
def test_a_content_security_policy_never_admits_more(values: list[str], hosts: HostMap, host: str, guard: bool) -> None:
    context = RewriteContext(hosts=hosts, host=host, guard_digest=DIGEST, inject_guard=guard)
    fields = head(values)
    page = page_policy_of(fields, context)
    out = response_headers(fields, context, page)
    before, after = parse_all(values), parse_all(given_as(out, b"content-security-policy"))
    own = Address.of(f"{'http' if hosts.is_plain(host) else 'https'}://{host}")
    there = Address.of(f"https://{context.page_host}")
    ours = f"https://{context.page_host}/.casb/"
    for mapped in sorted({hosts.url_to_suffix(url) for url in PROBES}):
        came_from = [Address.of(url) for url in preimages(hosts, mapped)]
        for kind in FALLBACKS:
            if guard and (
                (kind == "connect-src" and mapped.startswith(ours))
                or (kind == "script-src-elem" and mapped == f"{ours}guard.js")
            ):
                continue
            if all_allow(after, kind, Address.of(mapped), there):
                # Several preimages may be needed for several policies: each policy is judged by itself.
                if re.search("--(?:p|x)8444", mapped) and EVERY.search(" ".join(values)):
                    continue
                for policy in before:
                    assert any(policy.allows(kind, url, own) for url in came_from), (kind, mapped, out)


@settings(max_examples=150, deadline=None)
@given(headers, st.sampled_from(MAPS), pages)
def test_no_word_is_added_but_the_hash_of_the_guard(values: list[str], hosts: HostMap, host: str) -> None:
    context = RewriteContext(hosts=hosts, host=host, guard_digest=DIGEST)
    fields = head(values)
    page = page_policy_of(fields, context)
    out = response_headers(fields, context, page)
    before, after = parse_all(values), parse_all(given_as(out, b"content-security-policy"))
    for one, other in zip(before, after, strict=False):
        for kind in FALLBACKS:
            added = other.keywords(kind) - one.keywords(kind)
            if added:
                scripts = one.effective("script-src-elem") or []
                assert kind == "script-src-elem" and added == {f"'{DIGEST}'"} and "'strict-dynamic'" in scripts, (
                    kind,
                    out,
                )
                assert f"'nonce-{page.nonce}'" not in scripts and page.digest == DIGEST


@settings(max_examples=150, deadline=None)
@given(headers, st.sampled_from(MAPS), pages)
def test_the_guard_is_admitted_by_every_policy(values: list[str], hosts: HostMap, host: str) -> None:
    context = RewriteContext(hosts=hosts, host=host, guard_digest=DIGEST)
    fields = head(values)
    page = page_policy_of(fields, context)
    out = given_as(response_headers(fields, context, page), b"content-security-policy")
    there, script = (
        Address.of(f"https://{context.page_host}"),
        Address.of(f"https://{context.page_host}/.casb/guard.js"),
    )
    for policy in parse_all(out):
        admitted = {f"'nonce-{page.nonce}'", f"'{page.digest}'"} & policy.keywords("script-src-elem")
        assert policy.allows("script-src-elem", script, there) or admitted, (out, page)


urls = st.sampled_from([url for url in PROBES if url.endswith((".example/", ".test/", ".uk/", "8444/"))]).map(
    lambda url: url[:-1]
)
origins = st.sampled_from(["*", "null"]) | urls


@given(origins, st.booleans(), st.sampled_from(MAPS))
def test_cross_origin_reading_is_for_those_who_had_it(allowed: str, credentials: bool, hosts: HostMap) -> None:
    fields = head([allowed], b"Access-Control-Allow-Origin")
    fields += head(["true"], b"Access-Control-Allow-Credentials") if credentials else []
    out = response_headers(fields, RewriteContext(hosts=hosts, host="app.example"))
    (given_now,) = given_as(out, b"access-control-allow-origin")
    assert given_as(out, b"access-control-allow-credentials") == (["true"] if credentials else [])
    for reader in {hosts.url_to_suffix(url) for url in PROBES if url.endswith("/")}:
        if given_now == reader.removesuffix("/"):
            assert allowed in [url.removesuffix("/") for url in preimages(hosts, reader)]
    assert (given_now == "*") == (allowed == "*")


@given(st.sampled_from(["DENY", "SAMEORIGIN", "deny", "ALLOW-FROM https://app.example"]), st.sampled_from(MAPS))
def test_framing_by_the_older_header(value: str, hosts: HostMap) -> None:
    fields = head([value], b"X-Frame-Options")
    assert response_headers(fields, RewriteContext(hosts=hosts, host="app.example")) == fields


@given(
    st.sampled_from(["same-origin", "same-site", "cross-origin"]),
    st.sampled_from(["same-origin", "same-site", "cross-site", "none", ""]),
    st.sampled_from(MAPS),
)
def test_a_resource_is_for_those_who_had_it(policy: str, relation: str, hosts: HostMap) -> None:
    """Under the suffix every page of an application is at least same-site."""
    context = RewriteContext(hosts=hosts, host="app.example", relation=relation)
    out = response_headers(head([policy], b"Cross-Origin-Resource-Policy"), context)
    (now,) = given_as(out, b"cross-origin-resource-policy")
    lets_in = {"cross-origin": True, "same-site": True, "same-origin": relation == "same-origin"}[now]
    let_in = {
        "cross-origin": True,
        "same-site": relation not in ("cross-site", ""),
        "same-origin": relation == "same-origin",
    }
    assert not lets_in or let_in[policy]


kept = st.sampled_from(
    [
        ("Cross-Origin-Opener-Policy", "same-origin; report-to=x"),
        ("Cross-Origin-Opener-Policy", "same-origin-allow-popups"),
        ("Cross-Origin-Embedder-Policy", "require-corp"),
        ("Cross-Origin-Embedder-Policy", "credentialless"),
        ("Strict-Transport-Security", "max-age=31536000; includeSubDomains; preload"),
        ("Strict-Transport-Security", "max-age=0"),
        ("Origin-Agent-Cluster", "?1"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
    ]
)


@given(st.lists(kept, max_size=6), st.sampled_from(MAPS))
def test_what_needs_no_mapping_stays(given_fields: list[tuple[str, str]], hosts: HostMap) -> None:
    fields = [(name.encode(), value.encode()) for name, value in given_fields]
    assert response_headers(fields, RewriteContext(hosts=hosts, host="app.example")) == fields


features = st.lists(
    st.sampled_from(["self", "*"]) | (urls | st.just("https://*.app.example")).map('"{}"'.format), max_size=4
)


@given(features, st.sampled_from(MAPS))
def test_a_permission_is_for_those_who_had_it(listed: list[str], hosts: HostMap) -> None:
    value = f"camera=({' '.join(listed)})"
    (now,) = given_as(
        response_headers(head([value], b"Permissions-Policy"), RewriteContext(hosts=hosts, host="app.example")),
        b"permissions-policy",
    )
    before, after = re.findall(r'"([^"]*)"', value), re.findall(r'"([^"]*)"', now)
    assert re.sub(r' *"[^"]*" *', " ", now).split() == re.sub(r' *"[^"]*" *', " ", value).split()
    for url in {hosts.url_to_suffix(url) for url in PROBES if url.endswith("/")}:
        if permits(after, url):
            assert any(permits(before, origin) for origin in preimages(hosts, url)), (value, now, url)


def permits(listed: list[str], url: str) -> bool:
    asked = Address.of(url)
    for each in listed:
        if "*." in each:
            parent = Address.of(each.replace("*.", ""))
            if asked.scheme == parent.scheme and asked.port == parent.port and asked.host.endswith(f".{parent.host}"):
                return True
        elif Address.of(each)[:3] == asked[:3]:
            return True
    return False


# ------------------------------------------------------------ cookies

same_sites = st.sampled_from(["", "; SameSite=Lax", "; SameSite=Strict", "; SameSite=None; Secure"])
domains = st.sampled_from(["", "", "; Domain=app.example", "; Domain=.cdn.app.example", "; Domain=example", "; Domain=casb.test",
                           "; Domain=test", "; Domain=cdn.app.example.casb.test", "; Domain=other.test"])  # fmt: skip
cookie_names = st.sampled_from(["sid", "__Host-sid", "__Secure-sid", "casb_notice", "__Host-casb_s"])


def accepted(text: str, host: str, public: frozenset[str]) -> tuple[str, str, bool] | None:
    """What a browser makes of a `Set-Cookie` from a host (RFC 6265bis section 5.7): name, domain, whether host-only."""
    first, *rest = text.split(";")
    name = first.partition("=")[0].strip()
    attributes = {key.strip().lower(): value.strip() for key, _, value in (part.partition("=") for part in rest)}
    domain = attributes.get("domain", "").lower().removeprefix(".")
    if domain in public and domain != "":
        if domain != host:
            return None
        domain = ""
    if domain and host != domain and not host.endswith(f".{domain}"):
        return None
    if name.lower().startswith("__host-") and (domain or "secure" not in attributes or attributes.get("path") != "/"):
        return None
    return name, domain or host, not domain


@given(cookie_names, domains, same_sites, st.sampled_from(MAPS))
def test_a_cookie_reaches_no_host_that_it_did_not(name: str, domain: str, same: str, hosts: HostMap) -> None:
    text = f"{name}=1; Path=/; Secure{same}{domain}"
    out = response_headers([(b"Set-Cookie", text.encode())], RewriteContext(hosts=hosts, host="cdn.app.example"))
    # A domain that is its own name under the suffix, as a script or a misled application may say, is its own name.
    before = accepted(text.replace(".casb.test", ""), "cdn.app.example", frozenset({"example", "test"}))
    suffixed = hosts.suffix_host("cdn.app.example") or ""
    for value in given_as(out, b"set-cookie"):
        if "casb_k." in value:
            continue
        assert same in value
        after = accepted(value, suffixed, frozenset())
        if after is None:
            continue
        assert before is not None and after[0] == before[0] and after[0] not in ("casb_notice", "__Host-casb_s")
        for probe in ("app.example", "cdn.app.example", "x.wild.example", "plain.test", "one.many.test"):
            there = hosts.suffix_host(probe) or ""
            if there == after[1] or (not after[2] and there.endswith(f".{after[1]}")):
                assert probe == before[1] or (not before[2] and probe.endswith(f".{before[1]}")), (text, value)
        assert after[2] or not "login.casb.test".endswith(after[1]), "ours"


@given(
    same_sites,
    st.sampled_from(["navigate", "no-cors", "cors", "websocket"]),
    st.sampled_from(["document", "iframe", "empty"]),
    st.sampled_from(["GET", "POST"]),
)
def test_same_site_holds_between_applications(same: str, mode: str, destination: str, method: str) -> None:
    """Set at one visit, kept by the browser, sent with a request from another application's page."""
    hosts = MAPS[0]
    at_home = RewriteContext(hosts=hosts, host="app.example", mode="navigate", destination="document")
    out = response_headers([(b"Set-Cookie", f"sid=1; Path=/; Secure{same}".encode())], at_home)
    jar = b"; ".join(value.split(b";")[0] for _, value in out)
    crossing = dataclasses.replace(
        at_home, relation="cross-site", crossing=True, mode=mode, destination=destination, method=method
    )
    sent = request_headers([(b"Cookie", jar)], crossing)
    visit = mode == "navigate" and destination == "document" and method == "GET"
    allowed = "None" in same or ("Strict" not in same and visit)
    assert sent == ([(b"Cookie", b"sid=1")] if allowed else [])
    assert request_headers([(b"Cookie", jar)], at_home) == [(b"Cookie", b"sid=1")]
