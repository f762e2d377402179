"""Run the cases kept beside policies (`*_test.yaml`).

Example:
    casb test policies
    casb test policies/tests/uploads_test.yaml --coverage
    casb test --junit report.xml

Exit status: 0 all cases passed, 1 one failed or a file cannot be used, 2 the call is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from casb.commands import _policy_files as files
from casb.commands.check import policies_of
from casb.errors import CasbError, Problems, Where
from casb.policy.cases import Gap, Given, Outcome, check_suite, gaps, read_suite, why
from casb.policy.cases import run as run_suite
from casb.policy.compile import Policies


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="*", metavar="PATH", help="folders or *_test.yaml files (default: policies)")
    parser.add_argument("--coverage", action="store_true", help="name the conditions that no case reaches")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how stdout is written")
    parser.add_argument("--junit", metavar="FILE", help="also write the results as JUnit XML")


@dataclass(slots=True)
class Results:
    """Outcomes per test file, with what coverage needs."""

    outcomes: list[tuple[str, Outcome]]
    runs: list[tuple[Policies, Given]]
    errors: list[CasbError]


def run(arguments: argparse.Namespace) -> int:
    found = files.find(arguments.paths or ["policies"])
    results = Results([], [], list(found.errors))
    for name, text in files.read(found.tests, results.errors).items():
        try:
            _run_file(name, found.tests[name], text, results)
        except Problems as problems:
            results.errors += problems.errors
    uncovered = _coverage(results) if arguments.coverage else []
    if arguments.junit:
        Path(arguments.junit).write_bytes(_junit(results.outcomes))
    if arguments.format == "json":
        print(json.dumps(_json(results, uncovered), ensure_ascii=False, indent=2))
    else:
        _print(results, uncovered, coverage=arguments.coverage)
    if not results.outcomes and not results.errors:
        print("there is no *_test.yaml in these paths", file=sys.stderr)
        return 1
    failed = any(not outcome.passed for _, outcome in results.outcomes)
    return 1 if failed or results.errors else 0


def _run_file(name: str, path: Path, text: bytes, results: Results) -> None:
    suite = read_suite(text, name)
    policies = policies_of(suite, path)
    wrong = check_suite(suite, policies)
    if wrong:
        raise Problems(wrong)
    results.outcomes += [(name, outcome) for outcome in run_suite(suite, policies)]
    results.runs += [(policies, case.given) for case in suite.cases]


def _coverage(results: Results) -> list[Gap]:
    """Over all files: a policy may be tested in several of them."""
    every = {(policy.id, str(policy.origins.policy)): policy for policies, _ in results.runs for policy in policies.all}
    return gaps(every.values(), results.runs)


def _print(results: Results, uncovered: list[Gap], *, coverage: bool) -> None:
    for error in results.errors:
        print(error)
    for _, outcome in results.outcomes:
        if outcome.passed:
            print(f"ok    {outcome.name}")
            continue
        print(f"FAIL  {outcome.name}  ({outcome.where})")
        for each in outcome.differences:
            print(f"      {each.where}: {each.what}: expected {each.expected}, got {each.actual}")
        for line in why(outcome):
            print(f"        {line}")
    for gap in uncovered:
        verb = "shows it holding" if gap.missing == "holds" else "shows it failing"
        print(f"uncovered: {gap.where}: {gap.policy}: {gap.condition}: no case {verb}")
    failed = sum(not outcome.passed for _, outcome in results.outcomes)
    told = f"{len(results.outcomes) - failed} passed, {failed} failed, {len(results.errors)} errors"
    print(told + (f", {len(uncovered)} gaps in coverage" if coverage else ""), file=sys.stderr)


def _place(where: Where) -> dict[str, Any]:
    return {"file": where.file, "line": where.line, "column": where.column}


def _json(results: Results, uncovered: list[Gap]) -> dict[str, Any]:
    return {
        "cases": [
            {
                **_place(outcome.where),
                "name": outcome.name,
                "passed": outcome.passed,
                "action": outcome.decision.action.word,
                "policy": outcome.decision.policy,
                "differences": [
                    {"what": each.what, "expected": each.expected, "actual": each.actual, **_place(each.where)}
                    for each in outcome.differences
                ],
                "why": list(why(outcome)),
            }
            for _, outcome in results.outcomes
        ],
        "errors": [str(error) for error in results.errors],
        "uncovered": [
            {**_place(gap.where), "policy": gap.policy, "condition": gap.condition, "missing": gap.missing}
            for gap in uncovered
        ],
    }


def _junit(outcomes: list[tuple[str, Outcome]]) -> bytes:
    root = ElementTree.Element("testsuites")
    for file in dict.fromkeys(name for name, _ in outcomes):
        own = [outcome for name, outcome in outcomes if name == file]
        failures = str(sum(not outcome.passed for outcome in own))
        suite = ElementTree.SubElement(root, "testsuite", name=file, tests=str(len(own)), failures=failures)
        for outcome in own:
            line = str(outcome.where.line)
            case = ElementTree.SubElement(suite, "testcase", name=outcome.name, classname=file, file=file, line=line)
            if not outcome.passed:
                told = "; ".join(
                    f"{each.what}: expected {each.expected}, got {each.actual}" for each in outcome.differences
                )
                failure = ElementTree.SubElement(case, "failure", message=told)
                failure.text = "\n".join(why(outcome))
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
