"""The collector as one process: receivers in an event loop, FTP, folders and delivery in threads."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from casb.collector import syslog
from casb.collector.deliver import LONGEST, SHORTEST, Away, Delivery
from casb.collector.folders import Watched
from casb.collector.ftp import Ftp
from casb.collector.health import as_json
from casb.collector.spool import Budget, SourceSpool
from casb.errors import ConfigError
from casb.settings import Secret, Settings

logger = logging.getLogger(__name__)

BEAT = 15.0
"""Seconds between heartbeats."""
_SYSLOG = ("syslog-udp", "syslog-tcp", "syslog-tls")


class Collector:
    """Runs between `start` and `stop`."""

    def __init__(self, settings: Settings, token: Secret, clock: Callable[[], datetime]) -> None:
        """Raises `ConfigError` D060 when there is nothing to receive, or the spool cannot be made."""
        self._settings = settings.discovery.collector
        self._clock = clock
        sources = [each for each in settings.discovery.sources if each.receiver != "upload"]
        if not sources:
            raise ConfigError("D060", "there is no source to receive from; add discovery.sources to casb.yaml")
        folder = Path(self._settings.spool or Path(settings.data, "collector"))
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            budget = Budget(self._settings, folder, clock)
            self.spools = [SourceSpool(folder, each, self._settings, budget, clock) for each in sources]
        except OSError as error:
            raise ConfigError("D060", f"the spool {folder} cannot be used ({error.strerror})") from error
        self._delivery = Delivery(
            self._settings.url or settings.sidecar_url, token, name=self._settings.name, ca=self._settings.ca
        )
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._ftp: Ftp | None = None
        self._http: ThreadingHTTPServer | None = None
        self._loop = asyncio.new_event_loop()
        self._listeners: list[asyncio.AbstractServer | asyncio.DatagramTransport] = []

    def start(self) -> None:
        """Listen. Raises `ConfigError` D060 when a source cannot; then nothing runs."""
        try:
            for spool in self.spools:
                if spool.source.receiver in _SYSLOG:
                    self._listeners.append(self._loop.run_until_complete(syslog.listen(spool)))
            by_account = {
                each.source.user or "": each for each in self.spools if each.source.receiver in ("ftp", "ftps")
            }
            if by_account:
                self._ftp = Ftp(self._settings, by_account)
            self._serve_health()
        except BaseException:
            self._close_listeners()
            self._loop.close()
            raise
        now = self._clock()
        for spool in self.spools:
            spool.state.attached, spool.state.attached_at = True, now
        if self._ftp is not None:
            self._ftp.start()
        for name, work in (("syslog", self._loop.run_forever), ("spool", self._tick), ("delivery", self._deliver)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        if self._http is not None:
            threading.Thread(target=self._http.serve_forever, name="health", daemon=True).start()

    def stop(self) -> None:
        """Stop receiving, close what is open, tell the sidecar. What waits is sent after the next start."""
        self._over.set()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._ftp is not None:
            self._ftp.stop()
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
        for thread in self._threads:
            thread.join(15)
        self._loop.close()
        for spool in self.spools:
            spool.close()
        with contextlib.suppress(Away):
            self._delivery.beat(self.facts())
        self._delivery.close()

    def facts(self) -> dict[str, Any]:
        """What health, status and the heartbeat tell."""
        now = self._clock()
        sources = []
        for spool in self.spools:
            source = spool.source
            where = source.listen or source.path or source.user
            sources.append({**as_json(spool.state, now), "receiver": source.receiver, "where": where})
        return {"time": now.isoformat(), "sources": sources}

    async def _end(self) -> None:
        self._close_listeners()
        # Connections end with what they had: their last line is kept.
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def _tick(self) -> None:
        watched = [
            Watched(each, Path(each.source.path or "")) for each in self.spools if each.source.receiver == "directory"
        ]
        folders = {id(each): spool for each, spool in zip(watched, self._directories(), strict=True)}
        while not self._over.wait(1.0):
            for each in watched:
                try:
                    each.look(time.monotonic())
                except OSError as error:
                    folders[id(each)].state.error = f"the folder cannot be read ({error.strerror})"
            for spool in self.spools:
                try:
                    spool.tick()
                except Exception:  # one source in trouble must not stop the others
                    logger.exception("spool in trouble source=%s", spool.source.name)
                    spool.state.error = "an error of ours; the service log has the details"

    def _directories(self) -> list[SourceSpool]:
        return [each for each in self.spools if each.source.receiver == "directory"]

    def _deliver(self) -> None:
        pause, beaten = SHORTEST, 0.0
        while not self._over.is_set():
            try:
                if time.monotonic() - beaten >= BEAT or not beaten:
                    self._delivery.beat(self.facts())
                    beaten = time.monotonic()
                    for spool in self.spools:
                        spool.state.error = ""
                sent = self._round()
                pause = SHORTEST
                if not sent:
                    self._over.wait(SHORTEST)
            except Away as error:
                logger.warning("delivery waits reason=%r next=%.1f", str(error), pause)
                for spool in self.spools:
                    spool.state.error = str(error)
                self._over.wait(pause)
                pause = min(LONGEST, pause * 2)

    def _round(self) -> int:
        """One file of each source, so that a busy one holds nobody up; how many."""
        sent = 0
        for spool in self.spools:
            for path in spool.ready()[:1]:
                if self._over.is_set():
                    return sent
                self._delivery.send(path, spool.source.name, spool.source.type)
                spool.sent(path)
                sent += 1
        return sent

    def _serve_health(self) -> None:
        if self._settings.health is None:
            return
        collector = self

        class Handler(BaseHTTPRequestHandler):
            """`/healthz`, `/metrics`."""

            def do_GET(self) -> None:
                if self.path == "/healthz":
                    body, kind = json.dumps({"ok": True, **collector.facts()}).encode(), "application/json"
                elif self.path == "/metrics":
                    body, kind = exposition(collector.facts()).encode(), "text/plain; version=0.0.4; charset=utf-8"
                else:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        host, _, port = self._settings.health.rpartition(":")
        try:
            self._http = ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
        except (OSError, ValueError) as error:
            raise ConfigError("D060", f"health cannot listen on {self._settings.health} ({error})") from error
        self._http.daemon_threads = True


def exposition(facts: dict[str, Any]) -> str:
    """Prometheus text format: counts by source."""
    lines = []
    for name, kind in (
        ("received", "counter"),
        ("messages", "counter"),
        ("dropped", "counter"),
        ("dropped_messages", "counter"),
        ("uploaded", "counter"),
        ("waiting", "gauge"),
    ):
        lines.append(f"# TYPE casb_collector_{name} {kind}")
        for source in facts["sources"]:
            label = str(source["name"]).replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'casb_collector_{name}{{source="{label}"}} {source[name]}')
    return "\n".join(lines) + "\n"
