"""The cases an admin keeps beside a policy (`*_test.yaml`): what is given, what is expected, and what came out.

Reads no file: the caller hands in texts and says which policies belong to a suite.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import Literal

from casb.errors import CasbError, PolicyError, Where
from casb.model.activity import IN_PAGE, Activity, ActivityObject, ActivityType, RequestFacts, Source, TextFacts
from casb.model.activity import Outcome as Done
from casb.model.app import App, AppTag
from casb.model.decision import Decision, Reason, Truth
from casb.model.file import EngineVerdict, FileFacts, Finding, Verdict, VerdictStatus
from casb.model.identity import UNMANAGED, AgentTag, Client, ClientApp, Device, DeviceTag, DeviceType, User
from casb.model.signs import Sign
from casb.policy.afterwards import Counted, concerning, observe
from casb.policy.compile import Policies, Policy
from casb.policy.conditions import Leaf
from casb.policy.engine import Trace, decide, explain
from casb.policy.filetypes import GROUPS
from casb.policy.loader import MOST_REPEATED
from casb.policy.matchers import Malformed, size
from casb.policy.rollout import duration, moment
from casb.yamlfile import Marks, did_you_mean, read_located

type DeviceWord = Literal["compliant", "hybrid-joined", "client-certificate", "unmanaged"]
type ActionWord = Literal["allow", "audit", "notify", "coach", "redact", "protect", "step_up", "block"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUser:
    """The person. `domain` is read off the name when left out."""

    name: str = "someone@example.test"
    domain: str | None = None
    groups: tuple[str, ...] = ()
    groups_known: bool = True
    is_guest: bool = False
    tenant: str = ""
    organization: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenDevice:
    """The device; no tags: unmanaged."""

    tags: tuple[DeviceWord, ...] = ()
    type: DeviceType = DeviceType.OTHER
    os: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenClient:
    """Address and program."""

    ip: str = "192.0.2.1"
    ip_tags: tuple[str, ...] = ()
    ip_category: str | None = None
    country: str | None = None
    isp: str | None = None
    user_agent: str = ""
    agent_tags: tuple[AgentTag, ...] = ()
    app: ClientApp = ClientApp.BROWSER


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenApp:
    """The app, when more than its id matters."""

    id: str
    name: str = ""
    tag: AppTag = AppTag.SANCTIONED
    category: str = ""
    risk_score: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenFile:
    """The file. It counts as read when `read`, `detected_type`, `label`, `findings`, `signs` or
    `properties` is given."""

    name: str = ""
    extension: str | None = None
    size: int | str | None = None
    declared_type: str | None = None
    detected_type: str | None = None
    label: str | None = None
    findings: Mapping[str, int] = field(default_factory=dict)
    signs: tuple[Sign, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    read: bool = False
    unreadable: bool = False
    malware: bool | None = None  # None: no engine has looked
    threat: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenText:
    """The text. `length` is that of `content` when left out; without `content` the page does not tell it."""

    content: str | None = None
    length: int | None = None
    findings: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenObject:
    """A thing or person that the activity is about."""

    type: str = "file"
    id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenRequest:
    """The request."""

    host: str = "app.example"
    path: str = "/"
    method: str = "GET"


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenOutcome:
    """What was done to the activity, for activity policies."""

    action: ActionWord = "allow"
    policies: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The activity of a case."""

    activity: ActivityType
    app: str | GivenApp | None = None
    user: str | GivenUser | None = None
    device: DeviceWord | tuple[DeviceWord, ...] | GivenDevice = ()
    client: str | GivenClient = field(default_factory=GivenClient)
    file: str | GivenFile | None = None
    text: str | GivenText | None = None
    instance: str | None = None
    objects: tuple[GivenObject, ...] = ()
    request: GivenRequest | None = None
    source: Source = Source.SESSION_CONTROL
    admin: bool = False
    impersonated: bool = False
    outcome: ActionWord | GivenOutcome | None = None
    times: int = 1  # how often it happens, for activity policies with `repeated`
    every: str = "1s"  # and how far apart
    auth_contexts: tuple[str, ...] = ()
    justified: tuple[str, ...] = ()  # policies that the person has given a justification for
    excepted: Mapping[str, str] = field(default_factory=dict)  # policy to the id of an exception that holds
    time: str = "2026-01-01T12:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What must come out; what is left out is not compared."""

    action: ActionWord
    policy: str | None = None
    matched: tuple[str, ...] | None = None
    reasons: tuple[str, ...] = ()  # codes that must be among the reasons
    alerts: tuple[str, ...] | None = None  # ids of the policies that alert
    message: str | None = None
    shadow: tuple[str, ...] | Mapping[str, ActionWord] | None = None  # policies that are only watched, or with actions


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that must stay true."""

    name: str
    given: Given
    expect: Expect


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """A `*_test.yaml`. Paths of policies count from the test file."""

    version: Literal[1] = 1
    policies: tuple[str, ...]
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A test file, read. `file` is its name in messages."""

    file: str
    policies: tuple[str, ...]
    cases: tuple[Case, ...]
    marks: Marks

    def policy_place(self, index: int) -> Where:
        """Where the file names its policies."""
        return self.marks.where(("policies", index))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One expectation that was not met, and where it is written."""

    what: str
    expected: str
    actual: str
    where: Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a case gave. `traces` tell why."""

    name: str
    where: Where
    decision: Decision
    afterwards: tuple[str, ...] = ()  # ids of the activity policies that match
    differences: tuple[Difference, ...]
    traces: tuple[Trace, ...]

    @property
    def passed(self) -> bool:
        return not self.differences


