"""Decisions: their tables, their reasons and their laws."""

from __future__ import annotations

import dataclasses
import itertools
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.model.activity import Activity
from casb.model.decision import Action, Decision, Need, Truth
from casb.model.file import FileFacts, Verdict, VerdictStatus
from casb.model.identity import Client, User
from casb.policy.compile import Policies, compile_policies
from casb.policy.engine import decide, explain, may_concern
from casb.policy.loader import LoadedPolicy, load
from policy_support import FILES, activity, policies, policy_when, read_file

CONTENT = frozenset({Need.CONTENT})
UNSEEN = FileFacts(name="a.docx", extension="docx", size=10)
BROKEN = read_file("a.zip", verdict=Verdict(status=VerdictStatus.UNSCANNABLE, why="a password"))

LADDER = """
- {id: a-audit, activities: download, action: audit, when: {file: '*1*'}}
- {id: b-protect, activities: download, action: {type: protect, using: age}, when: {file: '*2*'}}
- {id: c-step, activities: download, action: {type: step_up, context: c2}, when: {file: '*3*'}}
- {id: d-block, activities: download, action: block, when: {file: '*4*'}, message: '{file}!', severity: high}
- {id: e-block, activities: download, action: block, when: {file: '*5*'}, severity: low}
"""


@pytest.mark.parametrize(
    ("name", "contexts", "action", "policy", "using"),
    [
        ("0", (), Action.ALLOW, None, ""),
        ("1", (), Action.AUDIT, "a-audit", ""),
        ("12", (), Action.PROTECT, "b-protect", "age"),
        ("123", (), Action.STEP_UP, "c-step", "c2"),
        ("123", ("c2",), Action.PROTECT, "b-protect", "age"),
        ("123", ("c1",), Action.STEP_UP, "c-step", "c2"),
        ("1234", (), Action.BLOCK, "d-block", ""),
        ("54321", (), Action.BLOCK, "d-block", ""),
        ("5", (), Action.BLOCK, "e-block", ""),
    ],
)
def test_the_strictest_wins_and_ties_name_the_lower_id(
    name: str, contexts: tuple[str, ...], action: Action, policy: str | None, using: str
) -> None:
    decision = decide(activity(file=name, contexts=contexts), policies(LADDER))
    assert (decision.action, decision.policy, decision.using) == (action, policy, using)
    assert decision.needs == frozenset()
    if action is Action.BLOCK:
        assert decision.severity == ("high" if policy == "d-block" else "low")
        assert decision.message == (f"{name}!" if policy == "d-block" else "")


def test_all_that_matched_are_named_in_order_of_id() -> None:
    decision = decide(activity(file="4213"), policies(LADDER))
    assert decision.matched == ("a-audit", "b-protect", "c-step", "d-block")


def test_reasons_carry_place_condition_and_fact() -> None:
    text = """
- id: p
  activities: download
  when:
    device: unmanaged
    any:
      - file: payroll*
      - user: {group: finance}
    not: {client: 10.0.0.0/8}
  action: block
"""
    decision = decide(activity(file="Payroll.xlsx"), policies(text))
    assert [(r.code, str(r.where), r.condition, r.fact, r.truth) for r in decision.reasons] == [
        ("device.tag", "p.yaml:6:7", "device: unmanaged", "no device tags", Truth.YES),
        ("file.name", "p.yaml:8:11", "file: payroll*", "payroll.xlsx", Truth.YES),
        ("not", "p.yaml:10:7", "not: client: '10.0.0.0/8'", "192.0.2.1", Truth.YES),
    ]
    assert {reason.policy for reason in decision.reasons} == {"p"}


def test_a_policy_without_conditions_has_a_reason_too() -> None:
    (reason,) = decide(activity(), policies("- {id: p, action: audit}")).reasons
    assert (reason.code, reason.fact, reason.condition) == ("activity.type", "download", "activities: download")
    (reason,) = decide(activity("logon"), policies("- {id: p, kind: access, action: audit}")).reasons
    assert (reason.code, reason.condition) == ("activity.type", "kind: access")


