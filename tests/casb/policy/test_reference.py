"""Schema and manual: fresh, true, and with examples that work."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from casb.commands.schema import as_text, with_discovery
from casb.config import draft
from casb.errors import Problems
from casb.inspection.info_types.custom import load as load_info_types
from casb.policy.cases import check_suite, read_suite, run
from casb.policy.compile import compile_policies
from casb.policy.loader import load
from casb.policy.reference import BEGIN, END, cases_schema, in_manual, policy_schema, reference
from casb.policy.vocabulary import AFTERWARDS, FIELDS, OPERATORS

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "policies"
MANUAL = (SHIPPED / "README.md").read_text(encoding="utf-8")
BROKEN = Path(__file__).parent / "broken"
POLICY = jsonschema.Draft202012Validator(with_discovery(policy_schema()))
TESTS = jsonschema.Draft202012Validator(cases_schema())

NOT_IN_SCHEMA = {
    # What a schema cannot say, or JSON has no notion of.
    "access-policy", "anchor-bomb", "bidi", "bom", "duplicate-id", "duplicate-key", "merge-key", "placeholders",
    "protect-uploads", "python-tag", "regex", "unknown-app", "yes-and-on", "octal-and-time", "deep", "utf-16",
}  # fmt: skip


def test_the_committed_schema_is_fresh() -> None:
    committed = (SHIPPED / "schema.json").read_text(encoding="utf-8")
    assert committed == as_text(with_discovery(policy_schema())), "run: casb schema --write policies"


def test_the_reference_in_the_manual_is_fresh() -> None:
    assert in_manual(MANUAL) == MANUAL, "run: casb schema --write policies"
    assert MANUAL.count(BEGIN) == MANUAL.count(END) == 1


def test_the_reference_names_every_condition_and_operator() -> None:
    text = reference()
    for field in FIELDS:
        assert f"**`{field.code}`**" in text
    for name in OPERATORS:
        assert f"| `{name}` |" in text


@pytest.mark.parametrize("schema", [with_discovery(policy_schema()), cases_schema()], ids=["policy", "test"])
def test_a_schema_is_one(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_policies_fit_the_schema(path: Path) -> None:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "policies" in data:
        POLICY.validate(data)


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("tests/*.yaml")), ids=lambda path: path.name)
def test_shipped_tests_fit_the_schema(path: Path) -> None:
    TESTS.validate(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.code)
def test_examples_of_conditions_fit_the_schema(field: Any) -> None:
    for example in field.examples:
        when = yaml.safe_load(example)
        POLICY.validate({"version": 1, "policies": [{"id": "a", "action": "block", "when": when}]})


@pytest.mark.parametrize("path", sorted(BROKEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_the_loader_refuses_the_schema_refuses_too(path: Path) -> None:
    try:
        data = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError):
        return
    if path.stem not in NOT_IN_SCHEMA:
        assert not POLICY.is_valid(data)


def test_what_yaml_makes_of_no_is_refused_by_the_schema() -> None:
    data = yaml.safe_load("version: 1\npolicies: [{id: a, action: audit, when: {client: {country: NO}}}]")
    assert not POLICY.is_valid(data)


BLOCKS = re.findall(r"^```yaml ?(\w*)\n(.*?)^```$", MANUAL, re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[str]:
    return [text for name, text in BLOCKS if name == kind]


@pytest.mark.parametrize("text", blocks(""), ids=lambda text: text.split("id: ")[1].split("\n")[0])
def test_policies_in_the_manual_load(text: str) -> None:
    loaded = load({"README.md": text.encode()}, known_apps=["files", "flows"])
    assert loaded.policies
    assert loaded.warnings == ()
    POLICY.validate(yaml.safe_load(text))


def test_conditions_in_the_manual_load() -> None:
    lines = [line for text in blocks("when") for line in text.splitlines()]
    assert len(lines) == sum(len(field.examples) for field in FIELDS)
    for line in lines:
        afterwards = any(f"{{{each.partition('.')[2]}:" in line for each in AFTERWARDS)
        kind = "kind: activity, " if afterwards else ""
        load({"README.md": f"version: 1\npolicies: [{{id: a, {kind}action: audit, when: {{{line}}}}}]".encode()})


def test_cases_in_the_manual_pass() -> None:
    for text in blocks("test"):
        suite = read_suite(text.encode(), "README.md")
        texts = {name: (SHIPPED / "tests" / name).read_bytes() for name in suite.policies}
        policies = compile_policies(load(texts).policies)
        assert check_suite(suite, policies) == []
        assert all(outcome.passed for outcome in run(suite, policies))


@pytest.mark.parametrize("keys", blocks("app"), ids=lambda text: text.split(":")[0])
def test_app_keys_in_the_manual_are_understood(keys: str) -> None:
    files = {
        "casb.yaml": b"version: 1\nsuffix: casb.example\n",
        "apps/one.yaml": f"id: one\nname: One\ndomains: [one.example]\n{keys}".encode(),
    }
    assert draft(files, "/etc/casb").errors == ()


@pytest.mark.parametrize("keys", blocks("deployment"), ids=lambda text: text.split(":")[0])
def test_deployment_keys_in_the_manual_are_understood(keys: str) -> None:
    found = draft({"casb.yaml": f"version: 1\nsuffix: casb.example\n{keys}".encode()}, "/etc/casb").errors
    assert [str(each) for each in found if each.code not in ("C104", "C105", "C106", "C110")] == []


def test_info_types_in_the_manual_load() -> None:
    for text in blocks("info_types"):
        assert load_info_types({"info_types/own.yaml": text.encode()})


def test_every_block_of_the_manual_is_one_of_these() -> None:
    assert {name for name, _ in BLOCKS} == {"", "when", "test", "app", "deployment", "info_types"}


def test_the_manual_without_a_reference_stays_as_it_is() -> None:
    assert in_manual("# Mine\n") == "# Mine\n"


def test_the_schema_is_small_enough_for_an_editor() -> None:
    assert len(json.dumps(policy_schema())) < 200_000


def test_examples_in_the_schema_are_refused_when_wrong() -> None:
    with pytest.raises(Problems):
        load({"a": b"version: 1\npolicies: [{id: a, action: audit, when: {device: nope}}]"})
