"""What the supervisor puts in force for all workers."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from casb.policy.compile import digest_of
from casb.proxy.reload import Published, Warden, snapshot_of
from casb.store.withdrawals import Withdrawal, write
from live_sidecar import APP

POLICY = "version: 1\npolicies:\n- {id: p, activities: download, action: block}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policies/apps").mkdir(parents=True)
    (tmp_path / "policies/casb.yaml").write_text("version: 1\nsuffix: casb.example\ndata: ../var\n")
    (tmp_path / "policies/apps/files.yaml").write_text(APP)
    (tmp_path / "policies/p.yaml").write_text(POLICY)
    (tmp_path / "var").mkdir()
    return tmp_path / "policies"


def test_a_withdrawn_policy_runs_in_shadow_in_every_worker(folder: Path) -> None:
    warden = Warden(folder)
    first, path = warden.begin()
    assert first.policies.all[0].live is None
    gone = Withdrawal(policy="p", digest=digest_of(first.loaded[0]), since=datetime(2026, 1, 1, tzinfo=UTC), why="w")
    write(folder.parent / "var", [gone])
    warden.look()
    worker = snapshot_of(Published(path).load())
    assert worker.policies.all[0].withdrawn
    assert worker.policies.all[0].stage == "shadow: beyond its budget"
    assert worker.version != first.version, "records say which it was"
    write(folder.parent / "var", [])
    warden.look()
    again = snapshot_of(Published(path).load())
    assert (again.version, again.policies.all[0].withdrawn) == (first.version, False)


def test_a_start_with_a_withdrawn_policy(folder: Path) -> None:
    first, _ = Warden(folder).begin()
    gone = Withdrawal(policy="p", digest=digest_of(first.loaded[0]), since=datetime(2026, 1, 1, tzinfo=UTC), why="w")
    write(folder.parent / "var", [gone])
    assert Warden(folder).begin()[0].policies.all[0].withdrawn


def test_an_edited_policy_is_no_longer_withdrawn(folder: Path) -> None:
    warden = Warden(folder)
    first, _ = warden.begin()
    gone = Withdrawal(policy="p", digest=digest_of(first.loaded[0]), since=datetime(2026, 1, 1, tzinfo=UTC), why="w")
    write(folder.parent / "var", [gone])
    (folder / "p.yaml").write_text(POLICY.replace("download", "upload"))
    assert not Warden(folder).begin()[0].policies.all[0].withdrawn
