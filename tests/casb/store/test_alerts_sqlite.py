"""What becomes one alert, what becomes another, and what is only counted."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from casb.store.alerts_sqlite import AlertStore, NewAlert, of_record
from casb.store.records_sqlite import Database
from sample_records import record

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NEW = NewAlert(
    time=NOON, kind="policy", policy="p", severity="high", title="Payroll left", key="u/ada", activity="a1", user="ada"
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AlertStore]:
    database = Database(tmp_path / "casb.db")
    yield AlertStore(database)
    database.close()


@pytest.mark.parametrize(
    ("second", "alerts", "count", "reason"),
    [
        (replace(NEW, activity="a2", time=NOON + timedelta(minutes=59)), 1, 2, "the same person within the hour"),
        (replace(NEW, activity="a2", time=NOON + timedelta(minutes=61)), 2, 1, "an hour later"),
        (replace(NEW, activity="a2", key="u/bob", user="bob"), 2, 1, "another person"),
        (replace(NEW, activity="a2", app="files"), 2, 1, "another app"),
        (replace(NEW, activity="a2", policy="q"), 2, 1, "another policy"),
        (NEW, 1, 1, "the same activity, sent again"),
        (replace(NEW, activity="a2", time=NOON - timedelta(minutes=30)), 1, 2, "records arrive out of order"),
    ],
)
def test_what_belongs_together(store: AlertStore, second: NewAlert, alerts: int, count: int, reason: str) -> None:
    store.raise_all([NEW])
    store.raise_all([second])
    found = store.query()
    assert len(found) == alerts, reason
    first = next(each for each in found if each.time == NOON and each.policy == "p" and each.user == "ada")
    assert first.count == count, reason


def test_a_closed_alert_is_not_counted_up(store: AlertStore) -> None:
    store.raise_all([NEW])
    (first,) = store.query()
    assert store.set_state(first.id, "benign", "grace", "a drill")
    store.raise_all([replace(NEW, activity="a2", time=NOON + timedelta(minutes=1))])
    assert [each.state for each in store.query()] == ["open", "benign"]
    closed = store.get(first.id)
    assert closed is not None
    assert (closed.closed_by, closed.comment, closed.activities) == ("grace", "a drill", ("a1",))


def test_the_daily_limit_counts_what_it_holds_back(store: AlertStore) -> None:
    many = [replace(NEW, activity=f"a{n}", key=f"u{n}", daily_limit=3) for n in range(10)]
    assert store.raise_all(many) == 3
    assert store.suppressed(NOON) == {"p": 7}
    assert store.raise_all(many) == 0, "sent again: neither raised nor counted twice"
    assert store.suppressed(NOON) == {"p": 7}
    tomorrow = replace(NEW, time=NOON + timedelta(days=1), activity="b", daily_limit=3)
    assert store.raise_all([tomorrow]) == 1


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"state": "open"}, ["b", "a"]),
        ({"state": "closed"}, []),
        ({"severity": "low"}, ["b"]),
        ({"policy": "a"}, ["a"]),
        ({"user": "AD"}, ["b", "a"]),
        ({"user": "%"}, []),
        ({"kind": "discovery"}, ["b"]),
    ],
)
def test_filters(store: AlertStore, filters: dict[str, str], found: list[str]) -> None:
    store.raise_all([replace(NEW, policy="a")])
    store.raise_all(
        [replace(NEW, policy="b", severity="low", kind="discovery", time=NOON + timedelta(minutes=1), activity="")]
    )
    assert [each.policy for each in store.query(**filters)] == found  # type: ignore[arg-type]  # names of filters


def test_pages(store: AlertStore) -> None:
    store.raise_all([replace(NEW, policy=f"p{n}", activity=f"a{n}") for n in range(5)])
    first = store.query(limit=2)
    rest = store.query(before=(first[-1].last, first[-1].id))
    assert len({each.id for each in (*first, *rest)}) == 5


def test_notifications_wait_until_they_are_sent(store: AlertStore) -> None:
    store.raise_all([replace(NEW, email=("soc@contoso.example",))])
    (mail,) = store.due("email", NOON)
    assert (mail.alert.title, mail.email, mail.tries) == ("Payroll left", ("soc@contoso.example",), 0)
    store.later(mail.seq, NOON + timedelta(minutes=1))
    assert store.due("email", NOON) == []
    (again,) = store.due("email", NOON + timedelta(minutes=1))
    assert again.tries == 1
    store.sent(again.seq)
    assert store.waiting() == 1, "the webhook's"


def test_closed_alerts_go_with_time_and_open_ones_stay(store: AlertStore) -> None:
    store.raise_all([NEW, replace(NEW, policy="q", activity="a2")])
    store.set_state(store.query(policy="p")[0].id, "benign", "grace")
    assert store.purge(NOON + timedelta(days=1)) == 1
    assert [each.policy for each in store.query()] == ["q"]


def test_from_a_record() -> None:
    line = record(1) | {
        "alerts": [
            {"policy": "p", "severity": "high", "title": "T", "daily_limit": 9, "email": ["a@b.example"]},
            {"policy": "q", "severity": "odd"},
        ]
    }
    first, second = of_record(line)
    assert (first.policy, first.daily_limit, first.email, first.activity) == ("p", 9, ("a@b.example",), line["id"])
    assert (second.severity, second.title) == ("medium", "q")
    assert of_record(record(1) | {"alerts": None}) == []


def test_how_often_policies_were_met_by_day(store: AlertStore) -> None:
    day = timedelta(days=1)
    store.raise_all([replace(NEW, activity=f"a{n}", key=f"u{n}", daily_limit=3) for n in range(10)])
    store.raise_all([replace(NEW, activity="again", key="u0", time=NOON + timedelta(minutes=5))])
    store.raise_all([replace(NEW, activity="b", policy="q", time=NOON + day)])
    store.raise_all([replace(NEW, activity="old", time=NOON - 9 * day)])
    assert store.policy_days(NOON - day) == {"p": {"2026-03-02": 11}, "q": {"2026-03-03": 1}}
    assert store.policy_days(NOON - day, "q") == {"q": {"2026-03-03": 1}}
