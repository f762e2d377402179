"""`casb endpoint`, as an operator uses it, with an emulated Defender."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from casb.cli import main
from defender_cloud import Cloud, defender_cloud
from endpoint_support import device, row, streamed


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setenv("EMULATED", "emulated")
    with defender_cloud(tmp_path) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, cloud: Cloud) -> str:
    folder = tmp_path / "policies"
    (folder / "apps").mkdir(parents=True)
    (folder / "casb.yaml").write_text(
        f"version: 1\nsuffix: casb.localhost\ndata: {tmp_path / 'var'}\ndiscovery:\n  endpoints: {{enforce: true, "
        f"api: '{cloud.url}', authority: '{cloud.url}/tenant', client_id: app, client_secret: 'env:EMULATED', "
        f"ca: {cloud.ca}}}\n"
    )
    for ident, tag in (("own", "unsanctioned"), ("mon", "monitored")):
        app = {"id": ident, "name": ident.title(), "domains": [f"*.{ident}.example"], "tag": tag, "controlled": False}
        (folder / "apps" / f"{ident}.yaml").write_text(json.dumps(app))
    return str(folder)


def call(config: str, *arguments: str) -> int:
    return main(["endpoint", "--config", config, *arguments])


def test_from_events_to_a_push(config: str, cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.now(UTC)
    rows = [streamed(row("www.own.example", at=now, DeviceName="\x1b[31mPC")), streamed(device(at=now), "DeviceInfo")]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.ndjson").write_text("\n".join(map(json.dumps, rows)))
    assert call(config, "ingest", str(tmp_path / "in")) == 0
    assert "1 events, 1 facts about devices" in capsys.readouterr().out
    assert call(config, "ingest", str(tmp_path / "in" / "a.ndjson"), "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["outcome"]["endpoint"]["fresh"] is False
    for arguments, word in (
        (["devices"], "Windows11"),
        (["devices", "--format", "csv"], "Sales"),
        (["device", "d1"], "ada@corp.example"),
        (["device", "d1", "--format", "json"], '"risky_apps"'),
        (["device", "d1", "--format", "csv"], "own"),
        (["hunt", "--app", "own", "--since", "7d"], "www.own.example"),
        (["hunt", "--app", "own", "--format", "csv"], "ada@corp.example"),
        (["hunt", "--app", "own", "--format", "json"], '"DeviceId": "d1"'),
        (["query", "--app", "own"], 'has_any ("own.example")'),
        (["indicators"], "own.example"),
        (["indicators", "--format", "api"], '"indicatorType": "DomainName"'),
        (["indicators", "--format", "json"], '"Block"'),
        (["push"], "pushed 2"),
        (["push", "--format", "json"], '"unchanged": 2'),
        (["status"], "pushed"),
        (["status", "--app", "own", "--format", "json"], '"state": "pushed"'),
        (["settle"], "0 attempts"),
    ):
        assert call(config, *arguments) == 0, arguments
        out = capsys.readouterr().out
        assert word in out, arguments
        assert "\x1b" not in out, "a device's name is no terminal command"
    assert sorted(cloud.domains()) == ["mon.example", "own.example"]


def test_what_goes_wrong(config: str, cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(config, "ingest", str(tmp_path / "nothing.json")) == 1
    assert "no such file" in capsys.readouterr().err
    assert call(config, "device", "nobody") == 1
    assert "D070" in capsys.readouterr().err
    assert call(config, "hunt", "--app", "own", "--since", "soon") == 1
    cloud.secret = "another"
    assert call(config, "push") == 1
    assert "D071" in capsys.readouterr().err
    cloud.secret = "emulated"
    cloud.fails["own.example"] = "a conflict"
    assert call(config, "push") == 1
    assert call(config, "status") == 0
    assert "a conflict" in capsys.readouterr().out
