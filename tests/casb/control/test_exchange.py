"""The state machine of one exchange: what each step answers, and what is written down."""

from __future__ import annotations

import pytest

from casb.control.exchange import OutOfOrder, Party, Stage, access, effect_of
from casb.model.activity import Activity, ActivityType, RequestFacts, RequestMode, ResponseFacts
from casb.model.decision import Action, Answer, Decision, Hold, Pass, Protect
from casb.model.file import FileFacts, VerdictStatus
from casb.model.identity import Client, Device, DeviceTag, Session, User
from control_support import NOW, exchange, file, get, party, snapshot

SHARED = snapshot()
PAGE = ResponseFacts(status=200, content_type="text/html")


@pytest.mark.parametrize(
    ("request_facts", "response", "effect", "activity", "action", "policy", "why"),
    [
        (get("/"), PAGE, Pass, ActivityType.VIEW, Action.AUDIT, "g-note", "a page is a view"),
        (get("/api", mode=RequestMode.FETCH), ResponseFacts(status=200, content_type="application/json"), Pass, None, None, None, "data for a page is no activity"),
        (get("/x"), file("payroll.xlsx"), Answer, ActivityType.DOWNLOAD, Action.BLOCK, "a-block", "blocked by name"),
        (get("/x"), file("report.docx", content_type="text/plain"), Hold, None, None, None, "another policy must see the content first"),
        (get("/x"), file("notes.bin", status=404), Pass, None, None, None, "an error is no file"),
    ],
)  # fmt: skip
def test_a_response(
    request_facts: RequestFacts,
    response: ResponseFacts,
    effect: type,
    activity: ActivityType | None,
    action: Action | None,
    policy: str | None,
    why: str,
) -> None:
    one = exchange(SHARED)
    assert one.request(request_facts) == Pass()
    assert isinstance(one.response(response), effect), why
    if activity is None:
        assert one.records == [], why
    else:
        (record,) = one.records
        assert (record.activity.type, record.decision.action, record.decision.policy) == (activity, action, policy), why
        assert (record.activity.id, record.activity.time, record.policy_version) == ("A1", NOW, SHARED.version)
        assert record.activity.response == response


@pytest.mark.parametrize(
    ("detected", "effect", "policy"),
    [("application/pdf", Answer, "c-read"), ("text/plain", Protect, "b-protect")],
)
def test_the_content_decides_for_good(detected: str, effect: type, policy: str) -> None:
    one = exchange(SHARED)
    one.request(get("/x"))
    assert one.response(file("report.docx")) == Hold(limit=SHARED.settings.limits.hold)
    assert one.stage is Stage.HOLDING_DOWNLOAD
    settled = one.inspected(FileFacts(name="report.docx", inspected=True, detected_type=detected))
    assert isinstance(settled, effect)
    assert [record.decision.policy for record in one.records] == [policy]
    assert one.records[0].activity.file == FileFacts(name="report.docx", inspected=True, detected_type=detected)


def test_what_cannot_be_read_takes_the_policys_unscannable() -> None:
    one = exchange(SHARED)
    one.request(get("/x"))
    one.response(file("report.docx"))
    effect = one.unscannable("larger than 1 byte")
    assert isinstance(effect, Answer)
    (record,) = one.records
    assert record.activity.file is not None
    assert record.activity.file.verdict is not None
    assert record.activity.file.verdict.status is VerdictStatus.UNSCANNABLE
    assert "larger than 1 byte" in [reason.fact for reason in record.decision.reasons]


def test_an_upload_is_held_before_it_is_sent() -> None:
    one = exchange(SHARED)
    up = get("/up", method="PUT", content_type="application/octet-stream", content_length=9, upload_name="a.bin")
    assert isinstance(one.request(up), Hold)
    assert one.stage == Stage.HOLDING_UPLOAD
    program = FileFacts(name="a.bin", inspected=True, detected_type="application/vnd.microsoft.portable-executable")
    assert isinstance(one.inspected(program), Answer)
    assert one.stage.value == "sent"


