"""Requests between the hosts of one application, where the browser sends no cookie of ours: which may go on, and how.

Cookies of session control belong to one host each (`__Host-`), and browsers leave cookies out where a page asks another
host without credentials (Fetch, section 4.6), always in a preflight, and for every font. Four cases, each as narrow as
it can be:

* a **preflight** from a page of a controlled app goes on, without anything in it but the question;
* **joining**: at sign-in the browser gets a session on every host that the app lists, asked for by a page of ours whose
  `Origin` the browser itself vouches for;
* **static parts** (fonts, scripts, styles, pictures …) are let through for a person who has a page of that app open at
  the same address with the same browser: without any cookie, so that the application gives what it gives to everybody,
  and only when what comes is of the kind that was asked for;
* an **anonymous request** of a script is sent with credentials and `x-casb-anonymous` by the guard: the session is
  found by the cookie, and the application gets the request without its own cookies, as the page meant it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from casb.control.snapshot import Snapshot
from casb.model.app import App, AppTag

ANONYMOUS = b"x-casb-anonymous"
JOIN_PATH = "/.casb/join"
MOST_HOSTS = 16
"""Hosts that are joined at sign-in."""

type Field = tuple[bytes, bytes]
type Fields = Mapping[bytes, bytes]

_QUESTION = frozenset(
    b"host origin user-agent accept accept-language sec-fetch-mode sec-fetch-site sec-fetch-dest referer "
    b"access-control-request-method access-control-request-headers access-control-request-private-network".split()
)
_ANSWER = frozenset(b"vary date cache-control allow server".split())
_SIMPLE = frozenset({b"GET", b"HEAD", b"POST"})
_KINDS: dict[bytes, re.Pattern[str]] = {
    b"font": re.compile(r"font/[a-z0-9.+-]+\Z|application/(?:x-)?font[a-z0-9.+-]*\Z|application/vnd\.ms-fontobject\Z"),
    b"script": re.compile(r"(?:text|application)/(?:x-)?(?:java|ecma)script\Z"),
    b"style": re.compile(r"text/css\Z"),
    b"image": re.compile(r"image/(?:png|apng|jpe?g|gif|webp|avif|bmp|svg\+xml|x-icon|vnd\.microsoft\.icon)\Z"),
    b"track": re.compile(r"text/vtt\Z"),
    b"manifest": re.compile(r"application/manifest\+json\Z"),
}
"""What browsers load as such a part and show; scans and drawings (`image/tiff`, `image/vnd.dwg`) are documents."""
_FONT_FILES = (".woff2", ".woff", ".ttf", ".otf", ".eot")
_OPAQUE = "application/octet-stream"
_PLAIN_STATUS = frozenset({200, 206})
_UNCHANGED = 304  # the browser has it already


def page_app(fields: Fields, snapshot: Snapshot) -> App | None:
    """The controlled app whose page asks, by `Origin`, else `Referer`; None when it is none of ours."""
    value = fields.get(b"origin") or fields.get(b"referer") or b""
    try:
        parts = urlsplit(value.decode("ascii"))
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return None
    if parts.scheme != "https" or not host:
        return None
    origin = snapshot.hosts.origin_host(host)
    app = snapshot.catalog.match((origin or host).partition(":")[0])
    return app if app is not None and app.controlled and app.tag is not AppTag.UNSANCTIONED else None


def is_preflight(method: str, fields: Fields) -> bool:
    """A CORS preflight (Fetch, section 4.8), without a body."""
    return (
        method == "OPTIONS"
        and b"origin" in fields
        and b"access-control-request-method" in fields
        and fields.get(b"content-length", b"0") == b"0"
        and b"transfer-encoding" not in fields
    )


def question(fields: Iterable[Field]) -> list[Field]:
    """What of a preflight the application gets: the question, and nothing that could be more."""
    kept = []
    for name, value in fields:
        key = name.lower()
        if key == b"access-control-request-headers":
            value = b",".join(each for each in value.split(b",") if each.strip().lower() != ANONYMOUS)
            if not value.strip():
                continue
        if key in _QUESTION:
            kept.append((name, value))
    return kept


def asks_anonymous(fields: Fields) -> bool:
    """Whether a preflight is for an anonymous request of the guard's."""
    names = fields.get(b"access-control-request-headers", b"").lower().split(b",")
    return ANONYMOUS in (each.strip() for each in names)


def ours_alone(fields: Fields) -> bool:
    """Whether the request would not have been preflighted without the guard: then we answer."""
    names = [each.strip() for each in fields.get(b"access-control-request-headers", b"").lower().split(b",")]
    return names == [ANONYMOUS] and fields.get(b"access-control-request-method") in _SIMPLE


