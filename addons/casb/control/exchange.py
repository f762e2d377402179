"""One request and its response as a state machine: facts in, effects and records out.

Live traffic, recorded flows and tests drive the same object. It does no I/O and has no clock; ids and times come in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any

from casb.catalog.recognise import recognise_request, recognise_response
from casb.catalog.signatures import find, objects_of
from casb.control.justified import Justification, holding
from casb.control.snapshot import Snapshot
from casb.errors import Where
from casb.model.activity import Activity, ActivityType, RequestFacts, ResponseFacts, Source, TextFacts
from casb.model.app import App
from casb.model.decision import Action, Answer, Decision, Effect, Hold, Pass, Protect, Reason, Redact, Redaction
from casb.model.file import FileFacts, Verdict, VerdictStatus
from casb.model.identity import Client, Device, Session, User
from casb.model.record import Record
from casb.policy.engine import decide, open_outcomes
from casb.policy.truths import NO
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
    given: tuple[Justification, ...] = ()  # what the person has said to go on, in this app
    records: list[Record] = field(default_factory=list)
    stage: Stage = Stage.NEW
    activity: Activity | None = None
    facts: RequestFacts | None = None
    operation: str = ""  # what the app calls the activity, as its signature says

    def request(self, facts: RequestFacts) -> Effect:
        """Decide on what the request alone shows: uploads and the app's own activities."""
        self._require(Stage.NEW)
        self.facts = facts
        self.stage = Stage.SENT
        seen = recognise_request(self.app, facts)
        if seen is None:
            return PASS
        return self._decide(self._activity(*seen), Stage.HOLDING_UPLOAD)

    def upload(self, file: FileFacts, facts: RequestFacts) -> Effect:
        """Decide on one file of a request: whoever read its body, or knows the transfer it belongs to, has found it."""
        self._require(Stage.NEW)
        self.facts = facts
        self.stage = Stage.SENT
        return self._decide(self._activity(ActivityType.UPLOAD, file), Stage.HOLDING_UPLOAD)

    def save(self, file: FileFacts, facts: RequestFacts) -> Effect:
        """Decide on a file that a page has made itself and is about to save."""
        self._require(Stage.NEW)
        self.facts = facts
        self.stage = Stage.DONE
        return self._decide(self._activity(ActivityType.DOWNLOAD, file), Stage.HOLDING_DOWNLOAD)

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

    def told(self, text: TextFacts) -> Effect:
        """As `inspected`, for a text that was to be sent."""
        if self.activity is None or self.stage is not Stage.HOLDING_UPLOAD:
            raise OutOfOrder(f"text while {self.stage.value}")
        self.stage = Stage.SENT
        return self._settle(replace(self.activity, text=text), final=True)

    def message(self, text: TextFacts) -> Effect:
        """Decide on a message of an open connection, known as a whole."""
        self._require(Stage.NEW)
        self.stage = Stage.DONE
        return self._settle(replace(self._activity(ActivityType.SEND_ITEM, None), text=text), final=True)

    def settled(self) -> Effect | None:
        """The effect where what is known without the content refuses already: reading it would change no more than
        which policy is named. None: the content decides."""
        self._require(Stage.HOLDING_UPLOAD)
        if self.activity is None:
            raise OutOfOrder("no activity")
        decision = decide(self.activity, self.snapshot.policies)
        if not decision.action.halts:
            return None
        self.stage = Stage.SENT
        return self._done(self.activity, replace(decision, needs=frozenset()))

    def wait(self) -> None:
        """What was held is a piece of a file that is not whole yet: nothing is decided, and nothing recorded."""
        self._require(Stage.HOLDING_UPLOAD)
        self.stage = Stage.SENT

    def blank(self, kind: ActivityType) -> Activity:
        """The activity that a request would be, of which nothing more is known."""
        self.activity = self._activity(kind, None)
        return self.activity

    def unscannable(self, why: str) -> Effect:
        """As `inspected`, for content that could not be read: too large, no time, no worker."""
        held = self.activity
        name = held.file.name if held and held.file else ""
        known = held.file if held and held.file else FileFacts(name=name)
        verdict = Verdict(status=VerdictStatus.UNSCANNABLE, why=why)
        return self.inspected(replace(known, verdict=verdict, inspected=False))

    def fall_back(self, code: str, condition: str, fact: str) -> Effect:
        """What the app's default behaviour says (`on_failure`, S22) when a policy's action cannot be carried out."""
        last = self.records[-1] if self.records else None
        said = last.decision.on_failure if last and self.activity and last.activity.id == self.activity.id else ""
        if (said or self.app.on_failure) != "allow":
            return self.refuse(code, condition, fact)
        self._replace_last(code, condition, fact, Action.AUDIT)
        return PASS

    def refuse(self, code: str, condition: str, fact: str) -> Answer:
        """Refuse for a reason of ours that no policy names, e.g. a partial response that had to be protected."""
        return Answer(kind="block", decision=self._replace_last(code, condition, fact, Action.BLOCK))

    def instead(self, order: Redaction, why: str) -> Effect:
        """What the policy says for content whose findings cannot be masked (`redact`, `otherwise`)."""
        activity = self.activity
        if activity is None or not self.records or self.records[-1].activity.id != activity.id:
            raise OutOfOrder("nothing was to be masked")
        before = self.records.pop().decision
        reason = Reason(
            code="redact.impossible",
            policy=before.policy or "",
            where=before.reasons[0].where if before.reasons else Where(file=self.snapshot.settings.folder),
            condition=f"otherwise: {order.otherwise.word}",
            fact=why,
        )
        decision = replace(
            before,
            action=order.otherwise,
            using=order.using,
            redaction=None,
            reasons=(*before.reasons, reason),
        )
        self.records.append(self._record(activity, decision))
        return effect_of(activity, decision)

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
        """Whether any policy looks at such an activity of this person on this device in this app."""
        concerning = self.snapshot.policies.concerning(self._activity(kind, None))
        if not concerning:
            return False
        activity = self._activity(kind, None)
        return any(each.session_check(activity) is not NO for each in concerning)

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
        """Whether a policy for this party may want to read or to encrypt the files of such an activity: parts of them
        will not do."""
        activity = self._activity(kind, None)
        return any(
            (each.content or each.protect is not None) and each.session_check(activity) is not NO
            for each in self.snapshot.policies.concerning(activity)
        )

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
            given=self.given,
        )

    def _fallback_type(self) -> ActivityType:
        if self.facts is not None and self.facts.method not in ("GET", "HEAD"):
            return ActivityType.EDIT
        return ActivityType.VIEW

    def activity_of(self, kind: ActivityType, file: FileFacts | None) -> Activity:
        """An activity of this exchange that is decided elsewhere."""
        return self._activity(kind, file)

    def _activity(self, kind: ActivityType, file: FileFacts | None) -> Activity:
        party = self.party
        match = find(self.app, self.facts) if self.facts is not None and self.app.signatures else None
        if match is not None and match.signature.activity != kind:
            match = None  # It would hide what this is.
        self.operation = match.signature.id if match is not None else ""
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
            text=TextFacts() if kind is ActivityType.SEND_ITEM else None,
            admin=match is not None and match.signature.admin,
            objects=objects_of(match, self.facts) if match is not None and self.facts is not None else (),
            instance=self.facts.instance if self.facts else None,
            request=self.facts,
            source=Source.SESSION_CONTROL,
        )

    def _decide(self, activity: Activity, holding: Stage) -> Effect:
        activity = self._informed(activity)
        decision = decide(activity, self.snapshot.policies)
        self.activity = activity
        if decision.needs:
            self.stage = holding
            return Hold(limit=self.snapshot.settings.limits.hold)
        return self._done(activity, decision)

    def _settle(self, activity: Activity, *, final: bool) -> Effect:
        self.activity = activity = self._informed(activity)
        return self._done(activity, decide(activity, self.snapshot.policies, final=final))

    def _informed(self, activity: Activity) -> Activity:
        """With what was said and allowed beforehand."""
        return informed(self.snapshot, activity, self.given)

    def _done(self, activity: Activity, decision: Decision) -> Effect:
        self.records.append(self._record(activity, decision))
        return effect_of(activity, decision)

    def _record(self, activity: Activity, decision: Decision) -> Record:
        return Record(
            activity=activity,
            decision=decision,
            policy_version=self.snapshot.version,
            mode=self.mode,
            extra=justification(activity, self.given) | ({"operation": self.operation} if self.operation else {}),
        )

    def _require(self, stage: Stage) -> None:
        if self.stage is not stage:
            raise OutOfOrder(f"expected {stage.value}, is {self.stage.value}")


