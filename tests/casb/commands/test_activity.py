"""`casb activity`: search and export, from the file or over HTTP."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from casb.cli import main
from casb.commands.activity import aged
from casb.sidecar.auth import digest
from casb.store.portal_sqlite import PortalStore
from casb.store.records_sqlite import Database, SqliteRecords
from live_sidecar import Deployment
from sample_records import records

NOW = datetime.now(UTC)
SAMPLES = list(records(80, until=NOW, spread=timedelta(hours=40)))


def fill(deployment: Deployment) -> None:
    deployment.data.mkdir(exist_ok=True)
    with contextlib.closing(SqliteRecords.open(deployment.data / "casb.db")) as log:
        log.append(SAMPLES)


def test_the_table(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    fill(deployment)
    assert main(["activity", "--config", str(deployment.folder), "--action", "block", "--action", "audit"]) == 0
    shown = capsys.readouterr()
    expected = [each["id"] for each in reversed(SAMPLES) if each["action"] in ("block", "audit")][:50]
    assert [line.split()[-1] for line in shown.out.splitlines()[1:]] == expected
    assert shown.out.startswith("TIME (UTC)")
    assert f"{len(expected)} activities" in shown.err


def test_json_and_csv(deployment: Deployment, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    fill(deployment)
    call = ["activity", "--config", str(deployment.folder), "--limit", "0", "--user", "ada", "--format"]
    expected = [each for each in reversed(SAMPLES) if each["user"]["id"] == "contoso/ada"]
    assert main([*call, "json"]) == 0
    assert json.loads(capfdbinary.readouterr().out) == expected
    assert main([*call, "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capfdbinary.readouterr().out.decode("utf-8-sig"), newline="")))
    assert [row["id"] for row in rows] == [each["id"] for each in expected]


def test_an_age_is_a_time(deployment: Deployment, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    fill(deployment)
    call = ["activity", "--config", str(deployment.folder), "--limit", "0", "--format", "ndjson", "--from", "20h"]
    assert main(call) == 0
    assert abs(len(capfdbinary.readouterr().out.splitlines()) - 40) <= 1
    assert aged("90m", NOW) < aged("1h", NOW)
    assert aged("2026-03-02T08:00:00Z", NOW) == "2026-03-02T08:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--from", "yesterday"], "S032"), (["--url", "http://127.0.0.1:1"], "C092")],
)
def test_what_goes_wrong_is_told(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    fill(deployment)
    assert main(["activity", "--config", str(deployment.folder), *arguments]) == 1
    assert told in capsys.readouterr().err


def test_without_a_log(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["activity", "--config", str(deployment.folder)]) == 1
    assert "S020" in capsys.readouterr().err


@pytest.mark.e2e
def test_over_http(deployment: Deployment, tmp_path: Path) -> None:
    fill(deployment)
    deployment.serve()
    database = Database(deployment.data / "casb.db")
    PortalStore(database).add_token("t1", digest("read-token"), "test", "grace", NOW)
    database.close()
    (tmp_path / "token").write_text("read-token\n")
    call = ["activity", "--url", deployment.url, "--limit", "0", "--format", "json"]
    status, out, _ = deployment.run(*call, "--token", f"file:{tmp_path}/token")
    assert (status, json.loads(out)) == (0, SAMPLES[::-1])
    status, _, told = deployment.run(*call, CASB_TOKEN="wrong")
    assert (status, "C092" in told, "read token" in told) == (1, True, True)
    status, out, _ = deployment.run("explain", SAMPLES[3]["id"], "--url", deployment.url, CASB_TOKEN="read-token")
    assert (status, "found in: sidecar" in out) == (0, True)
