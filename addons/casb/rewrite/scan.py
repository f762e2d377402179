"""Host names in running text (scripts, JSON, style sheets, form fields), by one automaton and a look at each hit.

A hit is widened to the whole run of host characters around it and judged by what stands on its left and right; all of
that is bounded, so that a chunk is decided as soon as a character follows that can belong to no host. What is never
changed: a host in a longer name, in an e-mail address, in user information, in a percent-encoded URL (it is data for
somebody else, often a redirect URI registered under its real name), plain prose without a scheme.

Pure functions over bytes; knows nothing of media types.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, Protocol

from casb.rewrite.hosts import HostMap

_ALNUM = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_HOST = _ALNUM + b"._-" + bytes(range(0x80, 0x100))
_SOFT = _HOST + b":/\\%@&#;"  # what may stand inside a URL's scheme and authority, or in an escape of them
_RUN = 320  # longest run looked at on either side; a host name has 253 characters
_LEFT = 96  # longest scheme, colon and slashes, escapes and all
_RIGHT = 24  # longest port with its escape, and the quote after it
_HOLD = _LEFT + 2 * _RUN + _RIGHT + 256

_SLASH = rb"(?:\\{0,8}/|\\{1,8}(?:u002[fF]|x2[fF])|&(?:#47|#[xX]2[fF]|sol);)"
_COLON = rb"(?::|\\{1,8}(?:u003[aA]|x3[aA])|&(?:#58|#[xX]3[aA]|colon);)"
_BEFORE = re.compile(
    rb"(?:(?:(?<![A-Za-z0-9+.\-])|(?<=\\u00[0-9a-fA-F]{2})|(?<=\\[nrt]))(?P<scheme>[hH][tT][tT][pP][sS]?|[wW][sS][sS]?)(?P<colon>"
    + _COLON
    + rb")"
    rb"|(?:^|[\"'`\s(=,\[>;{|]))" + _SLASH + _SLASH + rb"\Z"
)
_SLASH_ENDS = frozenset((b"/", b"f", b"F", b";"))
_NEAR = 12  # a scheme, a colon and two slashes, each with one backslash at most
_BEFORE_ENCODED = re.compile(
    rb"(?<![A-Za-z0-9+.\-])(?P<scheme>https|wss)(?:"
    + _COLON
    + rb"|%(?:25)?3[aA])(?:"
    + _SLASH
    + rb"|%(?:25)?2[fF]){2}\Z",
    re.IGNORECASE,
)
_PORT = re.compile(
    rb"(?P<colon>:|%(?:25)?3[aA]|\\{1,8}(?:u003[aA]|x3[aA])|&(?:#58|#[xX]3[aA]|colon);)(?P<port>[0-9]{1,5})(?![0-9])"
)
_PORT_STARTS = frozenset((b":", b"%", b"\\", b"&"))
_IN_SCHEME = frozenset(bytes([each]) for each in _ALNUM + b"+.-") | {b"\\"}  # and where an escape may end
_OPEN = re.compile(rb"\\{0,8}[\"'`]\Z")
_QUOTE = rb"(?:\\{0,8}[\"'`]|\\{1,8}u002[27]|&(?:quot|apos|#34|#39|#[xX]2[27]);)"
_ACTED_ON = re.compile(
    rb"(?:(?<!\\)\"\s*|[:,\[{(]\s*" + _QUOTE + rb"\s*|(?<![A-Za-z])[uU][rR][lL]\((?:" + _QUOTE + rb")?\s*|^data: ?"
    rb"|(?:[\s/\"']|\\[nrt])(?:href|src|srcset|action|formaction|poster|data|data-[a-z-]{1,32}|xlink:href|ping)"
    rb"\s*=\s*(?:" + _QUOTE + rb")?\s*)\Z",
    re.IGNORECASE | re.MULTILINE,
)
"""What stands before a URL that is a value by itself: a whole string, an attribute, a style sheet's `url()`."""
_ESCAPED_SLASH = re.compile(rb"u002[fF]|x2[fF]")
_SAFE = {b"http": b"https", b"ws": b"wss"}
_PLAIN = {b"https": b"http", b"wss": b"ws"}
_HEX = frozenset(b"0123456789abcdefABCDEF")


class BodyRewriter(Protocol):
    """Changes a body as it passes. The joined output does not depend on how the input was cut."""

    def feed(self, chunk: bytes) -> bytes:
        """What is decided so far; may be empty."""

    def finish(self) -> bytes:
        """The rest. Nothing may be fed afterwards."""


