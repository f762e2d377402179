"""Discovery as one thing: streams, uploads, tasks, reports, names; opened by sidecar, worker and commands."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from casb.catalog.ranges import Ranges
from casb.discovery.log_types import log_type
from casb.discovery.streams import Kind, Stream, ViewFilter
from casb.errors import StoreError
from casb.settings import LogSource, Secret, Settings
from casb.store.catalog_sqlite import CatalogStore
from casb.store.discovery_book import Book, changed
from casb.store.discovery_catalog import Known, known_apps
from casb.store.discovery_desk import Desk
from casb.store.discovery_ingest import Ingestor, Input, Refused, discovery_folder
from casb.store.discovery_jobs import Task, Tasks
from casb.store.discovery_key import pseudonyms
from casb.store.discovery_parquet import ParquetUsage
from casb.store.discovery_proxy import ProxyTraffic, read_traffic
from casb.store.discovery_reports import Reports
from casb.store.discovery_uploads import Uploads
from casb.store.discovery_usage import UsageStore
from casb.store.endpoint_service import Endpoints, is_endpoint
from casb.store.folder import fingerprint, load_draft
from casb.store.log_parsers import OwnParsers
from casb.store.records_sqlite import Database, database_path

logger = logging.getLogger(__name__)

MOST_FILES = 20
"""Files of one snapshot report."""
KEPT_TASKS = timedelta(days=90)
PARSE, DELETE, VIEW, EXPORT = "parse", "delete data", "create view", "export"
PROXY_STREAM = "Session proxy"
ENDPOINT_STREAM = "Defender-managed endpoints"
ENDPOINT_SOURCE = "defender-network"
FAILED_PARSING = "LOG_COLLECTOR_CONSTANTLY_FAILED_PARSING"
FAILURES = 3
"""Parsing tasks that fail in a row until somebody should look."""
SILENT = timedelta(minutes=5)
"""A collector that was not heard of for so long is away."""
RECEIVERS = {
    "syslog-udp": "syslogUdp",
    "syslog-tcp": "syslogTcp",
    "syslog-tls": "syslogTls",
    "directory": "directory",
    "ftp": "ftp",
    "ftps": "ftps",
    "upload": "upload",
}


class Discovery:
    """Everything behind reports and ingestion. Safe to use from several threads."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], datetime],
        *,
        known: Callable[[], Known] | None = None,
        processes: int = 0,
    ) -> None:
        """`known` gives the catalog in force; by default that of the configuration folder and of its portal."""
        self.settings = settings
        self.clock = clock
        folder = discovery_folder(settings)
        self.book = Book.open(folder)
        database = settings.discovery.database
        self.usage: UsageStore = (
            ParquetUsage(folder, self.book, clock) if database is None else _postgres(database, self.book, clock)
        )
        self._folder = _Folder(settings)
        self.parsers = OwnParsers(settings.folder)
        self.known = known or self._folder.known
        self.reports = Reports(self.book, self.usage, lambda: self.known().facts, clock)
        self.tasks = Tasks(self.book)
        self.uploads = Uploads(folder, self.book)
        self.desk = Desk(self.book, lambda: pseudonyms(Path(settings.data)), clock)
        self.proxy = ProxyTraffic(self.book, clock, enabled=settings.discovery.proxy_stream)
        self.ingestor = Ingestor(
            settings,
            self.book,
            self.usage,
            known=self.known,
            ranges=self._folder.ranges,
            clock=clock,
            own=self.parsers.texts,
            processes=processes,
        )
        self.endpoints = Endpoints(
            settings,
            self.book,
            self.usage,
            self.reports,
            self.ingestor,
            known=self.known,
            clock=clock,
        )

    def close(self) -> None:
        """Let go of everything."""
        self.endpoints.close()
        self.usage.close()
        self.book.close()
        self._folder.close()

    def check_source(self, source: str | None) -> None:
        """Raise `StoreError` D002 for a log format that is not known."""
        if source is not None and source.casefold() not in ("other", "auto", "1"):
            if self.parsers.parsers().find(source) is None:
                raise StoreError("D002", f"there is no log format {source!r}")

    # Streams

    def sync_sources(self) -> None:
        """Make a stream of every configured source, and bring its facts up to date."""
        for source in self.settings.discovery.sources:
            facts = _facts(source)
            kind = Kind.ENDPOINT if is_endpoint(source.type) else Kind.INPUT
            stream = self.book.ensure_stream(source.name, kind, self.clock(), **facts)
            if any(getattr(stream, name) != value for name, value in facts.items()):
                self.book.put_stream(changed(stream, self.clock(), **facts))

    def input_stream(self, name: str, kind: Kind = Kind.INPUT, *, source: str | None = None) -> Stream:
        """The stream of a data source by name; the first use makes it, with the deployment's defaults."""
        defaults = self.settings.discovery
        configured = next((each for each in defaults.sources if each.name == name), None)
        facts = (
            _facts(configured)
            if configured
            else {
                "source": source,
                "log_type": log_type(source),
                "receiver": "upload",
                "anonymize_users": defaults.anonymize_users,
                "anonymize_devices": defaults.anonymize_devices,
            }
        )
        if kind is Kind.INPUT and is_endpoint(str(facts["source"] or "")):
            kind = Kind.ENDPOINT  # never merged into Global
        return self.book.ensure_stream(name, kind, self.clock(), **facts)

    def endpoint_stream(self) -> Stream:
        """The built-in stream of devices with an endpoint agent."""
        return self.input_stream(ENDPOINT_STREAM, Kind.ENDPOINT, source=ENDPOINT_SOURCE)

    def create_view(self, name: str, filters: ViewFilter, who: str, comment: str = "") -> Stream:
        """A custom continuous report: what comes from now on and passes the filters. Raises `StoreError` D030, D031."""
        known = {each.id for each in self.book.streams()}
        missing = sorted(filters.sources - known)
        if missing:
            raise StoreError("D031", f"there is no stream {missing[0]!r}")
        if self.book.stream_named(name) is not None:
            raise StoreError("D030", f"there is a stream named {name!r}")
        now = self.clock()
        stream = self.book.ensure_stream(name, Kind.VIEW, now, filters=filters, comment=comment)
        self.tasks.note(VIEW, f"Create custom cloud discovery view {name}", who, now, {}, stream=stream.id)
        return stream

    def delete_stream(self, stream: Stream, who: str) -> None:
        """Drop a stream and all its usage."""
        self.usage.drop(stream.id)
        self.book.drop_stream(stream.id)
        self.tasks.note(DELETE, f"Delete {stream.name}", who, self.clock(), {}, stream=stream.id)

    def delete_all(self, who: str) -> str:
        """Delete all discovery data, of every stream; streams and settings stay. Irreversible."""
        self.usage.drop(None)
        self.endpoints.events.drop()
        return self.tasks.note(DELETE, "Delete all cloud discovery data", who, self.clock(), {})

    # Ingestion

    def snapshot(
        self,
        name: str,
        paths: Sequence[Path],
        who: str,
        *,
        description: str = "",
        source: str | None = None,
        anonymize: bool | None = None,
        zone: str = "UTC",
    ) -> tuple[Stream, str]:
        """A snapshot report of up to 20 files, which become the task's own. Raises `StoreError` D030, D032."""
        if not 0 < len(paths) <= MOST_FILES:
            raise StoreError("D032", f"a snapshot report has 1 to {MOST_FILES} files")
        self.check_source(source)
        if not name.strip() or self.book.stream_named(name) is not None:
            raise StoreError("D030", f"there is a stream named {name!r}" if name.strip() else "a report needs a name")
        defaults = self.settings.discovery
        stream = self.book.ensure_stream(
            name,
            Kind.SNAPSHOT,
            self.clock(),
            source=source,
            log_type=log_type(source),
            receiver="upload",
            comment=description,
            anonymize_users=defaults.anonymize_users if anonymize is None else anonymize,
            anonymize_devices=defaults.anonymize_devices if anonymize is None else anonymize,
        )
        return stream, self._parse(stream, paths, who, source=source, zone=zone, title=f"Parse snapshot report {name}")

    def continuous(
        self,
        stream: Stream,
        paths: Sequence[Path],
        who: str,
        *,
        key: str | None = None,
        source: str | None = None,
        zone: str | None = None,
        title: str = "",
    ) -> str:
        """More of a stream; the task's id. `key` makes it count once, however often it is handed over."""
        configured = next((each for each in self.settings.discovery.sources if each.name == stream.name), None)
        return self._parse(
            stream,
            paths,
            who,
            key=key,
            source=source or stream.source,
            zone=zone or (configured.zone if configured else "UTC"),
            title=title or f"Parse logs of {stream.name}",
        )

    def _parse(
        self,
        stream: Stream,
        paths: Sequence[Path],
        who: str,
        *,
        source: str | None,
        zone: str,
        title: str,
        key: str | None = None,
    ) -> str:
        given = {"paths": [str(path) for path in paths], "key": key, "source": source, "zone": zone}
        return self.tasks.add(PARSE, title, who, self.clock(), given, stream=stream.id)

    def work(self) -> bool:
        """Do the next task, if there is one; whether there was."""
        task = self.tasks.claim(self.clock())
        if task is None:
            return self._dropped() or self._proxy() or self.endpoints.settle() > 0
        stream = self.book.stream(task.stream or "")
        if task.kind != PARSE or stream is None:
            self.tasks.end(task.id, self.clock(), outcome={}, error="D031", message="its stream has been deleted")
            _forget(task)
            return True
        self._work(task, stream)
        return True

    def _proxy(self) -> bool:
        """Count what the proxy has told of since; whether there was anything."""
        batch = self.proxy.batch()
        if batch is None:
            return False
        stream = self.input_stream(PROXY_STREAM, Kind.PROXY)
        lines = self.proxy.lines(batch)
        with tempfile.TemporaryDirectory(prefix="casb-proxy-") as folder:
            path = Path(folder, "traffic.ndjson")
            path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
            given = Input(paths=[str(path)], stream=stream, name="proxy", key=batch)
            with contextlib.suppress(Refused):  # nothing of it was about an app
                self.ingestor.take(given, reader=read_traffic)
        self.proxy.done(batch)
        return True

    def waiting(self) -> bool:
        """Whether there is anything to do."""
        return bool(
            self.tasks.waiting()
            or self.proxy.waiting()
            or self.endpoints.waiting()
            or next(self.endpoints.dropped(), None)
        )

    def _dropped(self) -> bool:
        """Queue exports that lie in the folder of `discovery.endpoints.directory`; whether there were any."""
        found = False
        for path in self.endpoints.dropped():
            taken = self.uploads.adopt(path)
            self.continuous(self.endpoint_stream(), [taken], "directory", title=f"Parse {path.name[:100]}")
            path.unlink(missing_ok=True)
            found = True
        return found

    def _work(self, task: Task, stream: Stream) -> None:
        paths = [str(path) for path in task.input["paths"]]
        given = Input(
            paths=paths,
            stream=stream,
            name=task.title,
            key=task.input.get("key"),
            source=task.input.get("source"),
            zone=task.input.get("zone") or "UTC",
        )
        size = sum(os.path.getsize(path) for path in paths if os.path.exists(path))
        beat = _Beat(self, task.id, size)
        try:
            take = self.endpoints.take if stream.kind is Kind.ENDPOINT else self.ingestor.take
            outcome = take(given, beat)
            self.tasks.end(task.id, self.clock(), outcome=outcome)
            _forget(task)
        except Refused as refused:
            self.book.failed(stream.id)
            self.tasks.end(task.id, self.clock(), outcome=refused.outcome, error=refused.code, message=refused.message)
        except StoreError as error:
            self.tasks.end(task.id, self.clock(), outcome={}, error=error.code, message=error.message)
        except Exception as error:
            logger.exception("task failed id=%s", task.id)
            self.book.failed(stream.id)
            message = f"an error of ours: {type(error).__name__}"
            self.tasks.end(task.id, self.clock(), outcome={}, error="D015", message=message)

    def collectors(self) -> list[dict[str, Any]]:
        """Every collector with its sources and their health; what only this side knows is among the alerts."""
        failing = self._failing()
        found = []
        for name, heard, facts in self.book.collectors():
            sources = [dict(each) for each in facts.get("sources", []) if isinstance(each, dict)]
            for source in sources:
                if source.get("name") in failing:
                    source["alerts"] = [*source.get("alerts", []), FAILED_PARSING]
            silent = self.clock() - heard >= SILENT
            found.append({**facts, "name": name, "heard": heard.isoformat(), "silent": silent, "sources": sources})
        return found

    def _failing(self) -> set[str]:
        """Names of streams whose last tasks all failed."""
        names = {each.id: each.name for each in self.book.streams()}
        last: dict[str, list[bool]] = {}
        for task in self.tasks.latest(1000):
            if task.kind == PARSE and task.ended is not None:
                last.setdefault(names.get(task.stream or "", ""), []).append(task.error is None)
        return {name for name, done in last.items() if len(done) >= FAILURES and not any(done[:FAILURES])}

    def tidy(self) -> None:
        """Retention, merging of small files, what was left behind. Cheap when there is nothing to do."""
        now = self.clock()
        # A window of 90 days includes today.
        expired = self.usage.expire((now - timedelta(days=self.settings.discovery.retention_days)).date())
        if expired:
            logger.info("discovery retention dropped=%d", expired)
        self.usage.compact()
        self.uploads.sweep(now)
        self.proxy.tidy()
        self.endpoints.tidy()
        for path in self.tasks.purge(now - KEPT_TASKS):
            with contextlib.suppress(OSError):
                os.unlink(path)


