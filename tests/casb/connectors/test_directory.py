from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from casb.connectors.directory import LOOK, OLD, Directory
from casb.connectors.graph import Graph
from casb.errors import ConnectorError, TokenError
from casb.identity.claims import Claims
from casb.settings import DeviceRules, Provider, Settings
from casb.settings import Graph as GraphSettings

FINANCE, EXEMPT = "5a1e0c1e-0000-4000-8000-00000000f1a0", "5a1e0c1e-0000-4000-8000-0000000000e0"
RULES = DeviceRules(compliant=("c1",))
ENTRA = Provider(
    id="entra",
    kind="entra",
    domains=("contoso.example",),
    device=RULES,
    graph=GraphSettings(client_id="x", group_ids={"Finance": FINANCE}, devices=True),
)
CLAIMS = Claims(
    issuer="i",
    subject="s",
    audience="a",
    issued=0,
    expires=1,
    tenant="t",
    object_id="o",
    username="ada@contoso.example",
    groups_known=False,
    contexts=frozenset({"c1"}),
    device_id="pc-1",
)
POLICY: dict[str, Any] = {
    "state": "enabled",
    "conditions": {
        "users": {"includeUsers": ["All"], "excludeGroups": [EXEMPT]},
        "applications": {"includeAuthenticationContextClassReferences": ["c1"]},
    },
    "grantControls": {"operator": "OR", "builtInControls": ["compliantDevice"]},
}


class FakeGraph:
    """Says what it is told to."""

    def __init__(self) -> None:
        assert ENTRA.graph is not None
        self.settings = ENTRA.graph
        self.groups: set[str] = {FINANCE}
        self.fault: Exception | None = None
        self.listed: tuple[dict[str, Any], ...] = (POLICY,)
        self.asked: list[set[str]] = []

    def _maybe(self) -> None:
        if self.fault is not None:
            raise self.fault

    async def member_of(self, object_id: str, groups: Collection[str]) -> frozenset[str]:
        self.asked.append(set(groups))
        self._maybe()
        return frozenset(self.groups & set(groups))

    async def device(self, device_id: str) -> dict[str, Any]:
        self._maybe()
        return {"accountEnabled": True, "trustType": "ServerAd"}

    async def policies(self) -> tuple[dict[str, Any], ...]:
        self._maybe()
        return self.listed


class Seconds:
    """Pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def directory(graph: FakeGraph, named: Collection[str] = (), time: Seconds | None = None, **more: Any) -> Directory:
    settings = Settings(suffix="casb.example", providers=(ENTRA,), **more)
    graphs = {"entra": cast(Graph, graph)}
    return Directory(settings, named, groups_for="digest", graphs=graphs, monotonic=time or Seconds())


AWAY = ConnectorError("I040", "away")


@pytest.mark.parametrize(
    ("named", "fault", "groups", "known"),
    [
        ({"Finance"}, None, {"Finance", FINANCE}, True),
        ({FINANCE.upper()}, None, {FINANCE.upper(), FINANCE}, True),
        ({"Finance", "External users"}, None, {"Finance", FINANCE}, True),
        ({"Finance", "Some name"}, None, {"Finance", FINANCE}, False),
        ({"Finance"}, AWAY, set(), False),
        (set(), None, set(), True),
    ],
)
async def test_groups_are_known_when_all_that_policies_name_could_be_looked_up(
    named: set[str], fault: Exception | None, groups: set[str], known: bool
) -> None:
    graph = FakeGraph()
    graph.fault = fault
    found = await directory(graph, named).known(ENTRA, CLAIMS)
    assert (set(found.user.groups), found.user.groups_known, found.groups_for) == (groups, known, "digest")


async def test_whoever_has_groups_in_the_token_is_not_looked_up() -> None:
    graph = FakeGraph()
    found = await directory(graph, {"Finance"}).known(ENTRA, replace(CLAIMS, groups=("A",), groups_known=True))
    assert (graph.asked, set(found.user.groups), found.groups_for) == ([], {"A"}, "")


async def test_whom_the_directory_knows_no_more_is_refused() -> None:
    graph = FakeGraph()
    graph.fault = TokenError("I041", "gone")
    with pytest.raises(TokenError):
        await directory(graph, {"Finance"}).known(ENTRA, CLAIMS)


async def test_a_context_counts_while_a_policy_is_seen_to_guard_it() -> None:
    graph, time = FakeGraph(), Seconds()
    made = directory(graph, time=time)
    claims = replace(CLAIMS, groups_known=True)

    async def source() -> str | None:
        return (await made.known(ENTRA, claims)).device.sources.get("compliant")

    assert await source() is None  # nobody has looked yet
    assert await made.look_at_contexts()
    assert (await source(), made.problems()) == ("acrs:c1", {})
    graph.groups = {EXEMPT}
    assert await source() is None
    graph.groups, graph.fault = set(), AWAY
    assert await source() is None  # whether the person is left out cannot be told
    assert not await made.look_at_contexts()
    assert "I040" in made.problems()["contexts entra"]
    graph.fault = None
    assert await source() == "acrs:c1"
    time.now += OLD + 1
    assert await source() is None
    graph.listed = ()
    assert await made.look_at_contexts()
    assert await source() is None
    assert "I042" in made.problems()["contexts entra"]


async def test_files_are_read_again_and_give_nothing_while_they_cannot_be_read(tmp_path: Path) -> None:
    inventory, groups, time = tmp_path / "d.csv", tmp_path / "g.csv", Seconds()
    inventory.write_text("device,tags\npc-1,client-certificate\n")
    groups.write_text("group,member\nPilot,ada@contoso.example\n")
    files = {"device_inventory": str(inventory), "groups_file": str(groups)}
    made = directory(FakeGraph(), {"Pilot"}, time, **files)
    found = await made.known(ENTRA, CLAIMS)
    assert found.device.sources == {"client-certificate": "inventory:d.csv", "hybrid-joined": "graph:trustType"}
    assert (set(found.user.groups), found.user.groups_known) == ({"Pilot"}, True)
    inventory.write_text("broken, and longer than before\n")
    groups.unlink()
    time.now += LOOK
    found = await made.known(ENTRA, CLAIMS)
    assert list(found.device.sources) == ["hybrid-joined"]
    assert (set(found.user.groups), found.user.groups_known) == (set(), False)
    assert set(made.problems()) == {"inventory", "groups"}


async def test_the_look_at_contexts_is_told_and_can_be_ended() -> None:
    told = asyncio.Event()
    watch = asyncio.ensure_future(directory(FakeGraph()).watch_contexts(told.set))
    await asyncio.wait_for(told.wait(), 5)
    watch.cancel()
