"""Which store a configuration means."""

from __future__ import annotations

from pathlib import Path

from casb.settings import Secret, SessionStoreSettings, Settings
from casb.store.sessions import close_sessions, open_sessions, ring_path
from casb.store.sessions_redis import RedisSessions
from casb.store.sessions_sqlite import SqliteSessions


async def test_files_of_the_data_folder_unless_a_server_is_named(tmp_path: Path) -> None:
    store = open_sessions(Settings(suffix="casb.test"), tmp_path)
    assert isinstance(store, SqliteSessions)
    await close_sessions(store)
    named = SessionStoreSettings(sessions=Secret("redis://127.0.0.1:1/0"))
    other = open_sessions(Settings(suffix="casb.test", store=named), tmp_path / "data")
    assert isinstance(other, RedisSessions)
    await close_sessions(other)
    assert (tmp_path / "data" / "sessions.keys").exists()


def test_nodes_may_share_a_ring_of_their_own(tmp_path: Path) -> None:
    settings = Settings(suffix="casb.test", store=SessionStoreSettings(keys="/run/secrets/ring"))
    assert ring_path(settings, tmp_path) == Path("/run/secrets/ring")
    assert ring_path(Settings(suffix="casb.test"), tmp_path) == tmp_path / "sessions.keys"
