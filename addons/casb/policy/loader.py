"""Policy files to checked documents: each error with file, line, column, code and hint, all of them at once."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

import orjson

from casb.config.units import seconds
from casb.errors import CasbError, PolicyError, Problems, Where
from casb.model.activity import IN_PAGE, ActivityType
from casb.policy import conditions, rollout
from casb.policy.document import Kind, PolicyDocument, PolicyFile, Protect, SimpleAction, StepUp, Unscannable
from casb.policy.matchers import Malformed
from casb.policy.message import PLACEHOLDERS, wrong_placeholder
from casb.policy.vocabulary import AFTERWARDS
from casb.policykinds import without_discovery
from casb.yamlfile import MAX_BYTES, Marks, Path, Report, did_you_mean, examine

_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
FRESH = 60  # seconds: less, and a person would be asked again before what was interrupted goes on
_CONTEXT = re.compile(r"c[1-9][0-9]?")

FILE_ACTIVITIES = frozenset({ActivityType.DOWNLOAD, ActivityType.UPLOAD, ActivityType.VIEW, ActivityType.PRINT})
"""Activities that can be about a file."""


MOST_REPEATED = 10_000
"""The most often that an activity policy can wait for."""

_AT_SIGN_IN = ("cannot be known at sign-in", "use kind: session")
_BEFORE = {each: ("is known only afterwards", "use kind: activity") for each in AFTERWARDS}
_WITHOUT: Mapping[Kind, Mapping[str, tuple[str, str]]] = {
    Kind.ACCESS: {
        **dict.fromkeys(("file", "text", "request", "object", "app.instance", "activity.type"), _AT_SIGN_IN),
        **_BEFORE,
    },
    Kind.SESSION: _BEFORE,
    Kind.ACTIVITY: {},
}
"""What each kind of policy cannot ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Where the parts of a policy stand."""

    policy: Where
    activities: Where
    unscannable: Where


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPolicy:
    """One policy as written, checked, with its conditions compiled and its places. `apps` empty: every app."""

    document: PolicyDocument
    apps: tuple[str, ...]
    activities: tuple[ActivityType, ...]
    when: conditions.Node
    origins: Origins
    digest: bytes  # what it says, in a form that comments, order of files and layout do not change


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """All policies of a folder. `warnings` are suspicions; nothing in them keeps a policy from working."""

    policies: tuple[LoadedPolicy, ...]
    warnings: tuple[CasbError, ...] = ()


def load(
    files: Mapping[str, bytes],
    *,
    known_apps: Collection[str] | None = None,
    ip_tags: Collection[str] | None = None,
    info_types: Collection[str] | None = None,
    limit: int = MAX_BYTES,
) -> Loaded:
    """The policies of several files, name to text.

    `known_apps`, `ip_tags` and `info_types` (those of its own) are what the deployment has, or None when that is not
    known; `limit` is in bytes per file. Raises `Problems` with every error of every file.
    """
    errors: list[CasbError] = []
    warnings: list[CasbError] = []
    loaded: list[LoadedPolicy] = []
    known = (_frozen(known_apps), _frozen(ip_tags), _frozen(info_types))
    for file, text in sorted(files.items()):
        try:
            found, suspicions = _load_file(file, text, known, limit)
        except Problems as problems:
            errors += problems.errors
        else:
            loaded += found
            warnings += suspicions
    errors += _duplicates(loaded)
    if errors:
        raise Problems(errors)
    return Loaded(policies=tuple(sorted(loaded, key=lambda each: each.document.id)), warnings=tuple(warnings))


def _duplicates(loaded: list[LoadedPolicy]) -> list[CasbError]:
    first: dict[str, Where] = {}
    errors: list[CasbError] = []
    for each in loaded:
        where, name = each.origins.policy, each.document.id
        if name in first:
            hint = f"the first one is at {first[name]}; ids are unique in the folder"
            errors.append(PolicyError("P030", f"policy id '{name}' is used twice", where, hint))
        else:
            first[name] = where
    return errors


def _frozen(words: Collection[str] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(sorted(words))


@functools.lru_cache(maxsize=4096)  # An edit of one file of many reads that one alone again.
def _load_file(
    file: str, text: bytes, known: tuple[tuple[str, ...] | None, ...], limit: int
) -> tuple[tuple[LoadedPolicy, ...], tuple[CasbError, ...]]:
    document, marks, errors = examine(PolicyFile, text, file, limit=limit, narrow=without_discovery)
    if marks is None:
        raise Problems(errors.sorted())
    warnings = Report(file, "P")
    apps, tags, types = known
    context = conditions.Context(
        marks=marks, errors=errors, warnings=warnings, known_apps=apps, ip_tags=tags, info_types=types
    )
    if document is None:
        _check_conditions(context)
        raise Problems(errors.sorted())
    loaded = [_load_policy(each, ("policies", index), context) for index, each in enumerate(document.policies)]
    if errors.errors:
        raise Problems(errors.sorted())
    return tuple(loaded), tuple(warnings.sorted())


def _check_conditions(context: conditions.Context) -> None:
    """In a file whose shape is wrong elsewhere, tell the errors under `when` all the same."""
    data = context.marks.data()
    policies = data.get("policies") if isinstance(data, dict) else None
    for index, each in enumerate(policies if isinstance(policies, list) else []):
        if isinstance(each, dict) and each.get("when") is not None:
            conditions.parse(each["when"], ("policies", index, "when"), context)


def _load_policy(document: PolicyDocument, path: Path, context: conditions.Context) -> LoadedPolicy:
    marks = context.marks
    activities = (document.activities,) if isinstance(document.activities, str) else document.activities
    apps = (document.apps,) if isinstance(document.apps, str) else document.apps
    _check_names(document, apps, path, context)
    _check_action(document, activities, path, context)
    _check_rollout(document, path, context)
    _check_repeated(document, path, context)
    context = dataclasses.replace(context, without=_WITHOUT[document.kind])
    when: conditions.Node = conditions.ALWAYS
    if document.when is not None:
        when = conditions.parse(document.when, (*path, "when"), context)
    if document.kind is Kind.ACCESS:
        activities = (ActivityType.LOGON,)
    elif not activities:
        every = document.kind is Kind.ACTIVITY
        activities = tuple(each for each in ActivityType if every or each is not ActivityType.LOGON)
    _check_reach(document, activities, when, path, context)
    return LoadedPolicy(
        document=document,
        apps=apps,
        activities=activities,
        when=when,
        origins=Origins(
            policy=marks.where((*path, "id")),
            activities=marks.where((*path, "activities"), key=True),
            unscannable=marks.where((*path, "unscannable"), key=True),
        ),
        digest=orjson.dumps(marks.data(path), option=orjson.OPT_SORT_KEYS),
    )


def _check_names(document: PolicyDocument, apps: tuple[str, ...], path: Path, context: conditions.Context) -> None:
    errors, marks = context.errors, context.marks
    if not _ID.fullmatch(document.id):
        hint = "use small letters, digits and hyphens, at most 64"
        errors.add("038", f"'{document.id[:80]}' cannot be a policy id", marks.where((*path, "id")), hint)
    if document.apps == () and _is_written(marks, (*path, "apps")):
        errors.add("037", "'apps' is an empty list, which nothing is in", marks.where((*path, "apps")), "add an app")
    if context.known_apps is not None:
        for index, app in enumerate(apps):
            if app not in context.known_apps:
                below: Path = (*path, "apps") if isinstance(document.apps, str) else (*path, "apps", index)
                hint = did_you_mean(app, context.known_apps)
                errors.add("031", f"unknown app '{app}'", marks.where(below), hint)
    wrong = wrong_placeholder(document.message)
    if wrong:
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        hint = f"known: {known}; write {{{{ and }}}} for braces"
        errors.add("039", f"message has an unknown placeholder '{wrong}'", marks.where((*path, "message")), hint)


def _check_action(
    document: PolicyDocument, activities: tuple[ActivityType, ...], path: Path, context: conditions.Context
) -> None:
    errors, marks = context.errors, context.marks
    if document.activities == () and _is_written(marks, (*path, "activities")):
        where = marks.where((*path, "activities"))
        errors.add("037", "'activities' is an empty list, which nothing is in", where, "add one, or remove the key")
    if document.kind is Kind.ACCESS and activities:
        where = marks.where((*path, "activities"), key=True)
        errors.add("035", "an access policy has no activities", where, "remove the key, or use kind: session")
    elif ActivityType.LOGON in activities and document.kind is Kind.SESSION:
        where = marks.where((*path, "activities"))
        errors.add("035", "a session policy is not asked at logon", where, "use kind: access and no activities")
    if isinstance(document.action, StepUp) and not _CONTEXT.fullmatch(document.action.context):
        where = marks.where((*path, "action", "context"))
        errors.add("017", f"'{document.action.context}' is no authentication context", where, "write c1 to c99")
    if isinstance(document.action, StepUp) and document.action.fresh_for is not None:
        where = marks.where((*path, "action", "fresh_for"))
        try:
            if seconds(document.action.fresh_for) < FRESH:
                errors.add("017", "a proof that counts for less than a minute", where, "write 1m or more")
        except ValueError as error:
            errors.add("017", str(error), where, "write 15m, 8h")
    protects = isinstance(document.action, Protect) or document.action is SimpleAction.PROTECT
    if (protects or document.unscannable is Unscannable.PROTECT) and set(activities) != {ActivityType.DOWNLOAD}:
        where = marks.where((*path, "action" if protects else "unscannable"))
        errors.add("036", "only downloads can be protected", where, "write activities: download")


def _check_repeated(document: PolicyDocument, path: Path, context: conditions.Context) -> None:
    """What only activity policies have, and what they cannot have."""
    errors, marks, repeated = context.errors, context.marks, document.repeated
    if document.kind is not Kind.ACTIVITY:
        if repeated is not None:
            where = marks.where((*path, "repeated"), key=True)
            errors.add("035", "'repeated' is for activity policies", where, "use kind: activity")
        return
    if document.action is not SimpleAction.AUDIT:
        hint = "write action: audit, or use kind: session"
        errors.add(
            "035", "an activity policy comes afterwards and can only audit", marks.where((*path, "action")), hint
        )
    for name in ("unscannable", "message", "budget"):
        if _is_written(marks, (*path, name)):
            where = marks.where((*path, name), key=True)
            errors.add("035", f"an activity policy has no '{name}'", where, "remove the key")
    if repeated is None:
        return
    if not 2 <= repeated.at_least <= MOST_REPEATED:
        where = marks.where((*path, "repeated", "at_least"))
        errors.add("017", f"'at_least' is 2 to {MOST_REPEATED}", where, "leave 'repeated' out for a single activity")
    try:
        if rollout.duration(repeated.within) > timedelta(days=1):
            raise Malformed("017", "'within' is at most a day", "write 24h or less")
    except Malformed as wrong:
        errors.add(wrong.number, wrong.message, marks.where((*path, "repeated", "within")), wrong.hint)


def _check_rollout(document: PolicyDocument, path: Path, context: conditions.Context) -> None:
    budget = document.budget
    checks: list[tuple[Path, Callable[[], object]]] = [
        (("schedule",), lambda: rollout.season(document.schedule)),
        (("rollout",), lambda: rollout.live(document.id, document.rollout)),
    ]
    if budget is not None:
        checks.append((("budget", "window"), lambda: rollout.duration(budget.window)))
        if budget.block_rate:
            checks.append((("budget", "block_rate"), lambda: rollout.share(budget.block_rate)))
        if not budget.block_rate and budget.blocks is None:
            where = context.marks.where((*path, "budget"))
            context.errors.add("037", "'budget' sets no limit", where, "give block_rate or blocks")
    for below, check in checks:
        try:
            check()
        except Malformed as wrong:
            context.errors.add(wrong.number, wrong.message, context.marks.where((*path, *below)), wrong.hint)


def _check_reach(
    document: PolicyDocument,
    activities: tuple[ActivityType, ...],
    when: conditions.Node,
    path: Path,
    context: conditions.Context,
) -> None:
    """Warn when the conditions ask for a file, or a text, and none of the activities has one."""
    parts = when.parts if isinstance(when, conditions.Branch) and when.kind == "all" else (when,)
    for group, having in (("file", FILE_ACTIVITIES), ("text", frozenset(IN_PAGE))):
        about = [each for each in parts if isinstance(each, conditions.Leaf) and each.field.group == group]
        if document.kind is Kind.SESSION and about and having.isdisjoint(activities):
            words = ", ".join(activities)
            context.warnings.add("050", f"the policy can never match: {words} concerns no {group}", about[0].where)


def _is_written(marks: Marks, path: Path) -> bool:
    try:
        marks.data(path)
    except KeyError:
        return False
    return True
