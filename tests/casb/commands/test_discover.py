"""`casb discover`: the shapes that others rely on, many files, and what goes wrong."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from casb.cli import main
from casb.commands.discover import masked
from casb.store import discovery_run

LOG = """\
1286536309.586 921 192.0.2.68 TCP_MISS/200 507 POST http://www.dropbox.com/up alice DIRECT/- -
1286536310.586 921 192.0.2.68 TCP_MISS/200 1507 GET http://www.dropbox.com/up alice DIRECT/- -
1286536311.586 921 192.0.2.69 TCP_DENIED/403 0 CONNECT www.dropbox.com:443 bob HIER_NONE/- text/html
1286536312.586 921 192.0.2.69 TCP_TUNNEL/200 900 CONNECT intranet.contoso.example:443 =cmd() HIER_DIRECT/192.0.2.1 -
not a line of any log
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    folder = tmp_path / "policies"
    (folder / "apps").mkdir(parents=True)
    (folder / "casb.yaml").write_text("version: 1\nsuffix: casb.localhost\n")
    app = {"id": "dropbox", "name": "Dropbox", "domains": ["*.dropbox.com"], "risk_score": 6, "tag": "monitored"}
    (folder / "apps" / "dropbox.yaml").write_text(json.dumps({**app, "controlled": False}))
    return str(folder)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.write_text(LOG)
    return path


