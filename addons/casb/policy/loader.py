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
from casb.policy.document import (
    Coach,
    FreeText,
    Kind,
    Otherwise,
    PolicyDocument,
    PolicyFile,
    Protect,
    Redact,
    SimpleAction,
    StepUp,
    Unscannable,
)
from casb.policy.findings import check_name
from casb.policy.matchers import Malformed
from casb.policy.message import PLACEHOLDERS, is_language, wrong_placeholder
from casb.policy.vocabulary import AFTERWARDS
from casb.policykinds import without_discovery
from casb.yamlfile import MAX_BYTES, Marks, Path, Report, did_you_mean, examine

_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
FRESH = 60  # seconds: less, and a person would be asked again before what was interrupted goes on
_CONTEXT = re.compile(r"c[1-9][0-9]?")

FILE_ACTIVITIES = frozenset({ActivityType.DOWNLOAD, ActivityType.UPLOAD, ActivityType.VIEW, ActivityType.PRINT})
"""Activities that can be about a file."""

MASKABLE = frozenset({ActivityType.VIEW, ActivityType.DOWNLOAD, ActivityType.UPLOAD, ActivityType.SEND_ITEM})
"""Activities whose content passes as text now and then, so that findings in it can be masked."""


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
    known_labels: Collection[str] | None = None,
    known_recipients: Collection[str] | None = None,
    limit: int = MAX_BYTES,
) -> Loaded:
    """The policies of several files, name to text.

    What the deployment has (of `info_types` those of its own) is None when that is not known; `limit` is in bytes per
    file. Raises `Problems` with every error of every file.
    """
    errors: list[CasbError] = []
    warnings: list[CasbError] = []
    loaded: list[LoadedPolicy] = []
    known = tuple(_frozen(each) for each in (known_apps, ip_tags, info_types, known_labels, known_recipients))
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
    apps, tags, types, labels, recipients = known
    context = conditions.Context(
        marks=marks,
        errors=errors,
        warnings=warnings,
        known_apps=apps,
        ip_tags=tags,
        info_types=types,
        known_labels=labels,
        known_recipients=recipients,
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
    _check_types(document, when, path, context)
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
    _check_message(document.message, (*path, "message"), context)


def _check_message(message: str | Mapping[str, str], path: Path, context: conditions.Context) -> None:
    errors, marks = context.errors, context.marks
    if not isinstance(message, str) and not message:
        errors.add("037", "'message' has no language", marks.where(path), "add a text, e.g. en: …")
    texts = {(): message} if isinstance(message, str) else {(tag,): text for tag, text in message.items()}
    for below, text in texts.items():
        where = marks.where((*path, *below))
        if below and not is_language(below[0]):
            errors.add(
                "042", f"'{below[0][:40]}' is no language", marks.where((*path, *below), key=True), "write en or de-AT"
            )
        wrong = wrong_placeholder(text)
        if wrong:
            known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            hint = f"known: {known}; write {{{{ and }}}} for braces"
            close = did_you_mean(wrong.strip("{}"), PLACEHOLDERS)
            hint = f"{close} {hint}" if close.startswith("did you mean") else hint
            errors.add("039", f"message has an unknown placeholder '{wrong}'", where, hint)


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
    if isinstance(document.action, StepUp):
        _check_step_up(document.action, (*path, "action"), context)
    protects = isinstance(document.action, Protect) or document.action is SimpleAction.PROTECT
    _check_masking(document, activities, path, context)
    if isinstance(document.action, Coach):
        try:
            rollout.duration(document.action.lasts)
        except Malformed as wrong:
            errors.add(wrong.number, wrong.message, marks.where((*path, "action", "lasts")), wrong.hint)
        if document.action.text is FreeText.NO and not document.action.reasons:
            where = marks.where((*path, "action", "text"))
            errors.add("037", "'coach' asks for nothing", where, "give reasons, or text: required")
    if (protects or document.unscannable is Unscannable.PROTECT) and set(activities) != {ActivityType.DOWNLOAD}:
        where = marks.where((*path, "action" if protects else "unscannable"))
        errors.add("036", "only downloads can be protected", where, "write activities: download")
    if isinstance(document.action, Protect):
        _check_protect(document.action, (*path, "action"), context)


def _check_step_up(action: StepUp, path: Path, context: conditions.Context) -> None:
    errors, marks = context.errors, context.marks
    if not _CONTEXT.fullmatch(action.context):
        where = marks.where((*path, "context"))
        errors.add("017", f"'{action.context}' is no authentication context", where, "write c1 to c99")
    if action.fresh_for is None:
        return
    where = marks.where((*path, "fresh_for"))
    try:
        if seconds(action.fresh_for) < FRESH:
            errors.add("017", "a proof that counts for less than a minute", where, "write 1m or more")
    except ValueError as error:
        errors.add("017", str(error), where, "write 15m, 8h")


def _check_protect(action: Protect, path: Path, context: conditions.Context) -> None:
    errors, marks = context.errors, context.marks
    if action.using == "label" and not action.label:
        errors.add("037", "'using: label' names no label", marks.where((*path, "using")), "add label: and its name")
    recipients = (action.recipients,) if isinstance(action.recipients, str) else action.recipients
    named = [("label", action.label, context.known_labels)] if action.label else []
    named += [("recipient", each, context.known_recipients) for each in recipients]
    for noun, name, known in named:
        if known is not None and name not in known:
            where = marks.where((*path, "label" if noun == "label" else "recipients"))
            hint = did_you_mean(name, known) or f"name it under {noun}s in casb.yaml"
            errors.add("041", f"unknown {noun} '{name}'", where, hint)
    if recipients and action.using != "cms":
        errors.add("037", "'recipients' count for cms alone", marks.where((*path, "recipients")), "write using: cms")
    if action.expires:
        try:
            rollout.duration(action.expires)
        except Malformed as wrong:
            errors.add(wrong.number, wrong.message, marks.where((*path, "expires")), wrong.hint)


def _check_types(document: PolicyDocument, when: conditions.Node, path: Path, context: conditions.Context) -> None:
    """What is masked must be known, and must be something."""
    if isinstance(document.action, Redact) and document.action.types:
        for index, name in enumerate(document.action.types):
            try:
                check_name(name, context.info_types)
            except Malformed as wrong:
                where = context.marks.where((*path, "action", "types", index))
                context.errors.add(wrong.number, wrong.message.replace("findings", "types"), where, wrong.hint)
    elif isinstance(document.action, Redact) or document.action is SimpleAction.REDACT:
        if not conditions.asked([when]):
            hint = "write action: {type: redact, types: [credit-card]}, or a condition on findings"
            context.errors.add("037", "'redact' names nothing to mask", context.marks.where((*path, "action")), hint)


def _check_masking(
    document: PolicyDocument, activities: tuple[ActivityType, ...], path: Path, context: conditions.Context
) -> None:
    if not (isinstance(document.action, Redact) or document.action is SimpleAction.REDACT):
        return
    where = context.marks.where((*path, "action"))
    if not activities or not MASKABLE.issuperset(activities):
        words = ", ".join(sorted(MASKABLE))
        context.errors.add("036", "only what passes as text can be masked", where, f"write activities: {words}")
    elif isinstance(document.action, Redact) and document.action.otherwise is Otherwise.PROTECT:
        if set(activities) != {ActivityType.DOWNLOAD}:
            context.errors.add("036", "only downloads can be protected", where, "write otherwise: block")


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
        if not budget.block_rate and budget.blocks is None and budget.appeals is None:
            where = context.marks.where((*path, "budget"))
            context.errors.add("037", "'budget' sets no limit", where, "give block_rate, blocks or appeals")
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
    for group, having in (("file", FILE_ACTIVITIES), ("text", frozenset((*IN_PAGE, ActivityType.SEND_ITEM)))):
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
