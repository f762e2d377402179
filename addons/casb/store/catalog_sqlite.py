"""What was said here about cloud apps, in SQLite: one method a change, each audited in the same transaction.

Knows rows; what may be said is decided by `store.app_catalog`. Times are aware UTC and are passed in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from casb.catalog.inventory import Local, Override
from casb.catalog.known import KnownApp, PlainReader, app_to_plain
from casb.catalog.metrics import DEFAULTS, Metrics, metrics_to_plain, read_metrics
from casb.catalog.overlay import NOTHING, Overlay, overlay_from_plain, overlay_to_plain
from casb.catalog.tagging import Profile, TagState
from casb.model.app import AppTag
from casb.model.record import rfc3339
from casb.store.records_sqlite import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does it: an admin by name, a policy as `policy <id>`, the configuration. `ip` is empty for programs."""

    who: str
    ip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A note on an app."""

    seq: int
    app: str
    text: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A wish for the catalog. `app` is None for a new app."""

    seq: int
    kind: str
    app: str | None
    name: str
    domain: str
    text: str
    contact: bool
    state: str
    answer: str
    by: str
    at: datetime
    decided_by: str
    decided_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A long piece of work. `state` is running, done or failed."""

    seq: int
    kind: str
    state: str
    total: int
    done: int
    changed: int
    message: str
    by: str
    started: datetime
    ended: datetime | None


class CatalogStore:
    """Reads and writes them. Every method may raise `StoreError` (S023, S024). Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Reading

    def version(self) -> int:
        """Grows with every change; cheap."""
        with self._database.reading() as reader:
            return int(reader.execute("SELECT version FROM catalog_version").fetchone()[0])

    def local(self) -> Local:
        """Everything, as of one moment."""
        with self._database.reading() as reader:
            reader.execute("BEGIN")
            try:
                return _local(reader)
            finally:
                reader.execute("COMMIT")

    def notes(self, app: str) -> list[Note]:
        """An app's notes, the newest first."""
        with self._database.reading() as reader:
            rows = reader.execute(
                "SELECT seq, app, text, by, at FROM catalog_notes WHERE app = ? ORDER BY seq DESC", (app,)
            ).fetchall()
        return [Note(seq=row[0], app=row[1], text=row[2], by=row[3], at=_time(row[4])) for row in rows]

    def suggestions(self, state: str | None = None) -> list[Suggestion]:
        """The queue, the newest first."""
        with self._database.reading() as reader:
            rows = reader.execute(
                "SELECT * FROM catalog_suggestions WHERE ? IS NULL OR state = ? ORDER BY seq DESC", (state, state)
            ).fetchall()
        return [_suggestion(row) for row in rows]

    def tasks(self, limit: int = 50) -> list[Task]:
        """The latest tasks, the newest first."""
        with self._database.reading() as reader:
            rows = reader.execute("SELECT * FROM catalog_tasks ORDER BY seq DESC LIMIT ?", (limit,)).fetchall()
        return [_task(row) for row in rows]

    def scores(self) -> dict[str, float | None]:
        """The exact scores of the last recalculation."""
        with self._database.reading() as reader:
            return dict(reader.execute("SELECT app, score FROM catalog_scores").fetchall())

    def configured(self) -> dict[str, str]:
        """The apps of apps/*.yaml that were seen last, with the tag written there."""
        with self._database.reading() as reader:
            return dict(reader.execute("SELECT app, tag FROM catalog_configured").fetchall())

    # Writing

    @contextmanager
    def changing(self, actor: Actor, now: datetime) -> Iterator[Change]:
        """One transaction, a new version and its audit lines; nothing of it remains when the block raises."""
        with self._database.writing() as writer:
            change = Change(writer, actor, _millis(now))
            yield change
            if change.touched:
                writer.execute("UPDATE catalog_version SET version = version + 1")

    @contextmanager
    def alone(self) -> Iterator[int]:
        """The version, while nobody, in no process, can make another: to put it in force elsewhere in its turn."""
        with self._database.writing() as writer:
            yield int(writer.execute("SELECT version FROM catalog_version").fetchone()[0])

    def begin_task(self, kind: str, total: int, actor: Actor, now: datetime) -> int:
        """A task that has begun; its number."""
        with self._database.writing() as writer:
            row = writer.execute(
                "INSERT INTO catalog_tasks (kind, state, total, done, changed, message, by, started) "
                "VALUES (?, 'running', ?, 0, 0, '', ?, ?) RETURNING seq",
                (kind, total, actor.who, _millis(now)),
            ).fetchone()
            _audit(writer, actor, _millis(now), f"started task: {kind}", {"task": row[0]})
            return int(row[0])

    def advance_task(self, seq: int, done: int, total: int) -> None:
        """How far it has come."""
        with self._database.writing() as writer:
            writer.execute("UPDATE catalog_tasks SET done = ?, total = ? WHERE seq = ?", (done, total, seq))

    def end_task(self, seq: int, actor: Actor, now: datetime, *, ok: bool, changed: int = 0, message: str = "") -> None:
        """It is over."""
        state = "done" if ok else "failed"
        with self._database.writing() as writer:
            row = writer.execute(
                "UPDATE catalog_tasks SET state = ?, changed = ?, message = ?, ended = ? WHERE seq = ? RETURNING kind",
                (state, changed, message, _millis(now), seq),
            ).fetchone()
            _audit(writer, actor, _millis(now), f"task {state}: {row[0]}", {"task": seq, "changed": changed})

    def put_scores(self, scores: Mapping[str, float | None]) -> int:
        """Keep the scores of a recalculation; how many differ from those of the last one."""
        with self._database.writing() as writer:
            before = dict(writer.execute("SELECT app, score FROM catalog_scores").fetchall())
            changed = {app: score for app, score in scores.items() if app not in before or before[app] != score}
            writer.executemany(
                "INSERT INTO catalog_scores VALUES (?, ?) ON CONFLICT (app) DO UPDATE SET score = excluded.score",
                changed.items(),
            )
            gone = [(app,) for app in before if app not in scores]
            writer.executemany("DELETE FROM catalog_scores WHERE app = ?", gone)
        return len(changed)

    def may_probe(self, host: str, now: datetime, seconds: int) -> bool:
        """Whether nobody asked `host` during the last `seconds`; if so, it counts as asked now."""
        with self._database.writing() as writer:
            row = writer.execute("SELECT at FROM catalog_probes WHERE host = ?", (host,)).fetchone()
            if row is not None and _millis(now) - row[0] < seconds * 1000:
                return False
            writer.execute(
                "INSERT INTO catalog_probes VALUES (?, ?) ON CONFLICT (host) DO UPDATE SET at = excluded.at",
                (host, _millis(now)),
            )
            return True


