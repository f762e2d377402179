"""JSON Schema and the reference part of the manual, both made from the shape and the vocabulary."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import pydantic
import yaml

from casb.policy import document, findings
from casb.policy.cases import CaseFile
from casb.policy.message import PLACEHOLDERS
from casb.policy.vocabulary import (
    DEFAULT_FIELD,
    FIELDS,
    GROUP_DOCS,
    GROUPS,
    OPERATORS,
    OPERATORS_OF,
    TREE_DOCS,
    Field,
    Kind,
)

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SHAPES = (
    document.PolicyFile,
    document.PolicyDocument,
    document.Coach,
    document.Redact,
    document.Protect,
    document.StepUp,
    document.AlertDetails,
    document.Canary,
    document.Budget,
    document.Schedule,
)


def policy_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a policy file."""
    schema = _schema(document.PolicyFile, "casb policy file")
    definitions = schema["$defs"]
    for shape in _SHAPES[1:]:
        _describe(shape, definitions[shape.__name__])
    _describe(document.PolicyFile, schema)
    policy = definitions["PolicyDocument"]["properties"]
    policy["when"] = {"$ref": "#/$defs/when", "description": policy["when"]["description"]}
    policy["id"]["pattern"] = "^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$"
    definitions["StepUp"]["properties"]["context"]["pattern"] = "^c[1-9][0-9]?$"
    definitions["when"] = _when()
    definitions.update({group: _group(group) for group in GROUPS})
    definitions.update({f"value.{each.code}": _value(each) for each in FIELDS})
    return schema


def cases_schema() -> dict[str, Any]:
    """JSON Schema of a `*_test.yaml`."""
    return _schema(CaseFile, "casb policy tests")


def _schema(shape: Any, title: str) -> dict[str, Any]:
    # A list around the shape, as in `yamlfile`: only then does the configuration reach plain dataclasses below it.
    whole = pydantic.TypeAdapter(list[shape], config=pydantic.ConfigDict(extra="forbid")).json_schema()
    definitions = whole.pop("$defs")
    for definition in definitions.values():
        if definition.get("type") == "object":
            definition.setdefault("additionalProperties", False)
        definition.pop("title", None)
        for each in definition.get("properties", {}).values():
            each.pop("title", None)
            if each.get("examples") == []:
                del each["examples"]
            if each.get("default") == []:  # An empty list may not be written; it stands for "left out".
                del each["default"]
    root = definitions.pop(whole["items"]["$ref"].rpartition("/")[2])
    return {"$schema": _DRAFT, "title": title, **root, "$defs": definitions}


def _describe(shape: Any, schema: dict[str, Any]) -> None:
    for each in fields(shape):
        found = schema["properties"][each.name]
        found["description"] = each.metadata["doc"]
        examples = [yaml.safe_load(example) for example in each.metadata["examples"]]
        if examples:
            found["examples"] = examples


def _when() -> dict[str, Any]:
    nested = {"$ref": "#/$defs/when"}
    several = {"type": "array", "items": nested, "minItems": 1}
    trees: dict[str, Any] = {"all": dict(several), "any": dict(several), "not": {"anyOf": [nested, several]}}
    for name, schema in trees.items():
        schema["description"] = TREE_DOCS[name]
    groups = {group: {"$ref": f"#/$defs/{group}", "description": GROUP_DOCS[group]} for group in GROUPS}
    return {
        "type": "object",
        "description": "Conditions that must all hold.",
        "properties": {**groups, **trees},
        "additionalProperties": False,
    }


def _group(group: str) -> dict[str, Any]:
    each = {name: _field(field) for name, field in GROUPS[group].items()}
    of_fields = {"type": "object", "properties": each, "additionalProperties": False, "minProperties": 1}
    return {"anyOf": [of_fields, _field(GROUPS[group][DEFAULT_FIELD[group]])]}


def _field(each: Field) -> dict[str, Any]:
    value = {"$ref": f"#/$defs/value.{each.code}"}
    if each.kind is Kind.FLAG:
        return {**value, "description": each.doc}
    if each.kind is Kind.FINDINGS:
        return {**value, "description": each.doc, "examples": [_inner(each, text) for text in each.examples]}
    operators = {name: _operator(name, value) for name in OPERATORS_OF[each.kind]}
    by_operator = {"type": "object", "properties": operators, "additionalProperties": False, "minProperties": 1}
    shapes: list[dict[str, Any]] = [by_operator]
    if "any_of" in OPERATORS_OF[each.kind]:
        shapes = [value, {"type": "array", "items": value, "minItems": 1}, by_operator]
    return {"description": each.doc, "anyOf": shapes, "examples": [_inner(each, text) for text in each.examples]}


