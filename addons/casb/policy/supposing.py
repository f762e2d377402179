"""Facts supposed otherwise: an activity with one fact changed, and values that would make a condition hold or fail.

What explanations ("had the device been compliant") are made of. Every value offered has been tried on the condition.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from casb.model.activity import Activity, ActivityObject, ActivityType, Outcome, RequestFacts, Source, TextFacts
from casb.model.app import App, AppTag
from casb.model.file import EngineVerdict, FileFacts, Finding, Verdict, VerdictStatus
from casb.model.identity import UNMANAGED, AgentTag, ClientApp, DeviceTag, DeviceType, User
from casb.policy import matchers
from casb.policy.conditions import Leaf
from casb.policy.filetypes import GROUPS
from casb.policy.findings import told
from casb.policy.found import Found
from casb.policy.truths import NO, YES
from casb.policy.vocabulary import Kind

type Setter = Callable[[Activity, Any], Activity]


def suppose(activity: Activity, code: str, value: Any) -> Activity:
    """The activity with the fact that `code` names set to `value`: a text, number, truth, None, or for facts that are
    several a frozenset of texts."""
    return _SETTERS[code](activity, value)


def _user(**change: str) -> Setter:
    ((name, kind),) = change.items()

    def put(activity: Activity, value: Any) -> Activity:
        user = activity.user or User(id="someone", name="someone@example.test", domain="example.test")
        if name == "groups":
            return replace(activity, user=replace(user, groups=frozenset(value), groups_known=True))
        fact: Any = (value or "") if kind == "text" else bool(value)
        return replace(activity, user=replace(user, **{name: fact}))

    return put


def _client(name: str, convert: Callable[[Any], Any]) -> Setter:
    return lambda activity, value: replace(activity, client=replace(activity.client, **{name: convert(value)}))


def _app(name: str, convert: Callable[[Any], Any]) -> Setter:
    def put(activity: Activity, value: Any) -> Activity:
        app = activity.app or App(id="app", name="app", domains=())
        return replace(activity, app=replace(app, **{name: convert(value)}))

    return put


def _file(**change: str) -> Setter:
    ((name, kind),) = change.items()

    def put(activity: Activity, value: Any) -> Activity:
        file = activity.file or FileFacts(name="")
        if kind == "content":
            file = replace(file, inspected=True)
        fact: Any = (value or "") if kind == "name" else value
        return replace(activity, file=replace(file, **{name: fact}))

    return put


def _file_signs(activity: Activity, value: Any) -> Activity:
    file = replace(activity.file or FileFacts(name=""), inspected=True)
    return replace(activity, file=replace(file, signs=frozenset(str(each).casefold() for each in value)))


def _file_properties(activity: Activity, value: Any) -> Activity:
    file = replace(activity.file or FileFacts(name=""), inspected=True)
    lines = [line.partition(": ") for line in str(value).splitlines()] if value else []
    found = tuple((name, rest) if colon else ("", name) for name, colon, rest in lines)
    return replace(activity, file=replace(file, properties=found))


def _file_findings(activity: Activity, value: Any) -> Activity:
    verdict = Verdict(
        status=VerdictStatus.SENSITIVE if value.findings else VerdictStatus.CLEAN, findings=value.findings
    )
    file = activity.file or FileFacts(name="")
    return replace(activity, file=replace(file, inspected=True, verdict=verdict))


def _text_findings(activity: Activity, value: Any) -> Activity:
    return replace(activity, text=replace(activity.text or TextFacts(), findings=value.findings))


def _engines(activity: Activity, threat: str | None) -> Activity:
    status = VerdictStatus.CLEAN if threat is None else VerdictStatus.MALICIOUS
    file = activity.file or FileFacts(name="")
    told = EngineVerdict(engine="supposed", status=status, threat=threat or "")
    return replace(activity, file=replace(file, inspected=True, engines=(told,)))


def _text_content(activity: Activity, value: Any) -> Activity:
    content = value or ""
    return replace(activity, text=TextFacts(content=content, length=len(content)))


def _text_length(activity: Activity, value: Any) -> Activity:
    return replace(activity, text=replace(activity.text or TextFacts(), length=value) if value is not None else None)


def _device_tag(activity: Activity, value: Any) -> Activity:
    tags = frozenset(DeviceTag(word.casefold()) for word in value if word.casefold() != UNMANAGED)
    return replace(activity, device=replace(activity.device, tags=tags))


def _outcome(activity: Activity, **change: Any) -> Outcome:
    return replace(activity.outcome or Outcome(action="allow"), **change)


def _objects(name: str) -> Setter:
    def made(value: str) -> ActivityObject:
        if name == "user":
            return ActivityObject(type="user", id="", name=value)
        return ActivityObject(**{"type": "file", "id": "", "name": "", name: value})

    return lambda activity, value: replace(activity, objects=tuple(made(each) for each in sorted(value or ())))


def _request(name: str) -> Setter:
    def put(activity: Activity, value: Any) -> Activity:
        if value is None:
            return replace(activity, request=None)
        before = activity.request or RequestFacts(method="GET", scheme="https", host="", port=443, path="/")
        fact = value.upper() if name == "method" else value
        return replace(activity, request=replace(before, **{name: fact}))

    return put


def _text(value: Any) -> str:
    return value or ""


def _same(value: Any) -> Any:
    return value


_SETTERS: Mapping[str, Setter] = {
    "user.name": _user(name="text"),
    "user.domain": _user(domain="text"),
    "user.group": _user(groups="set"),
    "user.is_guest": _user(is_guest="truth"),
    "user.tenant": _user(tenant="text"),
    "device.tag": _device_tag,
    "device.type": lambda activity, value: replace(
        activity, device=replace(activity.device, type=DeviceType((value or "other").casefold()))
    ),
    "device.os": lambda activity, value: replace(activity, device=replace(activity.device, os=value)),
    "client.ip": _client("ip", _text),
    "client.ip_tag": _client("ip_tags", frozenset),
    "client.ip_category": _client("ip_category", _same),
    "client.country": _client("country", _same),
    "client.isp": _client("isp", _same),
    "client.app": _client("app", lambda value: ClientApp((value or "browser").casefold())),
    "client.user_agent": _client("user_agent", _text),
    "client.agent_tag": _client("agent_tags", lambda value: frozenset(AgentTag(word.casefold()) for word in value)),
    "app.id": _app("id", _text),
    "app.tag": _app("tag", lambda value: AppTag((value or "none").casefold())),
    "app.category": _app("category", _text),
    "app.risk_score": _app("risk_score", _same),
    "user.organization": _user(organization="text"),
    "app.instance": lambda activity, value: replace(activity, instance=value),
    "activity.type": lambda activity, value: replace(activity, type=ActivityType(value or "view")),
    "activity.source": lambda activity, value: replace(activity, source=Source(value or Source.SESSION_CONTROL)),
    "activity.admin": lambda activity, value: replace(activity, admin=bool(value)),
    "activity.impersonated": lambda activity, value: replace(activity, impersonated=bool(value)),
    "activity.action": lambda activity, value: replace(activity, outcome=_outcome(activity, action=value or "allow")),
    "activity.policy": lambda activity, value: replace(activity, outcome=_outcome(activity, policies=value)),
    "activity.alert": lambda activity, value: replace(activity, outcome=_outcome(activity, alerts=value)),
    "object.name": _objects("name"),
    "object.type": _objects("type"),
    "object.id": _objects("id"),
    "object.user": _objects("user"),
    "request.host": _request("host"),
    "request.path": _request("path"),
    "request.method": _request("method"),
    "file.name": _file(name="name"),
    "file.extension": _file(extension="name"),
    "file.size": _file(size="value"),
    "file.detected_type": _file(detected_type="content"),
    "file.declared_type": _file(declared_type="value"),
    "file.label": _file(label="content"),
    "file.sign": _file_signs,
    "file.property": _file_properties,
    "file.findings": _file_findings,
    "text.findings": _text_findings,
    "file.malware": lambda activity, value: _engines(activity, "Eicar-Test-Signature" if value else None),
    "file.threat": lambda activity, value: _engines(activity, value),
    "text.content": _text_content,
    "text.length": _text_length,
}
"""One for each condition of the vocabulary; a test holds them together."""


def supposed(leaf: Leaf, activity: Activity, *, holding: bool) -> Iterator[tuple[Any, Activity]]:
    """Values of the leaf's fact for which it holds (or fails), plainest first, each with the activity that has it."""
    wanted = YES if holding else NO
    for value in _values(leaf, activity):
        changed = suppose(activity, leaf.code, value)
        if leaf.check(changed) is wanted:
            yield value, changed