def read_suite(text: bytes, file: str) -> Suite:
    """A test file's cases. Raises `Problems`."""
    document, marks = read_located(CaseFile, text, file)
    return Suite(file=file, policies=document.policies, cases=document.cases, marks=marks)


def check_suite(suite: Suite, policies: Policies) -> list[CasbError]:
    """Expectations of policies that do not exist, and facts that cannot be."""
    known = {policy.id for policy in policies.every}
    errors: list[CasbError] = []
    for index, case in enumerate(suite.cases):
        path = ("cases", index)
        expected = case.expect.policy
        if expected is not None and expected not in known:
            where = suite.marks.where((*path, "expect", "policy"))
            hint = did_you_mean(expected, known)
            errors.append(PolicyError("P060", f"no policy '{expected}' in the files of this test", where, hint))
        for below, malformed in _malformed(case.given):
            where = suite.marks.where((*path, "given", *below))
            errors.append(PolicyError("P" + malformed.number, malformed.message, where, malformed.hint))
    return errors


def _malformed(given: Given) -> Iterator[tuple[tuple[str, ...], Malformed]]:
    for name, parse in (("time", lambda: moment(given.time, UTC)), ("every", lambda: duration(given.every))):
        try:
            parse()
        except Malformed as wrong:
            yield (name,), wrong
    if not 1 <= given.times <= MOST_REPEATED:
        yield ("times",), Malformed("017", f"'times' is 1 to {MOST_REPEATED}")
    if isinstance(given.file, GivenFile) and isinstance(given.file.size, str):
        try:
            size(given.file.size)
        except Malformed as wrong:
            yield ("file", "size"), wrong


def run(suite: Suite, policies: Policies) -> tuple[Outcome, ...]:
    """Every case of a suite that `check_suite` finds nothing wrong with."""
    return tuple(_run(suite, index, case, policies) for index, case in enumerate(suite.cases))


def _run(suite: Suite, index: int, case: Case, policies: Policies) -> Outcome:
    activity = activity_of(case.given)
    decision = decide(activity, policies)
    if decision.needs:  # The case says nothing of the content: as for a file that cannot be read.
        decision = decide(activity, policies, final=True)
    where = suite.marks.where(("cases", index))
    after = _afterwards(case.given, activity, decision, policies)
    differences = tuple(
        Difference(
            what=what,
            expected=expected,
            actual=actual,
            where=suite.marks.where(("cases", index, "expect", what), key=True),
        )
        for what, expected, actual in _compare(case.expect, decision, after)
        if expected != actual
    )
    return Outcome(
        name=case.name,
        where=where,
        decision=decision,
        afterwards=after,
        differences=differences,
        traces=tuple(explain(activity, policies)),
    )


def _afterwards(given: Given, activity: Activity, decision: Decision, policies: Policies) -> tuple[str, ...]:
    """The activity policies that match once all of it has happened."""
    if not policies.afterwards:
        return ()
    done = activity.outcome or _done(decision)
    counted, found = Counted(), set[str]()
    for at in range(given.times):
        once = replace(activity, id=f"case {at}", time=activity.time + at * duration(given.every), outcome=done)
        if once.file is not None and given.times > 1:
            once = replace(once, file=replace(once.file, name=f"{at} {once.file.name}"))
        found |= {match.policy.id for match in observe(counted, once, policies)}
    return tuple(sorted(found))


def _done(decision: Decision) -> Done:
    return Done(
        action=decision.action.word,
        policies=frozenset(decision.matched),
        alerts=frozenset(each.policy for each in decision.alerts),
    )


