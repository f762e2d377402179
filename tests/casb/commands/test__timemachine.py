"""`casb replay --activities`: from an export or the log, to the terminal, as data and as a page."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import orjson
import pytest

from casb.cli import main
from casb.store.records_sqlite import SqliteRecords
from live_sidecar import APP
from sample_records import record

POLICY = """version: 1
policies:
- {id: no-downloads, activities: download, action: audit}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("policies", "draft"):
        (tmp_path / name / "apps").mkdir(parents=True)
        (tmp_path / name / "casb.yaml").write_text("version: 1\nsuffix: casb.example\ndata: ../var\n")
        (tmp_path / name / "apps/files.yaml").write_text(APP)
        (tmp_path / name / "no.yaml").write_text(POLICY)
    (tmp_path / "draft/no.yaml").write_text(POLICY.replace("audit", "block"))
    (tmp_path / "export.ndjson").write_bytes(
        b"".join(orjson.dumps(record(n)) + b"\n" for n in range(200)) + b"not JSON\n"
    )
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    return ["replay", "--config", str(folder / "policies"), "--draft", str(folder / "draft"), *more]


def test_an_export(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(folder, "--activities", str(folder / "export.ndjson"))) == 1
    out = capsys.readouterr().out
    assert "activities" in out and "more strictly, 0 more mildly, for 5 people." in out
    assert "audit    → block" in out


def test_the_log_gives_the_same_as_its_export(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "var").mkdir()
    with contextlib.closing(SqliteRecords.open(folder / "var/casb.db")) as log:
        log.append([record(number) for number in range(200)])
    found = []
    for source in (["--activities"], ["--activities", str(folder / "export.ndjson")]):
        main(arguments(folder, *source, "--format", "json"))
        told = json.loads(capsys.readouterr().out)
        found.append({key: value for key, value in told.items() if key not in ("left_out", "samples")})
    assert found[0] == found[1]
    assert found[0]["changed"] > 0


def test_the_page_needs_nothing_else_and_trusts_no_name(folder: Path) -> None:
    evil = record(3) | {"activity": "download", "default_behaviour": False}
    evil["user"] = {**evil["user"], "name": "<script>alert(1)</script>"}
    (folder / "export.ndjson").write_bytes(orjson.dumps(evil))
    page = folder / "report.html"
    main(arguments(folder, "--activities", str(folder / "export.ndjson"), "--report", str(page)))
    text = page.read_text()
    assert "&lt;script&gt;alert(1)" in text and "<script" not in text
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "")
    assert "<b>no-downloads</b> blocks where it was: records" in text


def test_the_same_policies_change_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = ["replay", "--config", str(folder / "policies"), "--draft", str(folder / "policies")]
    assert main([*same, "--activities", str(folder / "export.ndjson")]) == 0
    assert "would go otherwise" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "status", "told"),
    [
        ([], 2, "name recorded flows, or say --activities"),
        (["--activities", "missing.ndjson"], 1, "P064"),
        (["--activities", "-", "--since", "soon"], 1, "P064"),
    ],
)
def test_wrong_calls(folder: Path, more: list[str], status: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(folder, *more)) == status
    assert told in capsys.readouterr().err


def test_only_young_ones(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(folder, "--activities", str(folder / "export.ndjson"), "--since", "1h")) == 0
    assert "There are no activities to compare." in capsys.readouterr().out