def informed(snapshot: Snapshot, activity: Activity, given: tuple[Justification, ...]) -> Activity:
    """The activity with the justifications and the exceptions that count for it."""
    counting = holding(given, activity) if given else ()
    name = activity.file.name if activity.file else ""
    excepted = snapshot.exceptions.holding(activity.user, activity.app, name, activity.time)
    if not counting and not excepted:
        return activity
    return replace(
        activity,
        justified=frozenset(policy for each in counting for policy in each.policies),
        excepted=excepted,
    )


def justification(activity: Activity, given: tuple[Justification, ...]) -> dict[str, Any]:
    """What a record says of the justification that an activity rests on."""
    if not activity.justified:
        return {}
    last = holding(given, activity)[-1]
    return {"justification": {"reason": last.reason, "text": last.text, "activity": last.activity}}


def effect_of(activity: Activity, decision: Decision) -> Effect:
    """What a final decision means for the traffic. Only a download can be protected: all else is refused instead."""
    match decision.action:
        case Action.ALLOW | Action.AUDIT:
            return PASS
        case Action.NOTIFY:
            return Pass(notice=decision)
        case Action.COACH:
            return Answer(kind="coach", decision=decision)
        case Action.REDACT if decision.redaction is not None:
            return Redact(order=decision.redaction)
        case Action.PROTECT if activity.type is ActivityType.DOWNLOAD:
            return Protect(using=decision.using)
        case Action.STEP_UP:
            return Answer(kind="step_up", decision=decision)
        case _:
            return Answer(kind="block", decision=decision)


def access(
    snapshot: Snapshot,
    app: App,
    party: Party,
    *,
    now: datetime,
    new_id: NewId,
    mode: str,
    given: tuple[Justification, ...] = (),
) -> Record:
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
    activity = informed(snapshot, activity, given)
    decision = decide(activity, snapshot.policies, final=True)
    return Record(
        activity=activity,
        decision=decision,
        policy_version=snapshot.version,
        mode=mode,
        extra=justification(activity, given),
    )