def _compare(expect: Expect, decision: Decision, afterwards: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    yield "action", expect.action, decision.action.word
    if expect.policy is not None:
        yield "policy", expect.policy, decision.policy or "none"
    if expect.matched is not None:
        yield "matched", ", ".join(sorted(expect.matched)), ", ".join(decision.matched)
    if expect.alerts is not None:
        yield (
            "alerts",
            ", ".join(sorted(expect.alerts)),
            ", ".join(sorted({*(alert.policy for alert in decision.alerts), *afterwards})),
        )
    if expect.shadow is not None:
        yield "shadow", *_shadow(expect.shadow, decision)
    if expect.message is not None:
        yield "message", expect.message, decision.message
    codes = {reason.code for reason in decision.reasons}
    missing = [code for code in expect.reasons if code not in codes]
    if missing:
        yield "reasons", ", ".join(missing), ", ".join(sorted(codes)) or "none"


def _shadow(expected: tuple[str, ...] | Mapping[str, ActionWord], decision: Decision) -> tuple[str, str]:
    if isinstance(expected, Mapping):
        found = ", ".join(f"{each.policy}: {each.action.word}" for each in decision.shadow)
        return ", ".join(f"{name}: {action}" for name, action in sorted(expected.items())), found
    return ", ".join(sorted(expected)), ", ".join(each.policy for each in decision.shadow)


# --- given facts to an activity

_SAMPLES: Mapping[str, str] = {
    **{group: types[0] for group, types in GROUPS.items()},
    "image": "image/png",
    "text": "text/plain",
    "other": "application/octet-stream",
}


def activity_of(given: Given) -> Activity:
    """The activity that a case describes. Facts left out are absent, or the plainest there are."""
    return Activity(
        id="case",
        time=moment(given.time, UTC),
        type=given.activity,
        app=_app(given.app),
        user=_user(given.user),
        device=_device(given.device),
        client=_client(given.client),
        file=_file(given.file),
        text=_text(given),
        instance=given.instance,
        objects=tuple(ActivityObject(type=each.type, id=each.id, name=each.name) for each in given.objects),
        request=_request(given.request),
        source=given.source,
        admin=given.admin,
        impersonated=given.impersonated,
        outcome=_outcome(given.outcome),
        auth_contexts=frozenset(given.auth_contexts),
        justified=frozenset(given.justified),
        excepted=dict(given.excepted),
        proven=dict.fromkeys(given.auth_contexts, moment(given.time, UTC)),
    )


def _request(given: GivenRequest | None) -> RequestFacts | None:
    if given is None:
        return None
    return RequestFacts(method=given.method, scheme="https", host=given.host, port=443, path=given.path)


def _outcome(given: ActionWord | GivenOutcome | None) -> Done | None:
    if given is None:
        return None
    done = given if isinstance(given, GivenOutcome) else GivenOutcome(action=given)
    return Done(action=done.action, policies=frozenset(done.policies), alerts=frozenset(done.alerts))


def _app(given: str | GivenApp | None) -> App | None:
    if given is None:
        return None
    app = GivenApp(id=given) if isinstance(given, str) else given
    return App(
        id=app.id,
        name=app.name or app.id,
        domains=(f"{app.id}.example",),
        tag=app.tag,
        category=app.category,
        risk_score=app.risk_score,
    )


def _user(given: str | GivenUser | None) -> User:
    user = GivenUser() if given is None else GivenUser(name=given) if isinstance(given, str) else given
    domain = user.name.rpartition("@")[2] if user.domain is None else user.domain
    return User(
        id=f"test/{user.name}",
        name=user.name,
        domain=domain,
        groups=frozenset(user.groups),
        groups_known=user.groups_known,
        is_guest=user.is_guest,
        tenant=user.tenant,
        organization=user.organization,
    )


def _device(given: str | tuple[DeviceWord, ...] | GivenDevice) -> Device:
    if isinstance(given, GivenDevice):
        device, words = given, given.tags
    else:
        device = GivenDevice()
        words = given if isinstance(given, tuple) else (given,)  # type: ignore[assignment]  # a checked word
    tags = frozenset(DeviceTag(word) for word in words if word != UNMANAGED)
    return Device(tags=tags, type=device.type, os=device.os)


def _client(given: str | GivenClient) -> Client:
    client = GivenClient(ip=given) if isinstance(given, str) else given
    return Client(
        ip=client.ip,
        ip_tags=frozenset(client.ip_tags),
        ip_category=client.ip_category,
        country=client.country,
        isp=client.isp,
        user_agent=client.user_agent,
        agent_tags=frozenset(client.agent_tags),
        app=client.app,
    )


def _text(given: Given) -> TextFacts | None:
    if given.text is None:
        return TextFacts() if given.activity in IN_PAGE else None
    text = GivenText(content=given.text) if isinstance(given.text, str) else given.text
    length = len(text.content) if text.length is None and text.content is not None else text.length
    findings = None if text.findings is None else _findings(text.findings)
    return TextFacts(content=text.content, length=length, findings=findings)


def _file(given: str | GivenFile | None) -> FileFacts | None:
    if given is None:
        return None
    file = GivenFile(name=given) if isinstance(given, str) else given
    dot = file.name.rpartition(".")
    extension = (dot[2].lower() if dot[1] else "") if file.extension is None else file.extension
    verdict = None
    if file.unreadable:
        verdict = Verdict(status=VerdictStatus.UNSCANNABLE, why="the case says that it cannot be read")
    elif file.findings:
        verdict = Verdict(status=VerdictStatus.SENSITIVE, findings=_findings(file.findings))
    engines: tuple[EngineVerdict, ...] = ()
    if file.malware is not None or file.threat:
        status = VerdictStatus.MALICIOUS if file.malware or file.threat else VerdictStatus.CLEAN
        engines = (EngineVerdict(engine="case", status=status, threat=file.threat),)
    return FileFacts(
        engines=engines,
        name=file.name,
        extension=extension,
        size=None if file.size is None else size(file.size),
        declared_type=_media(file.declared_type),
        detected_type=_media(file.detected_type),
        inspected=bool(
            file.read
            or file.unreadable
            or file.detected_type
            or file.label
            or file.findings
            or file.signs
            or file.properties
            or engines
        ),
        label=file.label,
        signs=frozenset(sign.value for sign in file.signs),
        properties=tuple(file.properties.items()),
        verdict=verdict,
    )


def _findings(given: Mapping[str, int]) -> tuple[Finding, ...]:
    """Types, or categories, and how many different values; sure ones."""
    return tuple(Finding(info_type=name, count=count) for name, count in sorted(given.items()))


def _media(given: str | None) -> str | None:
    return _SAMPLES.get(given, given) if given else None


# --- coverage


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A condition that no case shows holding, or none shows failing."""

    policy: str
    where: Where
    condition: str
    missing: Literal["holds", "fails"]


def gaps(policies: Iterable[Policy], runs: Iterable[tuple[Policies, Given]]) -> list[Gap]:
    """The conditions of `policies` that the cases do not reach. A run is a case and its policies."""
    seen: dict[Where, set[Truth]] = {}
    for in_force, given in runs:
        activity = activity_of(given)
        decided = in_force.concerning(activity)
        if in_force.afterwards and activity.outcome is None:
            activity = replace(activity, outcome=_done(decide(activity, in_force, final=True)))
        for policy in (*decided, *concerning(activity, in_force)):
            for leaf in policy.when.leaves():
                seen.setdefault(leaf.where, set()).add(leaf.check(activity))
    found: list[Gap] = []
    for policy in policies:
        for leaf in policy.when.leaves():
            found += _missing(policy.id, leaf, seen.get(leaf.where, set()))
    return found


def _missing(policy: str, leaf: Leaf, truths: set[Truth]) -> Iterator[Gap]:
    if Truth.YES not in truths:
        yield Gap(policy=policy, where=leaf.where, condition=leaf.written, missing="holds")
    if Truth.NO not in truths:
        yield Gap(policy=policy, where=leaf.where, condition=leaf.written, missing="fails")


def why(outcome: Outcome) -> Iterator[str]:
    """The reasons behind an outcome, one line each, for people."""
    for trace in outcome.traces:
        if trace.dormant:
            yield f"{trace.policy} is out of season"
        elif trace.satisfied:
            yield f"{trace.policy} does not apply any more: its step-up has been passed"
        elif trace.shadow:
            yield f"{trace.policy} matched in shadow: it would {trace.action.word}"
            yield from (f"  {_line(reason)}" for reason in trace.conditions if reason.truth is not Truth.NO)
        elif trace.excepted:
            yield f"{trace.policy} matched: it would {trace.action.word}, but for the exception {trace.excepted}"
        elif trace.matched:
            yield f"{trace.policy} matched ({trace.action.word})"
            yield from (f"  {_line(reason)}" for reason in trace.conditions if reason.truth is not Truth.NO)
        elif trace.failing is not None:
            yield f"{trace.policy} did not match: {_line(trace.failing)}"
        else:
            yield f"{trace.policy} stayed unknown, which it ignores"
    if not outcome.traces:
        yield "no policy concerns this app and activity"


def _line(reason: Reason) -> str:
    return f"{reason.where} {reason.condition} — {reason.fact}"
