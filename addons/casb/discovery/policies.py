"""Discovery policies: which apps, how much of them on one day, and what happens then.

`kind: discovery` entries of a policy file become `DiscoveryPolicy` values; `matches` compares them with an app's sums
of a day. Pure: knows no store, no clock and no catalog; what words there are is passed in.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from casb.config.units import byte_count
from casb.discovery.query import FACTOR, AppUsage, Condition, Scales, select
from casb.errors import CasbError, Problems, Where
from casb.model.decision import Severity
from casb.policykinds import only_discovery
from casb.yamlfile import MAX_BYTES, Marks, Path, Report, did_you_mean, examine

BUILT_IN_TAGS = ("sanctioned", "unsanctioned", "monitored", "none")
RISKS = ("high", "medium", "low", "unscored")
DAILY_LIMIT = 5
NOWHERE = Where(file="")
"""The place of a policy that nobody wrote."""

_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_MOST = 10**15


def _doc(text: str, *examples: str) -> dict[str, Any]:
    return {"doc": text, "examples": examples}


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryAlert:
    """An alert whose severity, limit or readers differ from the policy's."""

    severity: Severity | None = field(default=None, metadata=_doc("The policy's severity when left out.", "high"))
    daily_limit: int = field(
        default=DAILY_LIMIT, metadata=_doc("New alerts of this policy a day; what lies beyond is counted.", "20")
    )
    email: tuple[str, ...] = field(
        default=(), metadata=_doc("Told by e-mail, besides those of casb.yaml.", "[soc@contoso.example]")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Daily:
    """All of them must be exceeded on the same day."""

    traffic: str | None = field(default=None, metadata=_doc("Bytes both ways, more than this.", "50MB"))
    downloads: str | None = field(default=None, metadata=_doc("Bytes down, more than this.", "1GB"))
    uploads: str | None = field(default=None, metadata=_doc("Bytes up, more than this.", "500MB"))
    transactions: int | None = field(default=None, metadata=_doc("More transactions than this.", "1000"))
    users: int | None = field(default=None, metadata=_doc("More users than this.", "50"))
    ips: int | None = field(default=None, metadata=_doc("More client addresses than this.", "50"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryDocument:
    """One discovery policy."""

    id: str = field(
        metadata=_doc("Names the policy in alerts and logs: small letters, digits and hyphens.", "new-risky-app")
    )
    kind: Literal["discovery"] = field(metadata=_doc("Always `discovery`."))
    name: str = field(default="", metadata=_doc("For people; the id when left out.", "New risky app"))
    description: str = field(default="", metadata=_doc("Why the policy exists."))
    enabled: bool = field(default=True, metadata=_doc("`false` switches the policy off; it is still checked."))
    severity: Severity = field(default=Severity.MEDIUM, metadata=_doc("How bad a match is.", "high"))
    when: Any = field(
        default=None,
        metadata=_doc(
            "What must hold of the app: category, tag, score, risk, factors, domain, app, vendor, headquarters. All of "
            "them; several words of one mean any. Every app, when left out.",
            "{category: cloud_storage, tag: {not: sanctioned}}",
            "{score: {below: 6}, factors: {soc_2: {not: true}}}",
        ),
    )
    daily: Daily = field(
        default_factory=Daily, metadata=_doc("How much of it on one day, in one report.", "{users: 50, traffic: 50MB}")
    )
    streams: str | tuple[str, ...] = field(
        default="all",
        metadata=_doc("Continuous reports that are looked at: `all` (Global, too) or names.", "all", "[HQ firewall]"),
    )
    alert: bool | DiscoveryAlert = field(default=True, metadata=_doc("Raise an alert for each app that matches."))
    tag: str | tuple[str, ...] = field(
        default=(),
        metadata=_doc(
            "Tags that the app gets: sanctioned, unsanctioned, monitored, or tags of your own.",
            "unsanctioned",
            "[monitored, Review]",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryFile:
    """The discovery policies of a file."""

    version: Literal[1]
    policies: tuple[DiscoveryDocument, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryPolicy:
    """One policy, checked. `thresholds` are by name of `Daily`; `streams` None is all."""

    id: str
    name: str
    severity: Severity
    conditions: tuple[Condition, ...]
    thresholds: Mapping[str, int]
    streams: tuple[str, ...] | None = None
    alert: bool = True
    alert_severity: Severity = Severity.MEDIUM
    daily_limit: int = DAILY_LIMIT
    email: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    enabled: bool = True
    where: Where = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a policy may name: the catalog's categories and factors."""

    categories: Collection[str]
    scales: Scales


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A policy held for an app on a day."""

    policy: DiscoveryPolicy
    day: date
    usage: AppUsage


def load(files: Mapping[str, bytes], words: Words, *, limit: int = MAX_BYTES) -> tuple[DiscoveryPolicy, ...]:
    """The discovery policies of several files, name to text, by id. Raises `Problems` with every error of every file.

    Other kinds of policies in them are left alone.
    """
    errors: list[CasbError] = []
    found: dict[str, DiscoveryPolicy] = {}
    for file, text in sorted(files.items()):
        document, marks, report = examine(DiscoveryFile, text, file, limit=limit, narrow=only_discovery)
        if document is not None and marks is not None:
            for index, each in enumerate(document.policies):
                policy = _policy(each, ("policies", index), _Context(marks, report, words))
                if policy.id in found:
                    hint = f"the first one is at {found[policy.id].where}; ids are unique in the folder"
                    report.add("030", f"policy id '{policy.id}' is used twice", policy.where, hint)
                found.setdefault(policy.id, policy)
        elif marks is not None:
            _check_conditions(_Context(marks, report, words))
        errors += report.sorted()
    if errors:
        raise Problems(errors)
    return tuple(found[ident] for ident in sorted(found))


_TAKE: Mapping[str, str] = {
    "traffic": "total",
    "downloads": "down",
    "uploads": "up",
    "transactions": "events",
    "users": "users",
    "ips": "ips",
}


def matches(policy: DiscoveryPolicy, days: Iterable[tuple[date, AppUsage]], scales: Scales) -> list[Match]:
    """The apps that the policy holds for, each with the first of the given days on which it does, by app id."""
    first: dict[str, Match] = {}
    for day, usage in days:
        ident = usage.facts.id
        if ident in first and first[ident].day <= day:
            continue
        if all(getattr(usage, _TAKE[name]) > edge for name, edge in policy.thresholds.items()) and select(
            [usage], policy.conditions, scales
        ):
            first[ident] = Match(policy=policy, day=day, usage=usage)
    return [first[ident] for ident in sorted(first)]


@dataclass(frozen=True, slots=True)
class _Context:
    marks: Marks
    report: Report
    words: Words

    def wrong(self, number: str, message: str, path: Path, hint: str = "", *, key: bool = False) -> None:
        self.report.add(number, message, self.marks.where(path, key=key), hint)


def _check_conditions(context: _Context) -> None:
    """In a file whose shape is wrong elsewhere, tell the errors under `when` all the same."""
    data = context.marks.data()
    policies = data.get("policies") if isinstance(data, dict) else None
    for index, each in enumerate(policies if isinstance(policies, list) else []):
        if isinstance(each, dict):
            list(_conditions(each.get("when"), ("policies", index, "when"), context))


def _policy(document: DiscoveryDocument, path: Path, context: _Context) -> DiscoveryPolicy:
    if not _ID.fullmatch(document.id):
        hint = "use small letters, digits and hyphens, at most 64"
        context.wrong("038", f"'{document.id[:80]}' cannot be a policy id", (*path, "id"), hint)
    streams: tuple[str, ...] | None = (document.streams,) if isinstance(document.streams, str) else document.streams
    if streams == ("all",):
        streams = None
    alert = document.alert if isinstance(document.alert, DiscoveryAlert) else DiscoveryAlert()
    if alert.daily_limit < 1:
        context.wrong("017", "the daily limit is a number of alerts, at least 1", (*path, "alert", "daily_limit"))
    tags = _tags(document, path, context)
    if document.alert is False and not tags:
        context.wrong("037", "the policy does nothing", (*path, "alert"), "raise an alert, or give the app a tag")
    return DiscoveryPolicy(
        id=document.id,
        name=document.name or document.id,
        severity=document.severity,
        conditions=tuple(_conditions(document.when, (*path, "when"), context)),
        thresholds=_thresholds(document.daily, (*path, "daily"), context),
        streams=streams,
        alert=document.alert is not False,
        alert_severity=alert.severity or document.severity,
        daily_limit=alert.daily_limit,
        email=alert.email,
        tags=tags,
        enabled=document.enabled,
        where=context.marks.where((*path, "id")),
    )


def _tags(document: DiscoveryDocument, path: Path, context: _Context) -> tuple[str, ...]:
    tags = (document.tag,) if isinstance(document.tag, str) else document.tag
    built_in = [each for each in tags if each.casefold() in BUILT_IN_TAGS]
    if len(built_in) > 1:
        context.wrong("017", f"'{built_in[0]}' and '{built_in[1]}' exclude each other", (*path, "tag"))
    for each in tags:
        if not each.strip() or len(each) > 60 or any(c in '\x7f,;"<>' or ord(c) < 32 for c in each):
            context.wrong("017", f"'{each[:80]}' cannot be a tag", (*path, "tag"))
    return tuple(each.casefold() if each.casefold() in BUILT_IN_TAGS else each for each in tags)


def _thresholds(daily: Daily, path: Path, context: _Context) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in _TAKE:
        given = getattr(daily, name)
        if given is None:
            continue
        try:
            number = byte_count(given) if isinstance(given, str) else given
            if not 0 <= number <= _MOST:
                raise ValueError(f"{given} is no number of {name}")
            found[name] = number
        except ValueError as error:
            context.wrong("017", str(error), (*path, name))
    return found


# ---------------------------------------------------------------- when

_WORD_FIELDS = ("category", "tag", "risk", "domain", "app", "vendor", "headquarters")
FIELDS: tuple[str, ...] = (*_WORD_FIELDS, "score", "factors")
"""What may stand under `when`."""
_NUMBER_WORDS = {"below": "lt", "at_most": "le", "above": "gt", "at_least": "ge"}
_FACTOR_WORDS = ("not", "at_least", "below", "known")


def _conditions(given: Any, path: Path, context: _Context) -> Iterator[Condition]:
    if given is None:
        return
    if not isinstance(given, dict):
        context.wrong("012", "'when' is a mapping", path, f"write when: {{{FIELDS[0]}: …}}")
        return
    for name, value in given.items():
        below: Path = (*path, name)
        if name not in FIELDS:
            context.wrong("013", f"unknown key '{str(name)[:80]}'", below, did_you_mean(str(name), FIELDS), key=True)
        elif name == "factors":
            yield from _factors(value, below, context)
        elif name == "score":
            yield from _score(value, below, context)
        else:
            yield from _words(name, value, below, context)


def _words(name: str, value: Any, path: Path, context: _Context) -> Iterator[Condition]:
    """A word, several of which any will do, or `not` and `contains` with either."""
    parts = {"": value} if not isinstance(value, dict) else value
    for word, given in parts.items():
        below = path if word == "" else (*path, word)
        if word not in ("", "not", "contains"):
            context.wrong("013", f"unknown key '{str(word)[:80]}'", below, "known: not, contains", key=True)
            continue
        texts = _texts(given, below, context)
        for text in texts if word != "contains" else ():
            _known_word(name, text, below, context)
        if texts:
            op = {"": "equals", "not": "not_equals", "contains": "contains"}[word]
            field_name = "app" if name == "domain" else name
            yield Condition(field=field_name, op=op, values=tuple(texts))


def _texts(value: Any, path: Path, context: _Context) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not values:
        context.wrong("037", "an empty list, which nothing is in", path, "add a word")
    for each in values:
        if not isinstance(each, str) or not each or len(each) > 500:
            context.wrong("012", f"{each!r} is no text"[:200], path)
            return []
    return values


def _known_word(name: str, text: str, path: Path, context: _Context) -> None:
    known: Collection[str] = {"category": context.words.categories, "risk": RISKS}.get(name, ())
    if known and text not in known:
        context.wrong("011", f"unknown {name} '{text[:80]}'", path, did_you_mean(text, known))


def _score(value: Any, path: Path, context: _Context) -> Iterator[Condition]:
    if not isinstance(value, dict):
        value = {"at_least": value, "at_most": value}
    for word, number in value.items():
        if word not in _NUMBER_WORDS:
            known = ", ".join(_NUMBER_WORDS)
            context.wrong("013", f"unknown key '{str(word)[:80]}'", (*path, word), f"known: {known}", key=True)
        elif isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 10:
            context.wrong("017", "a score is a number from 0 to 10", (*path, word))
        else:
            yield Condition(field="score", op=_NUMBER_WORDS[word], values=(number,))


def _factors(value: Any, path: Path, context: _Context) -> Iterator[Condition]:
    if not isinstance(value, dict):
        context.wrong("012", "'factors' is a mapping of factor to value", path, "write factors: {soc_2: true}")
        return
    for name, wanted in value.items():
        below: Path = (*path, name)
        if name not in context.words.scales.factors:
            hint = did_you_mean(str(name), context.words.scales.factors)
            context.wrong("013", f"there is no risk factor '{str(name)[:80]}'", below, hint, key=True)
            continue
        parts = wanted if isinstance(wanted, dict) else {"": wanted}
        for word, given in parts.items():
            yield from _factor(str(name), str(word), given, below if word == "" else (*below, word), context)


def _factor(name: str, word: str, given: Any, path: Path, context: _Context) -> Iterator[Condition]:
    if word not in ("", *_FACTOR_WORDS):
        context.wrong("013", f"unknown key '{word[:80]}'", path, f"known: {', '.join(_FACTOR_WORDS)}", key=True)
        return
    if word == "known":
        if not isinstance(given, bool):
            context.wrong("012", "'known' is true or false", path)
            return
        yield Condition(field=FACTOR + name, op="known" if given else "unknown", values=())
        return
    values = given if isinstance(given, list) else [given]
    order = (context.words.scales.enums or {}).get(name, ())
    for each in values:
        if not isinstance(each, bool | int | float | str) or each == "":
            context.wrong("012", f"{each!r} is no value of a factor"[:200], path)
            return
        if order and isinstance(each, str) and each not in order and each != "n/a":
            context.wrong("011", f"'{name}' is never '{each[:80]}'", path, did_you_mean(each, order))
            return
    if not values:
        context.wrong("037", "an empty list, which nothing is in", path, "add a value")
        return
    op = {"": "equals", "not": "not_equals", "at_least": "at_least", "below": "below"}[word]
    yield Condition(field=FACTOR + name, op=op, values=tuple(values))