def test_an_activity_of_the_apps_own() -> None:
    one = exchange(SHARED)
    effect = one.request(get("/share/7", method="POST", content_type="application/json"))
    assert isinstance(effect, Answer)
    assert effect.kind == "step_up"
    managed = exchange(SHARED, who=party("ada@contoso.example", DeviceTag.COMPLIANT))
    assert managed.request(get("/share/7", method="POST", content_type="application/json")) == Pass()
    assert [record.decision.action for record in managed.records] == [Action.ALLOW]


@pytest.mark.parametrize(("app", "effect", "action"), [("files", Answer, Action.BLOCK), ("easy", Pass, Action.AUDIT)])
def test_the_default_behaviour_takes_the_place_of_what_cannot_be_done(app: str, effect: type, action: Action) -> None:
    """S22: block unless the app says allow; either way the record says that it was the reason."""
    rules = "version: 1\npolicies:\n  - {id: p, activities: download, action: protect}\n"
    one = exchange(snapshot(rules=rules), app)
    one.request(get("/x"))
    assert isinstance(one.response(file("a.docx", status=206)), Protect)
    assert isinstance(one.fall_back("protect.impossible", "action: protect", "a part of a file"), effect)
    (record,) = one.records
    assert (record.decision.action, record.decision.default_behaviour) == (action, True)
    assert record.decision.matched == ("p",), "what matched stays on record"
    assert record.decision.reasons[-1].code == "protect.impossible"


@pytest.mark.parametrize(("method", "kind"), [("GET", ActivityType.VIEW), ("POST", ActivityType.EDIT)])
def test_a_refusal_without_an_activity_gets_one(method: str, kind: ActivityType) -> None:
    one = exchange(SHARED)
    one.request(get("/api", method=method, mode=RequestMode.FETCH, content_type="application/json"))
    assert one.refuse("failure", "on_failure: block", "a bug").decision.action is Action.BLOCK
    assert [record.activity.type for record in one.records] == [kind]


def test_steps_out_of_order_are_refused() -> None:
    one = exchange(SHARED)
    with pytest.raises(OutOfOrder):
        one.response(PAGE)
    with pytest.raises(OutOfOrder):
        one.inspected(FileFacts(name="x"))
    one.request(get())
    with pytest.raises(OutOfOrder):
        one.request(get())
    one.response(PAGE)
    with pytest.raises(OutOfOrder):
        one.response(PAGE)


def test_a_sibling_starts_anew() -> None:
    one = exchange(SHARED)
    one.request(get())
    other = one.sibling()
    assert (other.stage, other.records, other.party) == (Stage.NEW, [], one.party)


def test_whether_any_policy_looks() -> None:
    assert exchange(SHARED).concerns(ActivityType.UPLOAD)
    assert not exchange(SHARED).concerns(ActivityType.PRINT)


@pytest.mark.parametrize(
    ("name", "action", "policy"),
    [("ada@contoso.example", Action.ALLOW, None), ("mallory@contoso.example", Action.BLOCK, "f-door")],
)
def test_access(name: str, action: Action, policy: str | None) -> None:
    app = SHARED.catalog.by_id["files"]
    record = access(SHARED, app, party(name), now=NOW, new_id=lambda: "L1", mode="suffix")
    assert (record.decision.action, record.decision.policy) == (action, policy)
    assert (record.activity.type, record.activity.source.value, record.mode) == (
        ActivityType.LOGON,
        "access control",
        "suffix",
    )


def test_only_a_download_can_be_protected() -> None:
    decision = Decision(action=Action.PROTECT, using="age")

    def activity(kind: ActivityType) -> Activity:
        return Activity(id="1", time=NOW, type=kind, app=None, user=None, device=Device(), client=Client(ip=""))

    assert effect_of(activity(ActivityType.DOWNLOAD), decision) == Protect(using="age")
    assert isinstance(effect_of(activity(ActivityType.UPLOAD), decision), Answer)


def test_the_party_of_a_session() -> None:
    user, device = User(id="1", name="a"), Device(tags=frozenset({DeviceTag.COMPLIANT}))
    session = Session(id="s", user=user, device=device, started=NOW, expires=NOW, auth_contexts=frozenset({"c1"}))
    got = Party.of(session, Client(ip="192.0.2.1"))
    assert (got.user, got.device, got.session_id) == (user, device, "s")
    assert got.auth_contexts == {"c1"}
    assert Party.of(session, Client(ip=""), Device()).device == Device()
