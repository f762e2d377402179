"""The organisation's own log parsers: used beside the shipped ones, and kept while an edit is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from casb.discovery import PARSERS
from casb.discovery.custom import with_custom
from casb.errors import Problems
from casb.store.log_parsers import OwnParsers, texts_of

ACME = """\
name: acme
format: csv
delimiter: semicolon
columns: [stamp, ip, user, url, up, down, what]
time: {column: stamp, format: "%d/%m/%Y %H:%M:%S"}
fields: {client_ip: ip, user: user, url: url, bytes_up: up, bytes_down: down, action: what}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "logparsers").mkdir()
    (tmp_path / "logparsers" / "acme.yaml").write_text(ACME)
    return tmp_path


def test_they_stand_beside_the_shipped_ones(folder: Path) -> None:
    own = OwnParsers(folder)
    assert set(own.parsers()) == {*PARSERS, "acme"}
    assert own.parsers().find("squid") is PARSERS["squid"]


def test_without_any_there_are_the_shipped_ones(tmp_path: Path) -> None:
    assert OwnParsers(tmp_path).parsers() is PARSERS
    assert OwnParsers(None).parsers() is PARSERS
    assert texts_of(tmp_path / "nowhere") == ()


def test_a_broken_edit_changes_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    own, file = OwnParsers(folder), folder / "logparsers" / "acme.yaml"
    before = own.parsers()
    file.write_text("name: acme\n")
    assert own.parsers() is before
    assert "key 'fields' is missing" in caplog.text
    file.write_text(ACME.replace("name: acme", "name: acme-two"))
    assert "acme-two" in own.parsers() and "acme" not in own.parsers()
    file.unlink()
    assert own.parsers() is PARSERS


@pytest.mark.parametrize("name", ["squid", "SQUID", "acme"])
def test_a_name_counts_once(folder: Path, name: str) -> None:
    (folder / "logparsers" / "second.yaml").write_text(ACME.replace("name: acme", f"name: {name.lower()}"))
    with pytest.raises(Problems) as caught:
        with_custom(texts_of(folder))
    assert f"second.yaml: C017 there is a log parser '{name.lower()}' already" in str(caught.value)


def test_odd_files_are_left_out(folder: Path) -> None:
    for name in (".hidden.yaml", "notes.txt"):
        (folder / "logparsers" / name).write_text("{")
    (folder / "logparsers" / "folder.yaml").mkdir()
    assert [name.rpartition("/")[2] for name, _ in texts_of(folder)] == ["acme.yaml"]