def discover(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["discover", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    status, out, err = discover(capsys, *arguments, "--format", "json")
    assert (status, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def test_the_object_of_the_contract(capsys: pytest.CaptureFixture[str], config: str, log: Path) -> None:
    found = answer(capsys, str(log), "--config", config)
    assert list(found)[:4] == ["source", "confidence", "lines", "events"]
    assert (found["source"], found["lines"], found["events"]) == ("squid", 5, 4)
    assert found["skipped"] == [{"line": 5, "why": found["skipped"][0]["why"]}]
    (app,) = found["apps"]
    wanted = {
        "app": "dropbox", "score": 6, "tag": "monitored", "transactions": 3, "blocked": 1, "bytes_up": 0,
        "bytes_down": 2014, "users": 2, "ips": 2, "devices": 0, "first": "2010-10-08T11:11:49.586Z",
        "last": "2010-10-08T11:11:51.586Z",
    }  # fmt: skip
    assert {name: app[name] for name in wanted} == wanted and "category" in app
    assert found["unmatched"] == [{"host": "intranet.contoso.example", "transactions": 1}]


def test_events_one_a_line(capsys: pytest.CaptureFixture[str], config: str, log: Path) -> None:
    status, out, _ = discover(capsys, str(log), "--events", "--format", "json", "--config", config)
    events = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and len(events) == 4
    assert list(events[0]) == [
        "line", "time", "user", "client_ip", "device", "host", "url", "dest_ip", "bytes_up", "bytes_down", "allowed",
        "source",
    ]  # fmt: skip
    assert (events[2]["line"], events[2]["allowed"], events[2]["device"]) == (3, False, None)
    assert events[0]["time"] == "2010-10-08T11:11:49.586Z"


def test_several_files_folders_and_patterns_merge(capsys: pytest.CaptureFixture[str], config: str, log: Path) -> None:
    folder = log.parent / "more"
    folder.mkdir()
    (folder / "a.log.gz").write_bytes(gzip.compress(LOG.encode()))
    (folder / ".hidden").write_text(LOG)
    whole = answer(capsys, str(log), str(folder), str(folder / "*.gz"), "--config", config)
    assert (whole["lines"], whole["apps"][0]["transactions"], whole["apps"][0]["users"]) == (10, 6, 2)
    assert [each["file"] for each in whole["skipped"]] == [str(log), str(folder / "a.log.gz")]


def test_standard_input(
    capsys: pytest.CaptureFixture[str], config: str, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    kept = os.dup(0)
    try:
        with log.open("rb") as file:
            os.dup2(file.fileno(), 0)
        assert answer(capsys, "-", "--config", config)["events"] == 4
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def test_processes_change_nothing(
    capsys: pytest.CaptureFixture[str], config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.log"
    path.write_text(LOG * 3000)
    alone = answer(capsys, str(path), "--config", config, "--processes", "1")
    monkeypatch.setattr(discovery_run, "WORTH_A_PROCESS", 1)
    monkeypatch.setattr(discovery_run, "PIECE", 200_000)
    beside = answer(capsys, str(path), "--config", config, "--processes", "2")
    assert beside["apps"] == alone["apps"] and beside["unmatched"] == alone["unmatched"]
    assert beside["skipped"] == alone["skipped"], "lines are counted from the file's first"
    assert {**beside, "confidence": 0, "files": 0} == {**alone, "confidence": 0, "files": 0}


def test_csv_has_no_formula_and_parquet_is_usage(
    capsys: pytest.CaptureFixture[str], config: str, log: Path, tmp_path: Path
) -> None:
    _, out, _ = discover(capsys, str(log), "--format", "csv", "--config", config)
    assert next(csv.DictReader(io.StringIO(out)))["app"] == "dropbox"
    _, out, _ = discover(capsys, str(log), "--format", "csv", "--events", "--config", config)
    assert [row["user"] for row in csv.DictReader(io.StringIO(out))][-1] == "'=cmd()"
    target = tmp_path / "usage.parquet"
    assert discover(capsys, str(log), "--format", "parquet", "--output", str(target), "--config", config)[0] == 0
    assert sum(pq.read_table(target).column("events").to_pylist()) == 3
    events = tmp_path / "events.parquet"
    discover(capsys, str(log), "--format", "parquet", "--events", "--output", str(events), "--config", config)
    assert pq.read_table(events).num_rows == 4


def test_the_table_for_people(capsys: pytest.CaptureFixture[str], config: str, log: Path) -> None:
    status, out, err = discover(capsys, str(log), "--config", config)
    assert (status, err) == (0, "")
    for text in ("Dropbox", "6 medium", "monitored", "33%", "intranet.contoso.example", "xxx x xxxx xx xxx xxx"):
        assert text in out
    assert "not a line" not in out, "skipped lines are masked"


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["missing.log"], 1, "no such file"),
        (["LOG", "--zone", "Nowhere/Land"], 2, "Nowhere"),
        (["LOG", "--since", "soon"], 2, "soon"),
        (["LOG", "--source", "squidd"], 2, "did you mean 'squid'"),
    ],
)
def test_what_goes_wrong_is_told(
    capsys: pytest.CaptureFixture[str], config: str, log: Path, arguments: list[str], status: int, told: str
) -> None:
    named = [str(log) if each == "LOG" else each for each in arguments]
    found, out, err = discover(capsys, *named, "--config", config)
    assert (found, out) == (status, "") and told in err


def test_since(capsys: pytest.CaptureFixture[str], config: str, log: Path) -> None:
    found = answer(capsys, str(log), "--since", "2010-10-08T11:11:51Z", "--config", config)
    assert found["apps"][0]["transactions"] == 1
    assert found["outside"] == {"before the time asked for": 2}
    assert answer(capsys, str(log), "--since", "1d", "--config", config)["apps"] == []


@pytest.mark.parametrize(
    ("text", "shape"),
    [("ab1 Ü=\x1b[31m", "xx9 x=\ufffd[99x"), ("x" * 300, "x" * 89 + "…"), ("", "")],
)
def test_masking(text: str, shape: str) -> None:
    assert masked(text) == shape


def test_a_number_that_no_column_holds_is_capped(capsys: pytest.CaptureFixture[str], config: str, log: Path) -> None:
    log.write_text(LOG.replace(" 507 ", f" {10**30} "))
    found = answer(capsys, str(log), "--config", config)
    assert found["events"] + found["skipped_total"] == 5
    assert all(app["bytes_down"] <= 2**53 for app in found["apps"])


STRANGE = """\
21/11/2026 10:00:01;10.1.2.3;ada;https://www.dropbox.com/upload;120000;320;allowed
21/11/2026 10:00:05;10.1.2.4;bob;https://www.dropbox.com/x;50;9000;allowed
21/11/2026 10:01:01;10.1.2.3;ada;https://www.dropbox.com/y;0;0;blocked
"""


def test_a_parser_is_learned_kept_and_used(capsys: pytest.CaptureFixture[str], config: str, tmp_path: Path) -> None:
    log = tmp_path / "strange.log"
    log.write_text(STRANGE)
    assert answer(capsys, str(log), "--config", config)["events"] == 0
    learned = Path(config, "logparsers", "acme.yaml")
    status, out, err = discover(capsys, str(log), "--learn", "acme", "--output", str(learned), "--config", config)
    assert (status, out) == (0, "") and "look it over" in err
    for more in ([], ["--source", "acme"]):
        found = answer(capsys, str(log), "--config", config, *more)
        assert (found["source"], found["events"], found["skipped"]) == ("acme", 3, [])
    assert found["apps"][0]["bytes_up"] == 120050 and found["apps"][0]["blocked"] == 1
    elsewhere = tmp_path / "elsewhere.yaml"
    learned.rename(elsewhere)
    assert answer(capsys, str(log), "--config", config, "--parser", str(elsewhere))["events"] == 3


def test_own_parsers_work_in_processes(
    capsys: pytest.CaptureFixture[str], config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery_run, "WORTH_A_PROCESS", 0)
    logs = [tmp_path / f"{number}.log" for number in range(3)]
    for log in logs:
        log.write_text(STRANGE)
    Path(config, "logparsers").mkdir()
    arguments = (str(logs[0]), "--learn", "acme", "--output", str(Path(config, "logparsers", "acme.yaml")))
    assert discover(capsys, *arguments)[0] == 0
    assert answer(capsys, *map(str, logs), "--config", config, "--processes", "2")["events"] == 9


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [("one\ntwo\n", "one number of columns"), ("", "no line to learn from")],
)
def test_nothing_can_be_learned_from_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, lines: str, sentence: str
) -> None:
    log = tmp_path / "odd.log"
    log.write_text(lines)
    status, _, err = discover(capsys, str(log), "--learn", "acme")
    assert status == 1 and sentence in err


def test_a_parser_that_is_not_there(capsys: pytest.CaptureFixture[str], log: Path) -> None:
    status, _, err = discover(capsys, str(log), "--parser", "/nowhere/acme.yaml")
    assert status == 2 and "/nowhere/acme.yaml: No such file" in err
