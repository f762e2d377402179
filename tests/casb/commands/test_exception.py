"""`casb exception`: the life of a request and of an exception, and a proxy that follows within two seconds."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from casb.cli import main
from casb.store.records_sqlite import Database, SqliteRecords
from proxy_world import World, wait_for, world
from sample_records import record

POLICIES = """\
version: 1
policies:
  - {id: never, activities: download, when: {file: 'payroll*'}, action: block}
"""
NAVIGATE = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "accept": "text/html"}


def asked(identifier: str = "01REQUEST") -> dict[str, object]:
    told = record(1, datetime.now(UTC))
    return told | {
        "id": identifier,
        "activity": "download",
        "source": "access request",
        "action": "audit",
        "policy": "never",
        "matched": [],
        "message": "exception-request",
        "user": (told["user"] or {}) | {"name": "ada@contoso.example"},
        "app": {"id": "files", "name": "Files", "tag": "sanctioned", "category": "", "risk_score": None},
        "extra": {
            "request": {"refused": "01REFUSED", "file": "payroll.bin", "hours": 4, "text": "the \x1b[31mauditor"}
        },
    }


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("exception"), start=False) as made:
        made.write("policies.yaml", POLICIES)
        made.origin.page(
            "/payroll", b"secret", content_type="application/octet-stream",
            content_disposition='attachment; filename="payroll.bin"',
        )  # fmt: skip
        made.start()
        with contextlib.closing(Database(made.data / "casb.db")) as database:
            SqliteRecords(database).append([asked(), asked("01OTHER")])
        yield made


def call(proxy: World, *arguments: str) -> int:
    return main(["exception", *arguments, "--config", str(proxy.config)])


def test_the_life_of_an_exception(
    proxy: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASB_TEST_SECRET", "x" * 32)
    cookie, other = proxy.session(), proxy.session("eve@contoso.example")

    def gets(who: str) -> bytes:
        return proxy.ask("/payroll", cookie=who, headers=NAVIGATE).body

    assert gets(cookie) != b"secret"
    assert call(proxy, "list") == 0
    shown = capsys.readouterr().out
    assert "waiting  01REQUEST  never  4 h  ada@contoso.example download payroll.bin" in shown and "\x1b" not in shown
    assert call(proxy, "approve", "01REQUEST", "--hours", "2") == 0
    path = proxy.config / "exceptions" / "x-01request.yaml"
    begun = time.monotonic()
    wait_for(lambda: gets(cookie) == b"secret", "the exception to hold", 4)
    assert time.monotonic() - begun < 2.5
    assert gets(other) != b"secret", "it is for one person"
    passed = next(each for each in reversed(proxy.records()) if each["exempted"])
    assert (passed["action"], passed["policy"]) == ("audit", None)
    exempted = passed["exempted"][0]
    assert (exempted["policy"], exempted["action"], exempted["exception"]) == ("never", "block", "x-01request")
    assert passed["exempted"][0]["reasons"][0]["code"] == "file.name", "it is evaluated all the same"

    good = path.read_bytes()
    path.write_bytes(good.replace(b"payroll.bin", b"payroll.xls"))
    wait_for(lambda: gets(cookie) != b"secret", "the changed file to be refused", 4)
    assert call(proxy, "list") == 0
    assert "x-01request.yaml" in capsys.readouterr().err
    assert main(["check", str(proxy.config)]) == 1
    told = capsys.readouterr()
    assert "exceptions/x-01request.yaml:1" in told.out + told.err
    assert "P070" in proxy.log
    path.write_bytes(good)
    wait_for(lambda: gets(cookie) == b"secret", "it to hold again", 4)

    assert call(proxy, "revoke", "x-01request") == 0
    wait_for(lambda: gets(cookie) != b"secret", "it to end", 4)
    audit = [json.loads(line)["what"] for line in (proxy.data / "audit.jsonl").read_text().splitlines()]
    assert audit == ["exception approved", "exception revoked"]


def test_denying_and_what_is_not_there(
    proxy: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASB_TEST_SECRET", "x" * 32)
    assert call(proxy, "deny", "01OTHER", "--note", "ask your manager") == 0
    assert call(proxy, "list", "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert "01OTHER" not in [each["id"] for each in told["requests"]]
    for arguments in (("approve", "nothing"), ("deny", "nothing"), ("revoke", "nothing")):
        assert call(proxy, *arguments) == 1
        assert "P074" in capsys.readouterr().err


def test_signing_what_was_written_by_hand(
    proxy: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CASB_TEST_SECRET", "x" * 32)
    path = tmp_path / "auditors.yaml"
    path.write_text(
        "version: 1\nkind: exception\nid: x-auditors\npolicy: never\ngroup: auditors\n"
        "until: '2099-01-01T00:00:00Z'\napproved_by: grace\napproved: '2026-01-01T00:00:00Z'\n"
    )
    assert call(proxy, "sign", str(path)) == 0
    assert "signature: {key: " in path.read_text()
