"""Every error of every policy, test and configuration file, with file, line, column, code and hint.

Example:
    casb check policies
    casb check policies/finance.yaml --format json
    casb check --watch

With --watch the files are checked again whenever one of them is saved, until Ctrl-C.
Exit status: 0 all files can be used (warnings aside), 1 there are errors, 2 the call is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from casb.commands import _policy_files as files
from casb.config import Draft
from casb.control.discovery_policies import discovery_policies
from casb.control.snapshot import beside_policies, known_to
from casb.discovery.custom import with_custom
from casb.errors import CasbError, PolicyError, Problems
from casb.inspection.info_types.custom import FOLDER
from casb.inspection.info_types.custom import load as load_own
from casb.policy.cases import Suite, check_suite, read_suite
from casb.policy.cases import run as run_suite
from casb.policy.compile import Policies, compile_policies
from casb.policy.exceptions import FOLDER as EXCEPTIONS
from casb.policy.exceptions import collect
from casb.policy.loader import LoadedPolicy, load
from casb.policy.rollout import expired
from casb.policy.suspicions import overlaps, suspicions
from casb.store import log_parsers
from casb.store.exceptions import verifier
from casb.store.folder import fingerprint, load_draft, read_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="*", metavar="PATH", help="folders or files (default: policies)")
    parser.add_argument("--overlaps", action="store_true", help="also tell which policies refuse the same activities")
    parser.add_argument("--watch", action="store_true", help="check again whenever a file is saved")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how stdout is written")


def run(arguments: argparse.Namespace) -> int:
    if not arguments.watch:
        return _check(arguments)
    status = 0
    for _ in _saves(arguments.paths or ["policies"]):
        if sys.stdout.isatty():
            print("\x1b[2J\x1b[H", end="")
        status = _check(arguments)
        sys.stdout.flush()
        print(f"watching since {datetime.now().astimezone():%H:%M:%S}; Ctrl-C ends", file=sys.stderr)
    return status


def _saves(paths: list[str], pause: float = 0.3) -> Iterator[None]:
    """Once at first, then after each change of a file that the paths stand for."""
    seen: object = None
    while True:
        found = files.find(paths)
        watched = [*found.policies.values(), *found.tests.values()]
        state = (
            [fingerprint(folder) for folder in found.folders],
            [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in watched if path.exists()],
        )
        if state != seen:
            seen = state
            yield
        time.sleep(pause)


def _check(arguments: argparse.Namespace) -> int:
    found = files.find(arguments.paths or ["policies"])
    errors, warnings = list(found.errors), list[CasbError]()
    known: Draft | None = None
    for folder in found.folders:
        known = _deployment(folder, errors)
        _log_parsers(folder, errors)
    loaded = _policies(found, errors, warnings, known, _info_types(found, errors))
    watching = discovery_policies(files.read(found.policies, []), loaded, errors)
    for folder in found.folders:
        _exceptions(folder, loaded, errors, warnings)
    suites = _suites(found, errors)
    if not errors:
        active = compile_policies(loaded).all
        warnings += [*_over(loaded), *suspicions(active), *_without_test(loaded, suites)]
        warnings += overlaps(active) if arguments.overlaps else ()
    count = len(found.policies) + len(found.tests)
    _print(arguments.format, errors, warnings, f"{count} files, {len(loaded) + len(watching)} policies")
    return 1 if errors else 0


def _policies(
    found: files.Found,
    errors: list[CasbError],
    warnings: list[CasbError],
    known: Draft | None,
    info_types: Collection[str] | None,
) -> tuple[LoadedPolicy, ...]:
    texts = files.read(found.policies, errors)
    try:
        loaded = load(texts, **known_to(known, info_types)) if known else load(texts, info_types=info_types)
    except Problems as problems:
        errors += problems.errors
        return ()
    warnings += loaded.warnings
    return loaded.policies


def _info_types(found: files.Found, errors: list[CasbError]) -> Collection[str] | None:
    """The sensitive information types of the folders that are checked, or that files stand in; None when they are
    wrong. Lists of exact data match are not looked into: their key is a secret."""
    own: list[str] = []
    before = len(errors)
    for folder in dict.fromkeys([*found.folders, *(path.parent for path in found.policies.values())]):
        try:
            texts = {name: text for name, text in read_folder(folder).items() if name.startswith(FOLDER)}
            own += load_own(texts, label=files.shown(folder))
        except CasbError as error:
            errors.append(error)
        except Problems as problems:
            errors += problems.errors
    return own if len(errors) == before else None


type Tested = tuple[Suite, Policies]


def _suites(found: files.Found, errors: list[CasbError]) -> list[Tested]:
    """The test files that can be read; what is wrong with them and with what they refer to is added to `errors`."""
    suites: list[Tested] = []
    for name, text in files.read(found.tests, errors).items():
        try:
            suite = read_suite(text, name)
            policies = policies_of(suite, found.tests[name])
            errors += check_suite(suite, policies)
        except Problems as problems:
            errors += [each for each in problems.errors if str(each) not in {str(known) for known in errors}]
        else:
            suites.append((suite, policies))
    return suites


def policies_of(suite: Suite, path: Path) -> Policies:
    """The policies that a test file names, from its own place. Raises `Problems`."""
    return compile_policies(load(texts_of(suite, path)).policies)


def texts_of(suite: Suite, path: Path) -> dict[str, bytes]:
    """The texts of the policy files that a test file names. Raises `Problems`."""
    errors: list[CasbError] = []
    texts: dict[str, bytes] = {}
    for index, name in enumerate(suite.policies):
        below = path.parent / name
        place = files.shown(below)
        if below.is_file():
            texts |= files.read({place: below}, errors)
        else:
            where = suite.policy_place(index)
            errors.append(PolicyError("P060", f"no policy file '{name}'", where, f"it would be {place}"))
    if errors:
        raise Problems(errors)
    return texts


def _log_parsers(folder: Path, errors: list[CasbError]) -> None:
    try:
        with_custom(log_parsers.texts_of(folder))
    except Problems as problems:
        errors += problems.errors


def _deployment(folder: Path, errors: list[CasbError]) -> Draft | None:
    """Check casb.yaml, apps/ and ranges.yaml; the folder as far as it can be read.

    One with none of them holds policies only, and that is well: None.
    """
    if not any((folder / name).exists() for name in ("casb.yaml", "apps", "ranges.yaml")):
        return None
    try:
        draft = load_draft(folder)
    except CasbError as error:
        errors.append(error)
        return None
    errors += [*draft.errors, *beside_policies(draft)]
    return draft


def _exceptions(
    folder: Path, loaded: tuple[LoadedPolicy, ...], errors: list[CasbError], warnings: list[CasbError]
) -> None:
    """Exceptions that would be refused; one that has only run out is a warning."""
    if not (folder / EXCEPTIONS).is_dir() or not (folder / "casb.yaml").exists():
        return
    try:
        draft = load_draft(folder)
    except CasbError:
        return  # Told already.
    if draft.settings is None:
        return
    found = collect(
        draft.exception_texts,
        verify=verifier(Path(draft.settings.data)),
        now=datetime.now(UTC),
        policies=[each.document.id for each in loaded],
        apps=[app.id for app in draft.apps] if draft.complete else None,
    )
    for each in found.refused:
        (warnings if each.code == "P071" else errors).append(each)


def _over(loaded: tuple[LoadedPolicy, ...]) -> Iterator[CasbError]:
    now = datetime.now(UTC)
    for each in loaded:
        schedule = each.document.schedule
        if each.document.enabled and schedule and expired(schedule, now):
            message = f"'{each.document.id}' is over: its schedule ended {schedule.until}"
            yield PolicyError("P055", message, each.origins.policy, "move 'until', or remove the policy")


def _without_test(loaded: tuple[LoadedPolicy, ...], suites: list[Tested]) -> list[CasbError]:
    """Policies that no case names and that match in none."""
    tested = {case.expect.policy for suite, _ in suites for case in suite.cases}
    for suite, policies in suites:
        for outcome in run_suite(suite, policies):
            tested |= {
                *outcome.decision.matched,
                *outcome.afterwards,
                *(each.policy for each in outcome.decision.shadow),
            }
    return [
        PolicyError(
            "P052", f"policy '{each.document.id}' has no test", each.origins.policy, "add a case to tests/*_test.yaml"
        )
        for each in loaded
        if each.document.id not in tested and suites
    ]


def _print(form: str, errors: list[CasbError], warnings: list[CasbError], summary: str) -> None:
    if form == "json":
        document = {"errors": [_json(each) for each in errors], "warnings": [_json(each) for each in warnings]}
        print(json.dumps(document, ensure_ascii=False, indent=2))
        return
    for each in errors:
        print(each)
    for each in warnings:
        print(f"warning: {each}")
    told = f"{len(errors)} errors, {len(warnings)} warnings" if errors or warnings else "all well"
    print(f"{summary}: {told}", file=sys.stderr)


def _json(error: CasbError) -> dict[str, Any]:
    where = error.where
    return {
        "file": where.file if where else None,
        "line": where.line if where else None,
        "column": where.column if where else None,
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
    }
