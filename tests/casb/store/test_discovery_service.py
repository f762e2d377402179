"""Logs in, reports out: streams, views, snapshots, tasks, exclusions, pseudonyms, retention, deletion."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from casb.discovery.exclude import Exclusion
from casb.discovery.query import conditions
from casb.discovery.streams import Kind, ViewFilter, stream_json
from casb.errors import StoreError
from casb.model.network import parse_network
from casb.settings import Discovery as Chosen
from casb.settings import Settings
from casb.store.discovery_jobs import STALE
from casb.store.discovery_service import Discovery
from usage_support import squid

APPS = {
    "dropbox": ("Dropbox", "*.dropbox.com", 8, "sanctioned"),
    "mega": ("MEGA", "mega.example", 2, "unsanctioned"),
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
def made(tmp_path: Path, clock: Clock) -> Iterator[Discovery]:
    folder = tmp_path / "policies"
    (folder / "apps").mkdir(parents=True)
    (folder / "casb.yaml").write_text("version: 1\nsuffix: casb.localhost\n")
    (folder / "ranges.yaml").write_text(
        "version: 1\nranges: [{name: hq, ranges: [192.0.2.0/29], category: corporate, tags: [hq]}]\n"
    )
    for ident, (name, domain, score, tag) in APPS.items():
        write_app(folder, ident, name, domain, score, tag)
    people = tmp_path / "people.csv"
    people.write_text("name,upn,groups\nuser1,ada@contoso.example,Finance;Staff\nuser2,bob@contoso.example,Staff\n")
    settings = Settings(
        suffix="casb.localhost", data=str(tmp_path / "var"), folder=str(folder), discovery=Chosen(directory=str(people))
    )
    opened = Discovery(settings, clock, processes=1)
    yield opened
    opened.close()


def write_app(folder: Path, ident: str, name: str, domain: str, score: int, tag: str) -> None:
    facts = {"id": ident, "name": name, "domains": [domain], "risk_score": score, "tag": tag, "controlled": False}
    (folder / "apps" / f"{ident}.yaml").write_text(json.dumps(facts))


def log(made: Discovery, text: str | bytes) -> Path:
    folder = Path(made.settings.data) / "in"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{len(list(folder.iterdir()))}-{datetime.now(UTC).timestamp()}.log"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def take(made: Discovery, text: str | bytes, stream: str = "fw", **facts: Any) -> Any:
    target = made.input_stream(stream)
    task = made.continuous(target, [log(made, text)], "grace", **facts)
    while made.work():
        pass
    return made.tasks.get(task)


def total(made: Discovery, stream: str = "global", days: int = 7) -> int:
    return int(made.reports.counters(made.reports.span(stream, days))["events"]["value"])


def test_a_log_becomes_a_report(made: Discovery) -> None:
    task = take(made, squid(100) + squid(20, host="mega.example") + squid(3, host="nobody.example") + "garbage\n")
    assert (task.status, task.outcome["matched"], task.outcome["skipped"]) == ("done", 120, 1)
    reports, span = made.reports, made.reports.span("global", 7)
    assert {each.facts.id: each.events for each in reports.apps(span)} == {"dropbox": 100, "mega": 20}
    counters = reports.counters(span)
    assert (counters["apps"]["value"], counters["users"]["value"], counters["ips"]["value"]) == (2, 7, 5)
    assert [(row["name"], row["events"]) for row in reports.standings(span)] == [
        ("sanctioned", 100),
        ("unsanctioned", 20),
    ]
    assert [(row["name"], row["apps"]) for row in reports.risks(span)] == [("high", 1), ("low", 1)]
    assert reports.unmatched(span) == [{"host": "nobody.example", "transactions": 3}]
    assert len(reports.trend(span)) == 7 and sum(row["events"] for row in reports.trend(span)) == 120
    names = {row["name"] for row in reports.entities(span, "user").rows}
    assert {"ada@contoso.example", "bob@contoso.example", "user0"} <= names
    risky = conditions([{"field": "score", "op": "lt", "values": [6]}], reports.scales)
    assert [each.facts.name for each in reports.apps(span, risky)] == ["MEGA"]
    page = reports.entity(span, "user", "ada@contoso.example")
    assert page["totals"]["apps"] == 2 and {each.facts.id for each in page["apps"]} == {"dropbox", "mega"}
    assert not list((Path(made.settings.data) / "in").iterdir()), "the log itself is gone"


def test_a_new_score_shows_without_reading_a_log_again(made: Discovery) -> None:
    take(made, squid(10, host="mega.example"))
    span = made.reports.span("global", 7)
    assert made.reports.apps(span)[0].facts.risk == "high"
    write_app(Path(made.settings.folder), "mega", "MEGA", "mega.example", 9, "sanctioned")
    (found,) = made.reports.apps(span)
    assert (found.facts.risk, found.facts.tag) == ("low", "sanctioned")
    assert [row["name"] for row in made.reports.standings(span)] == ["sanctioned"]


def test_the_same_content_counts_once(made: Discovery) -> None:
    text = squid(10)
    assert take(made, text).outcome["fresh"] is True
    assert take(made, text).outcome["fresh"] is False
    assert take(made, text, "other").outcome["fresh"] is True
    assert total(made, "fw") == 10
    assert take(made, squid(5), key="collector/1").outcome["fresh"] is True
    assert take(made, squid(7, user="x"), key="collector/1").outcome["fresh"] is False


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("nothing that a log has\n" * 5, "D011"),
        (squid(5, start=datetime.now(UTC) - timedelta(days=200)), "D012"),
        (squid(5, start=datetime.now(UTC) + timedelta(days=20)), "D016"),
        (squid(5, host="nobody.example"), "D013"),
        (gzip.compress(squid(4000).encode())[:-2000], "D015"),
        (b"\x7fELF" + bytes(range(256)) * 50, "D011"),
    ],
)
def test_what_cannot_count_fails_with_its_class_and_nothing_of_it_counts(
    made: Discovery, text: str | bytes, code: str
) -> None:
    task = take(made, text)
    assert (task.status, task.error) == ("failed", code)
    assert total(made) == 0
    stream = made.book.stream_named("fw")
    assert stream is not None and stream.failed == 1
    assert made.tasks.retry(task.id), "its file is still there"
    made.work()
    again = made.tasks.get(task.id)
    assert again is not None and again.error == code


def test_other_is_kept_for_nobody(made: Discovery) -> None:
    assert take(made, squid(5), source="other").error == "D014"


def test_old_and_future_lines_are_counted_and_left_out(made: Discovery) -> None:
    now = datetime.now(UTC)
    text = squid(5) + squid(3, start=now - timedelta(days=100)) + squid(2, start=now + timedelta(days=3))
    task = take(made, text)
    assert task.outcome["outside"] == {"older than the retention time": 3, "the time lies in the future": 2}
    assert total(made, days=90) == 5


def test_late_data_joins_its_day(made: Discovery) -> None:
    take(made, squid(5))
    take(made, squid(4, start=datetime.now(UTC) - timedelta(days=5)))
    trend = made.reports.trend(made.reports.span("global", 7))
    assert [row["events"] for row in trend if row["events"]] == [4, 5] or sum(row["events"] for row in trend) == 9


def test_snapshots_stand_alone(made: Discovery) -> None:
    made.create_view("everything", ViewFilter(), "grace")
    files = [log(made, squid(10)), log(made, gzip.compress(squid(5, user="z").encode()))]
    stream, _ = made.snapshot("March", files, "grace", description="first look", anonymize=True)
    made.work()
    assert total(made, "March") == 15
    assert (total(made), total(made, "everything")) == (0, 0)
    users = made.reports.entities(made.reports.span("March", 7), "user").rows
    assert users and all(row["name"].startswith("anon-u-") for row in users)
    shape = stream_json(stream, now=made.clock())
    assert (shape["streamType"], shape["snapshotData"], shape["anonymizeUsers"]) == (5, True, True)
    with pytest.raises(StoreError) as caught:
        made.snapshot("March", files, "grace")
    assert caught.value.code == "D030"
    with pytest.raises(StoreError) as caught:
        made.snapshot("April", [Path("x")] * 21, "grace")
    assert caught.value.code == "D032"


def test_views_take_what_fits_from_now_on(made: Discovery) -> None:
    take(made, squid(70))
    made.create_view("finance", ViewFilter(groups=frozenset({"Finance"})), "grace")
    made.create_view("hq", ViewFilter(ip_tags=frozenset({"hq"})), "grace")
    made.create_view("net", ViewFilter(networks=(parse_network("192.0.2.1/32"),)), "grace")
    assert total(made, "finance") == 0, "no backfill"
    take(made, squid(70, host="mega.example"))
    assert (total(made, "finance"), total(made, "hq"), total(made, "net")) == (10, 70, 14)
    assert total(made) == 140, "views add nothing to Global"


def test_the_excluded_count_in_their_source_only(made: Discovery, clock: Clock) -> None:
    made.book.exclude(Exclusion(entity="group", value="Finance"), "grace", clock())
    made.book.exclude(Exclusion(entity="ip", value="192.0.2.2"), "grace", clock())
    take(made, squid(70))
    assert (total(made, "fw"), total(made)) == (70, 48)
    assert made.book.include("group", "Finance") and not made.book.include("group", "Finance")


def test_names_need_two_people_and_a_reason(made: Discovery, clock: Clock) -> None:
    audit: list[tuple[str, str]] = []

    def note(who: str, what: str, detail: Any) -> None:
        assert "user1" not in str(detail) and "ada" not in str(detail)
        audit.append((who, what))

    stream, _ = made.snapshot("March", [log(made, squid(10))], "grace", anonymize=True)
    made.work()
    span = made.reports.span(stream.id, 7)
    pseudonyms = [row["name"] for row in made.reports.entities(span, "user").rows]
    desk = made.desk
    for bad in ([], ["ada"], [*pseudonyms[:1], "x"]):
        with pytest.raises(StoreError):
            desk.ask(bad, "a good long reason", "grace", note)
    with pytest.raises(StoreError):
        desk.ask(pseudonyms, "why not", "grace", note)
    asked = desk.ask([*pseudonyms, "anon-u-madeup"], "case 4711, works council agreed", "grace", note)
    for refused in (
        lambda: desk.names(asked.id, "grace", note),
        lambda: desk.decide(asked.id, "grace", note, approve=True),
    ):
        with pytest.raises(StoreError) as caught:
            refused()
        assert caught.value.code == "D040"
    assert desk.decide(asked.id, "alan", note, approve=True).state == "approved"
    with pytest.raises(StoreError):
        desk.decide(asked.id, "alan", note, approve=False)
    with pytest.raises(StoreError):
        desk.names(asked.id, "alan", note)
    names = desk.names(asked.id, "grace", note)
    assert "ada@contoso.example" in names.values() and names["anon-u-madeup"] is None
    clock.now += timedelta(hours=25)
    with pytest.raises(StoreError):
        desk.names(asked.id, "grace", note)
    assert [who for who, _ in audit] == ["grace", "alan", "grace"]


def test_retention_and_many_small_files(made: Discovery, clock: Clock) -> None:
    take(made, squid(5, start=datetime.now(UTC) - timedelta(days=80)))
    for number in range(14):
        take(made, squid(7, user=f"n{number}-"))
    before = len(made.book.segments())
    made.tidy()
    assert len(made.book.segments()) < before
    assert total(made, days=90) == 5 + 14 * 7
    clock.now += timedelta(days=20)
    made.tidy()
    span = made.reports.span("global", 90)
    assert sum(row["events"] for row in made.reports.trend(span)) == 14 * 7


def test_delete_all_leaves_no_file_and_the_log_may_come_again(made: Discovery, clock: Clock) -> None:
    text = squid(20)
    take(made, text)
    clock.now += timedelta(seconds=1)
    made.delete_all("grace")
    assert not list((Path(made.settings.data) / "discovery" / "usage").rglob("*.parquet"))
    assert total(made) == 0
    assert made.tasks.latest()[0].kind == "delete data"
    take(made, text)
    assert total(made) == 20


def test_a_task_whose_worker_died_is_taken_over_and_counts_once(made: Discovery, clock: Clock) -> None:
    stream = made.input_stream("fw")
    ident = made.continuous(stream, [log(made, squid(10))], "grace")
    claimed = made.tasks.claim(clock())
    assert claimed is not None and claimed.id == ident
    assert not made.work(), "somebody works on it"
    clock.now += STALE + timedelta(seconds=1)
    assert made.work()
    assert total(made) == 10


def test_a_disk_that_is_full_fails_the_task_and_keeps_the_log(made: Discovery, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise StoreError("D020", "usage cannot be written (No space left on device)")

    with monkeypatch.context() as patched:
        patched.setattr(made.usage, "add", full)
        task = take(made, squid(10))
    assert (task.status, task.error) == ("failed", "D020")
    assert made.tasks.retry(task.id) and made.work()
    assert total(made) == 10


def test_the_proxy_is_a_source(made: Discovery, clock: Clock) -> None:
    when = clock().isoformat()
    tunnel = {
        "kind": "traffic", "id": "01T", "time": when, "host": "www.dropbox.com", "ip": "10.0.0.1", "bytes_up": 5,
        "bytes_down": 9,
    }  # fmt: skip
    record = {
        "id": "01R", "time": when, "source": "session control", "action": "block",
        "user": {"name": "ada@contoso.example"},
        "client": {"ip": "10.0.0.2"}, "request": {"url": "https://mega.example/x?secret=1", "content_length": 7},
        "response": None,
    }  # fmt: skip
    assert made.proxy.take([tunnel, record, {"id": "01N", "request": None}]) == 2
    assert made.proxy.take([tunnel, record]) == 0, "a batch that comes again is known"
    assert not made.work(), "lines gather first"
    clock.now += timedelta(minutes=1)
    assert made.work()
    assert made.proxy.take([tunnel]) == 0, "also after it was counted"
    span = made.reports.span("Session proxy", 7)
    found = {each.facts.id: (each.up, each.down, each.blocked) for each in made.reports.apps(span)}
    assert found == {"dropbox": (5, 9, 0), "mega": (7, 0, 1)}
    assert total(made) == 2
    stream = made.book.stream_named("Session proxy")
    assert stream is not None and stream.kind is Kind.PROXY
    assert stream_json(stream, now=clock())["builtInStreamType"] == 0


def test_siem_rows_have_the_columns_of_the_table(made: Discovery) -> None:
    take(made, squid(7))
    rows = {
        row["EnrichedUserName"] or row["UserName"]: row for row in made.reports.siem(made.reports.span("global", 7))
    }
    ada = rows["ada@contoso.example"]
    assert (ada["UserName"], ada["AppName"], ada["AppScore"], ada["AppTags"]) == ("user1", "Dropbox", 8, ["sanctioned"])
    assert {"StreamName", "TotalEvents", "BlockedEvents", "UploadedBytes", "IpAddress", "MachineName", "Type"} <= set(
        ada
    )


@pytest.mark.parametrize(("stream", "days", "code"), [("nowhere", 7, "D031"), ("global", 60, "D032")])
def test_unknown_streams_and_windows(made: Discovery, stream: str, days: int, code: str) -> None:
    with pytest.raises(StoreError) as caught:
        made.reports.span(stream, days)
    assert caught.value.code == code


def test_a_source_whose_logs_fail_again_and_again_is_told(made: Discovery, clock: Clock) -> None:
    made.book.put_collector("branch", {"name": "branch", "sources": [{"name": "fw", "alerts": []}]}, clock())
    for number in range(3):
        (before,) = made.collectors()
        assert before["sources"][0]["alerts"] == [] and not before["silent"]
        take(made, f"garbage {number}\n")
        clock.now += timedelta(seconds=1)
    assert made.collectors()[0]["sources"][0]["alerts"] == ["LOG_COLLECTOR_CONSTANTLY_FAILED_PARSING"]
    take(made, squid(3))
    assert made.collectors()[0]["sources"][0]["alerts"] == []
    clock.now += timedelta(minutes=6)
    assert made.collectors()[0]["silent"]