@pytest.mark.parametrize(
    ("more", "given_file", "action", "needs", "final_action", "code"),
    [
        ("", UNSEEN, Action.ALLOW, CONTENT, Action.BLOCK, "file.unscannable"),
        ("unscannable: match", BROKEN, Action.BLOCK, frozenset(), Action.BLOCK, "file.unscannable"),
        ("unscannable: ignore", UNSEEN, Action.ALLOW, CONTENT, Action.ALLOW, None),
        ("unscannable: ignore", BROKEN, Action.ALLOW, frozenset(), Action.ALLOW, None),
        ("unscannable: audit", UNSEEN, Action.ALLOW, CONTENT, Action.AUDIT, "file.unscannable"),
        ("unscannable: audit", BROKEN, Action.AUDIT, frozenset(), Action.AUDIT, "file.unscannable"),
        ("", read_file(label="secret"), Action.BLOCK, frozenset(), Action.BLOCK, "file.label"),
        ("", read_file(), Action.ALLOW, frozenset(), Action.ALLOW, None),
        ("", None, Action.ALLOW, frozenset(), Action.ALLOW, None),
    ],
)
def test_what_stays_unknown_takes_unscannable(
    more: str,
    given_file: FileFacts | None,
    action: Action,
    needs: frozenset[Need],
    final_action: Action,
    code: str | None,
) -> None:
    compiled = policy_when("file: {label: secret}", more=more)
    first = decide(activity(file=given_file), compiled)
    assert (first.action, first.needs) == (action, needs)
    final = decide(activity(file=given_file), compiled, final=True)
    assert (final.action, final.needs) == (final_action, frozenset())
    assert [reason.code for reason in final.reasons] == ([code] if code else [])


def test_the_reason_of_the_unscannable_says_why() -> None:
    compiled = policy_when("device: unmanaged, file: {label: secret}", more="unscannable: block")
    known, why = decide(activity(file=BROKEN), compiled).reasons
    assert known.code == "device.tag"
    assert (why.condition, why.fact, why.truth) == ("unscannable: match", "a password", Truth.UNKNOWN)
    (_, why) = decide(activity(file=UNSEEN), compiled, final=True).reasons
    assert why.fact == "the file could not be read"
    compiled = policy_when("file: {label: secret}", more="unscannable: audit")
    (why,) = decide(activity(file=BROKEN), compiled).reasons
    assert (why.condition, str(why.where)) == ("unscannable: audit", "p.yaml:3:59")


def test_unknown_groups_are_settled_at_once_for_content_cannot_help() -> None:
    lost = User(id="t/1", name="a@b.example", groups_known=False)
    decision = decide(activity(user=lost, file=UNSEEN), policy_when("user: {group: finance}"))
    assert (decision.action, decision.needs) == (Action.BLOCK, frozenset())
    (why,) = decision.reasons
    assert (why.code, why.fact) == ("user.group.unknown", "no group (not all are known)")
    assert decide(activity(user=lost), policy_when("user: {group: x}", more="unscannable: ignore")).action == 0


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        # it could be stricter
        ("- {id: z, action: block, when: {file: {label: x}}}\n- {id: a, action: audit}", True),
        # it could not: something stricter has been decided already
        ("- {id: z, action: audit, when: {file: {label: x}}}\n- {id: a, action: block}", False),
        # as strict, but its id would come first
        ("- {id: a, action: block, when: {file: {label: x}}}\n- {id: z, action: block}", True),
        ("- {id: z, action: block, when: {file: {label: x}}}\n- {id: a, action: block}", False),
        # it would raise an alert
        ("- {id: z, action: audit, alert: true, when: {file: {label: x}}}\n- {id: a, action: block}", True),
        # what it does to the unreadable is stricter
        ("- {id: z, action: audit, unscannable: block, when: {file: {label: x}}}\n- {id: a, action: audit}", True),
        # it cannot match any more, whatever the content
        ("- {id: z, action: block, when: {device: compliant, file: {label: x}}}", False),
        # it matches already, whatever the content
        ("- {id: z, action: block, when: {any: [{device: unmanaged}, {file: {label: x}}]}}", False),
        # its step-up has been passed
        ("- {id: z, action: {type: step_up, context: c3}, alert: true, when: {file: {label: x}}}", False),
        ("- {id: z, action: {type: step_up, context: c4}, when: {file: {label: x}}}", True),
    ],
)
def test_content_is_asked_for_only_where_it_matters(text: str, needs: bool) -> None:
    decision = decide(activity(file=UNSEEN, contexts=("c3",)), policies(text))
    assert decision.needs == (CONTENT if needs else frozenset())


