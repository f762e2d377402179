"""What is known of devices with an endpoint agent, and of the indicators that were handed to it.

SQLite beside discovery's book (`endpoints.db`). The row of an indicator says how far it is; whoever pushes writes it
after every batch, so that a push which was cut off goes on where it ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from casb.discovery.endpoint_attempts import NEAR, Attempt, InForce, Kind
from casb.discovery.endpoint_indicators import WARN, Plan
from casb.discovery.endpoint_records import DeviceContext
from casb.store.discovery_book import millis, moment
from casb.store.endpoint_schema import MIGRATIONS
from casb.store.records_sqlite import Database

FILE = "endpoints.db"
PENDING, PUSHED, CONFIRMED, FAILED, REMOVING = "pending", "pushed", "confirmed", "failed", "removing"
KEPT = timedelta(days=90)
_OFTEN = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device as its agent tells of it."""

    id: str
    name: str
    os: str = ""
    group: str = ""
    risk: str = ""  # the console's word, not ours
    users: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """An indicator and how far it is: pending, pushed, confirmed by an event, failed, removing."""

    domain: str
    app: str
    name: str
    action: str
    groups: tuple[str, ...] = ()
    state: str = PENDING
    reason: str = ""
    remote: str = ""  # the API's id
    wanted: datetime
    pushed: datetime | None = None
    confirmed: datetime | None = None
    tries: int = 0

    def as_json(self) -> dict[str, Any]:
        """For API and CLI."""
        plain = asdict(self)
        times = ("wanted", "pushed", "confirmed")
        return {**plain, "groups": list(self.groups), **{each: _iso(plain[each]) for each in times}}


