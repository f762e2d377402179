"""Caching and ranges of rewritten bodies (RFC 9110 sections 8.8, 13 and 14, RFC 9111).

A browser must never take a body that was rewritten under another map for a fresh one, never join parts of a rewritten
body and of the origin's, and never send the origin a validator that the origin did not make. So the validators of a
rewritten body carry the version of what went into the rewriting, and come back as the origin's own:

    "abc"                       W/"abc.casb-s<version>"     to the browser: weak, for our content coding is our choice
    W/"abc"                     W/"abc.casb-w<version>"
    Last-Modified alone         W/"casb-m<version>"         so that it is asked for by a tag that has a version

Nothing that passes under the suffix may be kept by a cache that several people share.
"""

from __future__ import annotations

import functools
import hashlib
import re
from email.utils import parsedate_to_datetime

from casb.rewrite.hosts import HostMap

type Field = tuple[bytes, bytes]

FRESH_SECONDS = 3600
"""The longest that a browser may use a rewritten body without asking: a map that changes is in force after it."""

_TAG = re.compile(rb'(?:W/)?"[^"]*"')
_OURS = re.compile(rb'(?:W/)?"(?P<opaque>[^"]*?)\.?casb-(?P<kind>[swm])(?P<version>[0-9a-f]{8})"')
_WHOLE = frozenset(  # what a browser acts on only as a whole: a part of it is never asked for to be shown
    "document iframe frame embed object script style worker sharedworker serviceworker manifest xslt json".split()
)
_SHARED = frozenset((b"cdn-cache-control", b"surrogate-control", b"cloudflare-cdn-cache-control"))


def version_of(hosts: HostMap, *more: str) -> str:
    """Eight hex digits that change with the map and with whatever else (settings, the program) goes into rewriting."""
    parts = (
        hosts.suffix,
        str(hosts.port),
        *sorted(hosts.exact),
        "*",
        *sorted(hosts.parents),
        "http",
        *sorted(hosts.plain),
    )
    digest = hashlib.sha256("\n".join((*parts, "", *more)).encode())
    return digest.hexdigest()[:8]


def _value(fields: list[Field], name: bytes) -> bytes | None:
    return next((value for key, value in fields if key.lower() == name), None)


def _marked(tag: bytes, version: bytes) -> bytes:
    weak = tag.startswith(b"W/")
    opaque = tag[3 if weak else 1 : -1]
    return b'W/"' + opaque + (b".casb-w" if weak else b".casb-s") + version + b'"'


def versioned(fields: list[Field], version: str, *, purpose: bool) -> list[Field]:
    """The head of a response whose body passes through a rewriter, and of the 304 that stands for one.

    `purpose` says that the body also depends on what the browser wants it for (pages carry the guard, what is saved
    does not).
    """
    mark = version.encode()
    tag = _value(fields, b"etag")
    out: list[Field] = []
    for name, value in fields:
        key = name.lower()
        if key == b"etag":
            if _TAG.fullmatch(value.strip()):
                out.append((name, _marked(value.strip(), mark)))
        elif key not in (b"cache-control", b"vary", b"accept-ranges"):
            out.append((name, value))
    if tag is None and _value(fields, b"last-modified") is not None:
        out.append((b"ETag", b'W/"casb-m' + mark + b'"'))
    out.append((b"Cache-Control", _bounded(fields)))
    varies = b"Accept-Encoding, Sec-Fetch-Dest, Sec-Fetch-Mode" if purpose else b"Accept-Encoding"
    told = [value for name, value in fields if name.lower() == b"vary"]
    out.append((b"Vary", b", ".join([*told, varies])))
    return out


def unstored(fields: list[Field]) -> list[Field]:
    """The head of a page that holds what is true of one person at one moment: asked for anew each time."""
    out = [
        field for field in fields if field[0].lower() not in (b"cache-control", b"etag", b"last-modified", b"expires")
    ]
    return [*out, (b"Cache-Control", b"private, no-store")]


def _directives(fields: list[Field]) -> list[bytes]:
    joined = b",".join(value for name, value in fields if name.lower() == b"cache-control")
    return [part for each in joined.split(b",") if (part := each.strip())]


