"""E-mail as it travels (RFC 5322, MIME): headers, bodies and attachments, whatever the transfer encoding."""

from __future__ import annotations

import email
import email.header
import email.message
import email.policy
from collections.abc import Iterator

from casb.inspection import charsets
from casb.inspection.extraction.context import BLOCK, Context, Exhausted, Item, Texts
from casb.inspection.limits import Why
from casb.inspection.signs import of_name
from casb.model.signs import Sign

_TIMES = 4
"""A message in memory takes so many times its size."""
_PROPERTIES = {"subject": "title", "from": "author", "organization": "company", "keywords": "keywords"}


def read(context: Context, item: Item) -> Texts:
    """Headers as text; each part that is not a container of parts as a file of its own. Raises `Refused`."""
    body = item.body(context.held // _TIMES)
    try:
        message = email.message_from_bytes(body, policy=email.policy.compat32)
        parts = list(message.walk())
    except RecursionError:
        raise Exhausted from None
    for index, part in enumerate(parts):
        lines = []
        for name, value in part.items():
            text = _header(value)
            lines.append(f"{name}: {text}")
            if part is message and name.lower() in _PROPERTIES:
                context.report.property(_PROPERTIES[name.lower()], text)
        if lines:
            yield item.inside("headers"), "\n".join(lines) + "\n"
        for note in (part.preamble, part.epilogue):
            if note and note.strip():
                yield item.inside("headers"), _text(note) + "\n"
        if not part.is_multipart():
            yield from _leaf(context, item, part, index)


def _leaf(context: Context, item: Item, part: email.message.Message, index: int) -> Texts:
    name = _filename(part)
    kind = part.get_content_type()
    if kind in ("application/pkcs7-mime", "application/x-pkcs7-mime") and "signed" not in str(
        part.get("Content-Type", "")
    ):
        context.report.problem(Why.ENCRYPTED, item.inside(name or "smime.p7m"))
    if name:
        context.sign(Sign.EMBEDDED_FILE)
        for sign in of_name(name):
            context.sign(sign)
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return
    yield from context.nested(
        item,
        name or f"part {index}",
        _slices(payload),
        None if name and not kind.startswith("text/") else kind,
        part.get_content_charset(),
    )


def _filename(part: email.message.Message) -> str:
    try:
        return _header(part.get_filename() or "")
    except (LookupError, ValueError, TypeError):
        return "attachment"


def _header(value: object) -> str:
    """RFC 2047 words decoded; what cannot be is left as it is."""
    raw = value.encode() if isinstance(value, email.header.Header) else str(value)
    try:
        pieces = email.header.decode_header(raw)
    except (ValueError, email.errors.HeaderParseError):
        return _text(raw)
    out = []
    for piece, charset in pieces:
        if isinstance(piece, bytes):
            codec = charsets.known(charset) or "utf-8"
            out.append(piece.decode(codec, "replace"))
        else:
            out.append(_text(piece))
    return "".join(out)


def _text(value: str) -> str:
    """Bytes that are no ASCII come as surrogates out of the parser."""
    if value.isascii():
        return value
    raw = value.encode("utf-8", "surrogateescape")
    return raw.decode(charsets.of_text(raw, whole=True) or "cp1252", "replace")


def _slices(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), BLOCK):
        yield body[at : at + BLOCK]


def mbox(context: Context, item: Item) -> Texts:
    """Several messages behind one another (RFC 4155)."""
    body = item.body(context.held // _TIMES)
    starts = [0]
    at = body.find(b"\nFrom ")
    while at >= 0:
        starts.append(at + 1)
        at = body.find(b"\nFrom ", at + 1)
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(body)], strict=True), 1):
        single = body[start:end]
        single = single.partition(b"\n")[2] if single.startswith(b"From ") else single
        yield from context.nested(item, f"message {number}", iter((single,)), "message/rfc822")
