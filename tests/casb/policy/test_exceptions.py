"""Exceptions as files: signed, expiring, for one person or group; everything else is refused with its place."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import Problems
from casb.model.app import App
from casb.model.identity import User
from casb.policy.exceptions import ExceptionFile, collect, dump, moment, read

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
APP = App(id="files", name="Files", domains=("files.example",))
ADA = User(id="t/1", name="Ada@contoso.example", groups=frozenset({"audit"}))
DOCUMENT = ExceptionFile(
    version=1,
    kind="exception",
    id="x-1",
    policy="no-payroll",
    user="ada@contoso.example",
    app="files",
    file='pay: "roll"\n.xlsx',
    until=moment(NOW + timedelta(hours=4)),
    approved_by="grace",
    approved=moment(NOW),
    justification="the auditor # needs it",
    request="01K",
)


def sign(data: bytes) -> tuple[str, bytes]:
    return "k1", hmac.digest(b"key", data, hashlib.sha256)


def verify(key: str, data: bytes, signature: bytes) -> bool:
    return key == "k1" and hmac.compare_digest(sign(data)[1], signature)


def wrong(text: bytes, now: datetime = NOW) -> list[str]:
    with pytest.raises(Problems) as caught:
        read("exceptions/x-1.yaml", text, verify=verify, now=now, policies=["no-payroll"], apps=["files"])
    return [f"{each.where} {each.code}" for each in caught.value.errors]


def test_what_is_written_is_read_again() -> None:
    grant = read("x.yaml", dump(DOCUMENT, sign), verify=verify, now=NOW)
    assert (grant.policy, grant.user, grant.app, grant.file) == (DOCUMENT.policy, DOCUMENT.user, "files", DOCUMENT.file)
    assert grant.until == NOW + timedelta(hours=4)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ((b"auditor", b"Auditor"), ["exceptions/x-1.yaml:13:35 P070"]),
        ((b"no-payroll", b"no-pay"), ["exceptions/x-1.yaml:5:9 P073", "exceptions/x-1.yaml:13:35 P070"]),
        ((b'app: "files"', b'app: "filez"'), ["exceptions/x-1.yaml:7:6 P031", "exceptions/x-1.yaml:13:35 P070"]),
        ((b"user: ", b"group: "), ["exceptions/x-1.yaml:13:35 P070"]),
        ((b"16:00:00.000Z", b"26:00:00.000Z"), ["exceptions/x-1.yaml:9:8 P017", "exceptions/x-1.yaml:13:35 P070"]),
        ((b"version: 1", b"version: 2"), ["exceptions/x-1.yaml:2:10 P016"]),
    ],
    ids=["justification", "policy", "app", "user", "until", "version"],
)
def test_a_change_by_hand_is_refused_with_its_place(change: tuple[bytes, bytes], expected: list[str]) -> None:
    text = dump(DOCUMENT, sign)
    assert change[0] in text
    found = wrong(text.replace(*change))
    assert [each.rpartition(" ")[2] for each in found] == [each.rpartition(" ")[2] for each in expected]
    assert all(each.startswith("exceptions/x-1.yaml:") for each in found)


def test_layout_and_comments_do_not_matter() -> None:
    lines = dump(DOCUMENT, sign).decode().splitlines()
    shuffled = "\n".join(["# a comment", *reversed(lines[1:])])
    assert read("x.yaml", shuffled.encode(), verify=verify, now=NOW).id == "x-1"


def test_unsigned_and_expired_ones() -> None:
    unsigned = b"\n".join(line for line in dump(DOCUMENT, sign).splitlines() if not line.startswith(b"signature"))
    assert wrong(unsigned)[0].endswith("P070")
    late = wrong(dump(DOCUMENT, sign), NOW + timedelta(hours=4))
    assert late == ["exceptions/x-1.yaml:9:8 P071"]


@pytest.mark.parametrize(
    ("changes", "user", "app", "file", "later", "holds"),
    [
        ({}, ADA, APP, DOCUMENT.file, 1, True),
        ({}, ADA, APP, DOCUMENT.file, 4, False),
        ({}, ADA, APP, "other.xlsx", 1, False),
        ({"file": ""}, ADA, APP, "other.xlsx", 1, True),
        ({}, ADA, replace(APP, id="flows"), DOCUMENT.file, 1, False),
        ({"app": ""}, ADA, replace(APP, id="flows"), DOCUMENT.file, 1, True),
        ({}, replace(ADA, name="eve@contoso.example"), APP, DOCUMENT.file, 1, False),
        ({}, None, APP, DOCUMENT.file, 1, False),
        ({"user": "", "group": "audit"}, ADA, APP, DOCUMENT.file, 1, True),
        ({"user": "", "group": "hr"}, ADA, APP, DOCUMENT.file, 1, False),
        ({"user": "T/1"}, ADA, APP, DOCUMENT.file, 1, True),
    ],
)
def test_whom_and_what_it_is_for(
    changes: dict[str, str], user: User | None, app: App, file: str, later: int, holds: bool
) -> None:
    text = dump(replace(DOCUMENT, **changes), sign)  # type: ignore[arg-type]  # texts alone are changed
    found = collect({"a.yaml": text}, verify=verify, now=NOW)
    expected = {"no-payroll": "x-1"} if holds else {}
    assert found.holding(user, app, file, NOW + timedelta(hours=later)) == expected


def test_one_bad_file_does_not_spoil_the_others() -> None:
    good = dump(DOCUMENT, sign)
    found = collect({"a.yaml": good, "b.yaml": good, "c.yaml": b"kind: ["}, verify=verify, now=NOW)
    assert [grant.where.file for grant in found.grants] == ["a.yaml"]
    assert [each.code for each in found.refused if each.code == "P075"] == ["P075"]
    assert {each.where.file for each in found.refused if each.where} == {"b.yaml", "c.yaml"}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_file_is_read_or_refused(text: bytes) -> None:
    found = collect({"a.yaml": text}, verify=verify, now=NOW)
    assert not found.grants and found.refused
