"""Workers on one port: all decide alike, a dead one is replaced, a broken folder stops nobody."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy_world import NAVIGATE, World, wait_for, world

RULE = "version: 1\npolicies:\n  - id: no-plans\n    activities: download\n    when: {file: {name: 'plan*'}}\n"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("fleet"), start=False) as made:
        made.origin.page(
            "/plan", b"plan", content_type="application/octet-stream", content_disposition='attachment; filename="plan"'
        )
        made.start(workers=2)
        wait_for(lambda: len(statuses(made)) == 2, "both workers", 30, made.alive)
        yield made


def statuses(made: World) -> list[dict[str, Any]]:
    """What the living workers say of themselves."""
    found = []
    for path in (made.data / "workers").glob("*.json"):
        try:
            status = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if time.time() - status["time"] < 3:
            found.append(status)
    return found


def health(made: World, path: str) -> tuple[int, Any]:
    """An answer of the proxy's health listener."""
    text = (made.config / "casb.yaml").read_text()
    port = int(text.partition("health: 127.0.0.1:")[2].split()[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, json.loads(body) if path != "/metrics" else body.decode()


def blocked(made: World, cookie: str, times: int = 10) -> set[bool]:
    """What several connections get, and so several workers say."""
    return {b"blocked" in made.ask("/plan", cookie=cookie, headers=NAVIGATE).body for _ in range(times)}


def test_workers_share_one_port_and_say_that_they_are_ready(fleet: World) -> None:
    cookie = fleet.session()
    for _ in range(20):
        assert fleet.ask("/plan", cookie=cookie, headers=NAVIGATE).body == b"plan"
    wait_for(lambda: sum(each["counters"].get("action_allow", 0) for each in statuses(fleet)) >= 20, "the counters")
    assert all(each["counters"].get("action_allow", 0) > 0 for each in statuses(fleet)), "the kernel spreads them"
    status, body = health(fleet, "/readyz")
    assert (status, body["ready"], body["missing"], len(body["versions"])) == (200, True, [], 1)
    assert health(fleet, "/healthz")[0] == 200
    assert 'casb_proxy_events_total{kind="action_allow"}' in health(fleet, "/metrics")[1]


def test_quick_edits_leave_all_workers_with_the_same_policies(fleet: World) -> None:
    """A good edit followed at once by a broken one: nobody may be left behind on the one before."""
    cookie = fleet.session()
    for _ in range(3):
        fleet.write("plans.yaml", RULE + "    action: block\n")
        wait_for(lambda: blocked(fleet, cookie) == {True}, "all to block", 5)
        fleet.write("plans.yaml", RULE + "    action: audit\n")
        wait_for(lambda: blocked(fleet, cookie, 2) == {False}, "the first to let through", 5)
        fleet.write("plans.yaml", RULE + "    acton: block\n")
        wait_for(lambda: any("plans.yaml:6:" in each for each in health(fleet, "/readyz")[1]["warnings"]), "the report")
        wait_for(lambda: blocked(fleet, cookie) == {False}, "all to agree", 5)
    (fleet.config / "plans.yaml").unlink()
    wait_for(lambda: health(fleet, "/readyz")[1]["warnings"] == [] or _only_spool(fleet), "the all-clear", 5)


def _only_spool(made: World) -> bool:
    return all("spool" in each for each in health(made, "/readyz")[1]["warnings"])


def test_a_worker_that_dies_while_the_folder_is_broken_is_replaced_by_one_that_decides_the_same(fleet: World) -> None:
    cookie = fleet.session()
    fleet.write("plans.yaml", RULE + "    action: block\n")
    wait_for(lambda: blocked(fleet, cookie) == {True}, "all to block", 5)
    fleet.write("plans.yaml", RULE + "    action: [\n")
    wait_for(lambda: any("plans.yaml" in each for each in health(fleet, "/readyz")[1]["warnings"]), "the report")
    before = {each["pid"] for each in statuses(fleet)}
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: len({each["pid"] for each in statuses(fleet)} - before) == 1, "a successor", 20)
    wait_for(lambda: len(statuses(fleet)) == 2, "two workers", 20)
    assert blocked(fleet, cookie, 20) == {True}
    records = fleet.records()
    assert len({each["id"] for each in records}) == len(records)
    (fleet.config / "plans.yaml").unlink()


def test_a_start_with_a_broken_folder_goes_on_with_what_was_in_force(tmp_path: Path) -> None:
    with world(tmp_path, start=False) as made:
        made.origin.page(
            "/plan", b"plan", content_type="application/octet-stream", content_disposition='attachment; filename="plan"'
        )
        made.write("plans.yaml", RULE + "    action: block\n")
        made.start(workers=1)
        made.stop()
        made.write("plans.yaml", RULE + "    action: blok\n")
        made.start(workers=1)
        assert blocked(made, made.session(), 2) == {True}
        assert "plans.yaml:6:" in made.log
        assert any("plans.yaml:6:" in each for each in health(made, "/readyz")[1]["warnings"])


def test_a_first_start_with_a_broken_folder_is_refused_with_every_error(tmp_path: Path) -> None:
    with world(tmp_path, start=False) as made:
        made.write("plans.yaml", RULE + "    action: blok\n    severty: high\n")
        with pytest.raises(AssertionError, match=r"plans\.yaml:6:") as told:
            made.start(workers=1)
        assert "plans.yaml:7:" in str(told.value)


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    with world(tmp_path, start=False) as made:
        made.start(workers=1)
        pids = wait_for(lambda: [each["pid"] for each in statuses(made)], "the worker", 15)
        assert made.process is not None
        made.process.kill()
        made.process.wait()
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "the worker to end", 10)
