"""Protect: a file leaves as an age container that opens again for the person it was handed to.

The file key travels in the header, in a stanza `casb <key id> <file id>`, wrapped together with the facts of the
hand-over by the deployment's key ring. So opening needs no database: whoever holds the key ring can tell from the file
alone who may open it, and the header shows a stranger nothing but two opaque identifiers. Stock age implementations
ignore the stanza; they open the file with the recovery key, when the deployment names a recovery recipient.

Randomness and the key ring are handed in.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from casb.errors import ContentError
from casb.protection.container import (
    FILE_KEY,
    NONCE,
    Stanza,
    Writer,
    header,
    recipient_key,
    sealed_length,
    x25519_stanza,
)

PURPOSE = "protected file"
"""What the key ring's keys are used for here."""

SECRET_PURPOSE = "password of a protected file"  # noqa: S105 - says what keys are for

MEDIA_TYPE = "application/octet-stream"
EXTENSION = ".age"
STANZA = "casb"

_VERSION = 1
_IDENTIFIER = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_NAME_LIMIT = 255

type Random = Callable[[int], bytes]
"""So many bytes from a cryptographic generator."""
type Wrap = Callable[[str, bytes, bytes], tuple[str, bytes]]
"""`(purpose, associated data, data) -> (key id, blob)`: a key ring's `wrap`."""
type Unwrap = Callable[[str, str, bytes, bytes], bytes]
"""`(purpose, key id, associated data, blob) -> data`: a key ring's `unwrap`; raises `CasbError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """To whom a file was handed over, and why. Travels encrypted and authenticated inside the file."""

    file: str  # opaque id, also in clear in the header
    user: str  # `User.id` of the person entitled
    user_name: str = ""
    name: str = ""  # the file's own name
    app: str = ""  # app id
    policy: str = ""  # policy id
    activity: str = ""  # id of the activity in the log
    label: str = ""
    time: str = ""  # RFC 3339 UTC
    groups: str = ""  # who else may open it, one group a line
    device: str = ""  # `managed`: on managed devices alone
    expires: str = ""  # RFC 3339 UTC; empty: never


_FACTS = tuple(field.name for field in fields(HandOver))


class AgeProtector:
    """Implements `ports.Protector`. `recovery` is an age recipient (`age1…`) added to every file."""

    name = "age"

    def __init__(self, wrap: Wrap, random: Random, recovery: str | None = None) -> None:
        self._wrap = wrap
        self._random = random
        self._recovery = recipient_key(recovery) if recovery else None

    def start(self, name: str, media_type: str, length: int | None, order: Mapping[str, str]) -> AgeProtecting:
        """Begin one file. `length` is the plain length in bytes, if known; `order` has the fields of `HandOver`
        (`user` is required, `file` is made when missing). Raises `ContentError` F008, or what the key ring raises.
        """
        file_id = order.get("file") or self._random(16).hex()
        if not order.get("user") or not _IDENTIFIER.fullmatch(file_id):
            raise ContentError("F008", "the file cannot be protected as ordered", hint="name the person and the file")
        facts = HandOver(**{key: order.get(key, "") for key in _FACTS} | {"file": file_id, "name": name[:_NAME_LIMIT]})
        file_key = self._random(FILE_KEY)
        stanzas = [casb_stanza(facts, file_key, self._wrap)]
        if self._recovery:
            stanzas.append(x25519_stanza(self._recovery, file_key, self._random(32)))
        return AgeProtecting(
            name + EXTENSION, file_id, file_key, self._random(NONCE), header(stanzas, file_key), length
        )


class AgeProtecting:
    """One file on its way; implements `ports.Protecting`. `length` is that of the whole container, in bytes."""

    def __init__(self, name: str, file: str, file_key: bytes, nonce: bytes, head: bytes, length: int | None) -> None:
        self.name = name
        self.file = file
        self.media_type = MEDIA_TYPE
        self.length = None if length is None else sealed_length(len(head), length)
        self._writer = Writer(file_key, nonce, head)
        self.update = self._writer.update
        self.finish = self._writer.finish


def casb_stanza(facts: HandOver, file_key: bytes, wrap: Wrap) -> Stanza:
    """The file key and the facts, wrapped by the key ring."""
    inner = {"v": _VERSION, "key": base64.b64encode(file_key).decode("ascii")} | asdict(facts)
    data = json.dumps(inner, separators=(",", ":")).encode("utf-8")
    key_id, blob = wrap(PURPOSE, _bound(facts.file), data)
    return Stanza(kind=STANZA, arguments=(key_id, facts.file), body=blob)


def unwrap_stanza(stanzas: Sequence[Stanza], unwrap: Unwrap) -> tuple[bytes, HandOver]:
    """The file key and the facts from a header. Raises `ContentError` F003, or what the key ring raises."""
    ours = [each for each in stanzas if each.kind == STANZA]
    if len(ours) != 1 or len(ours[0].arguments) != 2:
        raise ContentError("F003", "this file was not protected by this deployment")
    key_id, file_id = ours[0].arguments
    if not _IDENTIFIER.fullmatch(file_id):
        raise ContentError("F003", "the file id of this container is none of ours")
    data = unwrap(PURPOSE, key_id, _bound(file_id), ours[0].body)
    unreadable = ContentError("F003", "the wrapped key of this file is of a kind we do not know")
    try:
        inner = json.loads(data)
        # Facts that came to be known later are absent in older files.
        told = {key: inner.get(key, "") for key in _FACTS}
        if inner["v"] != _VERSION or not all(isinstance(each, str) for each in told.values()):
            raise unreadable
        file_key = base64.b64decode(inner["key"], validate=True)
        facts = HandOver(**told)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise unreadable from None
    if len(file_key) != FILE_KEY or facts.file != file_id:
        raise unreadable
    return file_key, facts


def wrap_secret(file_id: str, secret: str, wrap: Wrap) -> tuple[str, bytes]:
    """The password of a file, wrapped by the key ring under the file's id: the key's id and the blob."""
    return wrap(SECRET_PURPOSE, _bound(file_id), secret.encode("ascii"))


def unwrap_secret(file_id: str, key_id: str, blob: bytes, unwrap: Unwrap) -> str:
    """The password again. Raises `ContentError` F003, or what the key ring raises."""
    try:
        return unwrap(SECRET_PURPOSE, key_id, _bound(file_id), blob).decode("ascii")
    except UnicodeDecodeError:
        raise ContentError("F003", "the wrapped key of this file is of a kind we do not know") from None


def recovery_copy(secret: str, recipient: bytes, random: Random) -> bytes:
    """The password as an age container for the recovery recipient: `age -d -i recovery.key` gives it back."""
    file_key = random(FILE_KEY)
    head = header([x25519_stanza(recipient, file_key, random(32))], file_key)
    writer = Writer(file_key, random(NONCE), head)
    return writer.update(secret.encode("ascii")) + writer.finish()


def _bound(file_id: str) -> bytes:
    """Associated data: binds a wrapped key to its stanza and file."""
    return f"{STANZA}/v{_VERSION}|{file_id}".encode("ascii")
