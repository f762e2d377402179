"""An error code, or a decision: which policies matched, which conditions, which facts, where, and what would turn it.

Examples:
  casb explain P014
  casb explain 01JQ8Z5V3M4T2N9K7XW0C6HB1D
  casb explain 01JQ8Z5V3M4T2N9K7XW0C6HB1D --format json
  casb explain --given 'activity: download, app: files, device: unmanaged, file: payroll.xlsx'

The id is on the block page and in the X-Casb-Activity header. It is looked for in the local activity log, then at the
sidecar, then among the records that the proxy has not handed over yet. `--given` supposes an activity, written as in
a test case, and asks the policies of the folder.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from casb import codes
from casb.commands._log import HttpLog, add_source_arguments, settings_of, token_of
from casb.commands.activity import clean
from casb.control.snapshot import build_snapshot
from casb.errors import CasbError, Problems
from casb.identity import tokens
from casb.model.logged import from_json
from casb.policy import otherwise
from casb.policy.cases import Given, activity_of
from casb.policy.compile import Policies
from casb.rewrite import codings
from casb.settings import Settings
from casb.sidecar.story import story_of
from casb.store import codes as store_codes
from casb.store.folder import load_draft
from casb.store.records_sqlite import SqliteRecords, database_path
from casb.store.spool import find, spool_folder
from casb.yamlfile import read

_CODE = re.compile(r"[A-Za-z]{1,2}\d{3}")

_SENTENCES = (store_codes.CODES, tokens.CODES, codings.CODES)

type Source = tuple[str, Callable[[], dict[str, Any] | None]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", metavar="CODE|ID", help="an error code such as P014, or an activity id")
    parser.add_argument("--given", metavar="YAML", help="suppose an activity instead: facts as in a test case")
    add_source_arguments(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    if (arguments.what is None) == (arguments.given is None):
        print("name a code or an activity id, or suppose an activity with --given", file=sys.stderr)
        return 2
    if arguments.given is not None:
        return _explain_given(arguments)
    if _CODE.fullmatch(arguments.what):
        return _explain_code(arguments.what.upper(), as_json=arguments.format == "json")
    record, place, troubles = _look_for(arguments)
    if record is None:
        for trouble in troubles:
            print(trouble, file=sys.stderr)
        print(f"there is no activity {clean(arguments.what)}", file=sys.stderr)
        return 1
    again = _again(record, arguments)
    if arguments.format == "json":
        answer = {**explained(record, place), "otherwise": again and otherwise.to_json(again)}
        print(json.dumps(answer, ensure_ascii=False, indent=2))
    else:
        print("\n".join(clean(line) for line in told(record, place)))
        if again:
            print("\n".join(clean(line) for line in ("", *_told_again(record, again))))
    return 0


def _explain_given(arguments: argparse.Namespace) -> int:
    text = f"{{{arguments.given}}}" if not arguments.given.lstrip().startswith("{") else arguments.given
    found = otherwise.explanation(activity_of(read(Given, text.encode(), "--given")), _in_folder(arguments.config))
    if arguments.format == "json":
        print(json.dumps(otherwise.to_json(found), ensure_ascii=False, indent=2))
    else:
        print("\n".join(clean(line) for line in otherwise.told(found)))
    return 0


def _in_folder(folder: str) -> Policies:
    """The folder's policies, apps being known. Raises `Problems`."""
    return build_snapshot(load_draft(folder)).policies


def _again(record: dict[str, Any], arguments: argparse.Namespace) -> otherwise.Explanation | None:
    """The recorded activity under the folder's policies; None when they or the record cannot be used."""
    try:
        return otherwise.explanation(from_json(record), _in_folder(arguments.config))
    except (Problems, CasbError, ValueError):
        return None