class _Edit(NamedTuple):
    start: int
    end: int
    text: bytes


type _Judge = Callable[[HostMap, bytes, int, int], _Edit | None]


def _run(data: bytes, at: int) -> tuple[int, int]:
    """The run of host characters around an offset, without the tail of an escape that looks like one."""
    low = max(0, at - _RUN)
    start = low + len(data[low:at].rstrip(_HOST))
    window = data[at : at + _RUN]
    end = at + len(window) - len(window.lstrip(_HOST))
    edge = data[start - 1 : start]
    if edge == b"%":
        if len(data) > start + 2 and data[start] in _HEX and data[start + 1] in _HEX:
            start += 2
            if data[start - 2 : start] == b"25" and data[start] in _HEX and data[start + 1] in _HEX:
                start += 2
    elif edge == b"\\":
        before = data[max(0, start - 16) : start]
        slashes = len(before) - len(before.rstrip(b"\\"))
        if escaped := _ESCAPED_SLASH.match(data, start):
            start = escaped.end()
        elif slashes % 2 and data[start] in b"nrtbfv0":
            start += 1
    return min(start, at), end


def _trim(data: bytes, start: int, end: int) -> tuple[str, int]:
    """The host of a run and its end; a final dot belongs to it when the URL goes on behind it."""
    text = data[start:end]
    host = text.rstrip(b".")
    dots = len(text) - len(host)
    stop = end if dots == 1 and data[end : end + 1] in (b"/", b":", b"?", b"#") else end - dots
    return host.decode("utf-8", "surrogateescape"), stop


def _prefix(before: bytes) -> re.Match[bytes] | None:
    """`_BEFORE` in the bytes on the left of a host: a short window first, for it is searched faster."""
    if before[-1:] not in _SLASH_ENDS:
        return None
    near = _BEFORE.search(before, len(before) - _NEAR)
    if (near and near["scheme"]) or (before.endswith(b"://") and b"\\" not in before[-_NEAR:]):
        return near
    return _BEFORE.search(before)


def _is_acted_on(before: bytes, url: int) -> bool:
    """Is a URL that begins at this offset a value by itself?"""
    if before[url - 1 : url] == b'"' and before[url - 2 : url - 1] != b"\\":
        return True
    return _ACTED_ON.search(before, max(0, url - 56), url) is not None


def _judge_forward(  # noqa: C901  # one look at one hit, of which there are thousands: calls cost
    hosts: HostMap, data: bytes, start: int, end: int, bare: bool, *, acted_on: bool = False
) -> _Edit | None:
    if end - start > 300:
        return None
    host, stop = _trim(data, start, end)
    colon, port = b":", b""
    if data[stop : stop + 1] in _PORT_STARTS and (given := _PORT.match(data[stop : stop + _RIGHT])):
        colon, port = given["colon"], given["port"]
        stop += given.end()
    if data[stop : stop + 1] in (b"@", b":"):
        return None  # user information, or a port that only a script knows
    before = data[max(0, start - _LEFT) : start]
    if before[-8:] == b"https://" and before[-9:-8] not in _IN_SCHEME:
        # As most are written; the rest of the function says the same of all others.
        if acted_on and not _is_acted_on(before, len(before) - 8):
            return None
        mapped = hosts.suffix_host(host, "" if port == b"443" else port.decode())
        return mapped and _Edit(start, stop, (mapped + hosts.port_tail).encode())  # type: ignore[return-value]
    if prefix := _prefix(before):
        scheme = prefix["scheme"]
        number = port.decode()
        if scheme and number == ("443" if scheme.lower() in (b"https", b"wss") else "80"):
            number = ""
        mapped = hosts.suffix_host(host, number)
        if mapped is None:
            return None
        if acted_on:
            url = prefix.start("scheme") if scheme else prefix.start() + (before[prefix.start()] not in b"/\\&")
            if not _is_acted_on(before, url):
                return None
        begin, head = start, b""
        if scheme and (safe := _SAFE.get(scheme.lower())):
            begin = start - len(before) + prefix.start("scheme")
            head = safe + before[prefix.end("scheme") :]
        if not port and prefix["colon"]:
            colon = prefix["colon"]
        return _Edit(begin, stop, head + mapped.encode() + hosts.port_tail.encode().replace(b":", colon))
    quote = _OPEN.search(before, len(before) - 9) if bare and "." in host else None
    if quote and data[stop : stop + len(quote[0])] == quote[0]:
        mapped = hosts.suffix_host(host, port.decode())
        return _Edit(start, stop, (mapped + hosts.port_tail).encode()) if mapped else None
    return None


