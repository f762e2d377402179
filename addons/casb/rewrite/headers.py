"""One table for each direction: header name to what happens to its value. What is not in a table is not looked at.

Fields are mitmproxy's raw pairs, in order, repeated names apart; a list in which nothing changed is returned itself.
Sources: RFC 9110, RFC 6797, RFC 8288, CSP Level 3, Fetch; which headers: reference/session-control.md S4, S5, 1.13.

Kept as they are on purpose, each for a reason in `KEPT`. The tables of `README.md` beside this file are
compared with these by a test.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from casb.rewrite import csp
from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.cookies import cookie, mark, set_cookie, share
from casb.rewrite.hosts import split_port
from casb.rewrite.scan import names_to_origin, once, urls_to_suffix

type Field = tuple[bytes, bytes]
type Value = bytes | list[Field] | None
type Change = Callable[[bytes, RewriteContext, PagePolicy], Value]

_NO_POLICY = PagePolicy()
CODINGS = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd"})


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def _drop(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    return None


def _url_out(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    url = _text(value)
    mapped = context.hosts.url_to_suffix(url)
    return value if mapped is url else _bytes(mapped)


def _urls_out(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    return once(urls_to_suffix(context.hosts), value)


def _location_out(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    """A redirect: to a host of ours by its suffixed name, to any other with the names of the origin in what it carries.

    An identity provider knows `redirect_uri`, `returnUrl`, `RelayState` by the names that are registered there. What
    follows the authority of a host of ours is the application's own and goes back as it came.
    """
    url = _text(value)
    mapped = context.hosts.url_to_suffix(url)
    if mapped is not url and mapped != url:
        return _bytes(mapped)
    if context.hosts.url_to_origin(url) != url:
        return value
    head = _FOREIGN.match(value)
    return head[0] + once(names_to_origin(context.hosts), value[head.end() :]) if head else value


_FOREIGN = re.compile(rb"[^?#]*[?#]")


def _cookie_out(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    mapped = set_cookie(value, context)
    if mapped is None:
        return None
    beside = [each for each in (mark(value, mapped, context), share(value, context)) if each is not None]
    return [(b"Set-Cookie", each) for each in (mapped, *beside)] if beside else mapped


def _permissions_out(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    """Origins and wildcards over subdomains stand in quotes: `camera=(self "https://*.app.example")`."""

    def listed(found: re.Match[bytes]) -> bytes:
        return b" ".join(b'"' + _bytes(each) + b'"' for each in csp.map_source(context.hosts, _text(found[1])))

    return _QUOTED.sub(listed, value)


_QUOTED = re.compile(rb'"([^"\\]*)"')


def _features_out(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    """The older form, without quotes: `camera 'self' https://app.example; microphone *`."""
    parts = [part.split() for part in _text(value).split(";")]
    return _bytes(
        "; ".join(
            " ".join([*part[:1], *(each for word in part[1:] for each in csp.map_source(context.hosts, word))])
            for part in parts
        )
    )


def _resource_out(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    """`same-site` would let every application under the suffix in: not kept for a page of another site, nor when it is
    not known whose page it is. `Vary`, for that page may find the answer to another one in the browser's cache."""
    if value.strip(b" \t") != b"same-site" or not context.hosts.suffix:
        return value
    narrow = context.relation in ("", "cross-site")
    policy = b"same-origin" if narrow else b"same-site"
    return [(b"Cross-Origin-Resource-Policy", policy), (b"Vary", b"Origin, Referer")]


