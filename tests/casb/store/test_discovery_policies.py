"""Discovery policies over kept usage: alerts once, tags that take effect, continuous reports only; detections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from casb.discovery.streams import Kind
from casb.model.app import AppTag
from casb.settings import Settings
from casb.store import tag_file
from casb.store.alerts_sqlite import Alert, AlertStore
from casb.store.app_catalog import AppCatalog
from casb.store.catalog_sqlite import Actor
from casb.store.discovery_catalog import of_inventory
from casb.store.discovery_ingest import Input
from casb.store.discovery_policies import Evaluator, Outcome
from casb.store.discovery_proxy import read_traffic
from casb.store.discovery_service import Discovery
from casb.store.records_sqlite import Database, database_path
from catalog_support import app, known

NOW = datetime(2026, 3, 20, 15, tzinfo=UTC)
ME = Actor(who="grace")
APPS = known(
    app("box", "box.example", soc_2=True),
    app("mega", "mega.example", latest_breach="2026-01-10"),
    app("chat", "chat.example", category="generative_ai"),
    app("login", "casb.example"),
)
POLICY = """\
version: 1
policies:
  - id: {id}
    kind: discovery
    severity: high
    when: {when}
    daily: {daily}
    {more}
"""


@dataclass
class Desk:
    """Discovery, catalog and alerts of one deployment whose clock stands still until a test moves it."""

    folder: Path
    settings: Settings
    discovery: Discovery
    catalog: AppCatalog
    alerts: AlertStore
    now: datetime = NOW

    def policy(self, ident: str = "p", when: str = "{}", daily: str = "{users: 2}", more: str = "alert: true") -> None:
        (self.folder / f"{ident}.yaml").write_text(POLICY.format(id=ident, when=when, daily=daily, more=more))

    def log(
        self,
        host: str,
        users: int = 3,
        *,
        stream: str = "fw",
        day: int = 0,
        up: int = 100,
        kind: Kind = Kind.INPUT,
        allowed: bool = True,
    ) -> None:
        """A day's traffic of some users to a host."""
        at = (self.now - timedelta(days=day, hours=1)).timestamp()
        code = "TCP_MISS/200" if allowed else "TCP_DENIED/403"
        stamp = datetime.fromtimestamp(at, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
        lines = [
            f"10.0.{number // 256}.{number % 256} - user{number} [{stamp}] "
            f'"GET http://{host}/x HTTP/1.1" {code.partition("/")[2]} {up} {code.partition("/")[0]}:HIER_DIRECT'
            for number in range(users)
        ]
        folder = Path(self.settings.data) / "in"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{len(list(folder.iterdir()))}-{host}-{stream}-{day}-{users}-{up}.log"
        path.write_text("".join(f"{line}\n" for line in lines))
        if kind is Kind.SNAPSHOT:
            self.discovery.snapshot(stream, [path], "grace", source="squid-common")
        else:
            self.discovery.continuous(self.discovery.input_stream(stream, kind), [path], "grace")
        while self.discovery.work():
            pass

    def evaluator(self) -> Evaluator:
        return Evaluator(
            settings=self.settings,
            book=self.discovery.book,
            usage=self.discovery.usage,
            reports=self.discovery.reports,
            alerts=self.alerts,
            catalog=self.catalog,
            clock=lambda: self.now,
        )

    def run(self) -> Outcome:
        self.now += timedelta(minutes=1)
        return self.evaluator().run()

    def told(self, policy: str = "p") -> list[tuple[str, str]]:
        return sorted((each.app, each.detail["report"]) for each in self.raised(policy))

    def raised(self, policy: str) -> list[Alert]:
        return self.alerts.query(policy=policy, kind="discovery")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "casb.yaml").write_text("version: 1\nsuffix: casb.example\ndata: ../var\n")
    settings = Settings(suffix="casb.example", data=str(tmp_path / "var"), folder=str(folder))
    (tmp_path / "var").mkdir()
    database = Database(database_path(settings))
    made: list[Desk] = []
    catalog = AppCatalog(database, APPS, settings, lambda: made[0].now)
    discovery = Discovery(
        settings, lambda: made[0].now, known=lambda: of_inventory(catalog.inventory(), ()), processes=1
    )
    made.append(Desk(folder, settings, discovery, catalog, AlertStore(database)))
    yield made[0]
    discovery.close()
    database.close()


