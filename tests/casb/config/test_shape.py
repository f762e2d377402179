from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from casb.config.shape import schemas

POLICIES = Path(__file__).parents[3] / "policies"


def faults(name: str, text: str) -> list[str]:
    return [
        error.message for error in jsonschema.Draft202012Validator(schemas()[name]).iter_errors(yaml.safe_load(text))
    ]


@pytest.mark.parametrize("name", ["casb", "app", "ranges"])
def test_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas()[name])


@pytest.mark.parametrize(
    ("name", "file"),
    [("casb", "casb.yaml"), ("app", "apps/files.yaml"), ("app", "apps/flows.yaml"), ("ranges", "ranges.yaml")],
)
def test_shipped_files_fit(name: str, file: str) -> None:
    assert faults(name, (POLICIES / file).read_text()) == []


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("casb", "{}", "'suffix' is a required property"),
        ("casb", "{suffix: a, sufix: b}", "'sufix' was unexpected"),
        ("casb", "{suffix: a, session: {idel: 1m}}", "idel"),
        ("app", "{id: a, name: A}", "'domains' is a required property"),
        ("app", "{id: a, name: A, domains: [a.example], tag: good}", "good"),
        ("app", "apps: [{id: a, name: A}]", "'domains' is a required property"),
        ("ranges", "ranges: [{name: a, ranges: [10.0.0.1], category: nice}]", "'nice' is not one of"),
    ],
)
def test_what_does_not_fit(name: str, text: str, word: str) -> None:
    assert any(word in fault for fault in faults(name, text))


def test_every_key_says_what_it_is_for() -> None:
    silent = []

    def walk(place: str, node: Any) -> None:
        if isinstance(node, dict):
            for key, each in node.get("properties", {}).items():
                if "description" not in each and place + key not in ("ProviderShape.id",):
                    silent.append(place + key)
            for key, each in node.get("$defs", {}).items():
                walk(f"{key}.", each)

    for name, schema in schemas().items():
        walk(f"{name}.", schema)
    assert silent == []