def test_alerts_come_from_every_match_not_only_the_winner() -> None:
    compiled = policies("""
- {id: a, name: All downloads, action: audit, alert: true, severity: low}
- {id: b, action: block, when: {file: x*}, alert: {title: Oh, severity: high}}
- {id: c, action: audit, alert: true, when: {file: y*}}
""")
    decision = decide(activity(file="x"), compiled)
    assert [(alert.policy, alert.severity, alert.title) for alert in decision.alerts] == [
        ("a", "low", "All downloads"),
        ("b", "high", "Oh"),
    ]


def test_messages_are_filled_in_with_what_is_known() -> None:
    compiled = policy_when("", more="message: '{user} {app} {file} {policy}', name: Stop")
    assert decide(activity(file="q.txt"), compiled).message == "ada@contoso.example Files q.txt Stop"
    assert decide(activity(user=None, app=None), compiled).message == "you this app this file Stop"


def test_access_policies_answer_for_the_logon_alone() -> None:
    compiled = policies("- {id: a, kind: access, action: block}\n- {id: s, action: audit}")
    assert decide(activity("logon"), compiled).policy == "a"
    assert decide(activity("logoff"), compiled).policy == "s"
    assert decide(activity("download"), compiled).policy == "s"


@pytest.mark.parametrize(
    ("text", "tags", "concerned"),
    [
        ("- {id: a, action: block, when: {device: unmanaged}}", (), True),
        ("- {id: a, action: block, when: {device: unmanaged}}", ("compliant",), False),
        ("- {id: a, action: block, when: {device: unmanaged, client: 10.0.0.0/8, file: x}}", (), True),
        ("- {id: a, action: block, apps: other}", (), False),
        ("- {id: a, kind: access, action: audit}", (), False),
        ("- {id: a, action: block, when: {user: {group: hr}}}", (), False),
    ],
)
def test_who_may_be_concerned_at_all(text: str, tags: tuple[str, ...], concerned: bool) -> None:
    assert may_concern(activity("logon", tags=tags), policies(text)) is concerned


def test_without_an_app_any_policy_may_concern() -> None:
    assert may_concern(activity("logon", app=None), policies("- {id: a, action: block, apps: other}"))


def test_a_decision_that_nothing_matches_is_the_shared_one() -> None:
    compiled = policies(LADDER)
    assert decide(activity(file="0"), compiled) is decide(activity(file="00"), compiled)


def test_odd_facts_never_raise() -> None:
    odd = "\udcff\x00\u202e{file}" * 50
    compiled = policies("""
- {id: a, action: block, message: '{user} {file}', when: {file: {name: {regex: x}}}}
- {id: b, action: block, when: {file: {name: {regex: 'e'}}, client: {user_agent: {not: x*}, ip: {not: 10.0.0.0/8}}}}
""")
    given_ = activity(
        user=User(id=odd, name=odd, groups=frozenset({odd})),
        client=Client(ip=odd, user_agent=odd, isp=odd, country=odd),
        file=FileFacts(name=odd, extension=odd, declared_type=odd),
    )
    decision = decide(given_, compiled)
    assert decision.policy == "b"
    assert all(reason.fact.isprintable() for reason in decision.reasons)
    assert decision.message.isprintable()


# --- explain


def test_explain_names_the_first_condition_that_failed() -> None:
    compiled = policies("""
- {id: a, action: block, when: {device: unmanaged, file: x*, user: {group: hr}}}
- {id: b, action: audit}
- {id: c, apps: other, action: block}
- {id: d, action: {type: step_up, context: c2}}
- {id: e, action: block, when: {file: {label: x}}, unscannable: ignore}
- {id: f, action: block, when: {any: [{file: x*}, {file: y*}]}}
- {id: g, action: block, when: {any: [{file: z*}, {file: q*}]}}
- {id: h, action: block, when: {not: {device: unmanaged}}}
""")
    traces = {trace.policy: trace for trace in explain(activity(file="q", contexts=("c2",)), compiled)}
    assert list(traces) == list("abdefgh")
    assert {name for name, trace in traces.items() if trace.matched} == {"b", "g"}
    failing = traces["a"].failing
    assert failing is not None
    assert (failing.condition, failing.fact, str(failing.where)) == ("file: x*", "q", "p.yaml:3:54")
    assert [reason.truth for reason in traces["a"].conditions] == [Truth.YES, Truth.NO, Truth.NO]
    assert traces["d"].satisfied
    assert traces["e"].truth is Truth.UNKNOWN and traces["e"].failing is None
    assert [reason.condition for reason in traces["f"].conditions] == ["file: x*", "file: y*"]
    assert [reason.condition for reason in traces["g"].conditions] == ["file: q*"]
    assert traces["h"].failing is not None and traces["h"].failing.code == "not"


