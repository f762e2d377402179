"""Attaching writes one line, only where the whole folder stays valid, and only after it was noted."""

from __future__ import annotations

from pathlib import Path

import pytest

from casb.errors import ConfigError, Problems, StoreError
from casb.store.attach import Attached, attach

FILES = "id: files\nname: Files  # everybody's\ndomains:\n  - files.acme.example\n"
OTHER = "id: other\nname: Other\ndomains: [other.acme.example]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "apps").mkdir()
    (tmp_path / "casb.yaml").write_text("suffix: casb.test\n")
    (tmp_path / "apps/files.yaml").write_text(FILES)
    (tmp_path / "apps/other.yaml").write_text(OTHER)
    return tmp_path


def test_a_host_is_attached_and_noted_first(folder: Path) -> None:
    noted: list[tuple[Attached, str]] = []
    path = folder / "apps/files.yaml"
    path.chmod(0o640)
    done = attach(folder, "CDN.Acme.Example.", "files", lambda each: noted.append((each, path.read_text())))
    assert (done.domain, done.changed) == ("cdn.acme.example", True)
    assert noted == [(done, FILES)]
    assert path.read_text() == FILES + "  - cdn.acme.example\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert (folder / "apps/other.yaml").read_text() == OTHER


def test_what_it_has_already_is_left_alone(folder: Path) -> None:
    assert attach(folder, "files.acme.example", "files", lambda _: pytest.fail("nothing to note")).changed is False


@pytest.mark.parametrize(
    ("host", "app", "code"),
    [
        ("https://x.example/", "files", "C112"),
        ("*.com", "files", "C112"),
        ("x.example", "nobody", "C128"),
    ],
)
def test_refusals(folder: Path, host: str, app: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        attach(folder, host, app, lambda _: pytest.fail("nothing to note"))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("host", "code"), [("other.acme.example", "C113"), ("a.casb.test", "C108"), ("*.github.io", "C112")]
)
def test_what_would_break_the_folder_is_not_written(folder: Path, host: str, code: str) -> None:
    with pytest.raises(Problems) as caught:
        attach(folder, host, "files", lambda _: pytest.fail("nothing to note"))
    assert [each.code for each in caught.value.errors] == [code]
    assert (folder / "apps/files.yaml").read_text() == FILES


def test_a_broken_folder_is_not_touched(folder: Path) -> None:
    (folder / "apps/other.yaml").write_text("id: other\n")
    with pytest.raises(Problems):
        attach(folder, "x.example", "files", lambda _: None)
    assert (folder / "apps/files.yaml").read_text() == FILES


def test_no_audit_log_no_change(folder: Path) -> None:
    def refuse(_: Attached) -> None:
        raise StoreError("K004", "the disk is full")

    with pytest.raises(StoreError):
        attach(folder, "x.example", "files", refuse)
    assert (folder / "apps/files.yaml").read_text() == FILES


def test_somebody_elses_edit_meanwhile_is_not_lost(folder: Path) -> None:
    path = folder / "apps/files.yaml"

    def edit(_: Attached) -> None:
        path.write_text(FILES + "# new\n")

    with pytest.raises(ConfigError, match="changed meanwhile"):
        attach(folder, "x.example", "files", edit)
    assert path.read_text() == FILES + "# new\n"