class EndpointBook:
    """All of it. Safe to use from several threads and processes. Raises `StoreError`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def open(cls, folder: Path) -> EndpointBook:
        """The book of discovery's folder, made when missing."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(Database(folder / FILE, migrations=MIGRATIONS))

    def close(self) -> None:
        self.database.close()

    # Inputs

    def has(self, key: str) -> bool:
        """Whether an input has been taken."""
        with self.database.reading() as reader:
            return reader.execute("SELECT 1 FROM inputs WHERE key = ?", (key,)).fetchone() is not None

    def took(self, key: str, now: datetime, events: int) -> None:
        """It has."""
        with self.database.writing() as writer:
            writer.execute("INSERT INTO inputs VALUES (?,?,?) ON CONFLICT DO NOTHING", (key, millis(now), events))

    # Devices

    def see(self, seen: Mapping[str, tuple[str, datetime, datetime]], contexts: Iterable[DeviceContext]) -> None:
        """Devices in events (id to name, first, last) and what was told about them. Older facts change nothing."""
        with self.database.writing() as writer:
            writer.executemany(
                "INSERT INTO devices VALUES (?,?,'','','','[]','[]',0,?,?) ON CONFLICT (id) DO UPDATE SET "
                "name = CASE WHEN excluded.last >= last THEN excluded.name ELSE name END, "
                "first = min(first, excluded.first), last = max(last, excluded.last)",
                [(ident, name, millis(first), millis(last)) for ident, (name, first, last) in seen.items()],
            )
            for each in contexts:
                time = millis(each.time)
                writer.execute(
                    "INSERT INTO devices VALUES (?,?,'','','','[]','[]',0,?,?) ON CONFLICT (id) DO UPDATE SET "
                    "first = min(first, excluded.first), last = max(last, excluded.last)",
                    (each.device_id, each.device, time, time),
                )
                writer.execute(
                    "UPDATE devices SET os = coalesce(nullif(?, ''), os), "
                    "machine_group = coalesce(nullif(?, ''), machine_group), risk = coalesce(nullif(?, ''), risk), "
                    "users = coalesce(nullif(?, '[]'), users), addresses = coalesce(nullif(?, '[]'), addresses), "
                    "context = ? WHERE id = ? AND context <= ?",
                    (each.os, each.group, each.risk, json.dumps(each.users), json.dumps(each.addresses), time,
                     each.device_id, time),
                )  # fmt: skip

    def devices(self) -> list[Device]:
        """All, the latest first."""
        with self.database.reading() as reader:
            rows = reader.execute(f"SELECT {_DEVICE} FROM devices ORDER BY last DESC, id").fetchall()  # noqa: S608
        return [_device(row) for row in rows]

    def device(self, name: str) -> Device | None:
        """One by id, or by name: of several of one name the latest."""
        sql = f"SELECT {_DEVICE} FROM devices WHERE id = ? OR name = ? ORDER BY id = ? DESC, last DESC"  # noqa: S608
        with self.database.reading() as reader:
            row = reader.execute(sql, (name, name.lower(), name)).fetchone()
        return _device(row) if row else None

    def groups(self) -> dict[str, str]:
        """Device id to device group."""
        with self.database.reading() as reader:
            return dict(reader.execute("SELECT id, machine_group FROM devices WHERE machine_group <> ''"))

    # Indicators

    def want(self, plan: Plan, now: datetime) -> None:
        """Bring what is wanted up to date: new ones wait, changed ones wait again, others are to be removed."""
        with self.database.writing() as writer:
            rows = writer.execute(f"SELECT {_PUSHED} FROM indicators").fetchall()  # noqa: S608
            known = {row[0]: _pushed(row) for row in rows}
            wanted = {each.domain: each for each in plan.indicators}
            for domain, each in wanted.items():
                before = known.get(domain)
                same = before is not None and (before.app, before.action, before.groups) == (
                    each.app, each.action, each.groups,
                )  # fmt: skip
                if before is not None and same and before.state != REMOVING:
                    continue
                fresh = Pushed(
                    domain=domain, app=each.app, name=each.name, action=each.action, groups=each.groups, wanted=now,
                    remote=before.remote if before else "",
                )  # fmt: skip
                _put(writer, fresh)
            for domain, before in known.items():
                if domain not in wanted:
                    if before.remote:
                        _put(writer, replace(before, state=REMOVING))
                    else:
                        writer.execute("DELETE FROM indicators WHERE domain = ?", (domain,))

    def indicators(self, app: str | None = None) -> list[Pushed]:
        """All, or those of an app, by domain."""
        where, values = ("WHERE app = ?", (app,)) if app is not None else ("", ())
        sql = f"SELECT {_PUSHED} FROM indicators {where} ORDER BY domain"  # noqa: S608 - one of two texts of ours
        with self.database.reading() as reader:
            return [_pushed(row) for row in reader.execute(sql, values).fetchall()]

    def put(self, changed: Iterable[Pushed], gone: Iterable[str] = ()) -> None:
        """Write down how far indicators are."""
        with self.database.writing() as writer:
            for each in changed:
                _put(writer, each)
            writer.executemany("DELETE FROM indicators WHERE domain = ?", [(each,) for each in gone])

    def in_force(self) -> dict[str, InForce]:
        """Indicators by domain, as alerts need them."""
        return {
            each.domain: InForce(
                domain=each.domain, app=each.app, name=each.name, warn=each.action == WARN, since=each.pushed,
                groups=frozenset(each.groups),
            )
            for each in self.indicators()
        }  # fmt: skip

    def confirm(self, domain: str, time: datetime) -> None:
        """An event has shown that the indicator is in force."""
        with self.database.writing() as writer:
            writer.execute(
                "UPDATE indicators SET state = ?, confirmed = ? WHERE domain = ? AND state = ? AND pushed <= ?",
                (CONFIRMED, millis(time), domain, PUSHED, millis(time)),
            )

    # Attempts

    def note(self, found: Sequence[Attempt], now: datetime, settle: timedelta) -> None:
        """Keep attempts. A mere handshake waits `settle` for somebody to tell of its block."""
        with self.database.writing() as writer:
            for each in found:
                near = writer.execute(
                    "SELECT id, kind, due FROM attempts WHERE device_id = ? AND host = ? AND time <= ? AND last >= ?",
                    (each.device_id, each.host, millis(each.last + NEAR), millis(each.time - NEAR)),
                ).fetchall()
                if each.kind is not Kind.REACHED:
                    # The handshake of this very attempt came by another way, or earlier.
                    writer.executemany(
                        "DELETE FROM attempts WHERE id = ?", [(row[0],) for row in near if row[2] is not None]
                    )
                elif any(row[1] != Kind.REACHED.value for row in near):
                    continue
                due = millis(now + settle) if each.kind is Kind.REACHED else None
                writer.execute(
                    "INSERT INTO attempts VALUES (?,?,?,?,?,?,?,?,'') ON CONFLICT (id) DO UPDATE SET "
                    "kind = CASE WHEN told = '' THEN excluded.kind ELSE kind END, "
                    "due = CASE WHEN told = '' THEN excluded.due ELSE due END",
                    (each.id, each.kind.value, millis(each.time), millis(each.last), each.device_id, each.host,
                     json.dumps(_facts(each)), due),
                )  # fmt: skip

    def untold(self, now: datetime, limit: int = _OFTEN) -> list[Attempt]:
        """Attempts to raise alerts about; handshakes that nobody has told the block of by now were not blocked."""
        with self.database.reading() as reader:
            rows = reader.execute(
                "SELECT id, kind, time, last, device_id, host, facts FROM attempts WHERE told = '' "
                "AND (due IS NULL OR due <= ?) ORDER BY time LIMIT ?",
                (millis(now), limit),
            ).fetchall()
        return [_attempt(row) for row in rows]

    def waiting(self, now: datetime) -> bool:
        """Whether there are any."""
        return bool(self.untold(now, 1))

    def told(self, ids: Iterable[str], now: datetime) -> None:
        """Alerts about them have been raised."""
        with self.database.writing() as writer:
            writer.executemany(
                "UPDATE attempts SET told = ?, due = NULL WHERE id = ?", [(now.isoformat(), each) for each in ids]
            )

    def controls(self, app: str) -> dict[str, int]:
        """Attempts at an app by what they came to."""
        domains = {each.domain for each in self.indicators(app)}
        counts = {kind.value: 0 for kind in (Kind.BLOCKED, Kind.BYPASSED, Kind.NOT_BLOCKED)}
        with self.database.reading() as reader:
            rows = reader.execute(
                "SELECT kind, due IS NULL, count(*) FROM attempts WHERE json_extract(facts, '$.domain') IN "
                "(SELECT value FROM json_each(?)) GROUP BY 1, 2",
                (json.dumps(sorted(domains)),),
            ).fetchall()
        for kind, settled, count in rows:
            name = Kind.NOT_BLOCKED.value if kind == Kind.REACHED.value and settled else kind
            if name in counts:
                counts[name] += count
        return counts

    # Pushes

    def push_ended(self, now: datetime, outcome: Mapping[str, Any]) -> None:
        """Remember what came of a push."""
        with self.database.writing() as writer:
            writer.execute("INSERT INTO pushes (time, outcome) VALUES (?,?)", (millis(now), json.dumps(dict(outcome))))

    def last_push(self) -> dict[str, Any] | None:
        """What came of the last one."""
        with self.database.reading() as reader:
            row = reader.execute("SELECT time, outcome FROM pushes ORDER BY id DESC LIMIT 1").fetchone()
        return {"time": moment(row[0]).isoformat(), **json.loads(row[1])} if row else None

    def tidy(self, now: datetime) -> None:
        """Forget what is too old to matter."""
        limit = millis(now - KEPT)
        with self.database.writing() as writer:
            writer.execute("DELETE FROM attempts WHERE last < ?", (limit,))
            writer.execute("DELETE FROM inputs WHERE time < ?", (millis(now - 2 * KEPT),))
            writer.execute("DELETE FROM devices WHERE last < ?", (limit,))
            writer.execute("DELETE FROM pushes WHERE time < ?", (limit,))


