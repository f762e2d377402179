"""Run the cases kept beside policies (`*_test.yaml`).

Example:
    casb test policies
    casb test policies/tests/uploads_test.yaml --coverage
    casb test --mutate
    casb test --junit report.xml

`--mutate` changes one thing in a policy at a time (a condition dropped, a value left out, a bound moved, the action
weakened) and runs the cases again: a change that no case notices shows what no test defends.

Exit status: 0 all cases passed, 1 one failed or a file cannot be used (with --strict also: a gap in coverage, a mutant
that survived), 2 the call is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from casb.commands import _policy_files as files
from casb.commands.check import texts_of
from casb.errors import CasbError, Problems, Where
from casb.policy.cases import Gap, Given, Outcome, Suite, check_suite, gaps, read_suite, why
from casb.policy.cases import run as run_suite
from casb.policy.compile import Policies, compile_policies
from casb.policy.loader import load
from casb.policy.mutation import TAKEN_OUT, Mutant, mutants, survivors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="*", metavar="PATH", help="folders or *_test.yaml files (default: policies)")
    parser.add_argument("--coverage", action="store_true", help="name the conditions that no case reaches")
    parser.add_argument("--mutate", action="store_true", help="name the changes of a policy that no case notices")
    parser.add_argument("--strict", action="store_true", help="gaps and survivors are failures")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how stdout is written")
    parser.add_argument("--junit", metavar="FILE", help="also write the results as JUnit XML")


@dataclass(slots=True)
class Results:
    """Outcomes per test file, with what coverage needs."""

    outcomes: list[tuple[str, Outcome]]
    runs: list[tuple[Policies, Given]]
    errors: list[CasbError]
    suites: list[tuple[Suite, dict[str, bytes]]]


@dataclass(frozen=True, slots=True)
class Mutation:
    """How many changes were tried, and those that no case noticed."""

    tried: int
    survivors: tuple[Mutant, ...]


def run(arguments: argparse.Namespace) -> int:
    found = files.find(arguments.paths or ["policies"])
    results = Results([], [], list(found.errors), [])
    for name, text in files.read(found.tests, results.errors).items():
        try:
            _run_file(name, found.tests[name], text, results)
        except Problems as problems:
            results.errors += problems.errors
    uncovered = _coverage(results) if arguments.coverage else []
    mutation = _mutate(results) if arguments.mutate else None
    if arguments.junit:
        Path(arguments.junit).write_bytes(_junit(results.outcomes))
    if arguments.format == "json":
        print(json.dumps(_json(results, uncovered, mutation), ensure_ascii=False, indent=2))
    else:
        _print(results, uncovered, mutation, coverage=arguments.coverage)
    if not results.outcomes and not results.errors:
        print("there is no *_test.yaml in these paths", file=sys.stderr)
        return 1
    failed = any(not outcome.passed for _, outcome in results.outcomes)
    weak = bool(uncovered or (mutation and mutation.survivors))
    return 1 if failed or results.errors or (arguments.strict and weak) else 0


def _run_file(name: str, path: Path, text: bytes, results: Results) -> None:
    suite = read_suite(text, name)
    texts = texts_of(suite, path)
    policies = compile_policies(load(texts).policies)
    wrong = check_suite(suite, policies)
    if wrong:
        raise Problems(wrong)
    results.outcomes += [(name, outcome) for outcome in run_suite(suite, policies)]
    results.runs += [(policies, case.given) for case in suite.cases]
    results.suites.append((suite, texts))


def _mutate(results: Results) -> Mutation | None:
    """Over all files: a policy may be tested in several of them. None while a case fails."""
    if results.errors or any(not outcome.passed for _, outcome in results.outcomes):
        print("no mutation testing while a case fails", file=sys.stderr)
        return None
    texts = {name: text for _, each in results.suites for name, text in each.items()}
    found = [mutant for name, text in sorted(texts.items()) for mutant in mutants(name, text)]
    loaded = {suite.file: load(each).policies for suite, each in results.suites}
    survived: list[Mutant] = []
    for done, (mutant, alive) in enumerate(survivors(found, loaded, [suite for suite, _ in results.suites]), 1):
        if alive:
            survived.append(mutant)
        if sys.stderr.isatty() and (done % 10 == 0 or done == len(found)):
            print(f"\rmutants: {done}/{len(found)}, {len(survived)} survived", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return Mutation(len(found), tuple(survived))


def _coverage(results: Results) -> list[Gap]:
    """Over all files: a policy may be tested in several of them."""
    every = {
        (policy.id, str(policy.origins.policy)): policy for policies, _ in results.runs for policy in policies.every
    }
    return gaps(every.values(), results.runs)


def _print(results: Results, uncovered: list[Gap], mutation: Mutation | None, *, coverage: bool) -> None:
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
    for line in _survivors(mutation.survivors if mutation else ()):
        print(f"survived: {line}: no case notices")
    failed = sum(not outcome.passed for _, outcome in results.outcomes)
    told = f"{len(results.outcomes) - failed} passed, {failed} failed, {len(results.errors)} errors"
    if coverage:
        told += f", {len(uncovered)} gaps in coverage"
    if mutation:
        told += f", {mutation.tried - len(mutation.survivors)} of {mutation.tried} mutants noticed"
    print(told, file=sys.stderr)


def _survivors(survived: Sequence[Mutant]) -> Iterator[str]:
    """One line each; the values of one list share theirs."""
    lists: dict[tuple[str, str, int, str], list[Mutant]] = {}
    for mutant in survived:
        _, _, of = mutant.what.partition(TAKEN_OUT)
        alone = (mutant.policy, mutant.where.file, mutant.where.line, of or mutant.what)
        lists.setdefault(alone, []).append(mutant)
    for (policy, *_, of), mutants_of_it in lists.items():
        first = mutants_of_it[0]
        if len(mutants_of_it) == 1:
            yield f"{first.where}: {policy}: {first.what}"
        else:
            values = ", ".join(each.what.partition(TAKEN_OUT)[0] for each in mutants_of_it)
            yield f"{first.where}: {policy}: any one of {values}{TAKEN_OUT}{of}"


def _place(where: Where) -> dict[str, Any]:
    return {"file": where.file, "line": where.line, "column": where.column}


def _json(results: Results, uncovered: list[Gap], mutation: Mutation | None) -> dict[str, Any]:
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
        "mutation": mutation
        and {
            "tried": mutation.tried,
            "survived": [
                {**_place(mutant.where), "policy": mutant.policy, "what": mutant.what} for mutant in mutation.survivors
            ],
        },
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