def _values(leaf: Leaf, activity: Activity) -> Iterator[Any]:
    if leaf.field.kind is Kind.FINDINGS:
        for count in (leaf.operand.least, 0, (leaf.operand.most or leaf.operand.least) + 1):
            names = sorted(leaf.operand.types)[:1] if count else ()
            yield Found(tuple(Finding(info_type=name, count=count) for name in names))
        return
    each, operands = leaf.field, leaf.operand if isinstance(leaf.operand, list) else [leaf.operand]
    if each.kind is Kind.FLAG:
        yield from (True, False)
        return
    if each.many:
        yield from _sets(leaf, activity, operands)
        return
    if each.kind in (Kind.NUMBER, Kind.SIZE):
        yield from _numbers(leaf, operands)
        yield None
        return
    for operand in operands:
        yield from _texts(leaf, operand)
    yield from each.words if each.kind is not Kind.MEDIA else (GROUPS["document"][0], "text/plain", "image/png")
    yield from () if each.words else _OTHERS.get(each.code, ("something-else",))
    if each.code not in ("client.ip", "client.app", "device.type", "app.id", "app.tag"):
        yield None


_OTHERS: Mapping[str, tuple[str, ...]] = {
    "client.ip": ("192.0.2.200", "198.51.100.200", "203.0.113.200", "2001:db8::ffff"),
    "user.name": ("someone.else@example.test",),
    "user.domain": ("example.test",),
    "file.name": ("other.txt", "other"),
    "file.extension": ("txt", "bin"),
}


