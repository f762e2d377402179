"""Host names in binary messages that are Protocol Buffers, with every length around them kept true.

What people type and paste goes to some applications in binary messages only. Without its schema a message is known by
its wire format alone (protobuf.dev, "Encoding"): fields that fill it to the last byte. A field that could be text and
a message alike is left alone, and so is any data that is no such message.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from casb.rewrite.hosts import HostMap
from casb.rewrite.scan import names_to_origin, once

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_MOST_BYTES = 10  # of one varint
_MAX_FIELD = (1 << 29) - 1
_MAX_DEPTH = 32
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

type _Map = Callable[[bytes], bytes]


class _NoMessageError(ValueError):
    """The bytes are no message, or cannot be told from one."""


def binary_to_origin(data: bytes, hosts: HostMap) -> bytes:
    """What the application gets of a browser's binary message: its own names; the same object when nothing changes."""
    if not hosts.back_finder.starts(data):
        return data
    try:
        return _message(data, hosts, 0)
    except _NoMessageError:
        return data


def _message(data: bytes, hosts: HostMap, depth: int) -> bytes:
    out: list[bytes] = []
    at = done = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind, number = tag & 7, tag >> 3
        if not 1 <= number <= _MAX_FIELD:
            raise _NoMessageError
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in _WIDTHS:
            at += _WIDTHS[kind]
        elif kind == _LENGTH:
            before = at
            size, at = _varint(data, at)
            content = data[at : at + size]
            if len(content) < size:
                raise _NoMessageError
            at += size
            changed = _content(content, hosts, depth + 1)
            if changed is not content and changed != content:
                out += (data[done:before], _coded(len(changed)), changed)
                done = at
        else:
            raise _NoMessageError  # groups are long gone
    if at != len(data):
        raise _NoMessageError
    if not done:
        return data
    out.append(data[done:])
    return b"".join(out)


def _content(content: bytes, hosts: HostMap, depth: int) -> bytes:
    """One field: text, a message within the message, or bytes that stay."""
    if not hosts.back_finder.starts(content):
        return content
    text = _is_text(content)
    try:
        inner = _message(content, hosts, depth) if depth < _MAX_DEPTH else content
    except _NoMessageError:
        return once(names_to_origin(hosts), content) if text else content
    # A field number below 4 looks like a control character, which text hardly begins with.
    return content if text and content[0] != 0x0A else inner


def _is_text(content: bytes) -> bool:
    if _CONTROLS.search(content):
        return False
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(_MOST_BYTES):
        if at + index >= len(data):
            break
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise _NoMessageError


def _coded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