class Change:
    """The writes of one transaction. Each says in the audit log what it did."""

    def __init__(self, writer: sqlite3.Connection, actor: Actor, at: int) -> None:
        self._writer = writer
        self.actor = actor
        self.at = at
        self.touched = False

    def audit(self, what: str, **detail: Any) -> None:
        """A line of the audit log."""
        _audit(self._writer, self.actor, self.at, what, {name: value for name, value in detail.items() if value})

    def _did(self, sql: str, parameters: Iterable[Any], what: str, **detail: Any) -> int:
        rows = self._writer.execute(sql, tuple(parameters)).rowcount
        self.touched = True
        if what:
            self.audit(what, **detail)
        return rows

    def state(self, app: str) -> TagState:
        """What is set for an app at this moment."""
        row = self._writer.execute("SELECT tag, profile, by, at FROM catalog_states WHERE app = ?", (app,)).fetchone()
        return TagState(tag=AppTag(row[0]), profile=row[1], by=row[2], at=_text(row[3])) if row else TagState()

    def set_tag(self, app: str, tag: AppTag, profile: str | None, why: str = "") -> None:
        """Sanctioned, unsanctioned, monitored or none, whatever was there."""
        before = self.state(app)
        self._did(
            "INSERT INTO catalog_states VALUES (?, ?, ?, ?, ?) ON CONFLICT (app) DO UPDATE SET tag = excluded.tag, "
            "profile = excluded.profile, by = excluded.by, at = excluded.at",
            (app, tag.value, profile, self.actor.who, self.at),
            "tagged app",
            app=app,
            tag=tag.value,
            before=before.tag.value,
            profile=profile,
            why=why,
        )

    def add_tag(self, app: str, tag: str) -> None:
        """A custom tag on an app."""
        sql = "INSERT INTO catalog_app_tags VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
        self._did(sql, (app, tag, self.actor.who, self.at), "added tag to app", app=app, tag=tag)

    def drop_tag(self, app: str, tag: str) -> int:
        """A custom tag off an app."""
        sql = "DELETE FROM catalog_app_tags WHERE app = ? AND tag = ?"
        return self._did(sql, (app, tag), "removed tag from app", app=app, tag=tag)

    def put_custom_tag(self, name: str, about: str) -> None:
        """A custom tag that exists from now on."""
        self._did(
            "INSERT INTO catalog_tags VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET about = excluded.about",
            (name, about, self.actor.who, self.at),
            "saved app tag",
            tag=name,
        )

    def delete_custom_tag(self, name: str) -> int:
        """Away with it, and off all apps."""
        self._writer.execute("DELETE FROM catalog_app_tags WHERE tag = ?", (name,))
        return self._did("DELETE FROM catalog_tags WHERE name = ?", (name,), "deleted app tag", tag=name)

    def put_override(self, app: str, score: int, note: str) -> None:
        """A score in the place of the computed one."""
        self._did(
            "INSERT INTO catalog_overrides VALUES (?, ?, ?, ?, ?) ON CONFLICT (app) DO UPDATE SET "
            "score = excluded.score, note = excluded.note, by = excluded.by, at = excluded.at",
            (app, score, note, self.actor.who, self.at),
            "overrode app score",
            app=app,
            score=str(score),
            note=note,
        )

    def drop_override(self, app: str) -> int:
        """Back to the computed score."""
        sql = "DELETE FROM catalog_overrides WHERE app = ?"
        return self._did(sql, (app,), "removed override of app score", app=app)

    def add_note(self, app: str, text: str) -> None:
        """A note on an app."""
        sql = "INSERT INTO catalog_notes (app, text, by, at) VALUES (?, ?, ?, ?)"
        self._did(sql, (app, text, self.actor.who, self.at), "noted on app", app=app)

    def drop_note(self, seq: int) -> int:
        """Away with a note."""
        return self._did("DELETE FROM catalog_notes WHERE seq = ?", (seq,), "deleted note on app", note=seq)

    def overlay(self, app: str) -> Overlay:
        """The overlay of an app at this moment."""
        row = self._writer.execute("SELECT doc FROM catalog_overlays WHERE app = ?", (app,)).fetchone()
        return overlay_from_plain(orjson.loads(row[0])) if row else NOTHING

    def put_overlay(self, app: str, overlay: Overlay, what: str = "edited app details", **detail: Any) -> None:
        """An app's overlay, whole; an empty one goes away. `what` is empty when the caller writes the audit line."""
        if overlay.empty:
            self._did("DELETE FROM catalog_overlays WHERE app = ?", (app,), what, app=app, **detail)
            return
        self._did(
            "INSERT INTO catalog_overlays VALUES (?, ?, ?, ?) ON CONFLICT (app) DO UPDATE SET doc = excluded.doc, "
            "by = excluded.by, at = excluded.at",
            (app, orjson.dumps(overlay_to_plain(overlay)).decode(), self.actor.who, self.at),
            what,
            app=app,
            **detail,
        )

    def put_added(self, app: KnownApp, what: str = "saved custom app") -> None:
        """A custom or imported app, whole."""
        self._did(
            "INSERT INTO catalog_added VALUES (?, ?, ?, ?) ON CONFLICT (app) DO UPDATE SET doc = excluded.doc, "
            "by = excluded.by, at = excluded.at",
            (app.id, orjson.dumps(app_to_plain(app)).decode(), self.actor.who, self.at),
            what,
            app=app.id,
            name=app.name,
        )

    def delete_added(self, app: str) -> int:
        """Away with a custom or imported app and all that was said of it; notes stay for the record."""
        for sql in (
            "DELETE FROM catalog_overlays WHERE app = ?",
            "DELETE FROM catalog_states WHERE app = ?",
            "DELETE FROM catalog_app_tags WHERE app = ?",
            "DELETE FROM catalog_overrides WHERE app = ?",
        ):
            self._writer.execute(sql, (app,))
        return self._did("DELETE FROM catalog_added WHERE app = ?", (app,), "deleted custom app", app=app)

    def put_profile(self, profile: Profile) -> None:
        """A scoped profile."""
        self._did(
            "INSERT INTO catalog_profiles VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
            "include = excluded.include, exclude = excluded.exclude, by = excluded.by, at = excluded.at",
            (profile.name, _list(profile.include), _list(profile.exclude), self.actor.who, self.at),
            "saved scoped profile",
            profile=profile.name,
        )

    def delete_profile(self, name: str) -> int:
        """Away with a scoped profile."""
        sql = "DELETE FROM catalog_profiles WHERE name = ?"
        return self._did(sql, (name,), "deleted scoped profile", profile=name)

    def profile_users(self, name: str) -> list[str]:
        """The apps whose tag is bound to a profile."""
        rows = self._writer.execute("SELECT app FROM catalog_states WHERE profile = ? ORDER BY app", (name,))
        return [row[0] for row in rows.fetchall()]

    def tag_users(self, name: str) -> list[str]:
        """The apps with a custom tag."""
        rows = self._writer.execute("SELECT app FROM catalog_app_tags WHERE tag = ? ORDER BY app", (name,))
        return [row[0] for row in rows.fetchall()]

    def put_protected(self, pattern: str, *, added: bool) -> None:
        """Onto the protected list, or off it."""
        self._did(
            "INSERT INTO catalog_protected VALUES (?, ?, ?, ?) ON CONFLICT (pattern) DO UPDATE SET "
            "added = excluded.added, by = excluded.by, at = excluded.at",
            (pattern, int(added), self.actor.who, self.at),
            "protected host" if added else "took host off the protected list",
            host=pattern,
        )

    def put_metrics(self, metrics: Metrics) -> None:
        """How much everything counts."""
        self._did(
            "INSERT INTO catalog_metrics VALUES (1, ?, ?, ?) ON CONFLICT (one) DO UPDATE SET doc = excluded.doc, "
            "by = excluded.by, at = excluded.at",
            (orjson.dumps(metrics_to_plain(metrics)).decode(), self.actor.who, self.at),
            "changed score metrics",
            version=metrics.version,
        )

    def put_configured(self, tags: Mapping[str, str]) -> None:
        """Which apps apps/*.yaml has now."""
        self._writer.execute("DELETE FROM catalog_configured")
        self._writer.executemany("INSERT INTO catalog_configured VALUES (?, ?)", tags.items())
        self.touched = True

    def add_suggestion(self, kind: str, app: str | None, name: str, domain: str, text: str, *, contact: bool) -> int:
        """Into the queue; its number."""
        row = self._writer.execute(
            "INSERT INTO catalog_suggestions "
            "(kind, app, name, domain, text, contact, state, answer, by, at, decided_by) "
            "VALUES (?, ?, ?, ?, ?, ?, 'open', '', ?, ?, '') RETURNING seq",
            (kind, app, name, domain, text, int(contact), self.actor.who, self.at),
        ).fetchone()
        self.audit("suggested a change of the catalog", suggestion=row[0], kind=kind, app=app, name=name)
        return int(row[0])

    def decide_suggestion(self, seq: int, state: str, answer: str) -> int:
        """What became of it."""
        rows = self._writer.execute(
            "UPDATE catalog_suggestions SET state = ?, answer = ?, decided_by = ?, decided_at = ? WHERE seq = ?",
            (state, answer, self.actor.who, self.at, seq),
        ).rowcount
        self.audit("decided on a suggestion", suggestion=seq, state=state)
        return rows


