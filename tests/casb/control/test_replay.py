"""Recorded exchanges decide as live ones do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from casb.control.replay import Recorded, file_from, file_json, replay, to_json
from casb.model.file import EngineVerdict, FileFacts, Finding, Verdict, VerdictStatus
from control_support import NOW, file, get, party, snapshot

SHARED = snapshot()


def recorded(**more: object) -> Recorded:
    facts = {
        "flow": "f1",
        "time": NOW,
        "host": "files.example",
        "request": get("/x"),
        "response": file("payroll.xlsx"),
        "party": party(),
    }
    return Recorded(**(facts | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "action", "activity", "policy", "why"),
    [
        (recorded(), "block", "download", "a-block", "as it was live"),
        (recorded(host="elsewhere.example"), "allow", None, None, "no app of ours"),
        (recorded(host="bad.example"), "allow", None, None, "an app that is not controlled"),
        (recorded(party=party("mallory@contoso.example")), "block", "logon", "f-door", "the door comes first"),
        (recorded(response=None), "allow", None, None, "a request alone, which is no activity"),
        (recorded(response=file("report.docx")), "block", "download", "c-read", "unread content is unscannable"),
        (recorded(response=file("report.docx"), file=FileFacts(name="report.docx", inspected=True, detected_type="text/plain")), "protect", "download", "b-protect", "what was read then is used"),
        (recorded(request=get("/share/1", method="POST", content_type="application/json"), response=file("payroll.xlsx")), "step_up", "share", "d-step", "refused at the request: the response is never looked at"),
    ],
)  # fmt: skip
def test_replay(given: Recorded, action: str, activity: str | None, policy: str | None, why: str) -> None:
    (result,) = replay(SHARED, [given])
    value = to_json(result)
    assert (value["action"], value["activity"], value["policy"]) == (action, activity, policy), why
    assert json.dumps(value)
    assert set(value) >= {"flow", "time", "method", "url", "app", "user", "device", "matched", "reasons", "file"}


def test_a_decision_that_differs_is_marked() -> None:
    for before, differs in (("block", False), ("allow", True), (None, False)):
        (result,) = replay(SHARED, [recorded(recorded=before)])
        assert result.differs is differs


def test_order_is_kept_and_nothing_is_left_out() -> None:
    many = [replace(recorded(), flow=f"f{number}") for number in range(5)]
    assert [result.source.flow for result in replay(SHARED, many)] == ["f0", "f1", "f2", "f3", "f4"]


def test_facts_of_a_file_survive_being_kept() -> None:
    verdict = Verdict(
        status=VerdictStatus.SENSITIVE,
        findings=(Finding(info_type="iban", count=3, confidence=85, levels=((75, 3), (85, 2))),),
        inspector="i",
        why="w",
    )
    for facts in (
        FileFacts(
            name="a.pdf", extension="pdf", size=7, inspected=True, detected_type="application/pdf", verdict=verdict
        ),
        FileFacts(
            name="a.exe",
            inspected=True,
            signs=frozenset({"rtlo"}),
            engines=(EngineVerdict(engine="clamd", status=VerdictStatus.MALICIOUS, threat="Eicar"),),
        ),
        FileFacts(name=""),
    ):
        assert file_from(json.loads(json.dumps(file_json(facts)))) == facts
