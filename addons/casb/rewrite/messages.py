"""Host names in WebSocket text messages, with the lengths that some framings put in front of their text kept true.

    JSON, and what wraps it (socket.io `42["event",…]`, SignalR's record separators): as JSON bodies
    SockJS      a["text","text"]                     each text a message of its own
    STOMP 1.2   COMMAND, headers, blank line, body, NUL; `content-length` counts the body's bytes
    netstring   5:hello                              engine.io 3 payloads; counts UTF-16 code units

Pure functions over whole messages; binary ones are `protobuf`'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from casb.model.app import View
from casb.rewrite.hosts import HostMap
from casb.rewrite.scan import names_to_origin, once, values_to_suffix

_SOCKJS = re.compile(rb"(?:a|m)?\[(?=\")")
_STOMP = re.compile(rb"[A-Z]{4,12}\r?\n(?:[^\n\x00:]+:[^\n\x00]*\n)*\r?\n", re.ASCII)
_LENGTH = re.compile(rb"^(content-length:)([0-9]+)(\r?)$", re.MULTILINE)
_NETSTRING = re.compile(rb"[0-9]{1,9}:")
_JSON = re.compile(rb"[am]?[0-9]{0,6}(?:/[^,\[{]{0,100},)?[0-9]{0,9}[\[{\"]")

type _Map = Callable[[bytes], bytes]


def message_to_suffix(data: bytes, hosts: HostMap, view: View) -> bytes:
    """What the browser gets of an application's text message; the same object when nothing changes.

    In the origin view scripts see their real names, and nothing is mapped.
    """
    if view is View.ORIGIN or not hosts.finder.starts(data):
        return data

    def mapped(text: bytes) -> bytes:
        return once(values_to_suffix(hosts), text) if _JSON.match(text) else text

    return _framed(data, mapped)


def message_to_origin(data: bytes, hosts: HostMap) -> bytes:
    """What the application gets of a browser's text message: its own names; the same object when nothing changes."""
    if not hosts.back_finder.starts(data):
        return data
    return _framed(data, lambda text: once(names_to_origin(hosts), text))


def _framed(data: bytes, mapped: _Map) -> bytes:
    if _SOCKJS.match(data) and (found := _sockjs(data, mapped)) is not None:
        return found
    if _STOMP.match(data):
        return _stomp(data, mapped)
    if _NETSTRING.match(data) and (found := _netstrings(data, mapped)) is not None:
        return found
    return mapped(data)


def _sockjs(data: bytes, mapped: _Map) -> bytes | None:
    """Only what holds framed text itself is taken apart; anything else is JSON and keeps its spelling."""
    start = data.index(b"[")
    try:
        texts = json.loads(data[start:])
    except (ValueError, RecursionError):
        return None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return None
    plain = [text.encode("utf-8", "surrogatepass") for text in texts]
    if not any(_STOMP.match(text) or _NETSTRING.match(text) for text in plain):
        return None
    changed = [_framed(text, mapped).decode("utf-8", "surrogatepass") for text in plain]
    return data[:start] + json.dumps(changed, separators=(",", ":")).encode() if changed != texts else data


def _stomp(data: bytes, mapped: _Map) -> bytes:
    out: list[bytes] = []
    at = 0
    while found := _STOMP.match(data, at):
        length = _LENGTH.search(found[0])
        end = found.end() + int(length[2]) if length else data.find(b"\x00", found.end())
        if not found.end() <= end <= len(data):
            break
        body = mapped(data[found.end() : end])
        head = mapped(found[0])
        if length:
            head = _LENGTH.sub(b"\\g<1>%d\\g<3>" % len(body), head, count=1)
        rest = re.compile(rb"\x00?[\r\n]*").match(data, end)
        at = rest.end() if rest else end
        out += (head, body, data[end:at])
    out.append(mapped(data[at:]))
    return b"".join(out)


def _netstrings(data: bytes, mapped: _Map) -> bytes | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    units = text.encode("utf-16-le")
    out: list[str] = []
    at = 0
    while at < len(units):
        colon = units.find(b":\x00", at, at + 22)
        digits = units[at:colon].decode("utf-16-le", "replace") if colon > at else ""
        if not (digits.isascii() and digits.isdigit()):
            return None
        end = colon + 2 + 2 * int(digits)
        if end > len(units):
            return None
        try:
            payload = mapped(units[colon + 2 : end].decode("utf-16-le").encode()).decode()
        except UnicodeError:
            return None
        out.append(f"{len(payload.encode('utf-16-le')) // 2}:{payload}")
        at = end
    return "".join(out).encode()
