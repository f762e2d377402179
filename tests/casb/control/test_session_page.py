"""What a person sees of their session."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from casb.control.session_page import Shown, session_page, source_of
from casb.model.identity import Device, DeviceTag, Session, User

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SESSION = Session(
    id="5f0c9b0e",
    user=User(id="t/o", name="ada@contoso.example", display_name="Ada <b>", groups=frozenset({"secret-group"})),
    device=Device(
        tags=frozenset({DeviceTag.COMPLIANT, DeviceTag.CLIENT_CERTIFICATE}),
        sources={"compliant": "acrs:c1", "client-certificate": "certificate:ab12"},
    ),
    started=NOW - timedelta(hours=1),
    expires=NOW + timedelta(hours=9),
    ip="192.0.2.7",
    auth_contexts=frozenset({"c1", "c3"}),
    proven={"c3": NOW - timedelta(minutes=2)},
    evaluated=NOW - timedelta(minutes=5),
)
SHOWN = Shown(provider="contoso", device_id="dev-1", idle=3600, reevaluate=900, ip="192.0.2.8", token="t" * 43)


def text(session: Session = SESSION, shown: Shown = SHOWN) -> str:
    return session_page(session, shown, NOW).body.decode()


def test_who_where_and_until_when() -> None:
    page = text()
    for part in (
        "ada@contoso.example",
        "Ada &lt;b&gt;",
        "contoso",
        "your organisation&#x27;s sign-in confirmed it (authentication context c1)",
        "your browser presented a certificate (ab12)",
        "dev-1",
        "192.0.2.7",
        "192.0.2.8",
        "2026-03-02 11:55 UTC",
        "in 11 minutes, when you open a page",
        "given 2026-03-02 11:58 UTC",
        "5f0c9b0e",
        "60 minutes",
    ):
        assert part in page, part
    assert "secret-group" not in page
    assert "t/o" not in page


def test_an_unmanaged_device_is_explained() -> None:
    assert "Nothing at sign-in proved" in text(replace(SESSION, device=Device()))


def test_the_page_cannot_be_framed_and_runs_no_script() -> None:
    policy = dict(session_page(SESSION, SHOWN, NOW).headers)["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy


def test_when_it_is_confirmed_again() -> None:
    late = replace(SESSION, evaluated=NOW - timedelta(hours=1))
    assert "at the next page that you open" in text(late)
    assert "Confirmed again" not in text(late, replace(SHOWN, reevaluate=0))


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("claim:device_ok", "claim device_ok"),
        ("signin_state:dvc_cmp", "state dvc_cmp"),
        ("of tomorrow:x", "of tomorrow:x"),
    ],
)
def test_every_source_has_words(source: str, part: str) -> None:
    assert part in source_of(source)