def _inner(each: Field, example: str) -> Any:
    """The field's own part of an example, which is written as a whole `when`."""
    value = yaml.safe_load(example)[each.group]
    return value[each.name] if isinstance(value, dict) and each.name in value else value


def _value(each: Field) -> dict[str, Any]:
    match each.kind:
        case Kind.FLAG:
            return {"type": "boolean"}
        case Kind.NUMBER:
            return {"type": "number"}
        case Kind.SIZE:
            return {
                "anyOf": [
                    {"type": "integer", "minimum": 0},
                    {"type": "string", "pattern": r"^[0-9.]+ ?[KMGkmg]?i?[Bb]?$"},
                ]
            }
        case Kind.FINDINGS:
            return _findings()
        case Kind.MEDIA:
            return {"anyOf": [{"enum": list(each.words)}, {"type": "string", "pattern": "/"}]}
    if each.words:
        return {"enum": [str(word) for word in each.words]}
    return {"type": "string", "minLength": 1}


def _findings() -> dict[str, Any]:
    name: dict[str, Any] = {"anyOf": [{"enum": sorted(findings.KNOWN)}, {"type": "string", "minLength": 1}]}
    count = {"type": "integer", "minimum": 0}
    bounds: dict[str, Any] = {bound: count for bound in findings.BOUNDS}
    level = {"enum": list(findings.CONFIDENCE)}
    bounded = {"type": "object", "properties": {**bounds, "confidence": level}, "additionalProperties": False}
    return {
        "anyOf": [
            name,
            {"type": "array", "items": name, "minItems": 1},
            {"type": "object", "additionalProperties": {"anyOf": [count, bounded]}, "minProperties": 1},
        ]
    }


def _operator(name: str, value: dict[str, Any]) -> dict[str, Any]:
    doc = {"description": OPERATORS[name].doc}
    if name == "is_set":
        return {"type": "boolean", **doc}
    if name in ("at_least", "at_most", "more_than", "less_than"):
        return {**value, **doc}
    plain = value if name in ("any_of", "not") else {"type": "string", "minLength": 1}
    return {"anyOf": [plain, {"type": "array", "items": plain, "minItems": 1}], **doc}


# --- the manual

BEGIN = "<!-- reference: made by `casb schema --write policies`; do not edit below -->"
END = "<!-- end of reference -->"


def in_manual(text: str) -> str:
    """The manual with its reference part made anew."""
    pattern = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.DOTALL)
    return pattern.sub(lambda _: f"{BEGIN}\n\n{reference()}\n{END}", text)


def reference() -> str:
    """The reference part of the manual, Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "### Keys of a policy\n"
    yield "| key | | default |"
    yield "|---|---|---|"
    for each in fields(document.PolicyDocument):
        example = f" Example: `{each.metadata['examples'][0]}`." if each.metadata["examples"] else ""
        yield f"| `{each.name}` | {each.metadata['doc']}{example} | {_default(each.name, each.default)} |"
    yield f"\nPlaceholders of `message`: {', '.join(f'`{{{name}}}` {text}' for name, text in PLACEHOLDERS.items())}.\n"
    yield "### Conditions\n"
    for group in GROUPS:
        yield f"#### `{group}`\n"
        yield f"{GROUP_DOCS[group]}\n"
        for field in GROUPS[group].values():
            yield from _field_lines(field)
    yield "### Operators\n"
    yield "A value or a list alone means `any_of`. Several operators together must all hold.\n"
    yield "| operator | | for | example |"
    yield "|---|---|---|---|"
    for operator in OPERATORS.values():
        kinds = ", ".join(kind.value for kind, names in OPERATORS_OF.items() if operator.name in names)
        yield f"| `{operator.name}` | {operator.doc} | {kinds} | `{operator.example}` |"
    yield "\n### Trees\n"
    for name, text in TREE_DOCS.items():
        yield f"- `{name}`: {text}"
    yield ""


_DEFAULTS: Mapping[str, str] = {
    "id": "must be given",
    "action": "must be given",
    "name": "the id",
    "apps": "every app",
    "activities": "every one but `logon`",
    "when": "always",
    "description": "",
    "message": "",
}


def _default(name: str, value: Any) -> str:
    if name in _DEFAULTS:
        return _DEFAULTS[name]
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _field_lines(each: Field) -> Iterator[str]:
    yield f"**`{each.code}`** ({each.kind.value}{', several' if each.many else ''}) — {each.doc}"
    if each.words and len(each.words) < 20:
        yield f"Words: {', '.join(f'`{word}`' for word in each.words)}."
    yield "\n```yaml when"
    yield from each.examples
    yield "```\n"
