"""`casb sessions`: revoke and keys."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from casb.cli import main
from casb.store.sessions_sqlite import SqliteSessions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "casb.yaml").write_text("version: 1\nsuffix: casb.example\ndata: var\n")
    return tmp_path


def test_a_session_ends_and_it_is_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def fill() -> None:
        store = SqliteSessions(folder / "var")
        await store.put("login", b"k", b"1", ttl=60, indexes=["session:s1"])
        store.close()

    asyncio.run(fill())
    command = ["sessions", "revoke", "--session", "s1", "--format", "json", "--config", str(folder)]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == {"ended": 1}
    assert main(command) == 1, "there is none any more"
    assert '"of": "session"' in (folder / "var/audit.jsonl").read_text()


def test_a_fresh_key_is_put_in_front(folder: Path) -> None:
    assert main(["sessions", "keys", "--rotate", "--config", str(folder)]) == 0
    ring = (folder / "var/sessions.keys").read_text().splitlines()
    assert len(ring) == 2
    assert main(["sessions", "keys", "--rotate", "--config", str(folder)]) == 0
    assert (folder / "var/sessions.keys").read_text().splitlines()[1:] == ring
