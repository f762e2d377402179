"""Activity policies over a real log: each record once, across restarts, whatever the folder is in between."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from casb.errors import CasbError, Where
from casb.policy.loader import LoadedPolicy, load
from casb.sidecar.activity_policies import FILE, Watcher
from casb.sidecar.deployment import FileView
from casb.sidecar.services import Services
from sample_records import START, record
from sidecar_parts import FixedDeployment, Hands

MASS = """
version: 1
policies:
  - id: mass
    name: Many downloads
    kind: activity
    severity: high
    action: audit
    when: {user: {name: eve@contoso.example}}
    repeated: {at_least: 3, within: 10m}
    alert: {title: Many downloads by one person, daily_limit: 50}
  - {id: refused, kind: activity, action: audit, when: {activity: {action: block}}}
"""


def loaded(text: str = MASS) -> tuple[LoadedPolicy, ...]:
    return load({"p.yaml": text.encode()}).policies


@pytest.fixture
def watched(services: Services, deployment: FixedDeployment, clock: Hands) -> Services:
    deployment.present = replace(deployment.present, loaded=loaded())
    clock.now = START + timedelta(minutes=5)
    Watcher(services).look()
    return services


def downloads(count: int, first: int = 0, *, action: str = "allow") -> list[dict[str, object]]:
    return [
        {**record(number, START + timedelta(seconds=number)), "action": action, "matched": []}
        | {"user": {**record(number)["user"], "id": "contoso/eve", "name": "eve@contoso.example"}}
        for number in range(first, first + count)
    ]


def titles(services: Services) -> list[tuple[str, str, int]]:
    return sorted((each.title, each.severity, each.count) for each in services.alerts.query())


def test_what_arrives_is_looked_at_once(watched: Services) -> None:
    watcher = Watcher(watched)
    watched.records.append(downloads(2))
    assert (watcher.look(), watcher.look()) == (0, 0)
    watched.records.append(downloads(1, 2))
    assert (watcher.look(), watcher.look()) == (1, 0)
    (alert,) = watched.alerts.query()
    assert (alert.title, alert.severity, alert.policy) == ("Many downloads by one person", "high", "mass")
    assert alert.detail["times"] == 3 and len(alert.detail["activities"]) == 3


def test_counting_goes_on_after_a_restart(watched: Services) -> None:
    Watcher(watched).look()
    watched.records.append(downloads(2))
    Watcher(watched).look()
    watched.records.append(downloads(1, 2))
    assert Watcher(watched).look() == 1
    assert Watcher(watched).look() == 0


def test_what_was_done_counts(watched: Services) -> None:
    watched.records.append(downloads(1, action="block"))
    assert Watcher(watched).look() == 1
    assert titles(watched) == [("refused", "medium", 1)]


def test_a_first_start_does_not_dig_up_the_past(services: Services, deployment: FixedDeployment) -> None:
    deployment.present = replace(deployment.present, loaded=loaded())
    services.records.append(downloads(5, action="block"))
    assert Watcher(services).look() == 0
    assert not services.alerts.query()


def test_without_activity_policies_nothing_is_read_and_nothing_is_missed_later(
    services: Services, deployment: FixedDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher(services)
    watcher.look()
    services.records.append(downloads(1, action="block"))
    assert watcher.look() == 0
    deployment.present = replace(deployment.present, loaded=loaded())
    services.records.append(downloads(1, 1, action="block"))
    assert watcher.look() == 1, "from when the policy was there"


def test_a_broken_folder_keeps_what_was_valid(watched: Services, deployment: FixedDeployment) -> None:
    watcher = Watcher(watched)
    watcher.look()
    error = CasbError("P013", "unknown condition", Where(file="p.yaml", line=1, column=1))
    broken = FileView(name="p.yaml", errors=(error,))
    deployment.present = replace(deployment.present, loaded=(), files=(broken,))
    watched.records.append(downloads(1, action="block"))
    assert watcher.look() == 1


@pytest.mark.parametrize("content", [b"", b"[]", b'{"seq": "x"}', b'{"seq": 99999}', b"\xff"])
def test_a_damaged_place_is_no_reason_to_stop(watched: Services, content: bytes) -> None:
    Path(watched.settings.data, FILE).write_bytes(content)
    watcher = Watcher(watched)
    watcher.look()
    watched.records.append(downloads(1, action="block"))
    assert watcher.look() == 1
    assert json.loads(Path(watched.settings.data, FILE).read_bytes()) == {"seq": 1}


def test_records_that_are_no_activities_do_no_harm(watched: Services) -> None:
    watcher = Watcher(watched)
    watcher.look()
    odd = {**downloads(1, action="block")[0], "activity": "escape"}
    watched.records.append([odd, *downloads(1, 1, action="block")])
    assert watcher.look() == 1