def _bounded(fields: list[Field]) -> bytes:
    out: list[bytes] = []
    limited = False
    for directive in _directives(fields):
        name, _, value = directive.lower().partition(b"=")
        if name in (b"public", b"private", b"s-maxage", b"immutable", b"no-transform"):
            continue
        if name in (b"max-age", b"stale-while-revalidate", b"stale-if-error"):
            seconds = int(number) if (number := value.strip(b'"')).isdigit() and len(number) < 12 else 0
            directive = name + b"=%d" % min(seconds, FRESH_SECONDS)
            limited = limited or name == b"max-age"
        limited = limited or name in (b"no-store", b"no-cache")
        out.append(directive)
    if not limited and _fresh_by_date(fields) > FRESH_SECONDS:
        out.append(b"max-age=%d" % FRESH_SECONDS)
    return b", ".join([b"private", *out])


def _fresh_by_date(fields: list[Field]) -> float:
    """How long a browser would take the response for fresh by its dates alone, in seconds."""
    now = _date(fields, b"date")
    if now is None:
        return float("inf") if _value(fields, b"expires") or _value(fields, b"last-modified") else 0
    if (expires := _date(fields, b"expires")) is not None:
        return expires - now
    modified = _date(fields, b"last-modified")
    return 0 if modified is None else (now - modified) / 10


def _date(fields: list[Field], name: bytes) -> float | None:
    value = _value(fields, name)
    return _seconds(value) if value else None


@functools.lru_cache(1024)
def _seconds(value: bytes) -> float | None:
    try:
        return parsedate_to_datetime(value.decode("latin-1")).timestamp()
    except (ValueError, OverflowError):
        return None


def private(fields: list[Field]) -> list[Field]:
    """The head of any other response under the suffix: for this browser alone, otherwise as the application wants."""
    directives = _directives(fields)
    names = {each.partition(b"=")[0].lower() for each in directives}
    if names & {b"private", b"no-store"} and not names & {b"public", b"s-maxage"}:
        return fields
    kept = [each for each in directives if each.partition(b"=")[0].lower() not in (b"public", b"s-maxage", b"private")]
    out = [field for field in fields if field[0].lower() != b"cache-control" and field[0].lower() not in _SHARED]
    out.append((b"Cache-Control", b", ".join([b"private", *kept])))
    return out


def conditions(fields: list[Field], version: str, *, method: str, destination: str) -> list[Field]:
    """The head of a request with the origin's own validators.

    A body that was rewritten under another map is asked for anew. Ranges are not asked for where only the whole is of
    use, nor where a part would be joined to a rewritten one.
    """
    names = {name.lower() for name, _ in fields}
    if not names & {b"if-none-match", b"if-match", b"if-range", b"range"}:
        return fields
    reading = method in ("GET", "HEAD")
    whole = reading and (destination in _WHOLE or bool(_OURS.search(_value(fields, b"if-range") or b"")))
    out: list[Field] = []
    stale = dated = False
    for name, value in fields:
        key = name.lower()
        if key in (b"range", b"if-range") and whole:
            continue
        if key in (b"if-none-match", b"if-match") and b"casb-" in value:
            tags = []
            for tag in _TAG.findall(value):
                ours = _OURS.fullmatch(tag)
                if ours is None:
                    tags.append(tag)
                elif reading and key == b"if-none-match" and ours["version"] != version.encode():
                    stale = True
                elif ours["kind"] == b"m":
                    dated = True
                else:
                    tags.append((b'W/"' if ours["kind"] == b"w" else b'"') + ours["opaque"] + b'"')
            if tags:
                out.append((name, b", ".join(tags)))
            continue
        out.append((name, value))
    if stale and not dated:
        out = [field for field in out if field[0].lower() != b"if-modified-since"]
    return fields if out == fields else out


def was_rewritten(if_none_match: bytes, version: str) -> bool:
    """Does a request ask whether a body that we rewrote is still good? Then a 304 is ours to mark again."""
    return b"casb-" in if_none_match and any(
        ours["version"] == version.encode() for ours in _OURS.finditer(if_none_match)
    )
