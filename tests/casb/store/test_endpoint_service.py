"""Exports in; devices, hunting, alerts and plans out. Never in the Global report."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from casb.discovery.streams import GLOBAL, Kind
from casb.errors import StoreError
from casb.settings import Discovery as Chosen
from casb.settings import Endpoints, LogSource, Settings
from casb.store.alerts_sqlite import Alert, AlertStore
from casb.store.discovery_jobs import Task
from casb.store.discovery_service import Discovery
from casb.store.endpoint_push import push
from casb.store.records_sqlite import Database, database_path
from endpoint_fakes import Remembering
from endpoint_support import blocked, device, row, streamed

APPS = {
    "box": ("Box", ["*.box.example"], 8, "sanctioned"),
    "bad": ("Bad", ["*.bad.example", "203.0.113.9"], 2, "unsanctioned"),
    "mon": ("Mon", ["mon.example"], 5, "monitored"),
}


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def chosen(tmp_path: Path) -> Endpoints:
    (tmp_path / "drop").mkdir()
    return Endpoints(enforce=True, severity="informational", directory=str(tmp_path / "drop"))


def opened(tmp_path: Path, clock: Clock, endpoints: Endpoints, **facts: Any) -> Discovery:
    folder = tmp_path / "policies"
    if not folder.exists():
        (folder / "apps").mkdir(parents=True)
        (folder / "casb.yaml").write_text("version: 1\nsuffix: casb.localhost\n")
        for ident, (name, domains, score, tag) in APPS.items():
            plain = {
                "id": ident,
                "name": name,
                "domains": domains,
                "risk_score": score,
                "tag": tag,
                "controlled": False,
            }
            (folder / "apps" / f"{ident}.yaml").write_text(json.dumps(plain))
    settings = Settings(
        suffix="casb.localhost",
        data=str(tmp_path / "var"),
        folder=str(folder),
        discovery=Chosen(endpoints=endpoints, **facts),
    )
    return Discovery(settings, clock, processes=1)


@pytest.fixture
def made(tmp_path: Path, clock: Clock, chosen: Endpoints) -> Iterator[Discovery]:
    discovery = opened(tmp_path, clock, chosen)
    yield discovery
    discovery.close()


def take(
    made: Discovery, rows: list[dict[str, Any]] | bytes, key: str | None = None, stream: str | None = None
) -> Task:
    folder = Path(made.settings.data) / "in"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{os.urandom(6).hex()}.json"
    path.write_bytes(rows if isinstance(rows, bytes) else json.dumps({"records": rows}).encode())
    target = made.input_stream(stream, source="defender-network") if stream else made.endpoint_stream()
    ident = made.continuous(target, [path], "grace", key=key)
    while (task := made.tasks.get(ident)) is not None and task.status in ("queued", "running"):
        made.work()
    assert task is not None
    return task


def alerts(made: Discovery) -> list[Alert]:
    database = Database(database_path(made.settings))
    try:
        return AlertStore(database).query()
    finally:
        database.close()


def span(made: Discovery, days: int = 30) -> Any:
    return made.reports.span(made.endpoint_stream().id, days)


def test_a_device_from_its_events(made: Discovery, clock: Clock) -> None:
    task = take(
        made,
        [
            streamed(device(at=clock.now), "DeviceInfo"),
            streamed(row("app.box.example", at=clock.now, SentBytes=2_000_000, ReceivedBytes=500_000)),
            streamed(row("x.bad.example", at=clock.now, LocalPort=2)),
            streamed(row("nobody.example", at=clock.now, LocalPort=3)),
            streamed({}, "EmailEvents"),
        ],
    )
    assert task.error is None
    assert task.outcome["endpoint"] == {"fresh": True, "events": 3, "contexts": 1, "devices": 1}
    page = made.endpoints.device(span(made), "d1")
    assert page["overview"] == {
        "apps": 2, "risky_apps": 1, "level": "low", "events": 2, "blocked": 0, "total_mb": 2.38, "up_mb": 1.91,
        "down_mb": 0.48,
    }  # fmt: skip
    assert page["device"]["os"] == "Windows11" and page["device"]["users"] == ("ada",)
    assert [each["code"] for each in page["signals"]] == ["new-risky-app"]
    assert {each["app"] for each in page["apps"]} == {"box", "bad"}
    assert [each["name"] for each in page["users"]] == ["ada@corp.example"]
    assert [each["name"] for each in page["ips"]] == ["10.0.0.5"]
    assert made.endpoints.device(span(made), "PC1.corp.example")["name"] == "pc1.corp.example"


def test_not_in_global_and_a_stream_of_its_own(made: Discovery, clock: Clock) -> None:
    take(made, [row("app.box.example", at=clock.now)])
    assert made.reports.counters(made.reports.span(GLOBAL, 7))["events"]["value"] == 0
    (stream,) = [each for each in made.reports.streams() if each.kind is Kind.ENDPOINT]
    assert stream.name == "Defender-managed endpoints"
    take(made, [row("app.box.example", at=clock.now)], stream="laptops")
    assert made.reports.counters(made.reports.span(GLOBAL, 7))["events"]["value"] == 0
    assert made.reports.counters(made.reports.span("laptops", 7))["events"]["value"] == 1


def test_a_configured_source_of_this_type_is_an_endpoint_stream(
    tmp_path: Path, clock: Clock, chosen: Endpoints
) -> None:
    made = opened(tmp_path, clock, chosen, sources=(LogSource(name="hub", type="WDATP"),))
    made.sync_sources()
    stream = made.book.stream_named("hub")
    made.close()
    assert stream is not None and stream.kind is Kind.ENDPOINT


def test_the_same_content_and_the_same_key_count_once(made: Discovery, clock: Clock) -> None:
    rows = [row("app.box.example", at=clock.now)]
    for key in (None, None, "batch-1", "batch-1"):
        take(made, rows, key=key)
    assert made.endpoints.devices(span(made))["rows"][0]["events"] == 2
    assert len(made.endpoints.hunt("box")) == 2


def test_times_that_cannot_be(made: Discovery, clock: Clock) -> None:
    task = take(made, [row("app.box.example", at=clock.now + timedelta(days=3)), row("a.box.example", at=clock.now)])
    assert task.outcome["endpoint"]["events"] == 1 and task.outcome["outside"] == {"the time lies in the future": 1}
    assert take(made, [row("app.box.example", at=clock.now + timedelta(days=3))]).error == "D016"


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"nonsense", "D011"), (b"", "D011"), (gzip.compress(b"x" * 100_000)[:60], "D015"), (b"[]", "D011")],
)
def test_what_is_no_export(made: Discovery, content: bytes, code: str) -> None:
    assert take(made, content).error == code


def test_facts_about_devices_alone_are_worth_keeping(made: Discovery, clock: Clock) -> None:
    assert take(made, [streamed(device(at=clock.now), "DeviceInfo")]).error is None
    assert [each.group for each in made.endpoints.book.devices()] == ["Sales"]


def test_older_facts_change_nothing(made: Discovery, clock: Clock) -> None:
    for age, group in ((0, "New"), (2, "Old")):
        facts = device(at=clock.now - timedelta(days=age), MachineGroup=group)
        take(made, [streamed(facts, "DeviceInfo")])
    assert made.endpoints.book.groups() == {"d1": "New"}


def test_the_list_and_its_levels(made: Discovery, clock: Clock) -> None:
    steady = [row("app.box.example", at=clock.now - timedelta(days=back), DeviceName="calm", DeviceId="c",
                  SentBytes=900_000_000) for back in range(20)]  # fmt: skip
    burst = [row("app.box.example", at=clock.now - timedelta(days=back), DeviceName="burst", DeviceId="b",
                 SentBytes=900_000_000 if back == 0 else 1000) for back in range(20)]  # fmt: skip
    take(made, [*steady, *burst])
    found = made.endpoints.devices(span(made))
    levels = {each["name"]: each["level"] for each in found["rows"]}
    assert (found["total"], levels) == (2, {"calm": "informational", "burst": "high"})
    assert [each["name"] for each in made.endpoints.every_device(span(made), search="cal")] == ["calm"]


def test_hunting(made: Discovery, clock: Clock) -> None:
    take(made, [row("www.box.example", at=clock.now - timedelta(days=age), LocalPort=age) for age in (0, 1, 8)])
    take(made, [row("notbox.example", at=clock.now, DeviceId="d2")])
    rows = made.endpoints.hunt("Box", days=7)
    assert [each["LocalPort"] for each in rows] == [0, 1]
    assert (rows[0]["DeviceId"], rows[0]["InitiatingProcessAccountUpn"]) == ("d1", "ada@corp.example")
    assert made.endpoints.hunt("box", device="d2") == [] and len(made.endpoints.hunt("box", limit=1)) == 1
    assert '"box.example"' in made.endpoints.query("box")
    with pytest.raises(StoreError, match="D070"):
        made.endpoints.hunt("' OR 1=1 --")


def test_kept_events_are_bounded(tmp_path: Path, clock: Clock, chosen: Endpoints) -> None:
    made = opened(tmp_path, clock, replace(chosen, hunting_days=3))
    take(made, [row("www.box.example", at=clock.now - timedelta(days=age), LocalPort=age) for age in (0, 1, 2, 5)])
    assert len(made.endpoints.hunt("box", days=30)) == 3
    clock.now += timedelta(days=1)
    made.tidy()
    assert len(made.endpoints.hunt("box", days=30)) == 2
    made.close()
    made = opened(tmp_path, clock, replace(chosen, hunting_limit=1))
    made.tidy()
    assert made.endpoints.hunt("box", days=30) == []
    made.close()


def test_pseudonyms_are_all_that_is_kept(tmp_path: Path, clock: Clock, chosen: Endpoints) -> None:
    made = opened(tmp_path, clock, chosen, anonymize_users=True, anonymize_devices=True)
    take(made, [streamed(device(at=clock.now), "DeviceInfo"), row("www.box.example", at=clock.now)])
    (only,) = made.endpoints.hunt("box")
    (listed,) = made.endpoints.devices(span(made))["rows"]
    assert listed["os"] == "Windows11" and listed["name"] == only["DeviceName"]
    made.close()
    for path in (tmp_path / "var").rglob("*"):
        if path.is_file() and "uploads" not in path.parts and "in" not in path.parts:
            content = path.read_bytes().lower()
            assert b"ada@corp" not in content and b"pc1.corp" not in content, path


def test_a_folder(made: Discovery, clock: Clock, chosen: Endpoints) -> None:
    assert chosen.directory is not None
    path = Path(chosen.directory, "export.csv")
    path.write_text(
        f"Timestamp,DeviceId,ActionType,RemoteUrl\n{clock.now.isoformat()},d9,ConnectionSuccess,a.box.example\n"
    )
    assert not made.waiting(), "somebody may still write to it"
    os.utime(path, (clock.now.timestamp() - 60,) * 2)
    assert made.waiting()
    while made.work():
        pass
    assert not path.exists() and len(made.endpoints.hunt("box")) == 1


def pushed(made: Discovery) -> Remembering:
    api = Remembering()
    push(made.endpoints.book, made.endpoints.plan(), made.endpoints.options, api, made.clock)
    return api


def test_blocked_and_not_blocked(made: Discovery, clock: Clock) -> None:
    pushed(made)
    clock.now += timedelta(hours=4)
    take(
        made,
        [
            blocked("x.bad.example", at=clock.now),
            row("x.bad.example", at=clock.now + timedelta(seconds=2)),
            blocked("x.bad.example", at=clock.now + timedelta(minutes=10)),
            row("y.bad.example", at=clock.now, ReceivedBytes=10),
            blocked("mon.example", at=clock.now, ActionType="SmartScreenUserOverride"),
        ],
    )
    found = sorted((each.title, each.detail["host"], each.severity) for each in alerts(made))
    assert found == [
        ("A warning of a monitored cloud application was bypassed", "mon.example", "low"),
        ("Connection to a blocked cloud application was detected", "x.bad.example", "low"),
        ("Connection to a blocked cloud application was detected", "x.bad.example", "low"),
        ("Connection to an unsanctioned cloud application was NOT blocked", "y.bad.example", "low"),
    ]
    one = alerts(made)[0]
    assert (one.detail["severity"], one.user) == ("informational", "ada@corp.example")
    bad, mon = made.endpoints.status()
    assert (bad["state"], bad["controls"]) == ("confirmed", {"blocked": 2, "bypassed": 0, "not blocked": 1})
    assert bad["refused"] == [{"domain": "203.0.113.9", "why": "only domains become indicators, not addresses"}]
    assert (mon["state"], mon["controls"]["bypassed"]) == ("confirmed", 1)


def test_a_handshake_waits_for_its_block(made: Discovery, clock: Clock) -> None:
    pushed(made)
    clock.now += timedelta(hours=4)
    take(made, [row("x.bad.example", at=clock.now), row("y.bad.example", at=clock.now, LocalPort=7)])
    assert alerts(made) == []
    take(made, [blocked("x.bad.example", at=clock.now + timedelta(seconds=3))])
    assert [each.detail["host"] for each in alerts(made)] == ["x.bad.example"]
    clock.now += timedelta(minutes=11)
    assert made.waiting() and made.work()
    assert sorted(each.detail["outcome"] for each in alerts(made)) == ["blocked", "not blocked"]
    assert not made.waiting()


def test_before_it_is_in_force_nothing_is_said(made: Discovery, clock: Clock) -> None:
    pushed(made)
    take(made, [row("x.bad.example", at=clock.now, ReceivedBytes=10)])
    clock.now += timedelta(hours=1)
    assert made.endpoints.settle() == 0 and alerts(made) == []


def test_plans(tmp_path: Path, clock: Clock, made: Discovery, chosen: Endpoints) -> None:
    assert {each["indicatorValue"]: each["action"] for each in made.endpoints.export()} == {
        "bad.example": "Block", "mon.example": "Warn",
    }  # fmt: skip
    assert {each["app"]: each["state"] for each in made.endpoints.status()} == {"bad": "pending", "mon": "pending"}
    off = opened(tmp_path, clock, replace(chosen, enforce=False))
    assert off.endpoints.export() == []
    off.close()


def test_untagging_takes_the_indicator_away(tmp_path: Path, made: Discovery) -> None:
    assert sorted(pushed(made).there) == ["bad.example", "mon.example"]
    path = tmp_path / "policies" / "apps" / "bad.yaml"
    path.write_text(path.read_text().replace("unsanctioned", "none"))
    api = Remembering(made.endpoints.book)
    push(made.endpoints.book, made.endpoints.plan(), made.endpoints.options, api, made.clock)
    assert sorted(api.there) == ["mon.example"]


def test_deleting_all_data_deletes_events(made: Discovery, clock: Clock) -> None:
    take(made, [row("www.box.example", at=clock.now)])
    made.delete_all("grace")
    assert made.endpoints.hunt("box") == []


def test_no_such_device(made: Discovery) -> None:
    with pytest.raises(StoreError, match="D070"):
        made.endpoints.device(span(made), "nobody")
