"""One request and its response as a state machine: facts in, effects and records out.

Live traffic, recorded flows and tests drive the same object. It does no I/O and has no clock; ids and times come in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

from casb.catalog.recognise import recognise_request, recognise_response
from casb.control.snapshot import Snapshot
from casb.errors import Where
from casb.model.activity import Activity, ActivityType, RequestFacts, ResponseFacts, Source
from casb.model.app import App
from casb.model.decision import Action, Answer, Decision, Effect, Hold, Pass, Protect, Reason
from casb.model.file import FileFacts, Verdict, VerdictStatus
from casb.model.identity import Client, Device, Session, User
from casb.model.record import Record
from casb.policy.engine import decide, open_outcomes
from casb.ports import Clock, NewId

PASS = Pass()


class Stage(Enum):
    """Where an exchange stands. HOLDING: the content was asked for and `inspected` must be called."""

    NEW = "new"
    HOLDING_UPLOAD = "holding upload"
    SENT = "sent"
    HOLDING_DOWNLOAD = "holding download"
    DONE = "done"


class OutOfOrder(Exception):
    """The rim called a step that does not follow the last one. The rim is sealed, so the exchange is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who asks: the same for all exchanges of a session from one address and program."""

    user: User | None
    device: Device
    client: Client
    session_id: str | None = None
    auth_contexts: frozenset[str] = frozenset()
    proven: Mapping[str, datetime] = field(default_factory=dict)

    @classmethod
    def of(cls, session: Session, client: Client, device: Device | None = None) -> Party:
        """The party of a live session; `device` may carry what the user agent added to it."""
        return cls(
            user=session.user,
            device=device or session.device,
            client=client,
            session_id=session.id,
            auth_contexts=session.auth_contexts,
            proven=session.proven,
        )


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and its response, decided without any I/O.

    Call `request`, then, when it answered Hold, `inspected`; then `response`, and `inspected` again on Hold.
    `records` holds what belongs into the activity log.
    """

    snapshot: Snapshot
    app: App
    party: Party
    clock: Clock
    new_id: NewId
    mode: str = ""
    records: list[Record] = field(default_factory=list)
    stage: Stage = Stage.NEW
    activity: Activity | None = None
    facts: RequestFacts | None = None

    def request(self, facts: RequestFacts) -> Effect:
        """Decide on what the request alone shows: uploads and the app's own activities."""
        self._require(Stage.NEW)
        self.facts = facts
        self.stage = Stage.SENT
        seen = recognise_request(self.app, facts)
        if seen is None:
            return PASS
        return self._decide(self._activity(*seen), Stage.HOLDING_UPLOAD)

    def response(self, facts: ResponseFacts) -> Effect:
        """Decide on what the response's head shows: downloads and views."""
        self._require(Stage.SENT)
        request = self.facts
        if request is None:
            raise OutOfOrder("response without request")
        self.stage = Stage.DONE
        seen = recognise_response(self.app, request, facts)
        if seen is None:
            return PASS
        return self._decide(replace(self._activity(*seen), response=facts), Stage.HOLDING_DOWNLOAD)

    def inspected(self, file: FileFacts) -> Effect:
        """Decide for good, the content having been read (or found unscannable)."""
        if self.activity is None or self.stage not in (Stage.HOLDING_UPLOAD, Stage.HOLDING_DOWNLOAD):
            raise OutOfOrder(f"verdict while {self.stage.value}")
        self.stage = Stage.SENT if self.stage is Stage.HOLDING_UPLOAD else Stage.DONE
        return self._settle(replace(self.activity, file=file), final=True)

    def unscannable(self, why: str) -> Effect:
        """As `inspected`, for content that could not be read: too large, no time, no worker."""
        held = self.activity
        name = held.file.name if held and held.file else ""
        known = held.file if held and held.file else FileFacts(name=name)
        verdict = Verdict(status=VerdictStatus.UNSCANNABLE, why=why)
        return self.inspected(replace(known, verdict=verdict, inspected=False))

    def fall_back(self, code: str, condition: str, fact: str) -> Effect:
        """What the app's default behaviour says (`on_failure`, S22) when a policy's action cannot be carried out."""
        if self.app.on_failure != "allow":
            return self.refuse(code, condition, fact)
        self._replace_last(code, condition, fact, Action.AUDIT)
        return PASS

    def refuse(self, code: str, condition: str, fact: str) -> Answer:
        """Refuse for a reason of ours that no policy names, e.g. a partial response that had to be protected."""
        return Answer(kind="block", decision=self._replace_last(code, condition, fact, Action.BLOCK))

    def _replace_last(self, code: str, condition: str, fact: str, action: Action) -> Decision:
        """Put the default behaviour in the place of the decision that could not be carried out."""
        activity = self.activity or self._activity(self._fallback_type(), None)
        where = Where(file=self.snapshot.settings.folder)
        reason = Reason(code=code, policy="", where=where, condition=condition, fact=fact)
        reasons: tuple[Reason, ...] = (reason,)
        matched: tuple[str, ...] = ()
        policy: str | None = None
        if self.records and self.records[-1].activity.id == activity.id:
            before = self.records.pop().decision
            reasons, matched, policy = (*before.reasons, reason), before.matched, before.policy
        decision = Decision(action=action, policy=policy, matched=matched, reasons=reasons, default_behaviour=True)
        self.stage = Stage.DONE
        self.records.append(self._record(activity, decision))
        return decision

    def concerns(self, kind: ActivityType) -> bool:
        """Whether any policy looks at such an activity in this app."""
        return bool(self.snapshot.policies.concerning(self._activity(kind, None)))

    def outcomes(self) -> frozenset[Action]:
        """What the policies that wait for the content of the held file may do."""
        if self.activity is None:
            raise OutOfOrder("nothing is held")
        return open_outcomes(self.activity, self.snapshot.policies)

    def foresee(self, file: FileFacts) -> Action:
        """What `inspected` would decide on, without deciding."""
        if self.activity is None:
            raise OutOfOrder("nothing is held")
        return decide(replace(self.activity, file=file), self.snapshot.policies, final=True).action

    def needs_whole(self, kind: ActivityType) -> bool:
        """Whether any policy wants to read or to encrypt the files of such an activity: parts of them will not do."""
        concerned = self.snapshot.policies.concerning(self._activity(kind, None))
        return any(each.content or each.action is Action.PROTECT for each in concerned)

    def asks_engines(self) -> bool:
        """Whether a policy for what is being decided asks what malware engines say."""
        activity = self.activity
        return activity is not None and any(each.malware for each in self.snapshot.policies.concerning(activity))

    def sibling(self) -> Exchange:
        """A fresh exchange of the same party with the same app: for one of several files in a request."""
        return Exchange(
            snapshot=self.snapshot,
            app=self.app,
            party=self.party,
            clock=self.clock,
            new_id=self.new_id,
            mode=self.mode,
        )

    def _fallback_type(self) -> ActivityType:
        if self.facts is not None and self.facts.method not in ("GET", "HEAD"):
            return ActivityType.EDIT
        return ActivityType.VIEW

    def _activity(self, kind: ActivityType, file: FileFacts | None) -> Activity:
        party = self.party
        return Activity(
            id=self.new_id(),
            time=self.clock(),
            type=kind,
            app=self.app,
            user=party.user,
            device=party.device,
            client=party.client,
            session_id=party.session_id,
            auth_contexts=party.auth_contexts,
            proven=party.proven,
            file=file,
            instance=self.facts.instance if self.facts else None,
            request=self.facts,
            source=Source.SESSION_CONTROL,
        )

    def _decide(self, activity: Activity, holding: Stage) -> Effect:
        decision = decide(activity, self.snapshot.policies)
        self.activity = activity
        if decision.needs:
            self.stage = holding
            return Hold(limit=self.snapshot.settings.limits.hold)
        return self._done(activity, decision)

    def _settle(self, activity: Activity, *, final: bool) -> Effect:
        self.activity = activity
        return self._done(activity, decide(activity, self.snapshot.policies, final=final))

    def _done(self, activity: Activity, decision: Decision) -> Effect:
        self.records.append(self._record(activity, decision))
        return effect_of(activity, decision)

    def _record(self, activity: Activity, decision: Decision) -> Record:
        return Record(activity=activity, decision=decision, policy_version=self.snapshot.version, mode=self.mode)

    def _require(self, stage: Stage) -> None:
        if self.stage is not stage:
            raise OutOfOrder(f"expected {stage.value}, is {self.stage.value}")


def effect_of(activity: Activity, decision: Decision) -> Effect:
    """What a final decision means for the traffic. Only a download can be protected: all else is refused instead."""
    match decision.action:
        case Action.ALLOW | Action.AUDIT:
            return PASS
        case Action.PROTECT if activity.type is ActivityType.DOWNLOAD:
            return Protect(using=decision.using)
        case Action.STEP_UP:
            return Answer(kind="step_up", decision=decision)
        case _:
            return Answer(kind="block", decision=decision)


def access(snapshot: Snapshot, app: App, party: Party, *, now: datetime, new_id: NewId, mode: str) -> Record:
    """Decide on opening an app at all, before any of its content is served (access policies)."""
    activity = Activity(
        id=new_id(),
        time=now,
        type=ActivityType.LOGON,
        app=app,
        user=party.user,
        device=party.device,
        client=party.client,
        session_id=party.session_id,
        auth_contexts=party.auth_contexts,
        proven=party.proven,
        source=Source.ACCESS_CONTROL,
    )
    decision = decide(activity, snapshot.policies, final=True)
    return Record(activity=activity, decision=decision, policy_version=snapshot.version, mode=mode)