def test_explain_before_the_content_is_known() -> None:
    compiled = policy_when("file: {label: x}")
    (open_,) = explain(activity(file=UNSEEN), compiled, final=False)
    (final,) = explain(activity(file=UNSEEN), compiled)
    assert (open_.matched, final.matched) == (False, True)


# --- laws

CONDITIONS = st.sampled_from(
    [
        "device: unmanaged",
        "device: compliant",
        "user: {group: finance}",
        "user: {group: {not: hr}}",
        "file: a*",
        "file: {label: secret}",
        "file: {label: {is_set: false}}",
        "file: {detected_type: document}",
        "file: {detected_type: {not: image}}",
        "file: {size: {more_than: 1KB}}",
        "any: [{device: compliant}, {file: {label: secret}}]",
        "any: [{file: b*}, {file: {detected_type: image}}]",
        "not: {file: {label: secret}, device: unmanaged}",
        "not: [{file: a*}, {user: {group: hr}}]",
    ]
)
ACTIONS = st.sampled_from(
    [
        "audit",
        "notify",
        "coach",
        "{type: coach, reasons: [x], text: required, lasts: 5m}",
        "{type: redact, types: [us-ssn]}",
        "{type: redact, types: [iban], otherwise: protect}",
        "{type: redact, types: [iban, credit-card]}",
        "{type: protect, using: age}",
        "{type: step_up, context: c2}",
        "step_up",
        "block",
    ]
)
TREATMENTS = st.sampled_from(["match", "ignore", "audit", "notify", "coach", "protect", "step_up", "block"])


@st.composite
def documents(draw: st.DrawFn, name: str) -> str:
    parts = draw(st.lists(CONDITIONS, max_size=3, unique_by=lambda text: text.partition(":")[0]))
    return (
        f"  - {{id: {name}, activities: download, action: {draw(ACTIONS)}, unscannable: {draw(TREATMENTS)}, "
        f"alert: {draw(st.sampled_from(['true', 'false', 'false']))}, when: {{{', '.join(parts)}}}}}"
    )


@st.composite
def sets(draw: st.DrawFn) -> list[LoadedPolicy]:
    names = draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5, unique=True))
    lines = [draw(documents(name)) for name in names]
    return list(load({"p.yaml": "\n".join(["version: 1", "policies:", *lines]).encode()}).policies)


@st.composite
def downloads(draw: st.DrawFn) -> Activity:
    """A download of which the content has not been read."""
    found = activity(
        user=draw(
            st.sampled_from(
                [
                    None,
                    User(id="1", name="a@b.example", groups=frozenset({"finance"})),
                    User(id="1", name="a@b.example", groups=frozenset({"hr"})),
                    User(id="1", name="a@b.example", groups_known=False),
                ]
            )
        ),
        tags=draw(st.sampled_from([(), ("compliant",), ("hybrid-joined",)])),
        client=Client(ip="192.0.2.1"),
        contexts=draw(st.sampled_from([(), ("c1",), ("c2",), ("c1", "c2")])),
        file=FileFacts(
            name=draw(st.sampled_from(["a.docx", "b.png", "c"])), size=draw(st.sampled_from([None, 5, 5000]))
        ),
    )
    names = st.frozensets(st.sampled_from("abcdef"), max_size=2)
    return dataclasses.replace(
        found, justified=draw(names), excepted={name: f"x-{name}" for name in sorted(draw(names))}
    )


def contents(given: Activity) -> list[Activity]:
    """The same download with every content that it might turn out to have, also one that nobody can read."""
    file = given.file
    assert file is not None
    found = []
    for label, detected, size in itertools.product((None, "secret"), (None, "application/pdf", "image/png"), (5, 5000)):
        size_known = size if file.size is None else file.size
        read = dataclasses.replace(file, inspected=True, label=label, detected_type=detected, size=size_known)
        found.append(dataclasses.replace(given, file=read))
    verdict = Verdict(status=VerdictStatus.UNSCANNABLE, why="broken")
    found.append(
        dataclasses.replace(given, file=dataclasses.replace(file, inspected=True, verdict=verdict, size=file.size or 9))
    )
    return found


def outcome(decision: Decision) -> tuple[object, ...]:
    return (
        decision.action,
        decision.policy,
        decision.using,
        decision.message,
        decision.severity,
        frozenset(alert.policy for alert in decision.alerts),
        decision.redaction,
        decision.coaching,
        frozenset((each.policy, each.action) for each in decision.exempted),
    )


