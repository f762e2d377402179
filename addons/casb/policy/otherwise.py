"""The whole explanation of a decision, real or supposed: how it came about and what would have turned it.

The same data and the same sentences for terminal, JSON and portal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from casb.errors import Where
from casb.model.activity import Activity
from casb.model.decision import Action, Decision, Reason, Truth
from casb.policy.compile import Policies
from casb.policy.engine import Trace, decide, explain
from casb.policy.nearest import Edit, Flip, Miss, edits, flips, misses


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Of one activity under some policies."""

    version: str
    decision: Decision
    traces: tuple[Trace, ...]
    misses: tuple[Miss, ...]
    flips: tuple[Flip, ...]
    edits: tuple[Edit, ...]


def explanation(activity: Activity, policies: Policies) -> Explanation:
    """Decides as for a file that cannot be read any further than the activity says."""
    decision = decide(activity, policies)
    if decision.needs:
        decision = decide(activity, policies, final=True)
    return Explanation(
        version=policies.version,
        decision=decision,
        traces=tuple(explain(activity, policies)),
        misses=misses(activity, policies),
        flips=flips(activity, policies),
        edits=edits(activity, policies),
    )


DONE = {
    Action.ALLOW: "allowed",
    Action.AUDIT: "let through and recorded",
    Action.NOTIFY: "let through, and the person told",
    Action.COACH: "stopped for a justification",
    Action.REDACT: "handed over with its findings masked",
    Action.PROTECT: "handed over encrypted",
    Action.STEP_UP: "stopped for a stronger sign-in",
    Action.BLOCK: "blocked",
}
"""What an action does to an activity, as a participle."""


def told(found: Explanation) -> Iterator[str]:
    """Line by line, for people."""
    by = f" by {found.decision.policy}" if found.decision.policy else ": no policy matches"
    yield f"It is {DONE[found.decision.action]}{by}."
    for trace in found.traces:
        yield from _trace(trace)
    yield from told_otherwise(found)


def _trace(trace: Trace) -> Iterator[str]:
    if trace.dormant:
        yield f"  {trace.policy} ({trace.where}) is out of season"
    elif trace.satisfied:
        yield f"  {trace.policy} ({trace.where}) does not apply any more: its step-up has been passed"
    elif trace.matched or trace.shadow or trace.excepted:
        how = DONE[trace.action]
        if trace.shadow:
            how = f"would be {how}, but it is in shadow"
        elif trace.excepted:
            how = f"would be {how}, but for the exception {trace.excepted}"
        yield f"  {trace.policy} ({trace.where}) matches: {how}"
        for reason in trace.conditions:
            if reason.truth is not Truth.NO:
                yield f"    {_reason(reason)}"
    elif trace.failing is not None:
        yield f"  {trace.policy} ({trace.where}) does not match"
        yield f"    {_reason(trace.failing)}"


def _reason(reason: Reason) -> str:
    verdict = {Truth.YES: "is", Truth.NO: "is not", Truth.UNKNOWN: "may or may not be"}[reason.truth]
    return f"{reason.where}: {reason.condition} — {verdict} so: {reason.fact}"


def told_otherwise(found: Explanation) -> Iterator[str]:
    """What would have turned it."""
    if found.flips:
        yield "It would be otherwise if"
    for flip in found.flips:
        facts = " and ".join(f"{change.fact} were {change.becomes} (is: {change.was})" for change in flip.changes)
        by = f" by {flip.policy}" if flip.policy else ""
        yield f"  {facts}: then {DONE[flip.action]}{by}"
    if found.edits:
        yield "To change it for everybody"
    for edit in found.edits:
        yield f"  {edit.what} ({edit.where}): then {DONE[edit.action]}"
    if found.misses:
        yield "Closest policies that did not match"
    for miss in found.misses:
        yield f"  {miss.policy} ({miss.where}), otherwise {DONE[miss.action]}"
        yield from (f"    {_reason(reason)}" for reason in miss.failing)


def to_json(found: Explanation) -> dict[str, Any]:
    """As plain JSON data; places as `file`, `line`, `column`."""
    decision = found.decision
    return {
        "version": found.version,
        "action": decision.action.word,
        "policy": decision.policy,
        "matched": list(decision.matched),
        "shadow": [{"policy": each.policy, "action": each.action.word} for each in decision.shadow],
        "exempted": [
            {"policy": each.policy, "action": each.action.word, "exception": each.exception}
            for each in decision.exempted
        ],
        "traces": [
            {
                "policy": trace.policy,
                "name": trace.name,
                **_place(trace.where),
                "action": trace.action.word,
                "truth": trace.truth.name.lower(),
                "matched": trace.matched,
                "shadow": trace.shadow,
                "excepted": trace.excepted,
                "out_of_season": trace.dormant,
                "step_up_passed": trace.satisfied,
                "conditions": [_condition(each) for each in trace.conditions],
            }
            for trace in found.traces
        ],
        "flips": [
            {
                "action": flip.action.word,
                "policy": flip.policy,
                "changes": [
                    {
                        "fact": change.fact,
                        "was": change.was,
                        "becomes": change.becomes,
                        "condition": change.condition,
                        **_place(change.where),
                    }
                    for change in flip.changes
                ],
            }
            for flip in found.flips
        ],
        "edits": [
            {"policy": edit.policy, "what": edit.what, "action": edit.action.word, **_place(edit.where)}
            for edit in found.edits
        ],
        "nearest": [
            {
                "policy": miss.policy,
                "action": miss.action.word,
                **_place(miss.where),
                "failing": [_condition(each) for each in miss.failing],
            }
            for miss in found.misses
        ],
    }


def _place(where: Where) -> dict[str, Any]:
    return {"file": where.file, "line": where.line, "column": where.column}


def _condition(reason: Reason) -> dict[str, Any]:
    return {
        "code": reason.code,
        "condition": reason.condition,
        "fact": reason.fact,
        "truth": reason.truth.name.lower(),
        **_place(reason.where),
    }