def _sets(leaf: Leaf, activity: Activity, operands: list[Any]) -> Iterator[frozenset[str]]:
    present = frozenset(str(word) for word in leaf.field.get(activity) if word != UNMANAGED)
    named = [str(operand) for operand in operands if isinstance(operand, str)]
    if leaf.field.kind is Kind.PATTERN:
        named = [text for operand in named for text in _texts(leaf, operand)]
    for word in named:
        yield frozenset() if word.casefold() == UNMANAGED else present | {word}
    yield present - {word.casefold() for word in named}
    yield frozenset()
    for word in leaf.field.words or ("something-else",):
        if word != UNMANAGED:
            yield present | {word}


def _numbers(leaf: Leaf, operands: list[Any]) -> Iterator[int | float]:
    to_number = matchers.size if leaf.field.kind is Kind.SIZE else matchers.number
    for operand in operands:
        if isinstance(operand, bool):
            yield 1
            continue
        limit = to_number(operand)
        yield limit
        yield limit + 1
        if limit >= 1:
            yield limit - 1


def _texts(leaf: Leaf, operand: Any) -> Iterator[str]:
    if not isinstance(operand, str):
        return
    if leaf.operator in ("starts_with", "does_not_start_with"):
        yield operand
    elif leaf.operator == "contains_words":
        yield operand.strip('"')
    elif leaf.operator in ("equals", "does_not_equal") and leaf.field.kind is Kind.PATTERN:
        yield operand
    elif leaf.field.kind is Kind.ADDRESS:
        network = ipaddress.ip_network(operand, strict=False)
        yield str(network.network_address if network.num_addresses < 3 else network.network_address + 1)
    elif leaf.field.kind is Kind.MEDIA:
        types = GROUPS.get(operand.casefold())
        yield (types[0] + ("sheet" if types[0].endswith(".") else "") if types else operand.replace("*", "x"))
    elif leaf.operator != "regex":
        yield operand.replace("*", "").replace("?", "x") if leaf.field.kind is Kind.PATTERN else operand


def plain(value: Any) -> str:
    """A supposed value as people read it."""
    if value is None:
        return "absent"
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Found):
        return told(value)
    return str(value)
