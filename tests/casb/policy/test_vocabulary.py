"""The table of conditions: every one has a name, a docstring, examples that load, and the facts it says it has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from casb.errors import Problems
from casb.model.activity import Activity, ActivityObject, ActivityType, Outcome, RequestFacts, Source, TextFacts
from casb.model.app import App, AppTag
from casb.model.file import EngineVerdict, FileFacts, Verdict, VerdictStatus
from casb.model.identity import AgentTag, Client, ClientApp, Device, DeviceTag, DeviceType, User
from casb.policy.found import Found
from casb.policy.vocabulary import (
    DEFAULT_FIELD,
    FIELDS,
    GROUP_DOCS,
    GROUPS,
    OPERATORS,
    OPERATORS_OF,
    TREE_DOCS,
    UNREAD,
    Field,
    Kind,
    folded,
    plain_name,
)
from policy_support import activity, policies, policy_for, policy_when

FULL = activity(
    app=App(id="Files", name="Files", domains=(), tag=AppTag.MONITORED, category="Cloud Storage", risk_score=7),
    user=User(
        id="t/1",
        name="Ada@Contoso.Example",
        domain="Contoso.Example",
        groups=frozenset({"Finance"}),
        tenant="T-1",
        organization="Research",
    ),
    device=Device(tags=frozenset({DeviceTag.COMPLIANT}), type=DeviceType.PC, os="Windows 11"),
    client=Client(
        ip="192.0.2.1",
        ip_tags=frozenset({"Tor"}),
        ip_category="risky",
        country="DE",
        isp="Example ISP",
        user_agent="Mozilla/5.0",
        agent_tags=frozenset({AgentTag.ROBOT}),
        app=ClientApp.NATIVE,
    ),
    file=FileFacts(
        name="Q3.XLSX",
        signs=frozenset({"macro"}),
        properties=(("author", "Ada"),),
        extension="XLSX",
        size=5,
        declared_type="Text/Plain",
        inspected=True,
        detected_type="application/PDF",
        label="Secret",
        engines=(EngineVerdict(engine="e", status=VerdictStatus.MALICIOUS, threat="Eicar"),),
    ),
    text=TextFacts(content="A\u200b Text", length=7),
)
FULL = replace(
    FULL,
    type=ActivityType.SHARE,
    source=Source.CONNECTOR,
    instance="Corporate",
    admin=True,
    impersonated=True,
    outcome=Outcome(action="block", policies=frozenset({"p"}), alerts=frozenset({"p"})),
    objects=(
        ActivityObject(type="folder", id="F-1", name="Board"),
        ActivityObject(type="user", id="", name="Eve@Partner.example"),
    ),
    request=RequestFacts(method="PUT", scheme="https", host="a.files.example", port=443, path="/A/b"),
)
EMPTY = activity(app=None, user=None, client=Client(ip="192.0.2.1"), file=None)
UNREAD_FILE = activity(file=FileFacts(name="a"))

FACTS: dict[str, tuple[object, object, object]] = {
    "user.name": ("ada@contoso.example", None, "ada@contoso.example"),
    "user.domain": ("contoso.example", None, "contoso.example"),
    "user.group": (frozenset({"finance"}), frozenset(), frozenset({"finance"})),
    "user.is_guest": (False, None, False),
    "user.tenant": ("t-1", None, "t1"),
    "device.tag": (frozenset({"compliant"}), frozenset({"unmanaged"}), frozenset({"unmanaged"})),
    "device.type": ("pc", "other", "other"),
    "device.os": ("windows 11", None, None),
    "client.ip": ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
    "client.ip_tag": (frozenset({"tor"}), frozenset(), frozenset()),
    "client.ip_category": ("risky", None, None),
    "client.country": ("de", None, None),
    "client.isp": ("example isp", None, None),
    "client.app": ("native", "browser", "browser"),
    "client.user_agent": ("mozilla/5.0", None, None),
    "client.agent_tag": (frozenset({"robot"}), frozenset(), frozenset()),
    "app.id": ("files", None, "files"),
    "app.tag": ("monitored", None, "sanctioned"),
    "app.category": ("cloud storage", None, None),
    "app.risk_score": (7, None, None),
    "app.instance": ("corporate", None, None),
    "user.organization": ("research", None, None),
    "activity.type": ("share", "download", "download"),
    "activity.source": ("app connector", "session control", "session control"),
    "activity.admin": (True, False, False),
    "activity.impersonated": (True, False, False),
    "activity.action": ("block", None, None),
    "activity.policy": (frozenset({"p"}), frozenset(), frozenset()),
    "activity.alert": (frozenset({"p"}), frozenset(), frozenset()),
    "object.name": (frozenset({"board", "eve@partner.example"}), frozenset(), frozenset()),
    "object.type": (frozenset({"folder", "user"}), frozenset(), frozenset()),
    "object.id": (frozenset({"f-1"}), frozenset(), frozenset()),
    "object.user": (frozenset({"eve@partner.example"}), frozenset(), frozenset()),
    "request.host": ("a.files.example", None, None),
    "request.path": ("/a/b", None, None),
    "request.method": ("put", None, None),
    "file.name": ("q3.xlsx", None, "a"),
    "file.extension": ("xlsx", None, None),
    "file.size": (5, None, UNREAD),
    "file.declared_type": ("text/plain", None, None),
    "file.detected_type": ("application/pdf", None, UNREAD),
    "file.label": ("secret", None, UNREAD),
    "file.sign": (frozenset({"macro"}), frozenset(), frozenset()),
    "file.property": ("author: ada", None, UNREAD),
    "file.findings": (Found(), None, UNREAD),
    "text.findings": (UNREAD, None, None),
    "file.malware": (True, None, UNREAD),
    "file.threat": ("eicar", None, UNREAD),
    "text.content": ("a text", None, None),
    "text.length": (7, None, None),
}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.code)
def test_a_field_finds_its_fact(field: Field) -> None:
    assert (field.get(FULL), field.get(EMPTY), field.get(UNREAD_FILE)) == FACTS[field.code]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.code)
def test_a_field_is_documented_and_its_examples_load(field: Field) -> None:
    assert field.doc.endswith(".")
    assert field.examples
    for example in field.examples:
        policy = policy_for(field.code, example)
        assert next(leaf.code for leaf in policy.when.leaves()) == field.code


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=lambda operator: operator.name)
def test_an_operator_is_documented_and_its_example_loads(operator: object) -> None:
    name, doc, example = (getattr(operator, each) for each in ("name", "doc", "example"))
    assert doc.endswith(".")
    (policy,) = policy_when(example).all
    assert f"{name}: " in next(policy.when.leaves()).written
    assert any(name in names for names in OPERATORS_OF.values())


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.code)
def test_a_field_takes_the_operators_of_its_kind_and_no_other(field: Field) -> None:
    for name in OPERATORS:
        text = f"{field.group}: {{{field.name}: {{{name}: zz}}}}"
        try:
            policy_for(field.code, text)
        except Problems as problems:
            unknown = any(f"has no operator '{name}'" in str(error) for error in problems.errors)
        else:
            unknown = False
        if field.kind is not Kind.FLAG:
            assert unknown is (name not in OPERATORS_OF[field.kind]), name


def test_no_word_means_two_things() -> None:
    names = {field.name for field in FIELDS}
    assert not names & set(OPERATORS)
    assert not set(GROUPS) & set(TREE_DOCS)
    assert set(GROUP_DOCS) == set(GROUPS) == set(DEFAULT_FIELD)
    for group, name in DEFAULT_FIELD.items():
        assert name in GROUPS[group]
        assert f"`{name}`" in GROUP_DOCS[group]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Payroll.XLSX", "payroll.xlsx"),
        (" a ", "a"),
        ("\uff50\uff41\uff59", "pay"),
        ("pay\u202eroll", "payroll"),
        ("pay\u200broll", "payroll"),
        ("e\u0301", "é"),
        ("a\udcffb", "a\N{REPLACEMENT CHARACTER}b"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
    ],
)
def test_plain_name(text: str, plain: str) -> None:
    assert plain_name(text) == plain


def test_folded() -> None:
    assert folded(frozenset({"A", "b"})) == {"a", "b"}


def test_an_unreadable_file_stays_unknown() -> None:
    verdict = Verdict(status=VerdictStatus.UNSCANNABLE, why="password")
    unreadable: Activity = activity(file=FileFacts(name="a", inspected=True, verdict=verdict))
    by_code = {field.code: field for field in FIELDS}
    assert by_code["file.label"].get(unreadable) is UNREAD
    assert by_code["file.detected_type"].get(unreadable) is UNREAD
    assert by_code["file.size"].get(unreadable) is None
    assert repr(UNREAD) == "UNREAD"


def test_the_label_of_a_verdict_counts() -> None:
    verdict = Verdict(status=VerdictStatus.SENSITIVE, label="Secret")
    labelled = activity(file=FileFacts(name="a", inspected=True, verdict=verdict))
    (policy,) = policies("- {id: a, action: audit, when: {file: {label: secret}}}").all
    assert policy.check(labelled).name == "YES"