def own_answer(fields: Fields) -> tuple[tuple[str, str], ...]:
    """The answer to such a preflight."""
    return (
        ("access-control-allow-origin", fields[b"origin"].decode("latin-1")),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", fields[b"access-control-request-method"].decode("latin-1")),
        ("access-control-allow-headers", ANONYMOUS.decode()),
        ("access-control-max-age", "600"),
        ("vary", "Origin"),
    )


def answer(fields: Iterable[Field]) -> list[Field]:
    """What of the application's answer to a preflight the browser gets."""
    return [
        (name, value)
        for name, value in fields
        if name.lower() in _ANSWER or name.lower().startswith(b"access-control-")
    ]


def opened(fields: Iterable[Field], origin: bytes, *, asked: Fields | None = None) -> list[Field]:
    """An answer to an anonymous request, for a browser that has sent it with credentials.

    Who may read it stays the application's word: only `*` and the page's own origin admit. `asked` is the preflight it
    answers; there, `*` means nothing with credentials and becomes what was asked for. Cookies are not set.
    """
    out, admitted = [], False
    for name, value in fields:
        key = name.lower()
        if key == b"access-control-allow-origin":
            admitted = value.strip() in (b"*", origin)
            out.append((name, origin if admitted else value))
        elif key not in (b"access-control-allow-credentials", b"set-cookie"):
            out.append((name, value))
    if not admitted:
        return out
    out += [(b"access-control-allow-credentials", b"true"), (b"vary", b"Origin")]
    if asked is None:
        return [_exposed(pair, out) for pair in out]
    wanted = asked.get(b"access-control-request-headers", b"")
    headers = [value for name, value in out if name.lower() == b"access-control-allow-headers"]
    methods = [value for name, value in out if name.lower() == b"access-control-allow-methods"]
    out = [
        pair
        for pair in out
        if pair[0].lower() not in (b"access-control-allow-headers", b"access-control-allow-methods")
    ]
    named = b", ".join(headers)
    out.append(
        (
            b"access-control-allow-headers",
            wanted if b"*" in named.split(b",") else named + b", " * bool(named) + ANONYMOUS,
        )
    )
    if methods:
        method = asked.get(b"access-control-request-method", b"")
        out.append((b"access-control-allow-methods", method if b"*" in methods[0] else b", ".join(methods)))
    return out


def _exposed(pair: Field, fields: list[Field]) -> Field:
    """`Access-Control-Expose-Headers: *` as names: with credentials it means nothing (Fetch, section 3.3.3)."""
    if pair[0].lower() != b"access-control-expose-headers" or pair[1].strip() != b"*":
        return pair
    names = {name.lower() for name, _ in fields if not name.lower().startswith(b"access-control-")}
    return pair[0], b", ".join(sorted(names - {b"set-cookie", b"vary"}))


def is_static(method: str, fields: Fields) -> bool:
    """Whether a request without a cookie of ours asks for a static part of a page."""
    return (
        method in ("GET", "HEAD")
        and fields.get(b"sec-fetch-dest", b"") in _KINDS
        and fields.get(b"sec-fetch-site") == b"same-site"
        and b"authorization" not in fields
        and b"content-length" not in fields
    )


def is_of_kind(destination: bytes, status: int, content_type: str, path: str, *, attachment: bool) -> bool:
    """Whether what has come is what such a request may have: nothing but the part itself, no page of an error either.

    `content_type` is in lower case without parameters, `path` the request's without its query: old servers give fonts
    as opaque bytes, which only the name of a font vouches for.
    """
    if status == _UNCHANGED:
        return True
    pattern = _KINDS.get(destination)
    if pattern is None or attachment or status not in _PLAIN_STATUS:
        return False
    if content_type == _OPAQUE:
        return destination == b"font" and path.lower().endswith(_FONT_FILES)
    return pattern.match(content_type) is not None


def bare(fields: Iterable[Field]) -> list[Field]:
    """A request for a static part as the application gets it: nobody's."""
    return [pair for pair in fields if pair[0].lower() not in (b"cookie", b"authorization", ANONYMOUS)]


def joined_hosts(app: App, snapshot: Snapshot, present: str) -> list[str]:
    """The other hosts of an app, as browsers name them, that a sign-in on `present` opens as well."""
    found = []
    for domain in app.domains:
        mapped = None if domain.startswith("*.") else snapshot.hosts.to_suffix(domain)
        if mapped is not None and mapped != present:
            found.append(mapped)
    return found[:MOST_HOSTS]
