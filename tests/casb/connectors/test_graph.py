from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from demo_lib.idp import ClientRegistration, EmulatedEntra
from demo_lib.pki import DemoAuthority
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.connectors.fetch import Reply
from casb.connectors.graph import Graph
from casb.errors import ConnectorError, TokenError
from casb.settings import Graph as GraphSettings
from casb.settings import Provider, Secret

SECRET = "g" * 32
FINANCE, STAFF = "5a1e0c1e-0000-4000-8000-00000000f1a0", "5a1e0c1e-0000-4000-8000-0000000057af"
ALL = "5a1e0c1e-0000-4000-8000-0000000000a1"
SOME = [f"5a1e0c1e-0000-4000-8000-{number:012x}" for number in range(44)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedEntra]:
    folder = tmp_path_factory.mktemp("graph")
    client = ClientRegistration(id="casb-graph", secret=SECRET, redirect_uris=["https://login.casb.localhost/x"])
    made = EmulatedEntra.start(DemoAuthority(folder), [client], folder / "idp.log")
    yield made
    made.stop()


@pytest.fixture
def entra(running: EmulatedEntra) -> Iterator[EmulatedEntra]:
    running.call("DELETE", "/requests")
    running.call("POST", "/graph", {"nested": {}})
    yield running
    running.call("DELETE", "/faults")
    for name in ("ada", "ben"):
        running.call(
            "POST", f"/users/{name}@contoso.example", {"deleted": False, "revoked": False, "device_disabled": False}
        )