def _local(reader: sqlite3.Connection) -> Local:
    ask: Callable[[str], list[Any]] = lambda sql: reader.execute(sql).fetchall()  # noqa: E731 - a name for a short word
    plain = PlainReader()
    custom: dict[str, set[str]] = {}
    for app, tag in ask("SELECT a.app, t.name FROM catalog_app_tags a JOIN catalog_tags t ON t.name = a.tag"):
        custom.setdefault(app, set()).add(tag)
    states = {
        row[0]: TagState(
            tag=AppTag(row[1]), profile=row[2], by=row[3], at=_text(row[4]), custom=frozenset(custom.pop(row[0], ()))
        )
        for row in ask("SELECT app, tag, profile, by, at FROM catalog_states")
    }
    states |= {app: TagState(custom=frozenset(tags)) for app, tags in custom.items()}
    metrics = ask("SELECT doc FROM catalog_metrics")
    protected = ask("SELECT pattern, added FROM catalog_protected ORDER BY pattern")
    return Local(
        version=int(ask("SELECT version FROM catalog_version")[0][0]),
        added={row[0]: plain.app(orjson.loads(row[1])) for row in ask("SELECT app, doc FROM catalog_added")},
        overlays={
            row[0]: overlay_from_plain(orjson.loads(row[1])) for row in ask("SELECT app, doc FROM catalog_overlays")
        },
        states=states,
        overrides={
            row[0]: Override(score=row[1], note=row[2], by=row[3], at=_text(row[4]))
            for row in ask("SELECT app, score, note, by, at FROM catalog_overrides")
        },
        notes=dict(ask("SELECT app, count(*) FROM catalog_notes GROUP BY app")),
        profiles={
            row[0]: Profile(
                name=row[0], include=frozenset(orjson.loads(row[1])), exclude=frozenset(orjson.loads(row[2]))
            )
            for row in ask("SELECT name, include, exclude FROM catalog_profiles")
        },
        tags=dict(ask("SELECT name, about FROM catalog_tags ORDER BY name")),
        protected=tuple(row[0] for row in protected if row[1]),
        unprotected=tuple(row[0] for row in protected if not row[1]),
        metrics=read_metrics(metrics[0][0].encode(), "score metrics") if metrics else DEFAULTS,
    )


