"""`casb inspect`: what it prints and makes, and that a folder with types of its own works from one end to the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from casb.cli import main
from casb.control.snapshot import build_snapshot
from casb.store.folder import load

CASB = "suffix: casb.test\ninspection: {exact_match_key: 'file:key.txt'}\n"
TYPES = """\
types:
  - {id: aurora, name: Project Aurora, words: [Aurora]}
  - {id: staff, exact: {digests: staff.digests, like: us-ssn, needed: 1}}
  - {id: form, fingerprint: {digests: form.digests, share: 60}}
"""
POLICY = """\
version: 1
policies:
  - id: own-types
    activities: upload
    action: block
    when: {file: {findings: [aurora, staff, form]}}
"""
FORM = (
    "I hereby apply for parental leave and confirm that I live in one household with the child. I have read the notes "
    "on data protection overleaf and agree that my data are processed for this purpose."
)


@pytest.fixture
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "policies"
    (folder / "info_types").mkdir(parents=True)
    (folder / "casb.yaml").write_text(CASB)
    (folder / "key.txt").write_text("k" * 40)
    (folder / "own.yaml").write_text(POLICY)
    (tmp_path / "staff.csv").write_text("ssn,name\n536-90-4399,Ada Lovelace\n219-09-9998,Eve\n")
    (tmp_path / "form.txt").write_text(FORM)
    (tmp_path / "letter.txt").write_text("Aurora. 536-90-4399 of Ada Lovelace; 219-09-9998.\n" + FORM + "\nEnd.")
    return folder


def lists() -> None:
    staff = ["--exact-list", "staff.csv", "--primary", "ssn", "--supporting", "name", "--config", "policies"]
    assert main(["inspect", *staff, "-o", "policies/info_types/staff.digests"]) == 0
    assert main(["inspect", "--fingerprint", "form.txt", "-o", "policies/info_types/form.digests"]) == 0


def test_types_of_ones_own(policies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists()
    (policies / "info_types" / "own.yaml").write_text(TYPES)
    assert main(["check"]) == 0, capsys.readouterr().out
    capsys.readouterr()
    call = ["inspect", "letter.txt", "--config", "policies", "--for", "aurora,staff,form", "--format", "json", "--fail"]
    assert main(call) == 1
    (told,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert {each["info_type"]: each["count"] for each in told["findings"]} == {"aurora": 1, "staff": 1, "form": 1}
    assert "536-90" not in json.dumps(told)
    assert "Ada" not in (policies / "info_types" / "staff.digests").read_text()
    snapshot = build_snapshot(load(policies))
    assert {each.id for each in snapshot.sought.types} == {"aurora", "staff", "form"}
    assert snapshot.recipe is not None
    assert snapshot.recipe.digest == snapshot.sought.digest


def test_what_is_wrong_with_them(policies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (policies / "info_types" / "own.yaml").write_text("types:\n  - {id: aurora, patterns: [{expression: '(a'}]}\n")
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("policies/info_types/own.yaml:2:42: C141")
    (policies / "info_types" / "own.yaml").write_text("types:\n  - {id: aurora, words: [Aurora]}\n")
    assert main(["check"]) == 1
    assert "policies/own.yaml:6:36: P014 unknown sensitive information type 'staff'" in capsys.readouterr().out


def test_a_file_as_text(policies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("cards.txt").write_text("Visa 4111 1111 1111 1111 and 5555 5555 5555 4444\n")
    assert main(["inspect", "cards.txt", "--for", "credit-card", "--last-four"]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        "cards.txt: text/plain, 49 bytes, sensitive",
        "  credit-card (Payment card number): 2 different, 2 in all, 85 %",
        "    at 5: Visa XXXX XXXX XXXX 1111 and #### #### #### #### cards.txt",
    ]


def test_the_list_of_types(policies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--types"]) == 0
    out = capsys.readouterr().out
    assert "  iban                         International bank account number (IBAN)\n" in out
    assert "validators: aba, " in out
    assert main(["inspect", "--types", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) >= 100


@pytest.mark.parametrize(
    ("call", "status"),
    [
        ([], 2),
        (["letter.txt", "--for", "credit-cart"], 2),
        (["--exact-list", "staff.csv", "-o", "x.digests"], 2),
        (["--exact-list", "gone.csv", "--primary", "ssn", "-o", "x.digests"], 1),
        (["--exact-list", "staff.csv", "--primary", "number", "-o", "x.digests"], 1),
        (["--fingerprint", "staff.csv", "-o", "x.digests"], 1),
        (["--fingerprint", "gone.txt", "-o", "x.digests"], 1),
        (["gone.txt", "--for", "iban"], 1),
    ],
)
def test_calls_that_fail(policies: Path, call: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", *call]) == status
    assert not Path("x.digests").exists()


def test_a_list_needs_a_key(policies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (policies / "casb.yaml").write_text("suffix: casb.test\n")
    assert main(["inspect", "--exact-list", "staff.csv", "--primary", "ssn", "-o", "x.digests"]) == 1
    assert "C144 exact data match needs a key" in capsys.readouterr().err