def user(entra: EmulatedEntra, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = entra.call("GET", "/state")["users"]
    return next(each for each in found if each["upn"] == f"{name}@contoso.example")


def asked(entra: EmulatedEntra) -> list[str]:
    return [each["path"] for each in entra.call("GET", "/requests") if each["path"].startswith("/graph")]


class Ticking:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def graph_of(entra: EmulatedEntra, clock: Callable[[], float], **changes: Any) -> AsyncIterator[Graph]:
    given = GraphSettings(
        client_id="casb-graph", client_secret=Secret(SECRET), url=f"{entra.base}/graph", ca=str(entra.ca)
    )
    provider = Provider(id="entra", kind="entra", authority=entra.issuer, client_id="casb", ca=str(entra.ca))
    made = Graph(provider, replace(given, **changes), monotonic=clock)
    try:
        yield made
    finally:
        await made.close()


async def test_membership_is_transitive_and_asked_for_twenty_at_a_time(entra: EmulatedEntra) -> None:
    entra.call("POST", "/graph", {"nested": {FINANCE: [ALL], ALL: [FINANCE]}})
    async with graph_of(entra, Ticking()) as graph:
        found = await graph.member_of(user(entra, "ada")["oid"], [FINANCE, STAFF, ALL, *SOME])
    assert found == {FINANCE, STAFF, ALL}
    assert [len(each["groupIds"]) for each in entra.call("GET", "/graph")] == [20, 20, 7]


async def test_nobody_is_asked_about_nothing(entra: EmulatedEntra) -> None:
    async with graph_of(entra, Ticking()) as graph:
        assert await graph.member_of(user(entra, "ada")["oid"], []) == frozenset()
    assert asked(entra) == []


async def test_many_at_once_ask_once_and_later_ones_nobody(entra: EmulatedEntra) -> None:
    clock = Ticking()
    oid = user(entra, "ada")["oid"]
    async with graph_of(entra, clock) as graph:
        found = await asyncio.gather(*(graph.member_of(oid, [FINANCE]) for _ in range(20)))
        clock.now += 599
        found.append(await graph.member_of(oid, [FINANCE]))
        assert set(found) == {frozenset({FINANCE})}
        assert len(asked(entra)) == 1
        entra.call("POST", "/users/ada@contoso.example", {"groups": [STAFF]})
        clock.now += 2
        assert await graph.member_of(oid, [FINANCE]) == frozenset()
    entra.call("POST", "/users/ada@contoso.example", {"groups": [STAFF, FINANCE]})


async def test_what_is_known_goes_on_in_an_outage_for_an_hour_and_no_longer(entra: EmulatedEntra) -> None:
    clock = Ticking()
    oid = user(entra, "ada")["oid"]
    async with graph_of(entra, clock) as graph:
        assert await graph.member_of(oid, [FINANCE]) == {FINANCE}
        entra.call("POST", "/faults", {"path": "/graph", "status": 503})
        clock.now += 3599
        assert await graph.member_of(oid, [FINANCE]) == {FINANCE}
        clock.now += 10
        with pytest.raises(ConnectorError, match="I040"):
            await graph.member_of(oid, [FINANCE])
        with pytest.raises(ConnectorError, match="I040"):
            await graph.member_of(user(entra, "ben")["oid"], [FINANCE])


async def test_graph_is_left_alone_as_long_as_it_asks_for(entra: EmulatedEntra) -> None:
    clock = Ticking()
    oid = user(entra, "ada")["oid"]
    async with graph_of(entra, clock) as graph:
        entra.call("POST", "/faults", {"path": "/graph", "status": 429, "retry_after": 40})
        for seconds in (0, 20, 19):
            clock.now += seconds
            with pytest.raises(ConnectorError):
                await graph.member_of(oid, [FINANCE])
        assert len(asked(entra)) == 1
        entra.call("DELETE", "/faults")
        clock.now += 2
        assert await graph.member_of(oid, [FINANCE]) == {FINANCE}


@pytest.mark.parametrize("state", ["deleted", "revoked"])
async def test_whom_the_directory_knows_no_more_is_refused_and_not_asked_about_for_a_minute(
    entra: EmulatedEntra, state: str
) -> None:
    clock = Ticking()
    oid = user(entra, "ben")["oid"]
    entra.call("POST", "/users/ben@contoso.example", {state: True})
    async with graph_of(entra, clock) as graph:
        for seconds in (0, 59):
            clock.now += seconds
            with pytest.raises(TokenError, match="I041"):
                await graph.member_of(oid, [STAFF])
        assert len(asked(entra)) == 1
        entra.call("POST", "/users/ben@contoso.example", {state: False})
        clock.now += 2
        assert await graph.member_of(oid, [STAFF]) == {STAFF}


async def test_a_device_is_found_by_its_id(entra: EmulatedEntra) -> None:
    async with graph_of(entra, Ticking()) as graph:
        found = await graph.device(user(entra, "ada")["device_id"].upper())
        assert found is not None
        assert found["isCompliant"] is True
        assert await graph.device("00000000-0000-4000-8000-000000000000") is None
        with pytest.raises(ConnectorError, match="object ids only"):
            await graph.device("x' or 'a' eq 'a")


async def test_a_wrong_secret_is_an_outage_and_tells_no_secret(entra: EmulatedEntra) -> None:
    async with graph_of(entra, Ticking(), client_secret=Secret("w" * 32)) as graph:
        with pytest.raises(ConnectorError, match="gives our application no token") as told:
            await graph.policies()
    assert "w" * 32 not in str(told.value)


async def test_policies_are_listed(entra: EmulatedEntra) -> None:
    async with graph_of(entra, Ticking()) as graph:
        assert len(await graph.policies()) == 3


@settings(max_examples=60, deadline=None)
@given(st.integers(100, 599), st.text(max_size=60), st.sampled_from(["", "3", "x", "99999999", "-1"]))
def test_any_answer_is_an_object_or_one_of_two_errors(status: int, text: str, pause: str) -> None:
    provider = Provider(id="entra", kind="entra", authority="https://localhost:1/t/v2.0", client_id="casb")
    made = Graph(provider, GraphSettings(client_id="x"))
    try:
        made._read(Reply(status_code=status, headers={"Retry-After": pause}, text=text))
    except (ConnectorError, TokenError):
        pass
    finally:
        made._threads.shutdown()