def _clear_out(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    """Browsers clear the cookies of a whole site, every application's and ours: these are deleted one by one."""
    if not context.hosts.suffix or not _CLEARS.search(value):
        return value
    kept = [part for part in (each.strip(b" \t") for each in value.split(b",")) if part not in (b'"cookies"', b'"*"')]
    if b'"*"' in value:
        kept += [each for each in _CLEARED if each not in kept]
    head = [(b"Clear-Site-Data", b", ".join(kept))] if kept else []
    return [*head, *_cleared(context)]


_CLEARS = re.compile(rb'"(?:cookies|\*)"')
_CLEARED = (b'"cache"', b'"storage"', b'"executionContexts"', b'"clientHints"', b'"prefetchCache"', b'"prerenderCache"')


def _cleared(context: RewriteContext) -> list[Field]:
    """Fields that delete the cookies which the request carried, at every domain and path they may have."""
    names = {crumb.partition(b"=")[0].strip(b" \t") for crumb in cookie(context.cookies).split(b";") if b"=" in crumb}
    own = context.hosts.suffix_host(*split_port(context.host)) or ""
    parents = [own.split(".", at)[-1] for at in range(1, own.count(".") - context.hosts.suffix.count("."))]
    domains = [b"", *(b"; Domain=" + each.encode() for each in [own, *parents])]
    steps = [at for at, letter in enumerate(context.path) if letter == "/"]
    paths = dict.fromkeys(
        ["/", *(context.path[:at] for at in steps[1:]), context.path[: steps[-1] + 1] if steps else "/"]
    )
    return [
        (b"Set-Cookie", name + b"=; Max-Age=0; Secure; Path=" + _bytes(path) + domain)
        for name in sorted(names)[:_MOST_CLEARED]
        for path in list(paths)[:_MOST_PATHS]
        for domain in ([b""] if name.lower().startswith(b"__host-") else domains)
        if _PATH.match(_bytes(path))
    ]


_MOST_CLEARED, _MOST_PATHS = 50, 6
_PATH = re.compile(rb"[\x21-\x3a\x3c-\x7e]+\Z")


def _csp_out(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    return _bytes(csp.to_suffix(_text(value), context, nonce=page.nonce))


def _csp_report_out(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    return _bytes(csp.to_suffix(_text(value), context, enforced=False))


def _url_back(value: bytes, context: RewriteContext, page: PagePolicy) -> bytes:
    url = _text(value)
    mapped = context.hosts.url_to_origin(url)
    return value if mapped is url else _bytes(mapped)


def _referer_back(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    url = _url_back(value, context, page)
    return once(names_to_origin(context.hosts), url) if b"?" in url else url


def _urls_back(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    return once(names_to_origin(context.hosts), value)


def _host_back(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    mapped = context.hosts.to_origin(_text(value))
    return value if mapped is None else _bytes(mapped)


def _cookie_back(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    return cookie(value, context) or None


def _site_back(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    """What it would have been at the origin: other applications are same-site here and were not there."""
    return context.relation.encode() if context.relation and context.hosts.suffix else value


def _codings_back(value: bytes, context: RewriteContext, page: PagePolicy) -> Value:
    return _decodable(value)


@functools.lru_cache(512)
def _decodable(value: bytes) -> bytes:
    """An `Accept-Encoding` limited to what we can undo; the same bytes when it already is."""
    parts = [part.strip() for part in value.decode("latin-1").split(",")]
    kept = [part for part in parts if part.partition(";")[0].strip().lower() in CODINGS | {"identity"}]
    return value if len(kept) == len(parts) else (", ".join(kept) or "identity").encode("latin-1")


RESPONSE: dict[bytes, Change] = {
    b"location": _location_out,
    b"content-location": _url_out,
    b"sourcemap": _url_out,
    b"x-sourcemap": _url_out,
    b"x-pingback": _url_out,
    b"service-worker-allowed": _url_out,
    b"access-control-allow-origin": _url_out,
    b"link": _urls_out,
    b"refresh": _urls_out,
    b"timing-allow-origin": _urls_out,
    b"permissions-policy": _permissions_out,
    b"permissions-policy-report-only": _permissions_out,
    b"feature-policy": _features_out,
    b"document-policy": _urls_out,
    b"report-to": _urls_out,
    b"reporting-endpoints": _urls_out,
    b"speculation-rules": _urls_out,
    b"set-cookie": _cookie_out,
    b"content-security-policy": _csp_out,
    b"content-security-policy-report-only": _csp_report_out,
    b"cross-origin-resource-policy": _resource_out,
    b"clear-site-data": _clear_out,
    b"alt-svc": _drop,  # would lead the browser past us
    b"set-cookie2": _drop,
    b"public-key-pins": _drop,
    b"public-key-pins-report-only": _drop,
    b"expect-ct": _drop,
    b"origin": _drop,  # RFC 8336 has it as a frame; nothing that widens a connection to other names
    b"x-casb-activity": _drop,  # ours to say
}

KEPT: dict[bytes, str] = {
    b"strict-transport-security": "all names below a suffix host are ours and https only, so it stays true",
    b"x-frame-options": "`SAMEORIGIN` compares whole origins, which stay apart",
    b"cross-origin-opener-policy": "compares whole origins, which stay apart",
    b"cross-origin-embedder-policy": "asks others for CORP or CORS, which are mapped",
    b"origin-agent-cluster": "keys by origin, which stay apart",
    b"access-control-allow-credentials": "says nothing of hosts",
    b"access-control-allow-headers": "says nothing of hosts",
    b"access-control-allow-methods": "says nothing of hosts",
    b"access-control-expose-headers": "says nothing of hosts",
    b"access-control-max-age": "says nothing of hosts",
    b"nel": "names a group of `Report-To`, whose addresses are mapped",
    b"referrer-policy": "the browser's `Referer` is mapped on the way in",
    b"x-content-type-options": "says nothing of hosts",
    b"etag": "conditional requests go back to the application; weakening it would break its If-Match",
    b"vary": "names request headers",
}
"""Response headers that pass as they are, and why."""

REQUEST: dict[bytes, Change] = {
    b"host": _host_back,
    b"origin": _url_back,
    b"referer": _referer_back,
    b"destination": _url_back,  # WebDAV
    b"if": _urls_back,  # WebDAV, tagged lists
    b"ping-from": _url_back,
    b"ping-to": _url_back,
    b"cookie": _cookie_back,
    b"accept-encoding": _codings_back,
    b"sec-fetch-site": _site_back,
    b"alt-used": _drop,
}

# What only a proxy in front of an application may say. Spelt with hyphens; underscores are the same to CGI and WSGI.
FORGED = frozenset(
    b"forwarded x-real-ip true-client-ip client-ip x-client-ip x-cluster-client-ip cf-connecting-ip fastly-client-ip "
    b"x-original-forwarded-for x-originating-ip x-remote-ip x-remote-addr x-original-url x-rewrite-url x-original-host "
    b"x-host remote-user remote-email remote-groups remote-name x-user x-username x-user-id x-email x-groups "
    b"x-authenticated x-id-token x-userinfo x-client-dn x-client-verify front-end-https x-url-scheme".split()
)
FORGED_PREFIXES = tuple(
    b"x-forwarded x-ms- x-casb- x-remote- x-auth-request- x-authenticated- x-auth-user x-auth-email x-webauth- "
    b"x-goog-authenticated- x-goog-iap- x-amzn-oidc- x-pomerium- x-authentik- x-vouch- x-ssl- ssl-client- "
    b"x-client-cert x-tls-client- cf-access- x-proxy-user x-iap- x-sso-".split()
)


@functools.lru_cache(4096)
def _response_change(name: bytes) -> Change | None:
    return RESPONSE.get(name.lower())


@functools.lru_cache(4096)
def _request_change(name: bytes) -> Change | None:
    plain = name.lower()
    spelt = plain.replace(b"_", b"-").strip()
    if spelt in FORGED or spelt.startswith(FORGED_PREFIXES):
        return _drop
    if plain != spelt and spelt in REQUEST:
        return _drop  # `X_Cookie` games: an underscored twin of a header that we check
    return REQUEST.get(plain)


def _apply(
    fields: list[Field], find: Callable[[bytes], Change | None], context: RewriteContext, page: PagePolicy
) -> list[Field]:
    changed = False
    out: list[Field] = []
    for pair in fields:
        change = find(pair[0])
        if change is None:
            out.append(pair)
            continue
        value = change(pair[1], context, page)
        if value is None:
            changed = True
        elif isinstance(value, list):
            changed = True
            out += [(name, _CONTROLS.sub(b"", each)) for name, each in value]
        elif value is pair[1] or value == pair[1]:
            out.append(pair)
        else:
            changed = True
            out.append((pair[0], _CONTROLS.sub(b"", value)))
    return out if changed else fields


_CONTROLS = re.compile(rb"[\r\n\x00]")


def response_headers(fields: list[Field], context: RewriteContext, page: PagePolicy = _NO_POLICY) -> list[Field]:
    """The application's response headers as the browser must get them. `page` comes from `page_policy_of`."""
    return _apply(fields, _response_change, context, page)


def request_headers(fields: list[Field], context: RewriteContext) -> list[Field]:
    """The browser's request headers as the application must get them: its own names, none of our cookies, and nothing
    that only a proxy may claim; ours in its place when the app wants to be told. OPTIONS and Upgrade requests are no
    different."""
    if context.crossing or context.hosts.flat:
        fields = _one_cookie_field(fields)
    mapped = _apply(fields, _request_change, context, _NO_POLICY)
    return [*mapped, *_told(context)] if context.forwarded != "none" and context.client else mapped


def _one_cookie_field(fields: list[Field]) -> list[Field]:
    """HTTP/2 may split cookies over several fields (RFC 9113 section 8.2.3), and one says what another one is."""
    cookies = [value for name, value in fields if name.lower() == b"cookie"]
    if len(cookies) < 2:
        return fields
    return [*(pair for pair in fields if pair[0].lower() != b"cookie"), (b"cookie", b"; ".join(cookies))]


def _told(context: RewriteContext) -> list[Field]:
    """The browser's address and the name and scheme by which the application knows itself (RFC 7239)."""
    scheme = b"http" if context.hosts.is_plain(context.host) else b"https"
    client, host = context.client.encode("latin-1", "replace"), context.host.encode()
    if context.forwarded == "forwarded":
        node = b'"[' + client + b']"' if b":" in client else client
        return [(b"Forwarded", b"for=" + node + b';host="' + host + b'";proto=' + scheme)]
    return [
        (b"X-Forwarded-For", client),
        (b"X-Forwarded-Host", host),
        (b"X-Forwarded-Proto", scheme),
        (b"X-Real-IP", client),
    ]


def page_policy_of(fields: list[Field], context: RewriteContext) -> PagePolicy:
    """What the origin's enforced CSP asks of the markup we add; give it the fields as the application sent them."""
    values = [_text(value) for name, value in fields if name.lower() == b"content-security-policy"]
    return csp.page_policy(values, context) if values else _NO_POLICY


_BODY_BOUND = frozenset(
    {
        b"content-length",
        b"content-md5",
        b"content-digest",
        b"repr-digest",
        b"digest",
        b"accept-ranges",
        b"signature",
        b"signature-input",
    }
)


def without_body_facts(fields: list[Field]) -> list[Field]:
    """The fields without those that describe or sign a body byte for byte (RFC 9530, RFC 9421); for a body, of a
    request or a response, that passes through a rewriter."""
    return [pair for pair in fields if pair[0].lower() not in _BODY_BOUND]


def target_to_origin(target: bytes, context: RewriteContext) -> bytes:
    """A request target (path and query) with suffix hosts mapped back, percent-encoded or not: in the query wherever
    they stand, in the path where they are part of a URL."""
    path, mark_, query = target.partition(b"?")
    if _URL_IN_PATH.search(path):
        path = once(names_to_origin(context.hosts), path)
    if mark_:
        query = once(names_to_origin(context.hosts), query)
    mapped = path + mark_ + query
    return target if mapped == target else mapped


_URL_IN_PATH = re.compile(rb"(?:https?|wss?)(?::|%(?:25)*3a)(?:/|%(?:25)*2f){1,2}", re.IGNORECASE)