def _told_again(record: dict[str, Any], again: otherwise.Explanation) -> Iterator[str]:
    now = otherwise.DONE[again.decision.action]
    if again.decision.action.word == record.get("action") and again.decision.policy == record.get("policy"):
        yield "The policies in the folder decide the same today."
    else:
        by = f" by {again.decision.policy}" if again.decision.policy else ""
        yield f"The policies in the folder decide otherwise today: {now}{by}."
    yield from otherwise.told_otherwise(again)


def _look_for(arguments: argparse.Namespace) -> tuple[dict[str, Any] | None, str, list[str]]:
    """The record, where it was, and what went wrong with the places before."""
    troubles: list[str] = []
    for place, get in _sources(arguments):
        try:
            record = get()
        except CasbError as error:
            troubles.append(f"{place}: {error}")
        else:
            if record is not None:
                return record, place, troubles
    return None, "", troubles


def _sources(arguments: argparse.Namespace) -> Iterator[Source]:
    record_id = arguments.what

    def from_database(settings: Settings) -> dict[str, Any] | None:
        log = SqliteRecords.open(database_path(settings), read_only=True)
        try:
            return log.get(record_id)
        finally:
            log.close()

    def from_sidecar(url: str) -> dict[str, Any] | None:
        log = HttpLog(url, token_of(arguments.token))
        try:
            return log.get(record_id)
        finally:
            log.close()

    if arguments.url:
        yield "sidecar", lambda: from_sidecar(arguments.url)
        return
    settings = settings_of(arguments.config)
    if database_path(settings).exists():
        yield "activity log", lambda: from_database(settings)
    elif token_of(arguments.token) is not None:
        yield "sidecar", lambda: from_sidecar(settings.sidecar_url)
    yield "spool (not handed over yet)", lambda: find(spool_folder(settings), record_id)


def told(record: dict[str, Any], place: str) -> Iterator[str]:
    """The decision in plain words, line by line."""
    story = story_of(record)
    yield story.headline
    yield story.outcome
    if message := record.get("message"):
        yield f"The person was told: {message}"
    yield ""
    for policy in story.policies:
        yield f"{policy.policy}  ({'decided' if policy.decided else 'matched'})"
        for condition in policy.conditions:
            verdict = {"yes": "is", "no": "is not", "unknown": "may or may not be"}.get(
                condition.truth, condition.truth
            )
            yield f"  {condition.place or '-'}: {condition.written or condition.code}"
            yield f"      {verdict} so: {condition.fact or 'no fact'}"
    if not story.policies:
        yield "No policy matched."
    for title, lines in story.facts:
        yield ""
        yield title
        for label, value in lines:
            yield f"  {label + ':':<24} {value}"
    yield ""
    yield f"Activity {record.get('id')} at {record.get('time')}, found in: {place}"
    if version := record.get("policy_version"):
        yield f"Policies: version {version}"


def explained(record: dict[str, Any], place: str) -> dict[str, Any]:
    """The same as data. `record` is complete."""
    story = story_of(record)
    return {
        "id": record.get("id"),
        "found_in": place,
        "headline": story.headline,
        "outcome": story.outcome,
        "action": record.get("action"),
        "policy": record.get("policy"),
        "policies": [
            {
                "policy": each.policy,
                "decided": each.decided,
                "conditions": [
                    {
                        "place": condition.place,
                        "code": condition.code,
                        "condition": condition.written,
                        "fact": condition.fact,
                        "truth": condition.truth,
                    }
                    for condition in each.conditions
                ],
            }
            for each in story.policies
        ],
        "record": record,
    }


def _explain_code(code: str, *, as_json: bool) -> int:
    page = codes.CODES.get(code)
    sentence = page.meaning if page else next((each[code] for each in _SENTENCES if code in each), None)
    if sentence is None:
        print(f"there is no error code {code}", file=sys.stderr)
        return 1
    if as_json:
        facts = {"code": code, "meaning": sentence}
        if page:
            facts |= {"cause": page.cause, "cure": page.cure, "example": page.example}
        print(json.dumps(facts, ensure_ascii=False, indent=2))
    else:
        print(page.page() if page else f"{code}  {sentence}")
    return 0