_DEVICE = "id, name, os, machine_group, risk, users, addresses, first, last"
_PUSHED = "domain, app, name, action, machine_groups, state, reason, remote, wanted, pushed, confirmed, tries"


def _device(row: Sequence[Any]) -> Device:
    return Device(
        id=row[0], name=row[1], os=row[2], group=row[3], risk=row[4], users=tuple(json.loads(row[5])),
        addresses=tuple(json.loads(row[6])), first=moment(row[7]), last=moment(row[8]),
    )  # fmt: skip


def _pushed(row: Sequence[Any]) -> Pushed:
    return Pushed(
        domain=row[0], app=row[1], name=row[2], action=row[3], groups=tuple(json.loads(row[4])), state=row[5],
        reason=row[6], remote=row[7], wanted=moment(row[8]), pushed=_moment(row[9]), confirmed=_moment(row[10]),
        tries=row[11],
    )  # fmt: skip


def _put(writer: Any, each: Pushed) -> None:
    writer.execute(
        "INSERT INTO indicators VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (domain) DO UPDATE SET "
        "app = excluded.app, name = excluded.name, action = excluded.action, machine_groups = excluded.machine_groups, "
        "state = excluded.state, reason = excluded.reason, remote = excluded.remote, wanted = excluded.wanted, "
        "pushed = excluded.pushed, confirmed = excluded.confirmed, tries = excluded.tries",
        (
            each.domain, each.app, each.name, each.action, json.dumps(each.groups), each.state, each.reason,
            each.remote, millis(each.wanted), each.pushed and millis(each.pushed),
            each.confirmed and millis(each.confirmed), each.tries,
        ),
    )  # fmt: skip


def _facts(each: Attempt) -> dict[str, str]:
    return {name: getattr(each, name) for name in ("domain", "app", "name", "device", "user", "ip")}


def _attempt(row: Sequence[Any]) -> Attempt:
    kind = Kind(row[1])
    return Attempt(
        id=row[0], kind=Kind.NOT_BLOCKED if kind is Kind.REACHED else kind, time=moment(row[2]), last=moment(row[3]),
        device_id=row[4], host=row[5], **json.loads(row[6]),
    )  # fmt: skip


def _moment(value: int | None) -> datetime | None:
    return None if value is None else moment(value)


def _iso(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