def _audit(writer: sqlite3.Connection, actor: Actor, at: int, what: str, detail: Mapping[str, Any]) -> None:
    writer.execute(
        "INSERT INTO audit (time, who, ip, what, detail) VALUES (?, ?, ?, ?, ?)",
        (at, actor.who, actor.ip, what, orjson.dumps(detail).decode()),
    )


def _suggestion(row: Any) -> Suggestion:
    return Suggestion(
        seq=row[0],
        kind=row[1],
        app=row[2],
        name=row[3],
        domain=row[4],
        text=row[5],
        contact=bool(row[6]),
        state=row[7],
        answer=row[8],
        by=row[9],
        at=_time(row[10]),
        decided_by=row[11],
        decided_at=_time(row[12]) if row[12] is not None else None,
    )


def _task(row: Any) -> Task:
    return Task(
        seq=row[0],
        kind=row[1],
        state=row[2],
        total=row[3],
        done=row[4],
        changed=row[5],
        message=row[6],
        by=row[7],
        started=_time(row[8]),
        ended=_time(row[9]) if row[9] is not None else None,
    )


def _list(words: Iterable[str]) -> str:
    return orjson.dumps(sorted(words)).decode()


def _millis(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _time(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)


def _text(millis: int) -> str:
    return rfc3339(_time(millis))
