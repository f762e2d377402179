"""`/healthz`, `/readyz` and `/metrics` of the proxy, from what its workers write down."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from casb.store.shipper import ShipperState


class Health:
    """Knows how the workers and the shipper are."""

    def __init__(self, data: Path, wanted: int, shipper: ShipperState, problems: Callable[[], list[str]]) -> None:
        self.data, self.wanted, self.shipper, self.problems = data, wanted, shipper, problems

    def statuses(self) -> list[dict[str, Any]]:
        """The workers that are alive."""
        return read_statuses(self.data)

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether traffic is served, and what is missing."""
        statuses = self.statuses()
        missing = []
        if not statuses:
            missing.append("no worker serves")
        elif len(statuses) < self.wanted:
            missing.append(f"{self.wanted - len(statuses)} of {self.wanted} workers are starting")
        warnings = list(self.problems()) + [problem for each in statuses[:1] for problem in each["problems"]]
        if self.shipper.error:
            warnings.append(f"records wait in the spool: {self.shipper.error}")
        versions = sorted({each["version"] for each in statuses})
        body = {"ready": bool(statuses), "missing": missing, "warnings": warnings, "versions": versions}
        return bool(statuses), body

    def metrics(self) -> str:
        """Prometheus text format 0.0.4."""
        statuses = self.statuses()
        totals: Counter[str] = Counter()
        for each in statuses:
            totals.update(each["counters"])
        lines = [
            "# HELP casb_proxy_workers Worker processes that serve.",
            "# TYPE casb_proxy_workers gauge",
            f"casb_proxy_workers {len(statuses)}",
            "# HELP casb_proxy_events_total What happened to exchanges, by kind.",
            "# TYPE casb_proxy_events_total counter",
            *(f'casb_proxy_events_total{{kind="{name}"}} {totals[name]}' for name in sorted(totals)),
            "# HELP casb_spool_pending_bytes Records not yet handed to the sidecar, in bytes.",
            "# TYPE casb_spool_pending_bytes gauge",
            f"casb_spool_pending_bytes {self.shipper.pending_bytes}",
            "# HELP casb_spool_lag_seconds Time since the sidecar had everything.",
            "# TYPE casb_spool_lag_seconds gauge",
            f"casb_spool_lag_seconds {self.shipper.lag:.3f}",
            "# HELP casb_spool_shipped_total Records accepted by the sidecar.",
            "# TYPE casb_spool_shipped_total counter",
            f"casb_spool_shipped_total {self.shipper.accepted}",
        ]
        return "\n".join(lines) + "\n"


def serve_health(health: Health, address: str | None) -> Callable[[], None]:
    """Serve in a thread; the function that stops it."""
    if address is None:
        return lambda: None

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/healthz":
                self._answer(200, "application/json", json.dumps({"alive": True}))
            elif self.path == "/readyz":
                ready, body = health.ready()
                self._answer(200 if ready else 503, "application/json", json.dumps(body))
            elif self.path == "/metrics":
                self._answer(200, "text/plain; version=0.0.4; charset=utf-8", health.metrics())
            else:
                self._answer(404, "application/json", json.dumps({"ok": False, "error": "not found"}))

        def _answer(self, status: int, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):  # a balancer has seen enough after the head
                self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Health checks are not worth a line each."""

    host, _, port = address.rpartition(":")
    server = ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop


def read_statuses(data: Path) -> list[dict[str, Any]]:
    """The workers' own words, those of the last five seconds."""
    found = []
    for path in sorted((data / "workers").glob("*.json")):
        try:
            status = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if time.time() - status["time"] < 5:
            found.append(status)
    return found