class _Beat:
    """Tells the task list how far a file is, at most twice a second."""

    def __init__(self, discovery: Discovery, task: str, size: int) -> None:
        self._discovery = discovery
        self._task = task
        self._size = size
        self._done = 0
        self._told = time.monotonic()

    def __call__(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._told >= 0.5:
            self._told = now
            share = self._done / self._size if self._size else 0.0
            with contextlib.suppress(StoreError):
                self._discovery.tasks.beat(self._task, share, self._discovery.clock())


class _Folder:
    """What the configuration folder and the portal's database say, read again when they have changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stamp: Any = None
        self._known: Known | None = None
        self._database: Database | None = None
        self._ranges = Ranges()

    def known(self) -> Known:
        """The catalog in force. A folder that is broken for the moment leaves what was."""
        stamp = (fingerprint(self._settings.folder), self._version(), time.strftime("%Y-%m-%d", time.gmtime()))
        if self._known is None or stamp != self._stamp:
            try:
                on = datetime.strptime(stamp[2], "%Y-%m-%d").date()  # noqa: DTZ007 - a day
                self._known = known_apps(self._settings.folder or None, on)
                self._stamp = stamp
            except Exception as error:
                if self._known is None:
                    raise
                logger.warning("the catalog stays as it was reason=%s", type(error).__name__)
        return self._known

    def _version(self) -> int:
        """Of what the portal keeps about apps: grows with every change, and costs one look."""
        path = database_path(self._settings)
        try:
            if self._database is None and path.exists():
                self._database = Database(path, read_only=True)
            return CatalogStore(self._database).version() if self._database is not None else 0
        except StoreError:
            return 0  # an older database, which has nothing about apps

    def close(self) -> None:
        """Let go of the database."""
        if self._database is not None:
            self._database.close()

    def ranges(self) -> Ranges:
        """The named ranges."""
        if self._settings.folder:
            with contextlib.suppress(Exception):
                self._ranges = Ranges(load_draft(self._settings.folder).ranges)
        return self._ranges


def _postgres(database: Secret, book: Book, clock: Callable[[], datetime]) -> UsageStore:
    """Asked for by name: its driver comes with the extra `postgres`."""
    made: UsageStore = importlib.import_module("casb.store.discovery_postgres").PostgresUsage(database, book, clock)
    return made


def _facts(source: LogSource) -> dict[str, Any]:
    return {
        "source": source.type,
        "log_type": log_type(source.type),
        "receiver": RECEIVERS[source.receiver],
        "comment": source.comment,
        "anonymize_users": source.anonymize_users,
        "anonymize_devices": source.anonymize_devices,
    }


def _forget(task: Task) -> None:
    for path in task.input.get("paths", []):
        with contextlib.suppress(OSError):
            os.unlink(path)