@settings(max_examples=60, deadline=None)
@given(sets(), downloads(), st.randoms(use_true_random=False))
def test_law_the_order_of_policies_makes_no_difference(
    loaded: list[LoadedPolicy], given: Activity, rng: object
) -> None:
    shuffled = list(loaded)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    for each in (given, *contents(given)[:2]):
        assert decide(each, compile_policies(shuffled)) == decide(each, compile_policies(loaded))


@settings(max_examples=60, deadline=None)
@given(sets(), downloads())
def test_law_adding_a_policy_never_loosens(loaded: list[LoadedPolicy], given: Activity) -> None:
    fewer, all_ = compile_policies(loaded[1:]), compile_policies(loaded)
    for each in contents(given):
        assert decide(each, all_).action >= decide(each, fewer).action
    assert decide(given, all_, final=True).action >= decide(given, fewer, final=True).action


@settings(max_examples=100, deadline=None)
@given(sets(), downloads())
def test_law_a_decision_without_content_is_the_one_any_content_leads_to(
    loaded: list[LoadedPolicy], given: Activity
) -> None:
    compiled = compile_policies(loaded)
    early = decide(given, compiled)
    if not early.needs:
        for each in contents(given):
            assert outcome(decide(each, compiled)) == outcome(early)
        assert outcome(decide(given, compiled, final=True)) == outcome(early)


@settings(max_examples=60, deadline=None)
@given(sets(), downloads())
def test_law_content_is_asked_for_only_where_it_could_matter(loaded: list[LoadedPolicy], given: Activity) -> None:
    """With conditions that can each go both ways, a need means that two contents lead apart, or one to an alert."""
    independent = [each for each in loaded if len(list(each.when.leaves())) == 1 and "group" not in str(each.when)]
    compiled = compile_policies(independent)
    early = decide(given, compiled)
    if early.needs:
        assert len({outcome(decide(each, compiled)) for each in contents(given)}) > 1


@settings(max_examples=60, deadline=None)
@given(sets(), downloads(), st.booleans())
def test_law_explain_agrees_with_decide(loaded: list[LoadedPolicy], given: Activity, final: bool) -> None:
    compiled = compile_policies(loaded)
    for each in (given, *contents(given)[::4]):
        decision = decide(each, compiled, final=final)
        traces = explain(each, compiled, final=final)
        assert tuple(trace.policy for trace in traces if trace.matched) == decision.matched
        assert tuple(trace.policy for trace in traces if trace.excepted) == tuple(
            each.policy for each in decision.exempted
        )
        least = Action.AUDIT if decision.exempted else Action.ALLOW
        assert max((trace.action for trace in traces if trace.matched), default=least) == decision.action
        for trace in traces:
            assert (trace.failing is None) or not trace.matched


@settings(max_examples=60, deadline=None)
@given(sets(), downloads())
def test_law_every_match_has_a_reason_with_a_place(loaded: list[LoadedPolicy], given: Activity) -> None:
    decision = decide(given, compile_policies(loaded), final=True)
    assert {reason.policy for reason in decision.reasons} == set(decision.matched)
    for reason in decision.reasons:
        assert reason.where.line > 0
        assert reason.condition and reason.fact


def test_decisions_of_a_type_with_no_policies() -> None:
    assert decide(activity("print", app=FILES), Policies(version="", all=())).action is Action.ALLOW


@pytest.mark.parametrize(
    ("fresh_for", "age", "action"),
    [
        ("", None, Action.ALLOW),
        (", fresh_for: 15m", 0, Action.ALLOW),
        (", fresh_for: 15m", 900, Action.ALLOW),
        (", fresh_for: 15m", 901, Action.STEP_UP),
        (", fresh_for: 15m", None, Action.STEP_UP),
    ],
)
def test_a_proof_counts_for_as_long_as_the_policy_says(fresh_for: str, age: int | None, action: Action) -> None:
    """A proof of unknown age is not recent."""
    chosen = policies(f"- {{id: p, activities: download, action: {{type: step_up, context: c2{fresh_for}}}}}")
    asked = activity("download", contexts=("c2",))
    if age is not None:
        asked = dataclasses.replace(asked, proven={"c2": asked.time - timedelta(seconds=age)})
    decision = decide(asked, chosen)
    assert decision.action is action
    assert decision.fresh_for == (timedelta(minutes=15) if action is Action.STEP_UP else None)
