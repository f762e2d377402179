"""Cookies with a `Domain` where names are flattened: there is no parent to share them under but the suffix itself.

The host that sets such a cookie gets it for itself, so that its scripts can read it; beside it goes a sealed copy for
`Domain=<suffix>`, which every application's host gets and only those that the cookie was for can be given the content
of: the proxy opens it for them on the way in. A seal holds for one person, one domain and one name, so no application
can read, forge or plant one (AES-GCM, by the deployment's key ring), and none is ever passed on.

Two things differ from a real parent domain: scripts on the other hosts do not see the cookie, and what a script writes
with a `Domain` stays on its host.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from casb.errors import ContentError

PREFIX = b"casb_d."
_PURPOSE = "shared cookies"
_LONGEST = 4000  # octets of name and value together that browsers keep are 4096


class Seal(Protocol):
    """The key ring of the deployment, as far as it is needed here."""

    def wrap(self, purpose: str, aad: bytes, data: bytes) -> tuple[str, bytes]:
        """The id of the key and the sealed data."""

    def unwrap(self, purpose: str, key_id: str, aad: bytes, blob: bytes) -> bytes:
        """The data again; raises `ContentError` when it is not what was sealed for this."""


class Shared(NamedTuple):
    """An opened one: its value, and `n`, `s` or `l` for what its `SameSite` was."""

    value: bytes
    same_site: bytes


def sealed(name: bytes, value: bytes, domain: str, same_site: bytes, user: str, seal: Seal) -> bytes | None:
    """The `name=value` of the copy for all hosts; None when it would be too long for a browser to keep."""
    key, blob = seal.wrap(_PURPOSE, _bound(name, domain, user), same_site + value)
    text = base64.urlsafe_b64encode(blob).rstrip(b"=")
    digest = hashlib.sha256(domain.encode()).hexdigest()[:8].encode()
    pair = PREFIX + digest + b"." + name + b"=" + domain.encode() + b":" + key.encode() + b":" + text
    return pair if len(pair) <= _LONGEST else None


def opened(crumbs: Iterable[bytes], host: str, user: str, seal: Seal) -> dict[bytes, Shared]:
    """What the sealed copies among the crumbs of a `Cookie` give to this origin host, by name."""
    found: dict[bytes, Shared] = {}
    reach: dict[bytes, int] = {}
    for crumb in crumbs:
        left, equals, right = crumb.partition(b"=")
        if not equals or not left.startswith(PREFIX):
            continue
        name = left[len(PREFIX) :].partition(b".")[2]
        domain, key, text, *_ = (*right.split(b":"), b"", b"")
        where = domain.decode("latin-1")
        if not (host == where or host.endswith(f".{where}")) or reach.get(name, -1) >= len(where):
            continue
        try:
            blob = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
            data = seal.unwrap(_PURPOSE, key.decode("latin-1"), _bound(name, where, user), blob)
        except (ContentError, binascii.Error, ValueError):
            continue
        found[name], reach[name] = Shared(data[1:], data[:1]), len(where)
    return found


def _bound(name: bytes, domain: str, user: str) -> bytes:
    return b"\0".join((user.encode(), domain.encode(), name))
