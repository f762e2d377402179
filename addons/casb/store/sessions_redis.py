"""Sessions shared by the proxy nodes of a deployment: a Redis-compatible server, values encrypted.

What the server holds: `<prefix>:v:<kind>:<key>`, a head (when it ends, digests of its indexes) and the sealed value;
`<prefix>:x:<digest>`, the set of entries under an index, living as long as the longest of them; and one channel, on
which every drop is told, so that all nodes throw away what they remember. Keys and index names are digests.

The server removes what has expired; the head says it once more, for a server whose clock leaps. `{…}` in the prefix
keeps all keys in one slot of a cluster. Extra: `casb[redis]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from casb.errors import ConfigError, StoreError
from casb.settings import SessionStoreSettings

TIMEOUT: Final = 1.0  # seconds that one answer may take
LONGEST: Final = 2.0  # seconds that anything asked of us may take, second attempts included
AGAIN: Final = 0.25  # seconds between two attempts to listen to drops
SILENCE: Final = 2.0  # seconds without a drop after which the line is tried
_HEAD: Final = struct.Struct(">BQB")  # version, milliseconds since 1970 when it ends, number of indexes
_DIGEST: Final = 16
_MANY: Final = 500  # entries removed by one call

# KEYS: the entry, then its indexes. ARGV: value, milliseconds to live.
_PUT: Final = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
for i = 2, #KEYS do
  redis.call('SADD', KEYS[i], KEYS[1])
  if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
  if redis.call('SCARD', KEYS[i]) > 64 then
    for _, one in ipairs(redis.call('SRANDMEMBER', KEYS[i], 16)) do
      if redis.call('EXISTS', one) == 0 then redis.call('SREM', KEYS[i], one) end
    end
  end
end
return 1
"""
# ARGV: value, milliseconds to live, the present.
_ADD: Final = """
local there = redis.call('GETRANGE', KEYS[1], 1, 8)
if #there == 8 and struct.unpack('>I8', there) > tonumber(ARGV[3]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
# KEYS: the entry, then its indexes. ARGV: the eight bytes of its end, milliseconds to live, the present.
_TOUCH: Final = """
local there = redis.call('GETRANGE', KEYS[1], 1, 8)
if #there < 8 or struct.unpack('>I8', there) <= tonumber(ARGV[3]) then return 0 end
redis.call('SETRANGE', KEYS[1], 1, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
for i = 2, #KEYS do
  redis.call('SADD', KEYS[i], KEYS[1])
  if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
end
return 1
"""
# KEYS: entries. ARGV: channel, who, the present, digest of the index ('' for any).
_DROP: Final = """
local touched, alive = 0, 0
for _, key in ipairs(KEYS) do
  local head = redis.call('GETRANGE', key, 0, 9 + 255 * 16)
  local named = #ARGV[4] == 0
  if #head >= 10 then
    for i = 0, head:byte(10) - 1 do
      if head:sub(11 + 16 * i, 26 + 16 * i) == ARGV[4] then named = true end
    end
    if named then
      redis.call('DEL', key)
      touched = touched + 1
      if struct.unpack('>I8', head:sub(2, 9)) > tonumber(ARGV[3]) then alive = alive + 1 end
    end
  end
end
if touched > 0 then redis.call('PUBLISH', ARGV[1], ARGV[2]) end
return {touched, alive}
"""


class Ring(Protocol):
    """What seals values: `store.session_keys`."""

    def seal(self, value: bytes, aad: bytes) -> bytes: ...

    def open(self, sealed: bytes, aad: bytes) -> bytes: ...


class RedisSessions:
    """A `SessionStore` on a server. For one event loop; `clock` gives seconds since 1970, alike on all nodes.

    Every operation answers within about two seconds or raises `StoreError` S051.
    """

    def __init__(self, settings: SessionStoreSettings, ring: Ring, *, clock: Callable[[], float] = time.time) -> None:
        self._client = _client(settings)
        self._ring = ring
        self._clock = clock
        self._prefix = f"{{{settings.prefix}}}"
        self._channel = f"{settings.prefix}:dropped"
        self._who = secrets.token_hex(8)
        self._epoch = 1
        self._listening: asyncio.Task[None] | None = None
        self._listens = asyncio.Event()
        scripts = (_PUT, _ADD, _TOUCH, _DROP)
        self._put, self._add, self._touch, self._drop = (self._client.register_script(each) for each in scripts)

    async def put(self, kind: str, key: bytes, value: bytes, *, ttl: float, indexes: Sequence[str] = ()) -> None:
        """Keep `value` for `ttl` seconds."""
        if ttl <= 0:
            await self._ask(self._client.delete(self._entry(kind, key)))
            return
        digests = tuple(dict.fromkeys(_digest(index) for index in indexes))
        sealed = self._sealed(kind, key, value, ttl, digests)
        await self._ask(
            self._put(keys=[self._entry(kind, key), *map(self._index, digests)], args=[sealed, _milliseconds(ttl)])
        )

    async def add(self, kind: str, key: bytes, value: bytes, *, ttl: float) -> bool:
        """As `put`, but only when nothing is there."""
        arguments = [self._sealed(kind, key, value, ttl, ()), _milliseconds(ttl), self._now()]
        return bool(await self._ask(self._add(keys=[self._entry(kind, key)], args=arguments)))

    async def get(self, kind: str, key: bytes) -> bytes | None:
        """The value, or None."""
        return self._opened(kind, key, await self._ask(self._client.get(self._entry(kind, key))))

    async def present(self, kind: str, keys: Sequence[bytes]) -> frozenset[bytes]:
        """Which of many are there."""
        found: list[bytes] = []
        for at in range(0, len(keys), _MANY):
            some = keys[at : at + _MANY]
            pipe = self._client.pipeline(transaction=False)
            for key in some:
                pipe.getrange(self._entry(kind, key), 1, 8)
            ends = await self._ask(pipe.execute())
            present = self._now()
            found += [key for key, end in zip(some, ends, strict=True) if end and int.from_bytes(end, "big") > present]
        return frozenset(found)

    async def take(self, kind: str, key: bytes) -> bytes | None:
        """The value, removed in the same step (GETDEL)."""
        return self._opened(kind, key, await self._ask(self._client.getdel(self._entry(kind, key))))

    async def touch(self, kind: str, key: bytes, *, ttl: float) -> None:
        """Prolong, when still there; its indexes with it."""
        entry = self._entry(kind, key)
        head = await self._ask(self._client.getrange(entry, 0, _HEAD.size + 255 * _DIGEST - 1))
        digests = _digests(bytes(head))
        if digests is not None:
            end = struct.pack(">Q", self._now() + _milliseconds(ttl))
            keys = [entry, *map(self._index, digests)]
            await self._ask(self._touch(keys=keys, args=[end, _milliseconds(ttl), self._now()]))

    async def drop(self, kind: str, key: bytes) -> None:
        """Remove, if there."""
        await self._dropped([self._entry(kind, key)], b"")

    async def drop_index(self, index: str) -> int:
        """Remove everything kept under an index."""
        digest = _digest(index)
        name = self._index(digest)
        members = sorted(await self._ask(self._client.smembers(name)))
        alive = 0
        for at in range(0, len(members), _MANY):
            some = members[at : at + _MANY]
            alive += await self._dropped(some, digest)
            await self._ask(self._client.srem(name, *some))
        return alive

    def epoch(self) -> int:
        """Grows with every drop on any node, and all the time while drops of others cannot be heard."""
        return self._epoch

    async def purge(self) -> int:
        """Nothing: the server removes what has expired."""
        return 0

    async def ping(self) -> None:
        """Whether the server answers; raises `StoreError`."""
        await self._ask(self._client.ping())

    async def aclose(self) -> None:
        """Let the connections go."""
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
            self._listening = None
        await self._client.aclose(close_connection_pool=True)

    # --- inside -------------------------------------------------------------------------------------------------------

    async def _dropped(self, entries: Sequence[str | bytes], digest: bytes) -> int:
        arguments = [self._channel, self._who, self._now(), digest]
        touched, alive = await self._ask(self._drop(keys=list(entries), args=arguments))
        self._epoch += bool(touched)
        return int(alive)

    async def _ask(self, work: Awaitable[Any]) -> Any:
        """The server's answer; its failures as `StoreError`."""
        from redis.exceptions import RedisError  # noqa: PLC0415 - an extra

        try:
            async with asyncio.timeout(LONGEST):
                if self._listening is None or self._listening.done():
                    # Nothing may be remembered before drops are heard.
                    self._listens.clear()
                    self._listening = asyncio.get_running_loop().create_task(self._listen())
                await self._listens.wait()
                return await work
        except (RedisError, OSError, TimeoutError) as error:
            # The text may hold an address, never a value.
            raise StoreError("S051", f"the session store does not answer: {type(error).__name__}") from error
        finally:
            if asyncio.iscoroutine(work):
                work.close()  # not begun, when the line failed before

    async def _listen(self) -> None:
        from redis.exceptions import RedisError  # noqa: PLC0415 - an extra

        first = True
        while True:
            line = self._client.pubsub(ignore_subscribe_messages=True)
            try:
                await line.subscribe(self._channel)
                self._epoch += not first  # what was told meanwhile is lost
                first = False
                self._listens.set()
                while True:
                    told = await line.get_message(timeout=SILENCE)
                    if told is None:
                        await line.ping()
                    elif told["type"] == "message" and told["data"] != self._who.encode():
                        self._epoch += 1
            except (RedisError, OSError, TimeoutError):
                first = False
                self._epoch += 1
                self._listens.set()
                await asyncio.sleep(AGAIN)
            finally:
                with contextlib.suppress(RedisError, OSError, TimeoutError):
                    await line.aclose()

    def _entry(self, kind: str, key: bytes) -> str:
        return f"{self._prefix}:v:{kind}:{key.hex()}"

    def _index(self, digest: bytes) -> str:
        return f"{self._prefix}:x:{digest.hex()}"

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _sealed(self, kind: str, key: bytes, value: bytes, ttl: float, digests: Sequence[bytes]) -> bytes:
        names = b"".join(digests)
        head = _HEAD.pack(1, self._now() + _milliseconds(ttl), len(digests)) + names
        return head + self._ring.seal(value, _aad(kind, key, names))

    def _opened(self, kind: str, key: bytes, data: bytes | None) -> bytes | None:
        if data is None:
            return None
        digests = _digests(data)
        if digests is None:
            raise StoreError("S053", "a stored session is not what was stored")
        if _HEAD.unpack_from(data)[1] <= self._now():
            return None
        names = b"".join(digests)
        return self._ring.open(data[_HEAD.size + len(names) :], _aad(kind, key, names))


def _client(settings: SessionStoreSettings) -> Any:
    """A client with short timeouts. Raises `ConfigError` C150 when the extra is not installed."""
    try:
        import redis.asyncio as redis  # noqa: PLC0415 - an extra
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.exceptions import ConnectionError as LineLost  # noqa: PLC0415
    except ImportError as error:
        hint = "pip install 'casb[redis]'"
        raise ConfigError(
            "C150", "`store: sessions` names a Redis server, for which casb[redis] is missing", hint=hint
        ) from error
    url = settings.sessions.reveal() if settings.sessions else ""
    options: dict[str, Any] = {
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        "socket_keepalive": True,
        "health_check_interval": 15,
        # Once more on a fresh connection: the server closes idle ones. A one-time item whose answer was lost is lost.
        "retry": Retry(NoBackoff(), 1),
        "retry_on_error": [LineLost],
        "max_connections": 64,
    }
    if settings.password is not None:
        options["password"] = settings.password.reveal()
    if url.startswith("rediss:"):
        options |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_certs": settings.ca}
    try:
        pool = redis.BlockingConnectionPool.from_url(url, timeout=TIMEOUT, **options)
    except ValueError as error:
        raise ConfigError("C150", "`store: sessions` is not the address of a Redis server") from error
    return redis.Redis(connection_pool=pool)


def _digest(index: str) -> bytes:
    return hashlib.sha256(index.encode("utf-8")).digest()[:_DIGEST]


def _digests(data: bytes) -> tuple[bytes, ...] | None:
    """The index digests of an entry's head; None when it is none."""
    if len(data) < _HEAD.size:
        return None
    version, _, count = _HEAD.unpack_from(data)
    names = data[_HEAD.size : _HEAD.size + count * _DIGEST]
    if version != 1 or len(names) != count * _DIGEST:
        return None
    return tuple(names[at : at + _DIGEST] for at in range(0, len(names), _DIGEST))


def _milliseconds(ttl: float) -> int:
    return max(1, round(ttl * 1000))


def _aad(kind: str, key: bytes, names: bytes) -> bytes:
    return kind.encode("ascii") + b"|" + key + b"|" + names
