"""Print the JSON Schema of a kind of file, for an editor that completes and checks while you type.

Example:
    casb schema policy
    casb schema casb > casb.schema.json
    casb schema --write policies      (refresh schema.json and the reference in README.md there)

In VS Code (YAML extension), the first line of a policy file names it:
    # yaml-language-server: $schema=schema.json
"""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pydantic
import yaml

from casb.config import schemas
from casb.discovery.policies import FIELDS, Daily, DiscoveryAlert, DiscoveryDocument
from casb.policy.reference import cases_schema, in_manual, policy_schema

KINDS = ("policy", "test", "casb", "app", "ranges")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", choices=KINDS, default="policy", help="kind of file (default: policy)")
    parser.add_argument("--write", metavar="FOLDER", type=Path, help="refresh what is generated in a folder")


def run(arguments: argparse.Namespace) -> int:
    if arguments.write:
        folder: Path = arguments.write
        (folder / "schema.json").write_text(as_text(schema_of("policy")), encoding="utf-8")
        manual = folder / "README.md"
        if manual.is_file():
            manual.write_text(in_manual(manual.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    print(as_text(schema_of(arguments.kind)), end="")
    return 0


def schema_of(kind: str) -> dict[str, Any]:
    """The schema of a kind of file."""
    if kind == "policy":
        return with_discovery(policy_schema())
    if kind == "test":
        return cases_schema()
    return schemas()[kind]


def with_discovery(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a policy file in which discovery policies may stand, too."""
    whole = pydantic.TypeAdapter(list[DiscoveryDocument], config=pydantic.ConfigDict(extra="forbid")).json_schema()
    definitions = {**schema["$defs"], **whole["$defs"]}
    for shape in (DiscoveryDocument, Daily, DiscoveryAlert):
        found = definitions[shape.__name__]
        found["additionalProperties"] = False
        for each in fields(shape):
            described = found["properties"][each.name]
            described["description"] = each.metadata["doc"]
            described["examples"] = [yaml.safe_load(example) for example in each.metadata["examples"]]
            described.pop("title", None)
            if described.get("default") == []:  # An empty list may not be written; it stands for "left out".
                del described["default"]
            if not described["examples"]:
                del described["examples"]
    when = definitions["DiscoveryDocument"]["properties"]["when"]
    when |= {"type": "object", "properties": {name: {} for name in FIELDS}, "additionalProperties": False}
    del when["default"]
    policies = schema["properties"]["policies"]
    policies["items"] = {
        "if": {"properties": {"kind": {"const": "discovery"}}, "required": ["kind"]},
        "then": {"$ref": "#/$defs/DiscoveryDocument"},
        "else": policies["items"],
    }
    return {**schema, "$defs": definitions}


def as_text(schema: dict[str, Any]) -> str:
    """As it is committed: indented, in the order of the shape."""
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"