def _forward_urls(hosts: HostMap, data: bytes, start: int, end: int) -> _Edit | None:
    return _judge_forward(hosts, data, start, end, False)


def _forward_names(hosts: HostMap, data: bytes, start: int, end: int) -> _Edit | None:
    return _judge_forward(hosts, data, start, end, True)


def _forward_values(hosts: HostMap, data: bytes, start: int, end: int) -> _Edit | None:
    return _judge_forward(hosts, data, start, end, True, acted_on=True)


def _back(hosts: HostMap, data: bytes, start: int, end: int) -> _Edit | None:
    if end - start > 300:
        return None
    host, stop = _trim(data, start, end)
    origin = hosts.origin_host(host)
    if origin is None:
        return None
    colon = b":"
    before = data[max(0, start - _LEFT) : start]
    prefix = _BEFORE_ENCODED.search(before)
    if given := _PORT.match(data[stop : stop + _RIGHT]):
        if int(given["port"]) != hosts.port:
            return None
        colon = given["colon"]
        stop += given.end()
    elif prefix and b"%3" in prefix[0]:
        colon = b"%3A"
    text = origin.encode().replace(b":", colon)
    if prefix and hosts.is_plain(origin):
        begin = start - len(before) + prefix.start("scheme")
        return _Edit(begin, stop, _PLAIN[prefix["scheme"].lower()] + before[prefix.end("scheme") :] + text)
    return _Edit(start, stop, text)


class Scanner:
    """A `BodyRewriter` over text that is ASCII-compatible. Holds back a word at most, never a whole line."""

    __slots__ = ("_done", "_find", "_held", "_hosts", "_judge")

    def __init__(self, hosts: HostMap, judge: _Judge) -> None:
        self._hosts = hosts
        self._judge = judge
        self._find = hosts.back_finder.starts if judge is _back else hosts.finder.starts
        self._held = b""  # decided context that stays to be looked at, then what is undecided
        self._done = 0  # how much of it is decided

    def feed(self, chunk: bytes) -> bytes:
        return self._advance(self._held + chunk if self._held else chunk, final=False)

    def finish(self) -> bytes:
        return self._advance(self._held, final=True)

    def once(self, data: bytes) -> bytes:
        """A whole text at once; the scanner must be fresh."""
        return self._advance(data, final=True)

    def _advance(self, data: bytes, *, final: bool) -> bytes:
        size = len(data)
        tail = len(data[-_HOLD:].rstrip(_SOFT))
        done = self._done
        limit = size if final else max(done, size - min(_HOLD, size) + tail)
        judged = limit if tail else limit + _LEFT  # an edit begins at most that far left of its host
        out: list[bytes] = []
        passed = done
        for hit in self._find(data):
            if hit < passed:
                continue
            start, end = _run(data, hit)
            if start >= judged:
                break
            passed = max(end, hit + 1)
            edit = self._judge(self._hosts, data, start, end)
            if edit is None or edit.start < done:
                continue
            if edit.start >= limit:
                break
            out += (data[done : edit.start], edit.text)
            done = edit.end
        limit = max(limit, done)
        keep = max(0, done if final else limit - _LEFT - _RUN - 16)
        self._held, self._done = data[keep:], limit - keep
        if not out:
            return data if done == 0 and limit == size else data[done:limit]
        out.append(data[done:limit])
        return b"".join(out)


def urls_to_suffix(hosts: HostMap) -> Scanner:
    """URLs with a scheme or two slashes: style sheets, attributes, header values."""
    return Scanner(hosts, _forward_urls)


def names_to_suffix(hosts: HostMap) -> Scanner:
    """As `urls_to_suffix`, and host names that are a whole quoted string: scripts and JSON."""
    return Scanner(hosts, _forward_names)


def values_to_suffix(hosts: HostMap) -> Scanner:
    """As `names_to_suffix`, where a URL begins a string, or an attribute of markup in one: JSON, event streams.

    What is only mentioned in a text that people read, or edit, stays: it may be stored where it cannot be mapped back.
    """
    return Scanner(hosts, _forward_values)


def names_to_origin(hosts: HostMap) -> Scanner:
    """Every one of our suffix hosts, wherever it stands and however it is escaped: what goes to the application."""
    return Scanner(hosts, _back)


def once(scanner: Scanner, data: bytes) -> bytes:
    """A whole text through a fresh scanner; the same object when nothing changes."""
    return scanner.once(data)
