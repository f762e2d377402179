"""`casb geo`: the free database of countries."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from casb.cli import main
from casb.commands import geo
from geo_files import KNOWN, countries, package


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "casb.yaml").write_text("version: 1\nsuffix: casb.example\ndata: var\n")
    (tmp_path / "ranges.yaml").write_text(
        "version: 1\nranges: [{name: office, ranges: [193.0.6.0/24], category: corporate, country: DE}]\n"
    )
    return tmp_path


def show(folder: Path, capsys: pytest.CaptureFixture[str], *addresses: str) -> list[str]:
    assert main(["geo", "show", *addresses, "--config", str(folder)]) == 0
    return [line.split(", ")[0] for line in capsys.readouterr().out.splitlines()]


def test_countries_come_from_a_package(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(folder, capsys, "8.8.8.8") == ["8.8.8.8: country not set"]
    made = package(tmp_path / "p.tgz", geo.MEMBER, countries(KNOWN))
    assert main(["geo", "update", "--package", str(made), "--config", str(folder)]) == 0
    assert show(folder, capsys, "8.8.8.8", "2001:4860::1", "10.1.2.3", "193.0.6.139", "9.9.9.9") == [
        "8.8.8.8: country US",
        "2001:4860::1: country US",
        "10.1.2.3: country not set",
        "193.0.6.139: country DE",
        "9.9.9.9: country not set",
    ], "a private address is nowhere, whatever a database says, and our own range knows better"


GOOD = countries(KNOWN)
BAD = {
    "of another name": (("package/other.mmdb", GOOD), "C122"),
    "no database": ((geo.MEMBER, b"not a database"), "C122"),
    "that knows nothing": ((geo.MEMBER, countries({"9.9.9.0/24": "US"})), "C122"),
    "that is wrong": ((geo.MEMBER, countries({**KNOWN, "8.8.8.0/24": "FR"})), "C122"),
    "a link": ((geo.MEMBER, b"", tarfile.SYMTYPE), "C122"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_package_replaces_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    good = package(tmp_path / "good.tgz", geo.MEMBER, GOOD)
    assert main(["geo", "update", "--package", str(good), "--config", str(folder)]) == 0
    parts, code = BAD[name]
    made = package(tmp_path / "bad.tgz", *parts)  # type: ignore[arg-type] # as `package` has them
    assert main(["geo", "update", "--package", str(made), "--config", str(folder)]) == 1
    assert code in capsys.readouterr().err
    assert show(folder, capsys, "8.8.8.8") == ["8.8.8.8: country US"]
    assert [each.name for each in (folder / "var" / "geo").iterdir()] == ["country.mmdb"]


def test_no_package_and_no_npm(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.tgz").write_bytes(b"no archive")
    for name in ("broken.tgz", "nowhere.tgz"):
        assert main(["geo", "update", "--package", str(tmp_path / name), "--config", str(folder)]) == 1
        assert "C122" in capsys.readouterr().err
    monkeypatch.setenv("PATH", "")
    assert main(["geo", "update", "--config", str(folder)]) == 1
    told = capsys.readouterr().err
    assert "C115" in told and "npm" in told
