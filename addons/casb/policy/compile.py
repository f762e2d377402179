"""Documents to `Policies`: immutable, and indexed so that a decision looks only at what could concern it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from casb.config.units import seconds
from casb.model.activity import Activity, ActivityType
from casb.model.decision import Action, Coaching, Redaction, Severity
from casb.policy import conditions, rollout
from casb.policy.document import (
    AlertDetails,
    Budget,
    Coach,
    Kind,
    PolicyDocument,
    Protect,
    Redact,
    Repeated,
    SimpleAction,
    Stage,
    StepUp,
    Unscannable,
)
from casb.policy.findings import with_members
from casb.policy.loader import LoadedPolicy, Origins
from casb.policy.message import fallback
from casb.policy.truths import Check
from casb.policy.vocabulary import MALWARE

_ACTIONS: Mapping[str, Action] = {action.word: action for action in Action if action is not Action.ALLOW}

_USING: Mapping[str, str] = {"protect": "age", "step_up": "c1", "block": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy, ready to be asked.

    `check` is its conditions as one closure. `unknown` is what it does when that stays unknown; None: nothing.
    `content` says that reading the file can settle it.
    `context` is the authentication context of its step-up, `fresh_for` how long that counts.
    `session_check` knows only what is known at sign-in (S30). `season` and `live` are None where they make no
    difference: always in season, enforced for everybody. `withdrawn` says that its budget has put it into shadow.
    """

    id: str
    name: str
    description: str
    kind: Kind
    severity: Severity
    apps: frozenset[str]  # empty: every app
    activities: frozenset[ActivityType]
    when: conditions.Node
    check: Check
    session_check: Check
    action: Action
    using: str
    protect: Protect | None  # how it hands over, when it can
    context: str
    fresh_for: timedelta | None
    unknown: Action | None
    content: bool
    message: str
    messages: Mapping[str, str]
    alert: AlertDetails | None
    origins: Origins
    stage: str = "enforce"
    season: rollout.Season | None = None
    live: rollout.Live | None = None
    budget: Budget | None = None
    withdrawn: bool = False
    redaction: Redaction | None = None  # where its action is `redact`
    coaching: Coaching | None = None  # where it, or its `unscannable`, is `coach`
    on_failure: str = ""
    repeated: Repeated | None = None
    malware: bool = False  # it asks for what malware engines say

    @property
    def strictest(self) -> Action:
        """The most that it can do."""
        return self.action if self.unknown is None else max(self.action, self.unknown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The policies in force. `version` is a short hash of what they say; `all` is sorted by id."""

    version: str
    all: tuple[Policy, ...]  # access and session policies
    afterwards: tuple[Policy, ...] = ()  # activity policies, which look at the log
    disabled: tuple[LoadedPolicy, ...] = ()
    by_app: Mapping[tuple[str, ActivityType], tuple[Policy, ...]] = field(default_factory=dict, repr=False)
    for_any: Mapping[ActivityType, tuple[Policy, ...]] = field(default_factory=dict, repr=False)
    coaching: tuple[Policy, ...] = field(default=(), repr=False)
    redacting: tuple[Policy, ...] = field(default=(), repr=False)

    @property
    def every(self) -> tuple[Policy, ...]:
        """Those that decide, and those that look at the log afterwards."""
        return (*self.all, *self.afterwards)

    def concerning(self, activity: Activity) -> tuple[Policy, ...]:
        """Those for the app and type of the activity, in order of id."""
        app = activity.app
        if app is not None:
            found = self.by_app.get((app.id, activity.type))
            if found is not None:
                return found
        return self.for_any.get(activity.type, ())

    def redacts(self, app_id: str, kind: ActivityType) -> bool:
        """Whether any policy may mask what passes as such an activity in the app."""
        return any(kind in each.activities and (not each.apps or app_id in each.apps) for each in self.redacting)

    def coaches(self, app_id: str) -> bool:
        """Whether any policy for the app may ask for a justification."""
        return any(not each.apps or app_id in each.apps for each in self.coaching)

    def session_policies(self, app_id: str) -> tuple[Policy, ...]:
        """The session policies that name the app or every app."""
        return tuple(each for each in self.all if each.kind is Kind.SESSION and (not each.apps or app_id in each.apps))


def compile_policies(loaded: Iterable[LoadedPolicy], withdrawn: Iterable[str] = ()) -> Policies:
    """The policies of a folder, ready for `decide`. Switched-off ones are kept apart.

    `withdrawn` are the digests (`digest_of`) of policies that went beyond their budget: they run in shadow until what
    they say is changed.
    """
    every = sorted(loaded, key=lambda each: each.document.id)
    back = frozenset(withdrawn)
    compiled = [_compile(each, withdrawn=digest_of(each) in back) for each in every if each.document.enabled]
    policies = tuple(each for each in compiled if each.kind is not Kind.ACTIVITY)
    said = [each.digest for each in every]
    said += [b"withdrawn " + policy.id.encode() for policy in policies if policy.withdrawn]
    digest = hashlib.sha256(b"\n".join(said)).hexdigest()
    for_any: dict[ActivityType, tuple[Policy, ...]] = {}
    by_app: dict[tuple[str, ActivityType], tuple[Policy, ...]] = {}
    by_type: dict[ActivityType, list[Policy]] = {}
    for policy in policies:
        for activity in policy.activities:
            by_type.setdefault(activity, []).append(policy)
    for activity, concerned in by_type.items():
        for_any[activity] = tuple(each for each in concerned if not each.apps)
        apps: dict[str, list[Policy]] = {app: [] for each in concerned for app in each.apps}
        for each in concerned:
            for app in each.apps or apps:
                apps[app].append(each)
        by_app.update({(app, activity): tuple(found) for app, found in apps.items()})
    return Policies(
        version=digest[:12],
        all=policies,
        afterwards=tuple(each for each in compiled if each.kind is Kind.ACTIVITY),
        disabled=tuple(each for each in every if not each.document.enabled),
        by_app=by_app,
        for_any=for_any,
        coaching=tuple(each for each in policies if each.coaching is not None),
        redacting=tuple(each for each in policies if each.action is Action.REDACT),
    )


def digest_of(loaded: LoadedPolicy) -> str:
    """Changes with what the policy says."""
    return hashlib.sha256(loaded.digest).hexdigest()[:16]


def _fresh_for(action: object) -> timedelta | None:
    told = action.fresh_for if isinstance(action, StepUp) else None
    return None if told is None else timedelta(seconds=seconds(told))


def action_of(document: PolicyDocument) -> Action:
    """What it does when it matches."""
    return _ACTIONS[document.action if isinstance(document.action, SimpleAction) else document.action.type]


def unknown_of(document: PolicyDocument) -> Action | None:
    """What it does when that stays unknown; None: nothing. What cannot be read cannot be masked either."""
    if document.unscannable is Unscannable.MATCH:
        action = action_of(document)
        return redaction_of(document, frozenset()).otherwise if action is Action.REDACT else action
    return None if document.unscannable is Unscannable.IGNORE else _ACTIONS[document.unscannable]


_PROTECT = Protect(type="protect")


def _protect_of(document: PolicyDocument) -> Protect | None:
    if isinstance(document.action, Protect):
        return document.action
    return _PROTECT if Action.PROTECT in (action_of(document), unknown_of(document)) else None


def redaction_of(document: PolicyDocument, asked: frozenset[str]) -> Redaction:
    """What a `redact` masks; `asked` are the sensitive information types that its conditions name."""
    action = document.action
    if not isinstance(action, Redact):
        return Redaction(types=asked, otherwise=Action.BLOCK)
    return Redaction(
        types=with_members(action.types) or asked, otherwise=_ACTIONS[action.otherwise], using=_USING[action.otherwise]
    )


def coaching_of(document: PolicyDocument) -> Coaching:
    """What a `coach` asks."""
    action = document.action
    if not isinstance(action, Coach):
        return Coaching(policies=(document.id,))
    lasts = int(rollout.duration(action.lasts).total_seconds())
    return Coaching(policies=(document.id,), reasons=action.reasons, text=action.text.value, lasts=lasts)


def _compile(loaded: LoadedPolicy, *, withdrawn: bool = False) -> Policy:
    document, action = loaded.document, loaded.document.action
    alert = document.alert
    if isinstance(alert, bool):
        # An activity policy can do nothing else.
        details = AlertDetails() if alert or document.kind is Kind.ACTIVITY else None
    else:
        details = alert
    stage = Stage.SHADOW if withdrawn else document.rollout
    return Policy(
        id=document.id,
        name=document.name or document.id,
        description=document.description,
        kind=document.kind,
        severity=document.severity,
        apps=frozenset(loaded.apps),
        activities=frozenset(loaded.activities),
        when=loaded.when,
        check=loaded.when.check,
        session_check=conditions.session_part(loaded.when),
        action=action_of(document),
        using=action.using if isinstance(action, Protect) else _PROTECT.using,
        protect=_protect_of(document),
        context=action.context if isinstance(action, StepUp) else "c1",
        fresh_for=_fresh_for(action),
        unknown=unknown_of(document),
        content=conditions.depends_on_content(loaded.when),
        message=document.message if isinstance(document.message, str) else fallback(document.message),
        messages={} if isinstance(document.message, str) else dict(document.message),
        alert=details,
        origins=loaded.origins,
        stage="shadow: beyond its budget" if withdrawn else rollout.told(stage),
        season=rollout.season(document.schedule),
        live=rollout.live(document.id, stage),
        budget=document.budget,
        withdrawn=withdrawn,
        redaction=redaction_of(document, _types(loaded.when)) if action_of(document) is Action.REDACT else None,
        coaching=coaching_of(document) if Action.COACH in (action_of(document), unknown_of(document)) else None,
        on_failure=document.on_failure.value if document.on_failure else "",
        repeated=document.repeated,
        malware=any(leaf.code in MALWARE for leaf in loaded.when.leaves()),
    )


def _types(when: conditions.Node) -> frozenset[str]:
    """The sensitive information types that conditions name."""
    return with_members(conditions.asked([when]))
