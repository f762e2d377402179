"""The configuration in force on all nodes, through the Redis-compatible server that they share anyway.

`{<prefix>}:configuration` holds the bundle, sealed with the key ring of sessions: whoever can write to the server and
does not have the ring can put nothing in force. Its revision only grows: an old bundle put back is refused. What a node
last found good stays in its data folder, whatever becomes of the server. A bundle holds every file but `casb.yaml`,
which is each node's own. Extra: `casb[redis]`.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from casb.config import version_of
from casb.errors import ConfigError, StoreError
from casb.settings import Settings
from casb.store.session_keys import FollowedRing
from casb.store.sessions import ring_path
from casb.store.sessions_redis import TIMEOUT, Ring

OWN: Final = "casb.yaml"
_AAD: Final = b"casb configuration 1"
_HEAD: Final = struct.Struct(">Q16s")  # revision, digest of what follows: what a look costs
LARGEST: Final = 128 * 1024 * 1024

# KEYS: the bundle. ARGV: head and sealed bundle. An older revision never replaces a newer one.
_PUBLISH: Final = """
local there = redis.call('GETRANGE', KEYS[1], 0, 7)
if #there == 8 and there >= string.sub(ARGV[1], 1, 8) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Files as an admin wrote them, without `casb.yaml`; `revision` grows with each publication."""

    revision: int
    files: Mapping[str, bytes]
    withdrawn: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """The same on all nodes."""
        return version_of({**self.files, "withdrawn": "\n".join(self.withdrawn).encode()})


class RedisConfiguration:
    """Publishes and fetches bundles; may be used from several threads. Raises `StoreError` S054 and S055."""

    def __init__(self, settings: Settings, ring: Ring | None = None) -> None:
        """`ring` is the one of sessions unless given. Raises `ConfigError` C150 without the extra."""
        self._client = _client(settings)
        self._ring = ring or FollowedRing(ring_path(settings, Path(settings.data)))
        self._key = f"{{{settings.store.prefix}}}:configuration"  # as keys of sessions: one slot of a cluster, one ACL

    def stamp(self) -> bytes | None:
        """Changes when another bundle is published; None when none ever was. One short question."""
        return self._ask(lambda: self._client.getrange(self._key, 0, _HEAD.size - 1)) or None

    def read(self) -> Bundle | None:
        """The bundle in force; None when none ever was."""
        data = self._ask(lambda: self._client.get(self._key))
        return None if data is None else self._opened(bytes(data))

    def publish(self, bundle: Bundle) -> bool:
        """Put it in force on all nodes; False when a newer one is there."""
        content = {
            "revision": bundle.revision,
            "withdrawn": list(bundle.withdrawn),
            "files": {name: text.decode("utf-8") for name, text in bundle.files.items() if name != OWN},
        }
        sealed = self._ring.seal(json.dumps(content, ensure_ascii=False).encode(), _AAD)
        if len(sealed) > LARGEST:
            raise StoreError("S055", f"the configuration is larger than {LARGEST} bytes")
        head = _HEAD.pack(bundle.revision, hashlib.sha256(sealed).digest()[:16])
        return bool(self._ask(lambda: self._client.eval(_PUBLISH, 1, self._key, head + sealed)))

    def close(self) -> None:
        """Let connections go."""
        self._client.close()

    def _opened(self, data: bytes) -> Bundle:
        try:
            revision, digest = _HEAD.unpack_from(data)
            sealed = data[_HEAD.size :]
            if hashlib.sha256(sealed).digest()[:16] != digest:
                raise ValueError
            content = json.loads(self._ring.open(sealed, _AAD))
            if content["revision"] != revision:
                raise ValueError
            return Bundle(
                revision=revision,
                files={name: text.encode() for name, text in content["files"].items() if name != OWN},
                withdrawn=tuple(content["withdrawn"]),
            )
        except (StoreError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise StoreError("S055", f"the shared configuration cannot be read ({type(error).__name__})") from None

    def _ask(self, work: Any) -> Any:
        from redis.exceptions import RedisError  # noqa: PLC0415 - an extra

        try:
            return work()
        except (RedisError, OSError) as error:
            raise StoreError("S054", f"the shared configuration cannot be asked for ({type(error).__name__})") from None


def _client(settings: Settings) -> Any:
    try:
        import redis  # noqa: PLC0415 - an extra
    except ImportError as error:
        hint = "pip install 'casb[redis]'"
        raise ConfigError(
            "C150", "`store: sessions` names a server, for which casb[redis] is missing", hint=hint
        ) from error
    store = settings.store
    url = store.sessions.reveal() if store.sessions else ""
    options: dict[str, Any] = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
    if store.password is not None:
        options["password"] = store.password.reveal()
    if url.startswith("rediss:"):
        options |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_certs": store.ca}
    try:
        return redis.Redis.from_url(url, **options)
    except ValueError as error:
        raise ConfigError("C150", "`store: sessions` is not the address of a Redis server") from error
