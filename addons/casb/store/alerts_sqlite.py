"""Alerts in SQLite: what was raised, what people made of it, and the notifications that are still to be sent.

An alert gathers what belongs together: matches of one policy by one person in one app within an hour count up the same
alert. A policy raises at most its daily limit of new ones; what lies beyond is counted and never stops enforcement.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson

from casb.catalog.tagging import BLOCKED_APP
from casb.store.records_sqlite import Database

type State = Literal["open", "benign", "false_positive", "true_positive"]

STATES: tuple[State, ...] = ("open", "benign", "false_positive", "true_positive")
SEVERITIES = ("low", "medium", "high")
DAILY_LIMIT = 5
"""New alerts of one policy a day, unless it says otherwise (the reference product's default)."""

SAME = timedelta(hours=1)
MOST_ACTIVITIES = 100
"""Activities kept with one alert; more are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAlert:
    """Something to be raised. `key` says what belongs together with it; `activity` makes raising it twice harmless."""

    time: datetime
    kind: str  # policy, discovery, system
    policy: str
    severity: str
    title: str
    key: str = ""
    activity: str = ""
    app: str = ""
    user: str = ""
    ip: str = ""
    detail: Mapping[str, Any] | None = None
    daily_limit: int = DAILY_LIMIT
    email: Sequence[str] = ()  # besides those of casb.yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One line of the alerts page. `count` is how often it happened; `activities` are the first of them."""

    id: str
    time: datetime
    last: datetime
    kind: str
    policy: str
    severity: str
    title: str
    state: State
    read: bool
    count: int
    app: str
    user: str
    ip: str
    closed_by: str
    comment: str
    detail: Mapping[str, Any]
    activities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Notification:
    """A message that waits to be sent. `email` are recipients that the policy names."""

    seq: int
    alert: Alert
    email: tuple[str, ...]
    tries: int


_COLUMNS = (
    "id, time, last, kind, policy, severity, title, state, read, count, app, user_name, ip, closed_by, comment, detail"
)


class AlertStore:
    """Reads and writes them; safe to use from several threads. Raises `StoreError` (S023, S024)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def raise_all(self, alerts: Iterable[NewAlert]) -> int:
        """Raise what was not raised before; the number of new alerts (not of those counted up)."""
        found = list(alerts)
        if not found:
            return 0
        with self._database.writing() as writer:
            return sum(_raise(writer, each) for each in found)

    def get(self, alert_id: str) -> Alert | None:
        """One alert with its activities."""
        with self._database.reading() as reader:
            row = reader.execute(f"SELECT {_COLUMNS} FROM alerts WHERE id = ?", (alert_id,)).fetchone()  # noqa: S608
            if row is None:
                return None
            ids = reader.execute(
                "SELECT activity FROM alert_activities WHERE alert = ? AND activity <> '' ORDER BY rowid LIMIT ?",
                (alert_id, MOST_ACTIVITIES),
            ).fetchall()
        return _alert(row, tuple(each[0] for each in ids))

    def query(
        self,
        *,
        state: str = "",
        severity: str = "",
        policy: str = "",
        user: str = "",
        app: str = "",
        kind: str = "",
        before: tuple[datetime, str] | None = None,
        limit: int = 100,
    ) -> list[Alert]:
        """Newest first; empty filters do not count. `state` may be `closed`: all but open. Go on with `before`."""
        conditions, values = ["1"], list[Any]()
        for column, value in (("severity", severity), ("policy", policy), ("app", app), ("kind", kind)):
            if value:
                conditions.append(f"{column} = ?")
                values.append(value)
        if state:
            conditions.append("state <> 'open'" if state == "closed" else "state = ?")
            values += [] if state == "closed" else [state]
        if user:
            conditions.append("instr(lower(user_name), lower(?))")
            values.append(user)
        if before is not None:
            conditions.append("(last, id) < (?, ?)")
            values += [_millis(before[0]), before[1]]
        sql = f"SELECT {_COLUMNS} FROM alerts WHERE {' AND '.join(conditions)} ORDER BY last DESC, id DESC LIMIT ?"  # noqa: S608
        with self._database.reading() as reader:
            rows = reader.execute(sql, [*values, max(1, min(limit, 1000))]).fetchall()
        return [_alert(row) for row in rows]

    def open_counts(self) -> dict[str, int]:
        """Open alerts by severity."""
        with self._database.reading() as reader:
            return dict(reader.execute("SELECT severity, count(*) FROM alerts WHERE state = 'open' GROUP BY severity"))

    def policy_days(self, since: datetime, policy: str = "") -> dict[str, dict[str, int]]:
        """How often policies were met since then, by policy and day (UTC), what lay beyond the daily limit included.

        What counts up an open alert counts on the alert's last day.
        """
        found: dict[str, dict[str, int]] = {}
        with self._database.reading() as reader:
            rows = reader.execute(
                "SELECT policy, day, sum(times) FROM ("
                "SELECT policy, date(last / 1000, 'unixepoch') AS day, count AS times FROM alerts WHERE last >= ? "
                "UNION ALL SELECT policy, day, suppressed FROM alert_days WHERE day >= ?) "
                "WHERE policy = ? OR ? = '' GROUP BY policy, day",
                (_millis(since), _day(since), policy, policy),
            )
            for name, day, times in rows:
                found.setdefault(name, {})[day] = times
        return found

    def suppressed(self, since: datetime) -> dict[str, int]:
        """What went beyond the daily limit since then, by policy."""
        with self._database.reading() as reader:
            return dict(
                reader.execute(
                    "SELECT policy, sum(suppressed) FROM alert_days WHERE day >= ? AND suppressed > 0 GROUP BY policy",
                    (_day(since),),
                )
            )

    def set_state(self, alert_id: str, state: State, who: str, comment: str = "") -> bool:
        """Close it, or open it again; False when there is none."""
        with self._database.writing() as writer:
            changed = writer.execute(
                "UPDATE alerts SET state = ?, closed_by = ?, comment = ?, read = 1 WHERE id = ?",
                (state, "" if state == "open" else who, comment, alert_id),
            )
            return changed.rowcount == 1

    def set_read(self, alert_id: str, read: bool = True) -> bool:
        """Mark it; False when there is none."""
        with self._database.writing() as writer:
            return writer.execute("UPDATE alerts SET read = ? WHERE id = ?", (read, alert_id)).rowcount == 1

    def purge(self, before: datetime) -> int:
        """Drop closed alerts and day counts that are older; the number of alerts dropped."""
        with self._database.writing() as writer:
            limit = _millis(before)
            gone = "SELECT id FROM alerts WHERE state <> 'open' AND last < ?"
            writer.execute(f"DELETE FROM alert_activities WHERE alert IN ({gone})", (limit,))  # noqa: S608
            writer.execute(f"DELETE FROM notifications WHERE alert IN ({gone})", (limit,))  # noqa: S608
            writer.execute("DELETE FROM alert_days WHERE day < ?", (_day(before),))
            return writer.execute("DELETE FROM alerts WHERE state <> 'open' AND last < ?", (limit,)).rowcount

    # Notifications: kept until sent, so that none is lost when a mail server is away.

    def due(self, channel: str, now: datetime, limit: int = 20) -> list[Notification]:
        """What is to be sent over a channel now, oldest first."""
        with self._database.reading() as reader:
            rows = reader.execute(
                "SELECT seq, alert, email, tries FROM notifications WHERE channel = ? AND due <= ? "
                "ORDER BY seq LIMIT ?",
                (channel, _millis(now), limit),
            ).fetchall()
        found = [(row, self.get(row[1])) for row in rows]
        return [Notification(row[0], alert, tuple(orjson.loads(row[2])), row[3]) for row, alert in found if alert]

    def sent(self, seq: int) -> None:
        """It is done, or given up."""
        with self._database.writing() as writer:
            writer.execute("DELETE FROM notifications WHERE seq = ?", (seq,))

    def later(self, seq: int, due: datetime) -> None:
        """It failed: try again then."""
        with self._database.writing() as writer:
            writer.execute("UPDATE notifications SET tries = tries + 1, due = ? WHERE seq = ?", (_millis(due), seq))

    def drop_channel(self, channel: str) -> None:
        """Nobody is to be told that way."""
        with self._database.writing() as writer:
            writer.execute("DELETE FROM notifications WHERE channel = ?", (channel,))

    def waiting(self) -> int:
        """Notifications that wait."""
        with self._database.reading() as reader:
            return int(reader.execute("SELECT count(*) FROM notifications").fetchone()[0])


CHANNELS = ("email", "webhook")


def _raise(writer: sqlite3.Connection, new: NewAlert) -> int:
    together = "\0".join((new.kind, new.policy, new.key or new.user, new.app))
    if new.activity:
        known = writer.execute(
            "SELECT 1 FROM alert_activities WHERE activity = ? AND policy = ?", (new.activity, new.policy)
        ).fetchone()
        if known:
            return 0
    time = _millis(new.time)
    same = writer.execute(
        "SELECT id FROM alerts WHERE together = ? AND state = 'open' AND last >= ? AND time <= ? ORDER BY last DESC",
        (together, time - _span(SAME), time + _span(SAME)),
    ).fetchone()
    if same:
        writer.execute("UPDATE alerts SET count = count + 1, last = max(last, ?) WHERE id = ?", (time, same[0]))
        _belongs(writer, same[0], new)
        return 0
    if not _within_limit(writer, new):
        _belongs(writer, "", new)
        return 0
    alert_id = hashlib.sha256(f"{together}\0{time}\0{new.activity}".encode()).hexdigest()[:16]
    added = writer.execute(
        "INSERT INTO alerts (id, time, last, kind, policy, severity, title, state, read, count, app, user_name, ip, "
        "closed_by, comment, detail, together) VALUES (?, ?, ?, ?, ?, ?, ?, 'open', 0, 1, ?, ?, ?, '', '', ?, ?) "
        "ON CONFLICT (id) DO NOTHING",
        (
            alert_id,
            time,
            time,
            new.kind,
            new.policy,
            new.severity,
            new.title,
            new.app,
            new.user,
            new.ip,
            orjson.dumps(dict(new.detail or {})).decode(),
            together,
        ),
    ).rowcount
    if added:
        _belongs(writer, alert_id, new)
        writer.executemany(
            "INSERT INTO notifications (alert, channel, email, due, tries) VALUES (?, ?, ?, 0, 0)",
            [(alert_id, channel, orjson.dumps(list(new.email)).decode()) for channel in CHANNELS],
        )
    return added


def _belongs(writer: sqlite3.Connection, alert_id: str, new: NewAlert) -> None:
    if new.activity:
        writer.execute("INSERT INTO alert_activities VALUES (?, ?, ?)", (alert_id, new.activity, new.policy))


def _within_limit(writer: sqlite3.Connection, new: NewAlert) -> bool:
    day = _day(new.time)
    raised = writer.execute("SELECT raised FROM alert_days WHERE policy = ? AND day = ?", (new.policy, day)).fetchone()
    within = (raised[0] if raised else 0) < new.daily_limit
    column = "raised" if within else "suppressed"
    writer.execute(
        f"INSERT INTO alert_days (policy, day, {column}) VALUES (?, ?, 1) "  # noqa: S608 - one of two words of ours
        f"ON CONFLICT (policy, day) DO UPDATE SET {column} = {column} + 1",
        (new.policy, day),
    )
    return within


def of_record(record: Mapping[str, Any]) -> list[NewAlert]:
    """The alerts that a record of the activity log carries. Lenient: what is odd is left out."""
    raised = record.get("alerts")
    if not isinstance(raised, list) or not raised:
        return []
    user, app, client = (_mapping(record.get(name)) for name in ("user", "app", "client"))
    found = []
    for each in raised:
        if not isinstance(each, Mapping):
            continue
        severity = each.get("severity")
        found.append(
            NewAlert(
                time=datetime.fromisoformat(str(record["time"])),
                kind="discovery" if each.get("policy") == BLOCKED_APP else "policy",
                policy=str(each.get("policy", "")),
                severity=severity if severity in SEVERITIES else "medium",
                title=str(each.get("title") or each.get("policy") or "")[:200],
                key=str(user.get("id") or user.get("name") or client.get("ip") or ""),
                activity=str(record["id"]),
                app=str(app.get("id") or ""),
                user=str(user.get("name") or ""),
                ip=str(client.get("ip") or ""),
                daily_limit=each["daily_limit"] if isinstance(each.get("daily_limit"), int) else DAILY_LIMIT,
                email=_addresses(each.get("email")),
            )
        )
    return found


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _addresses(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _alert(row: Sequence[Any], activities: tuple[str, ...] = ()) -> Alert:
    return Alert(
        id=row[0],
        time=_time(row[1]),
        last=_time(row[2]),
        kind=row[3],
        policy=row[4],
        severity=row[5],
        title=row[6],
        state=row[7],
        read=bool(row[8]),
        count=row[9],
        app=row[10],
        user=row[11],
        ip=row[12],
        closed_by=row[13],
        comment=row[14],
        detail=orjson.loads(row[15]),
        activities=activities,
    )


def _millis(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _span(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)


def _day(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d")


def _time(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)