def test_an_app_is_told_of_once_in_each_report(desk: Desk) -> None:
    desk.policy(when="{category: cloud_storage}")
    desk.log("box.example")
    desk.log("chat.example")
    assert desk.run().alerts == 2
    assert desk.told() == [("box", "Global report"), ("box", "fw")]
    alert = desk.raised("p")[0]
    assert (alert.severity, alert.title, alert.detail["users"]) == ("high", "p: Box", 3)
    desk.log("box.example", users=4)
    assert desk.run().matched == 0, "once in 90 days"
    desk.log("box.example", stream="branch")
    desk.run()
    assert desk.told() == [("box", "Global report"), ("box", "branch"), ("box", "fw")], "another report tells it again"
    desk.now += timedelta(days=91)
    desk.log("box.example", users=5)
    assert desk.run().matched == 2


@pytest.mark.parametrize(
    ("daily", "users", "expected"),
    [
        ("{users: 2}", 3, 2),
        ("{users: 3}", 3, 0),
        ("{users: 2, traffic: 1MB}", 3, 0),
        ("{downloads: 200B}", 3, 2),
        ("{ips: 9}", 3, 0),
    ],
)
def test_thresholds_are_exceeded_together(desk: Desk, daily: str, users: int, expected: int) -> None:
    desk.policy(daily=daily)
    desk.log("box.example", users=users)
    assert desk.run().matched == expected


def test_two_days_do_not_add_up(desk: Desk) -> None:
    desk.policy(daily="{downloads: 500B}")
    desk.log("box.example", day=0)
    desk.log("box.example", day=1)
    assert desk.run().matched == 0


def test_snapshots_have_no_part_in_it(desk: Desk) -> None:
    desk.policy()
    desk.log("box.example", stream="a look", kind=Kind.SNAPSHOT)
    assert desk.run().matched == 0
    desk.policy(more="streams: [a look]")
    assert desk.run().matched == 0


def test_named_reports_alone(desk: Desk) -> None:
    desk.policy(more="streams: [branch]")
    desk.log("box.example")
    desk.log("box.example", stream="branch")
    desk.run()
    assert desk.told() == [("box", "branch")]
    desk.policy(more="streams: [branch, global]")
    desk.run()
    assert desk.told() == [("box", "Global report"), ("box", "branch")], "another list of reports starts afresh"
    assert sum(each.count for each in desk.raised("p")) == 3


def test_a_tag_is_set_and_published_and_the_last_one_wins(desk: Desk) -> None:
    desk.policy("a", more="tag: [unsanctioned, Review]")
    desk.policy("b", when="{app: mega}", more="alert: false\n    tag: monitored")
    desk.log("mega.example")
    desk.log("box.example")
    outcome = desk.run()
    assert ("mega", "monitored") in outcome.tagged
    assert desk.catalog.entry("mega").tag is AppTag.MONITORED
    assert desk.catalog.entry("box").tags == {"unsanctioned", "Review"}
    assert desk.catalog.entry("box").state.by == "policy a"
    tags = tag_file.read(Path(desk.settings.data) / tag_file.FILE)
    assert {each.id: each.tag for each in tags.apps} == {"mega": AppTag.MONITORED, "box": AppTag.UNSANCTIONED}
    desk.catalog.tag(["box"], AppTag.SANCTIONED, ME)
    desk.log("box.example", users=4)
    desk.run()
    assert desk.catalog.entry("box").tag is AppTag.SANCTIONED, "a person's later word stays"


def test_a_protected_app_keeps_its_tag_and_the_rest_goes_on(desk: Desk) -> None:
    desk.policy(more="tag: unsanctioned")
    desk.log("casb.example")
    desk.log("box.example")
    outcome = desk.run()
    assert desk.catalog.entry("login").tag is AppTag.NONE
    assert "C223" in outcome.refused[0]
    assert desk.catalog.entry("box").tag is AppTag.UNSANCTIONED


def test_a_daily_limit_stops_alerts_and_nothing_else(desk: Desk) -> None:
    desk.policy(more="alert: {daily_limit: 1}\n    tag: monitored")
    for host in ("box.example", "mega.example", "chat.example"):
        desk.log(host)
    desk.run()
    assert len(desk.raised("p")) == 1
    assert [desk.catalog.entry(each).tag.value for each in ("box", "mega", "chat")] == ["monitored"] * 3


