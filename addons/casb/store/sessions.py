"""Which session store a deployment has: SQLite in the data folder, or a Redis-compatible server for several nodes."""

from __future__ import annotations

from pathlib import Path

from casb.ports import SessionStore
from casb.settings import Settings
from casb.store.session_keys import FollowedRing
from casb.store.sessions_redis import RedisSessions
from casb.store.sessions_sqlite import SqliteSessions

KEYS = "sessions.keys"


def ring_path(settings: Settings, data: Path) -> Path:
    """Where the key ring is."""
    return Path(settings.store.keys) if settings.store.keys else data / KEYS


def open_sessions(settings: Settings, data: Path) -> SessionStore:
    """The store that the configuration names. Raises `StoreError`, or `ConfigError` when an extra is missing."""
    if settings.store.sessions is None:
        return SqliteSessions(data)
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return RedisSessions(settings.store, FollowedRing(ring_path(settings, data)))


async def close_sessions(store: SessionStore) -> None:
    """Let files and connections go."""
    if isinstance(store, RedisSessions):
        await store.aclose()
    elif isinstance(store, SqliteSessions):
        store.close()
