"""`casb new`: every template is whole, and what it makes is good from the first moment."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from casb.cli import main
from casb.commands.new import templates
from casb.commands.schema import schema_of
from casb.control.discovery_words import words
from casb.discovery.policies import load

TEMPLATES = [each.id for each in templates() if each.cases]
DISCOVERY = [each.id for each in templates() if not each.cases]


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new"]) == 0
    assert "no-downloads-for-guests                  Guests may read, not take away." in capsys.readouterr().out
    assert main(["new", "--format", "json"]) == 0
    told = {each["id"]: each for each in json.loads(capsys.readouterr().out)}
    assert told["no-downloads-for-guests"]["does"] == "blocks download in every app when user: {is_guest: true}"


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_good_and_well_tested(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("policies").mkdir()
    assert main(["new", name, "--id", "mine", "--apps", "files"]) == 0
    assert main(["check"]) == 0
    assert "warning" not in capsys.readouterr().out
    assert main(["test", "--coverage", "--mutate"]) == 0
    out, _ = capsys.readouterr()
    survived = [line for line in out.splitlines() if line.startswith(("uncovered", "survived"))]
    assert [line for line in survived if "apps is left out" not in line] == []


def test_the_discovery_templates_are_those_of_the_reference_product_and_one() -> None:
    assert len(DISCOVERY) == 16
    policies = {name: load({name: _text(name)}, words())[0] for name in DISCOVERY}
    floors = {"users": 50, "traffic": 50 * 1024**2}
    own = {
        "new-high-volume-app": {"traffic": 500 * 1024**2},
        "new-high-upload-volume-app": {"uploads": 500 * 1024**2},
        "new-popular-app": {"users": 500},
    }
    assert {name: dict(each.thresholds) for name, each in policies.items()} == {
        name: own.get(name, floors) for name in DISCOVERY
    }
    assert {each.daily_limit for each in policies.values()} == {5}
    checked = {
        row.field.removeprefix("factor.")
        for row in policies["crm-compliance-check"].conditions
        if row.op == "not_equals"
    }
    assert checked == {"soc_2", "ssae_16", "isae_3402", "iso_27001", "hipaa"}


def _text(name: str) -> bytes:
    return next(each.policy.encode() for each in templates() if each.id == name)


@pytest.mark.parametrize("name", DISCOVERY)
def test_a_discovery_template_is_good(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("policies").mkdir()
    assert main(["new", name, "--id", "mine"]) == 0
    assert main(["check"]) == 0
    out, err = capsys.readouterr()
    assert "warning" not in out
    assert "1 files, 1 policies: all well" in err
    jsonschema.Draft202012Validator(schema_of("policy")).validate(
        yaml.safe_load(Path("policies/mine.yaml").read_text())
    )
    assert main(["new", name, "--id", "other", "--apps", "files"]) == 1


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "monitor-everything", "--config", str(tmp_path)]) == 0
    before = (tmp_path / "monitor-everything.yaml").read_bytes()
    assert main(["new", "monitor-everything", "--config", str(tmp_path)]) == 1
    assert "P063" in capsys.readouterr().err
    assert (tmp_path / "monitor-everything.yaml").read_bytes() == before
    (tmp_path / "others.yaml").write_text("version: 1\npolicies:\n  - id: taken\n    action: audit\n")
    assert main(["new", "monitor-everything", "--id", "taken", "--config", str(tmp_path)]) == 1
    assert not (tmp_path / "taken.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["no-downloads-for-guest"], "did you mean 'no-downloads-for-guests'?"),
        (["monitor-everything", "--id", "No Good"], "P038"),
    ],
)
def test_what_cannot_be_made(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", *arguments, "--config", str(tmp_path)]) == 1
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
