"""Conditions: every operator over facts that are there, absent and unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from casb.model.activity import Activity, ActivityObject
from casb.model.app import App
from casb.model.decision import Truth
from casb.model.file import FileFacts, Verdict, VerdictStatus
from casb.model.identity import Client, Device, DeviceTag, User
from casb.policy.conditions import Branch, Leaf, depends_on_content, flow, session_part, show
from casb.policy.vocabulary import GROUPS, UNREAD
from policy_support import ADA, activity, policy_when, read_file

YES, NO, UNKNOWN = Truth.YES, Truth.NO, Truth.UNKNOWN

NOBODY = activity(user=None)
OVERAGE = activity(user=User(id="t/1", name="a@b.example", groups_known=False))
PARTIAL = activity(user=User(id="t/1", name="a@b.example", groups=frozenset({"hr"}), groups_known=False))
NO_GROUPS = activity(user=User(id="t/1", name="a@b.example"))
MANAGED = activity(tags=("compliant",))
BOTH = activity(tags=("compliant", "client-certificate"))
UNSEEN = activity(file=FileFacts(name="a.docx", extension="docx"))
BROKEN = activity(file=read_file("a.zip", verdict=Verdict(status=VerdictStatus.UNSCANNABLE)))
WRITTEN = (("author", "Ada"), ("company", "Contoso"))
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def at(ip: str = "192.0.2.1", **facts: object) -> Activity:
    return activity(client=Client(ip=ip, **facts))  # type: ignore[arg-type]


def scored(score: int | None) -> Activity:
    return activity(app=App(id="x", name="X", domains=(), risk_score=score))


SHARED = replace(
    activity("share"),
    objects=(
        ActivityObject(type="folder", id="F1", name="Board papers"),
        ActivityObject(type="user", id="", name="Eve@partner.example"),
    ),
)

TABLE: list[tuple[str, Activity, Truth]] = [
    # several names, with wildcards
    ("object: board*", SHARED, YES),
    ("object: {name: {not: board*}}", SHARED, NO),
    ("object: {name: {not: salary*}}", SHARED, YES),
    ("object: {name: {not: salary*}}", activity(), YES),
    ("object: {name: {other_than: salary*}}", activity(), NO),
    ("object: {name: {other_than: salary*}}", SHARED, YES),
    ("object: {user: {ends_with: '@partner.example'}}", SHARED, YES),
    ("object: {user: {contains: board}}", SHARED, NO),
    ("object: {user: {is_set: true}}", activity(), NO),
    ("object: {type: folder, id: f1}", SHARED, YES),
    # named as in the reference product, and the safer one
    ("user: {domain: {equals: CONTOSO.example}}", activity(), YES),
    ("user: {domain: {does_not_equal: contoso.example}}", activity(), NO),
    ("user: {domain: {does_not_equal: contoso.example}}", NOBODY, YES),
    ("user: {domain: {other_than: x}}", activity(), YES),
    ("user: {domain: {other_than: contoso.example}}", activity(), NO),
    ("user: {domain: {other_than: x}}", NOBODY, NO),
    ("user: {group: {other_than: hr}}", activity(), YES),
    ("user: {group: {other_than: finance}}", activity(), NO),
    ("user: {group: {other_than: hr}}", NO_GROUPS, NO),
    ("user: {group: {other_than: hr}}", OVERAGE, UNKNOWN),
    ("file: {name: {equals: 'a*.txt'}}", activity(file="ab.txt"), NO),
    ("file: {name: {equals: 'a*.txt'}}", activity(file="A*.TXT"), YES),
    ("file: {detected_type: {other_than: document}}", activity(file=read_file(detected_type=DOCX)), NO),
    ("file: {detected_type: {other_than: document}}", activity(file=read_file(detected_type="image/png")), YES),
    ("file: {detected_type: {other_than: document}}", activity(file=read_file()), NO),
    ("file: {detected_type: {other_than: document}}", UNSEEN, UNKNOWN),
    ("client: {ip: {starts_with: '192.0.'}}", at(), YES),
    ("client: {ip: {does_not_start_with: '192.0.'}}", at(), NO),
    ("client: {ip: {other_than: 10.0.0.0/8}}", at(), YES),
    ("client: {isp: {does_not_contain: hosting}}", at(isp="Example Hosting"), NO),
    ("client: {isp: {does_not_contain: hosting}}", at(), YES),
    ("file: {name: {does_not_end_with: .pdf}}", activity(file="a.pdf"), NO),
    ("file: {name: {does_not_end_with: .pdf}}", activity(), YES),
    ("file: {name: {contains_words: malware}}", activity(file="virus_malware_file.exe"), YES),
    ("file: {name: {contains_words: malware}}", activity(file="malwarefile.exe"), NO),
    ("file: {name: {contains_words: malware.exe}}", activity(file="some exe.txt"), YES),
    ("file: {name: {contains_words: '\"malware.exe\"'}}", activity(file="my malware.exe"), YES),
    ("file: {name: {contains_words: '\"malware.exe\"'}}", activity(file="malware.my.exe"), NO),
    ("file: {name: {contains_words: '\"malware.exe\"'}}", activity(file="xmalware.exe"), NO),
    # words
    ("user: {domain: contoso.example}", activity(), YES),
    ("user: {domain: CONTOSO.example}", activity(), YES),
    ("user: {domain: other.example}", activity(), NO),
    ("user: {domain: contoso.example}", NOBODY, NO),
    ("user: {domain: {not: contoso.example}}", activity(), NO),
    ("user: {domain: {not: [x, y]}}", activity(), YES),
    ("user: {domain: {not: contoso.example}}", NOBODY, YES),
    ("user: {domain: {is_set: true}}", activity(), YES),
    ("user: {domain: {is_set: true}}", NOBODY, NO),
    ("user: {domain: {is_set: false}}", NOBODY, YES),
    ("user: {domain: {any_of: [contoso.example, x], not: x}}", activity(), YES),
    ("user: {is_guest: false}", activity(), YES),
    ("user: {is_guest: true}", activity(), NO),
    ("user: {is_guest: false}", NOBODY, NO),
    # sets
    ("user: {group: finance}", activity(), YES),
    ("user: {group: [hr, it]}", activity(), NO),
    ("user: {group: {not: finance}}", activity(), NO),
    ("user: {group: {not: hr}}", activity(), YES),
    ("user: {group: {not: hr}}", NOBODY, YES),
    ("user: {group: {is_set: true}}", activity(), YES),
    ("user: {group: {is_set: false}}", NO_GROUPS, YES),
    # groups that could not be found out
    ("user: {group: finance}", OVERAGE, UNKNOWN),
    ("user: {group: {not: finance}}", OVERAGE, UNKNOWN),
    ("user: {group: hr}", PARTIAL, YES),
    ("user: {group: {not: hr}}", PARTIAL, NO),
    ("user: {group: finance}", PARTIAL, UNKNOWN),
    ("user: {group: {is_set: true}}", OVERAGE, UNKNOWN),
    ("user: {group: {is_set: true}}", PARTIAL, YES),
    # device tags (S26)
    ("device: unmanaged", activity(), YES),
    ("device: unmanaged", MANAGED, NO),
    ("device: compliant", MANAGED, YES),
    ("device: {not: compliant}", activity(), YES),
    ("device: {not: compliant}", MANAGED, NO),
    ("device: {not: [compliant, hybrid-joined]}", BOTH, NO),
    ("device: {not: [hybrid-joined]}", BOTH, YES),
    ("device: {tag: {not: unmanaged}}", activity(), NO),
    ("device: {not: unmanaged}", MANAGED, YES),
    ("device: [unmanaged, compliant]", activity(), YES),
    ("device: {is_set: false}", activity(), YES),
    ("device: {tag: {is_set: true}}", MANAGED, YES),
    ("device: {type: [pc, other]}", activity(), YES),
    ("device: {os: windows*}", activity(device=Device(os="Windows 11")), YES),
    ("device: {os: windows*}", activity(), NO),
    # patterns
    ("user: ada@*", activity(), YES),
    ("user: {name: {starts_with: ada}}", activity(), YES),
    ("user: {name: {ends_with: .example}}", activity(), YES),
    ("user: {name: {contains: [x, '@']}}", activity(), YES),
    ("user: {name: {regex: '^a.a@'}}", activity(), YES),
    ("user: {name: {regex: '^a.a@'}}", NOBODY, NO),
    ("user: {name: {not: ada*}}", activity(), NO),
    ("user: {name: {starts_with: ada, ends_with: .test}}", activity(), NO),
    # addresses, both versions
    ("client: 192.0.2.0/24", at(), YES),
    ("client: {ip: ['2001:db8::/32', 10.0.0.0/8]}", at("2001:db8::5"), YES),
    ("client: {ip: 10.0.0.0/8}", at("2001:db8::5"), NO),
    ("client: {ip: {not: 10.0.0.0/8}}", at("10.1.1.1"), NO),
    ("client: {ip: {not: 10.0.0.0/8}}", at("::ffff:10.1.1.1"), NO),
    ("client: {not: 10.0.0.0/8}", at("2001:db8::5"), YES),
    ("client: {ip_tag: tor}", at(ip_tags=frozenset({"Tor"})), YES),
    ("client: {ip_category: risky}", at(ip_category="risky"), YES),
    ("client: {ip_category: {not: corporate}}", at(), YES),
    ("client: {country: [DE, 'NO']}", at(country="NO"), YES),
    ("client: {country: de}", at(country="DE"), YES),
    ("client: {country: DE}", at(), NO),
    ("client: {country: {not: DE}}", at(), YES),
    ("client: {country: {is_set: false}}", at(), YES),
    # numbers
    ("app: {risk_score: {at_most: 3}}", scored(3), YES),
    ("app: {risk_score: {less_than: 3}}", scored(3), NO),
    ("app: {risk_score: {more_than: 2}}", scored(3), YES),
    ("app: {risk_score: {at_least: 2, at_most: 4}}", scored(5), NO),
    ("app: {risk_score: {at_least: 3}}", scored(3), YES),
    ("app: {risk_score: {more_than: 3}}", scored(3), NO),
    ("app: {risk_score: {at_most: 2}}", scored(3), NO),
    ("app: {risk_score: {less_than: 4}}", scored(3), YES),
    ("app: {risk_score: [1, 3]}", scored(3), YES),
    ("app: {risk_score: 1}", scored(3), NO),
    ("app: {risk_score: {at_most: 3}}", scored(None), NO),
    ("app: {risk_score: {is_set: false}}", scored(None), YES),
    ("app: {risk_score: {is_set: true}}", scored(0), YES),
    # files
    ("file: q3*", activity(file="Q3.xlsx"), YES),
    ("file: q3*", activity(), NO),
    ("file: {name: {not: q3*}}", activity(), YES),
    ("file: {extension: [.XLSX, docx]}", activity(file="q3.xlsx"), YES),
    ("file: {extension: {not: xlsx}}", activity(file="q3"), YES),
    ("file: {size: {at_least: 1KB}}", activity(file="a"), NO),
    ("file: {size: {less_than: 1KB}}", activity(file="a"), YES),
    ("file: {size: {less_than: 1KB}}", UNSEEN, UNKNOWN),
    ("file: {size: {at_least: 1}}", activity(), NO),
    ("file: {detected_type: document}", UNSEEN, UNKNOWN),
    ("file: {detected_type: {not: document}}", UNSEEN, UNKNOWN),
    ("file: {detected_type: {is_set: true}}", UNSEEN, UNKNOWN),
    ("file: {detected_type: document}", activity(file=read_file(detected_type=DOCX)), YES),
    ("file: {detected_type: {not: [document, image/*]}}", activity(file=read_file(detected_type="image/png")), NO),
    ("file: {detected_type: document}", activity(file=read_file()), NO),
    ("file: {detected_type: {not: document}}", activity(file=read_file()), YES),
    ("file: {detected_type: document}", BROKEN, UNKNOWN),
    ("file: {declared_type: TEXT/*}", activity(file=FileFacts(name="a", declared_type="text/plain")), YES),
    ("file: {declared_type: text}", activity(file=FileFacts(name="a")), NO),
    ("file: {label: secret*}", activity(file=read_file(label="Secret - HR")), YES),
    ("file: {label: {is_set: false}}", activity(file=read_file()), YES),
    ("file: {label: {is_set: false}}", BROKEN, UNKNOWN),
    ("file: {label: {is_set: false}}", activity(), YES),
    ("file: {sign: [rtlo, macro]}", activity(file=read_file(signs=frozenset({"macro"}))), YES),
    ("file: {sign: macro}", activity(file=read_file()), NO),
    ("file: {sign: {not: macro}}", activity(file=read_file(signs=frozenset({"rtlo"}))), YES),
    ("file: {sign: {not: macro}}", BROKEN, UNKNOWN),
    ("file: {sign: macro}", UNSEEN, UNKNOWN),
    ("file: {property: {contains: 'Company: CONTOSO'}}", activity(file=read_file(properties=WRITTEN)), YES),
    ("file: {property: {regex: 'author: .*ada'}}", activity(file=read_file(properties=WRITTEN)), YES),
    ("file: {property: {contains: fabrikam}}", activity(file=read_file(properties=WRITTEN)), NO),
    ("file: {property: {is_set: false}}", activity(file=read_file()), YES),
    ("file: {property: {is_set: true}}", BROKEN, UNKNOWN),
    # trees
    ("all: [{user: ada@*}, {device: unmanaged}]", activity(), YES),
    ("all: [{user: ada@*}, {device: compliant}]", activity(), NO),
    ("any: [{user: bob@*}, {device: unmanaged}]", activity(), YES),
    ("any: [{user: bob@*}, {device: compliant}]", activity(), NO),
    ("not: {device: unmanaged}", activity(), NO),
    ("not: [{device: compliant}, {user: bob@*}]", activity(), YES),
    ("not: {user: ada@*, device: compliant}", activity(), YES),
    ("not: {file: {label: x}}", UNSEEN, UNKNOWN),
    ("device: unmanaged, file: {label: x}", UNSEEN, UNKNOWN),
    ("device: compliant, file: {label: x}", UNSEEN, NO),
    ("any: [{device: unmanaged}, {file: {label: x}}]", UNSEEN, YES),
    ("not: {any: [{device: compliant}, {all: [{user: ada@*}, {user: {group: hr}}]}]}", activity(), YES),
]


@pytest.mark.parametrize(("when", "given", "truth"), TABLE)
def test_condition(when: str, given: Activity, truth: Truth) -> None:
    (policy,) = policy_when(when).all
    assert policy.check(given) is truth


def test_a_leaf_says_what_was_written_and_what_is() -> None:
    (policy,) = policy_when("device: unmanaged, file: {name: {not: ['a b', x*]}}, client: {country: 'NO'}").all
    found = [(leaf.written, str(leaf.where), leaf.fact(activity(file="Q.txt"))) for leaf in policy.when.leaves()]
    assert found == [
        ("device: unmanaged", "p.yaml:3:35", "no device tags"),
        ("file: {name: {not: [a b, x*]}}", "p.yaml:3:68", "q.txt"),
        ("client: {country: 'NO'}", "p.yaml:3:97", "no country"),
    ]


@pytest.mark.parametrize(
    ("code", "fact", "given", "shown"),
    [
        ("user.group", frozenset(), activity(), "no group"),
        ("user.group", frozenset({"b", "a"}), activity(), "a, b"),
        ("user.group", frozenset({"a"}), PARTIAL, "a (not all are known)"),
        ("user.group", frozenset("abcdefghij"), activity(), "a, b, c, d, e, f, g, h and 2 more"),
        ("user.is_guest", True, activity(), "true"),
        ("user.is_guest", False, activity(), "false"),
        ("client.ip_category", None, activity(), "no ip category"),
        ("file.size", 3, activity(), "3 bytes"),
        ("file.label", UNREAD, activity(), "not known: the file has not been read"),
        ("text.content", UNREAD, activity(), "not known"),
        ("text.content", "what nobody may read in the log", activity(), "a text of 31 characters"),
        ("text.content", None, activity(), "no content"),
        ("user.name", UNREAD, activity(), "not known"),
        ("file.name", "a\nb\x1b[2J", activity(), "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}[2J"),
        ("client.user_agent", "x" * 500, activity(), "x" * 120 + "…"),
    ],
)
def test_facts_for_people(code: str, fact: object, given: Activity, shown: str) -> None:
    group, name = code.split(".")
    assert show(GROUPS[group][name], fact, given) == shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (3, "3"),
        ("a b", "a b"),
        ("payroll*", "payroll*"),
        ("*x", "'*x'"),
        ("NO", "'NO'"),
        ("", "''"),
        ("it's", "'it''s'"),
        ("10MB", "'10MB'"),
        (["a", {"b": "c"}], "[a, {b: c}]"),
    ],
)
def test_flow(value: object, text: str) -> None:
    assert flow(value) == text


def test_what_can_be_told_at_sign_in() -> None:
    def told(when: str, given: Activity) -> Truth:
        (policy,) = policy_when(when).all
        return session_part(policy.when)(given)

    assert told("device: unmanaged", MANAGED) is NO
    assert told("device: unmanaged, file: x*", activity()) is UNKNOWN
    assert told("device: unmanaged, file: x*", MANAGED) is NO
    assert told("client: 10.0.0.0/8", at("10.0.0.1")) is UNKNOWN
    assert told("not: {device: unmanaged}", MANAGED) is YES
    assert told("any: [{device: unmanaged}, {user: ada@*}]", MANAGED) is YES
    (policy,) = policy_when("").all
    assert session_part(policy.when)(MANAGED) is YES


def test_content_is_known_to_matter() -> None:
    for when, content in (("file: {name: x}", False), ("any: [{device: unmanaged}, {file: {label: x}}]", True)):
        (policy,) = policy_when(when).all
        assert depends_on_content(policy.when) is content


def test_cheap_conditions_are_asked_first_whatever_their_order() -> None:
    (policy,) = policy_when("client: {ip: 10.0.0.0/8}, file: {name: x*}, device: compliant").all
    assert isinstance(policy.when, Branch)
    assert [part.code for part in policy.when.parts if isinstance(part, Leaf)] == [
        "client.ip",
        "file.name",
        "device.tag",
    ]
    assert policy.check(activity(client=Client(ip="no address"))) is NO


def test_the_support_is_what_the_tests_believe() -> None:
    assert DeviceTag.COMPLIANT in BOTH.device.tags
    assert ADA.groups == {"Finance"}
