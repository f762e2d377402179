"""`casb schema`: every kind is a JSON Schema; `--write` refreshes a folder."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from casb.cli import main
from casb.commands.schema import KINDS
from casb.policy.reference import BEGIN, END


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_schema(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", kind]) == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


def test_policy_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    main(["schema"])
    assert json.loads(capsys.readouterr().out)["title"] == "casb policy file"


def test_write_refreshes_what_is_generated(tmp_path: Path) -> None:
    assert main(["schema", "--write", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "schema.json").read_text())["title"] == "casb policy file"
    assert not (tmp_path / "README.md").exists()
    (tmp_path / "README.md").write_text(f"# Mine\n{BEGIN}\nold\n{END}\nand more\n")
    main(["schema", "--write", str(tmp_path)])
    text = (tmp_path / "README.md").read_text()
    assert text.startswith(f"# Mine\n{BEGIN}\n\n### Keys of a policy")
    assert text.endswith(f"{END}\nand more\n")
