"""What is in a file: its type, label, oddities and the sensitive information in its text, masked.

Example:
    casb inspect report.xlsx --config policies
    casb inspect *.csv --for credit-card,secret --format json
    casb inspect --types
    casb inspect --types --own --config policies
    casb inspect --exact-list staff.csv --primary ssn --supporting name,birthday --config policies \\
        -o policies/info_types/staff.digests
    casb inspect --fingerprint contract.docx -o policies/info_types/contract.digests

Every type there is is looked for; `--for` names some of them, or categories. Values are never printed whole, and never
kept. `--exact-list` and `--fingerprint` make the lists that types of `info_types/*.yaml` name: digests, nothing else.
Exit status: 0 done, 1 a file could not be read or something was found and --fail is given, 2 the call is wrong.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from casb.control.snapshot import load_info_types
from casb.errors import ConfigError, ContentError, Problems, Where
from casb.inspection.info_types import compile_spec, exact, shingles
from casb.inspection.info_types.checks import CHECKS
from casb.inspection.info_types.shape import InfoType, Spec
from casb.inspection.info_types.shipped import chosen, shipped
from casb.inspection.scan import scan
from casb.inspection.spec import TextScan
from casb.model.file import FileFacts, Finding, VerdictStatus
from casb.model.info_types import CATEGORIES
from casb.store.folder import load_draft
from casb.yamlfile import did_you_mean


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", metavar="FILE", type=Path, help="files to look into")
    parser.add_argument("--config", metavar="DIR", type=Path, help="configuration folder, for types of its own")
    parser.add_argument("--for", dest="wanted", metavar="TYPES", default="", help="types or categories, with commas")
    parser.add_argument("--last-four", action="store_true", help="show the last four characters of what is found")
    parser.add_argument("--fail", action="store_true", help="exit with 1 when something is found")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how stdout is written")
    parser.add_argument("--types", action="store_true", help="list the types, categories and validators")
    parser.add_argument("--own", action="store_true", help="with --types: those of the configuration folder alone")
    parser.add_argument("--exact-list", metavar="TABLE", type=Path, help="make a list of exact data match from a CSV")
    parser.add_argument("--primary", metavar="COLUMN", help="the column whose values are looked for")
    parser.add_argument(
        "--supporting", metavar="COLUMNS", default="", help="columns that may stand nearby, with commas"
    )
    parser.add_argument("--fingerprint", metavar="FILE", type=Path, help="make a fingerprint of a document")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="where the list is written")


def run(arguments: argparse.Namespace) -> int:
    if arguments.types:
        return _types(arguments)
    if arguments.exact_list or arguments.fingerprint:
        return _make(arguments)
    if not arguments.files:
        print("name a file, or --types; see casb inspect --help", file=sys.stderr)
        return 2
    types = {**shipped(), **_own(arguments.config)}
    names = [name.strip() for name in arguments.wanted.split(",") if name.strip()] or list(types)
    for name in names:
        if name not in types and name not in CATEGORIES:
            print(f"there is no type '{name}'; {did_you_mean(name, (*types, *CATEGORIES))}", file=sys.stderr)
            return 2
    matcher = compile_spec(Spec(types=chosen(names, types), last_four=arguments.last_four))
    failed = found = False
    for path in arguments.files:
        facts = scan(path, path.name, matcher=matcher)
        found |= bool(facts.verdict and facts.verdict.findings)
        failed |= bool(facts.verdict and facts.verdict.status is VerdictStatus.UNSCANNABLE)
        if arguments.format == "json":
            print(json.dumps(_json(path, facts), ensure_ascii=False))
        else:
            _print(path, facts, types)
    return 1 if failed or (found and arguments.fail) else 0


def _own(config: Path | None) -> Mapping[str, InfoType]:
    """The types of a configuration folder, with their lists. Raises `Problems`."""
    if config is None:
        return {}
    draft = load_draft(config, secrets=True)
    if draft.errors:
        raise Problems(list(draft.errors))
    return load_info_types(draft)


# --- what is shown


def _json(path: Path, facts: FileFacts) -> dict[str, Any]:
    verdict = facts.verdict
    return {
        "file": str(path),
        "size": facts.size,
        "detected_type": facts.detected_type,
        "sha256": facts.sha256,
        "label": facts.label,
        "signs": sorted(facts.signs),
        "status": verdict.status if verdict else None,
        "why": verdict.why if verdict else "",
        "findings": [_finding(each) for each in verdict.findings] if verdict else [],
    }


def _finding(each: Finding) -> dict[str, Any]:
    return {
        "info_type": each.info_type,
        "count": each.count,
        "total": each.total,
        "confidence": each.confidence,
        "levels": {str(level): count for level, count in each.levels},
        "places": [{"offset": offset, "excerpt": excerpt} for offset, excerpt in each.places],
    }


def _print(path: Path, facts: FileFacts, types: Mapping[str, InfoType]) -> None:
    verdict = facts.verdict
    why = f": {verdict.why}" if verdict and verdict.why else ""
    print(f"{path}: {facts.detected_type}, {facts.size} bytes, {verdict.status if verdict else 'not read'}{why}")
    if facts.label:
        print(f"  label: {facts.label}")
    if facts.signs:
        print(f"  signs: {', '.join(sorted(facts.signs))}")
    for each in verdict.findings if verdict else ():
        name = types[each.info_type].name
        print(f"  {each.info_type} ({name}): {each.count} different, {each.total} in all, {each.confidence} %")
        for offset, excerpt in each.places[:3]:
            print(f"    at {offset}: {' '.join(excerpt.split())}")


def _types(arguments: argparse.Namespace) -> int:
    own = _own(arguments.config)
    types = own if arguments.own else {**shipped(), **own}
    if arguments.format == "json":
        print(json.dumps([_described(each) for each in types.values()], ensure_ascii=False, indent=2))
        return 0
    for category in (*CATEGORIES, "custom"):
        of_it = [each for each in types.values() if each.category == category]
        if of_it:
            print(f"{category}: {CATEGORIES.get(category, 'of this organisation')}")
        for each in of_it:
            words = f", with one of {len(each.keywords)} keywords nearby" if each.patterns and each.keywords else ""
            print(f"  {each.id:<28} {each.name}{f' ({each.region})' if len(each.region) == 2 else ''}{words}")
    if not arguments.own:
        print(f"validators: {', '.join(sorted(CHECKS))}, and python-stdnum's (de.idnr, gb.nhs, …)")
    return 0


def _described(each: InfoType) -> dict[str, Any]:
    return {
        "id": each.id,
        "name": each.name,
        "category": each.category,
        "region": each.region,
        "doc": each.doc,
        "keywords": list(each.keywords),
        "patterns": [
            {"expression": way.expression, "check": way.check, "alone": way.alone, "near": way.near}
            for way in each.patterns
        ],
    }


# --- lists


def _make(arguments: argparse.Namespace) -> int:
    if arguments.output is None or (arguments.exact_list and not arguments.primary):
        print("give -o FILE, and --primary COLUMN for a table", file=sys.stderr)
        return 2
    if arguments.exact_list:
        data = _exact_list(arguments)
    else:
        data = shingles.packed(_text_of(arguments.fingerprint))
    try:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        draft = arguments.output.with_name(f".{arguments.output.name}.new")
        draft.write_bytes(data)
        os.replace(draft, arguments.output)
    except OSError as error:
        raise ContentError("F010", f"{arguments.output} cannot be written: {error.strerror}") from None
    print(f"{arguments.output}: {len(data)} bytes", file=sys.stderr)
    return 0


def _exact_list(arguments: argparse.Namespace) -> bytes:
    settings = load_draft(arguments.config or Path("policies"), secrets=True).settings
    key = settings.inspection.exact_match_key if settings is not None else None
    if key is None:
        hint = "write inspection: {exact_match_key: env:NAME} in casb.yaml"
        raise ConfigError("C144", "exact data match needs a key", Where(file=str(arguments.config or "policies")), hint)
    supporting = [name.strip() for name in arguments.supporting.split(",") if name.strip()]
    try:
        with arguments.exact_list.open(newline="", encoding="utf-8-sig") as table:
            return exact.packed(
                csv.DictReader(table), primary=arguments.primary, supporting=supporting, key=key.reveal().encode()
            )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ContentError("F204", f"{arguments.exact_list} cannot be read: {error}") from None


class _Listener:
    """A matcher that keeps the text instead of searching it."""

    def __init__(self) -> None:
        self.text = b""

    def begin(self, *, spans: bool = False) -> TextScan:
        return self

    def feed(self, text: bytes) -> None:
        self.text += text

    def findings(self) -> tuple[Finding, ...]:
        return ()

    def finish(self) -> tuple[Finding, ...]:
        return ()

    def take_spans(self) -> tuple[()]:
        return ()

    @property
    def settled(self) -> int:
        return len(self.text)


def _text_of(path: Path) -> str:
    heard = _Listener()
    verdict = scan(path, path.name, matcher=heard).verdict
    if verdict is None or verdict.status is VerdictStatus.UNSCANNABLE:
        raise ContentError("F101", f"{path} cannot be read: {verdict.why if verdict else 'unknown'}")
    return heard.text.decode("utf-8", "replace")
