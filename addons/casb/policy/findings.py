"""Conditions on what was found in a file or a text: `findings: {credit-card: {at_least: 3, confidence: high}}`.

Counts only grow while a file is being read: a lower bound that is reached is certain before the end, an upper bound
that is passed has failed before the end. All else stays unknown until everything has been read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from casb.model.activity import Activity
from casb.model.info_types import CATEGORIES, MEMBERS
from casb.policy.found import Found
from casb.policy.matchers import Malformed, number
from casb.policy.truths import NO, UNKNOWN, YES, Check
from casb.yamlfile import describe, did_you_mean

CONFIDENCE: Mapping[str, int] = {"low": 65, "medium": 75, "high": 85}
"""The levels of confidence, in percent. Without one, `medium` is asked for."""

BOUNDS = ("at_least", "at_most", "more_than", "less_than")
_MOST = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One condition: between `least` and `most` different values of some types together."""

    types: frozenset[str]
    least: int = 1
    most: int | None = None
    confidence: int = CONFIDENCE["medium"]
    written: Any = field(default=None, compare=False)

    def check(self, get: Callable[[Activity], Any]) -> Check:
        """The condition on a fact."""
        types, least, most, confidence = self.expanded(), self.least, self.most, self.confidence

        def check(activity: Activity) -> Any:
            found = get(activity)
            if found is None:
                return NO
            if not isinstance(found, Found):
                return UNKNOWN
            count = sum(each.at_least(confidence) for each in found.findings if each.info_type in types)
            if most is not None and count > most:
                return NO
            if count >= least and (most is None or found.complete):
                return YES
            return NO if found.complete else UNKNOWN

        return check

    def implies(self, other: Wanted) -> bool:
        """Whether `other` holds whenever this does: of lower bounds alone, which are what is written."""
        wider = self.expanded() <= other.expanded() and self.confidence >= other.confidence
        return wider and self.least >= other.least and other.most is None

    def expanded(self) -> frozenset[str]:
        """The types, those of categories included."""
        return with_members(self.types)


def with_members(types: Iterable[str]) -> frozenset[str]:
    """The types, those of categories included."""
    found = frozenset(types)
    return found.union(*(MEMBERS.get(name, ()) for name in found))


def check_name(name: str, custom: Collection[str] | None) -> None:
    """Raises `Malformed` for a name that is no sensitive information type and no category of them."""
    _known(name, custom)


type Wrong = Callable[[tuple[str | int, ...], Malformed], None]


def read(raw: Any, custom: Collection[str] | None, wrong: Wrong) -> Iterator[tuple[tuple[str, ...], Wanted]]:
    """The conditions that `raw` says, each with its place below. What is wrong is told with its place, and left out.

    `custom` are the types that the deployment adds; None when that is not known, and then any name may be one.
    """
    if isinstance(raw, dict):
        if not raw:
            wrong((), Malformed("037", "'findings' has nothing in it", "name a type, e.g. findings: credit-card"))
        for name, value in raw.items():
            try:
                yield (name,), _bounded(_known(name, custom), value)
            except Malformed as malformed:
                wrong((name,), malformed)
        return
    names = raw if isinstance(raw, list) else [raw]
    good: list[str] = []
    for index, name in enumerate(names):
        try:
            good.append(_known(name, custom))
        except Malformed as malformed:
            wrong((index,) if isinstance(raw, list) else (), malformed)
    if not names:
        wrong((), Malformed("037", "'findings' has an empty list, which nothing is in", "add a type"))
    elif len(good) == len(names):
        yield (), Wanted(types=frozenset(good), written=raw)


def _known(name: Any, custom: Collection[str] | None) -> str:
    if not isinstance(name, str):
        raise Malformed("016", f"'findings' names types, not {describe(name)}", "e.g. findings: credit-card")
    if name in KNOWN or custom is None or name in custom:
        return name
    hint = did_you_mean(name, (*KNOWN, *custom)) or "`casb inspect --types` lists them"
    raise Malformed("014", f"unknown sensitive information type '{name}'", hint)


def _bounded(name: str, value: Any) -> Wanted:
    if not isinstance(value, dict):
        return Wanted(types=frozenset({name}), least=_count(value), written={name: value})
    unknown = [key for key in value if key not in (*BOUNDS, "confidence")]
    if unknown:
        raise Malformed(
            "013", f"'findings' has no operator '{unknown[0]}'", did_you_mean(unknown[0], (*BOUNDS, "confidence"))
        )
    if not value:
        raise Malformed("037", f"'{name}' has nothing in it", f"write {name}: 1")
    level = value.get("confidence", "medium")
    if level not in CONFIDENCE:
        raise Malformed("014", f"unknown confidence '{level}'", f"known: {', '.join(CONFIDENCE)}")
    lows = [_count(value["at_least"])] if "at_least" in value else []
    lows += [_count(value["more_than"]) + 1] if "more_than" in value else []
    highs = [_count(value["at_most"])] if "at_most" in value else []
    highs += [_count(value["less_than"]) - 1] if "less_than" in value else []
    least = max(lows) if lows else 0 if highs else 1
    most = min(highs) if highs else None
    if most is not None and least > most:
        raise Malformed("017", f"no count of '{name}' is at least {least} and at most {most}", "change one of them")
    return Wanted(types=frozenset({name}), least=least, most=most, confidence=CONFIDENCE[level], written={name: value})


def _count(value: Any) -> int:
    found = number(value)
    if found != int(found) or not 0 <= found <= _MOST:
        raise Malformed("017", f"'{value}' is not a count", "write a whole number")
    return int(found)


KNOWN = frozenset(CATEGORIES).union(*MEMBERS.values())
"""Every name that is there in any deployment: shipped types and categories."""


def told(found: Found) -> str:
    """For people: types and counts, never what was found."""
    words = [f"{each.info_type} {each.count} ({each.confidence} %)" for each in found.findings]
    more = f" and {len(words) - 8} more" if len(words) > 8 else ""
    rest = "" if found.complete else " (not all has been read)"
    return (", ".join(words[:8]) or "nothing found") + more + rest
