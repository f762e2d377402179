"""One table for each direction: header name to what happens to its value. What is not in a table is not looked at.

Fields are mitmproxy's raw pairs, in order, repeated names apart; a list in which nothing changed is returned itself.
Sources: RFC 9110, RFC 6797, RFC 8288, CSP Level 3, Fetch; which headers: reference/session-control.md S4, S5, 1.13.

Kept as they are on purpose: `Strict-Transport-Security` (all names below a suffix host are ours and https only, so
`includeSubDomains` stays true), `X-Frame-Options`, `Clear-Site-Data`, `ETag` (conditional requests go back to the
application; weakening it would break its If-Match).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from casb.rewrite import csp
from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.cookies import cookie, set_cookie
from casb.rewrite.scan import names_to_origin, once, urls_to_suffix

type Field = tuple[bytes, bytes]
type Change = Callable[[bytes, RewriteContext, PagePolicy], bytes | None]

_NO_POLICY = PagePolicy()
CODINGS = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd"})


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def _drop(value: bytes, context: RewriteContext, page: PagePolicy) -> bytes | None:
    return None


def _url_out(value: bytes, context: RewriteContext, page: PagePolicy) -> bytes | None:
    url = _text(value)
    mapped = context.hosts.url_to_suffix(url)
    return value if mapped is url else _bytes(mapped)


def _urls_out(value: bytes, context: RewriteContext, page: PagePolicy) -> bytes | None:
    return once(urls_to_suffix(context.hosts), value)


def _cookie_out(value: bytes, context: RewriteContext, page: PagePolicy) -> bytes | None:
    return set_cookie(value, context)


def _csp_out(value: bytes, context: RewriteContext, page: PagePolicy) -> bytes | None:
    return _bytes(csp.to_suffix(_text(value), context, nonce=page.nonce))


def _csp_report_out(value: bytes, context: RewriteContext, page: PagePolicy) -> bytes | None:
    return _bytes(csp.to_suffix(_text(value), context, enforced=False))


def _url_back(value: bytes, context: RewriteContext, page: PagePolicy) -> bytes | None:
    url = _text(value)
    mapped = context.hosts.url_to_origin(url)
    return value if mapped is url else _bytes(mapped)


def _referer_back(value: bytes, context: RewriteContext, page: PagePolicy) -> bytes | None:
    url = _url_back(value, context, page) or b""
    return once(names_to_origin(context.hosts), url) if b"?" in url else url


def _urls_back(value: bytes, context: RewriteContext, page: PagePolicy) -> bytes | None:
    return once(names_to_origin(context.hosts), value)


def _host_back(value: bytes, context: RewriteContext, page: PagePolicy) -> bytes | None:
    mapped = context.hosts.to_origin(_text(value))
    return value if mapped is None else _bytes(mapped)


def _cookie_back(value: bytes, context: RewriteContext, page: PagePolicy) -> bytes | None:
    return cookie(value) or None


def _codings_back(value: bytes, context: RewriteContext, page: PagePolicy) -> bytes | None:
    return _decodable(value)


@functools.lru_cache(512)
def _decodable(value: bytes) -> bytes:
    """An `Accept-Encoding` limited to what we can undo; the same bytes when it already is."""
    parts = [part.strip() for part in value.decode("latin-1").split(",")]
    kept = [part for part in parts if part.partition(";")[0].strip().lower() in CODINGS | {"identity"}]
    return value if len(kept) == len(parts) else (", ".join(kept) or "identity").encode("latin-1")


RESPONSE: dict[bytes, Change] = {
    b"location": _url_out,
    b"content-location": _url_out,
    b"sourcemap": _url_out,
    b"x-sourcemap": _url_out,
    b"x-pingback": _url_out,
    b"access-control-allow-origin": _url_out,
    b"link": _urls_out,
    b"refresh": _urls_out,
    b"timing-allow-origin": _urls_out,
    b"permissions-policy": _urls_out,
    b"feature-policy": _urls_out,
    b"report-to": _urls_out,
    b"reporting-endpoints": _urls_out,
    b"speculation-rules": _urls_out,
    b"set-cookie": _cookie_out,
    b"content-security-policy": _csp_out,
    b"content-security-policy-report-only": _csp_report_out,
    b"alt-svc": _drop,  # would lead the browser past us
    b"set-cookie2": _drop,
    b"public-key-pins": _drop,
    b"x-casb-activity": _drop,  # ours to say
}

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
    that only a proxy may claim. OPTIONS and Upgrade requests are no different."""
    return _apply(fields, _request_change, context, _NO_POLICY)


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
        b"want-content-digest",
    }
)


def without_body_facts(fields: list[Field]) -> list[Field]:
    """The fields without those that describe a body byte for byte; for a body that passes through a rewriter."""
    return [pair for pair in fields if pair[0].lower() not in _BODY_BOUND]


def target_to_origin(target: bytes, context: RewriteContext) -> bytes:
    """A request target (path and query) with suffix hosts in its query mapped back, percent-encoded or not."""
    path, mark, query = target.partition(b"?")
    if not mark:
        return target
    return path + mark + once(names_to_origin(context.hosts), query)
