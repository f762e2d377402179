"""When the provider must be asked again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from casb.identity.sessions import agent_digest
from casb.model.identity import Device, Session, User
from casb.proxy.liveness import Due, Liveness
from casb.settings import SessionLimits

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
AGENT = b"Mozilla/5.0"
SESSION = Session(
    id="s",
    user=User(id="u", name="u"),
    device=Device(),
    started=NOW,
    expires=NOW + timedelta(hours=9),
    evaluated=NOW,
    addresses=frozenset({"192.0.2.7", "2001:db8:1:2::7"}),
    agents=frozenset({agent_digest(AGENT.decode())}),
)
ISPS = {"192.0.2.7": "Home", "203.0.113.1": "Home", "198.51.100.1": "Cafe"}


def snapshot(limits: SessionLimits, isps: dict[str, str] | None = None) -> Any:
    """As much of one as is asked."""
    ranges = SimpleNamespace(lookup=lambda ip: SimpleNamespace(isp=(isps or {}).get(ip)))
    return SimpleNamespace(settings=SimpleNamespace(session=limits), ranges=ranges, version="v")


def due(session: Session = SESSION, ip: str = "192.0.2.7", agent: bytes = AGENT, after: float = 0, **more: Any) -> Due:
    isps = more.pop("isps", None)
    there = snapshot(SessionLimits(reevaluate=900, grace=300, **more), isps)
    return Liveness().due(session, ip, agent, there, NOW + timedelta(seconds=after))


@pytest.mark.parametrize(
    ("after", "expected"), [(0, Due.NOT_YET), (900, Due.NOT_YET), (901, Due.SOON), (1200, Due.SOON), (1201, Due.NOW)]
)
def test_age(after: float, expected: Due) -> None:
    assert due(after=after) is expected


def test_a_session_without_a_time_counts_from_its_start() -> None:
    assert due(replace(SESSION, evaluated=None, started=NOW - timedelta(hours=1))) is Due.NOW


def test_never_means_never() -> None:
    there = snapshot(SessionLimits(reevaluate=0))
    assert Liveness().due(SESSION, "192.0.2.7", AGENT, there, NOW + timedelta(days=9)) is Due.NOT_YET


@pytest.mark.parametrize(
    ("ip", "how", "isps", "expected"),
    [
        ("192.0.2.7", "any", None, Due.NOT_YET),
        ("192.0.2.8", "any", None, Due.NOW),
        ("192.0.2.8", "network", None, Due.NOT_YET),
        ("192.0.3.7", "network", None, Due.NOW),
        ("192.0.3.7", "off", None, Due.NOT_YET),
        ("2001:db8:1:ffff::1", "network", None, Due.NOT_YET),
        ("2001:db8:2::1", "network", None, Due.NOW),
        ("203.0.113.1", "network", ISPS, Due.NOT_YET),
        ("198.51.100.1", "network", ISPS, Due.NOW),
        ("not an address", "network", None, Due.NOW),
        ("", "network", None, Due.NOW),
    ],
)
def test_addresses(ip: str, how: Any, isps: dict[str, str] | None, expected: Due) -> None:
    assert due(ip=ip, watch_address=how, isps=isps) is expected


@pytest.mark.parametrize(("watched", "expected"), [(True, Due.NOW), (False, Due.NOT_YET)])
def test_programs(watched: bool, expected: Due) -> None:
    assert due(agent=b"curl/8", watch_agent=watched) is expected


def test_what_was_not_noted_is_not_compared() -> None:
    assert (
        due(replace(SESSION, addresses=frozenset(), agents=frozenset()), ip="198.51.100.9", agent=b"x") is Due.NOT_YET
    )


def test_a_renewed_session_is_looked_at_anew() -> None:
    looks, there = Liveness(), snapshot(SessionLimits())
    assert looks.due(SESSION, "198.51.100.1", AGENT, there, NOW) is Due.NOW
    moved = replace(SESSION, addresses=frozenset({"198.51.100.1"}))
    assert looks.due(moved, "198.51.100.1", AGENT, there, NOW) is Due.NOT_YET
    assert looks.due(moved, "192.0.2.7", AGENT, there, NOW) is Due.NOW