def test_late_logs_are_looked_at(desk: Desk) -> None:
    desk.policy()
    desk.log("box.example")
    desk.run()
    assert not desk.evaluator().due()
    desk.log("mega.example", day=40)
    assert desk.evaluator().due()
    desk.run()
    assert ("mega", "fw") in desk.told()


def test_a_new_policy_looks_back(desk: Desk) -> None:
    desk.log("mega.example", day=60)
    desk.log("box.example")
    desk.run()
    desk.policy()
    assert desk.evaluator().due()
    desk.run()
    assert ("mega", "fw") in desk.told()


def test_a_broken_file_leaves_the_policies_as_they_were(desk: Desk) -> None:
    desk.policy()
    evaluator = desk.evaluator()
    assert [each.id for each in evaluator.policies()] == ["p"]
    desk.policy(when="{colour: red}")
    assert [each.id for each in evaluator.policies()] == ["p"]


def test_breached_apps_in_use(desk: Desk) -> None:
    desk.log("mega.example")
    desk.run()
    desk.log("mega.example", users=4)
    desk.run()
    assert [(each.app, each.title) for each in desk.raised("breached-app")] == [
        ("mega", "An app in use was breached: Mega")
    ]


def test_popular_and_generative_ai_apps(desk: Desk) -> None:
    desk.log("chat.example", users=60, up=1_000_000)
    desk.run()
    assert [each.app for each in desk.raised("generative-ai-app")] == ["chat", "chat"]
    assert desk.raised("new-popular-app") == []
    desk.log("box.example", users=501)
    desk.run()
    assert [each.app for each in desk.raised("new-popular-app")] == ["box", "box"]


def test_traffic_that_was_not_blocked(desk: Desk) -> None:
    desk.catalog.tag(["mega"], AppTag.UNSANCTIONED, ME)
    desk.log("mega.example")
    desk.run()
    assert desk.raised("unblocked-cloud-app") == [], "on the day itself nobody knows what came first"
    desk.now += timedelta(days=1)
    desk.log("mega.example", allowed=False)
    desk.run()
    assert desk.raised("unblocked-cloud-app") == []
    desk.log("mega.example", users=4)
    desk.run()
    [alert] = desk.raised("unblocked-cloud-app")
    assert (alert.app, alert.title) == ("mega", "Connection to an unsanctioned cloud application was not blocked")
    assert "4 of 7 transactions" in alert.detail["why"]


def test_detections_can_be_switched_off(desk: Desk) -> None:
    desk.settings = replace(desk.settings, discovery=replace(desk.settings.discovery, detections=()))
    desk.log("mega.example", users=60, up=1_000_000)
    assert desk.run() == Outcome()


MB = 1_048_576


@pytest.mark.parametrize(
    ("usual", "up", "tag", "expected", "why"),
    [
        ((), 600 * MB, AppTag.NONE, 1, "never used before, and much at once"),
        ((), 400 * MB, AppTag.NONE, 0, "never used before, and not so much"),
        ((200 * MB, 200 * MB), 600 * MB, AppTag.NONE, 0, "three times a usual day"),
        ((30 * MB,), 130 * MB, AppTag.NONE, 1, "more than four times a usual day"),
        ((10 * MB,), 90 * MB, AppTag.NONE, 0, "nine times a usual day, but little"),
        ((), 600 * MB, AppTag.SANCTIONED, 0, "where it belongs"),
        ((), 600 * MB, AppTag.UNSANCTIONED, 1, "where it must not go"),
    ],
)
def test_exfiltration(desk: Desk, usual: tuple[int, ...], up: int, tag: AppTag, expected: int, why: str) -> None:
    desk.catalog.tag(["box"], tag, ME)
    rows = [(20 - number, each) for number, each in enumerate(usual)] + [(0, up)]
    target = desk.discovery.input_stream("fw", source="custom-uploads")
    for day, sent in rows:
        at = desk.now - timedelta(days=day, hours=1)
        line = {"time": at.isoformat(), "host": "box.example", "user": "ada", "ip": None, "up": sent, "down": 1}
        path = Path(desk.settings.data) / f"{day}.ndjson"
        path.write_text(json.dumps(line) + "\n")
        given = Input(paths=[str(path)], stream=target, name="uploads", key=str(day))
        desk.discovery.ingestor.take(given, reader=read_traffic)
    desk.run()
    raised = desk.raised("exfiltration-to-unsanctioned-app")
    assert [(each.app, each.user, each.severity) for each in raised] == [("box", "ada", "high")] * expected, why
