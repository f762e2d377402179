"""`/metrics` in the Prometheus text format, version 0.0.4. Counts only: no names of people or files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from casb import __version__
from casb.sidecar.deployment import View
from casb.sidecar.services import Counters
from casb.store.portal_sqlite import ProxyStatus

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

type Sample = tuple[dict[str, str], float]


def exposition(
    counters: Counters,
    *,
    stored: int,
    view: View,
    proxies: Iterable[ProxyStatus],
    now: datetime,
) -> str:
    """The whole page."""
    proxies = list(proxies)
    spools = [({"proxy": each.name}, each.facts.get("spool", {})) for each in proxies]
    families: list[tuple[str, str, str, list[Sample]]] = [
        ("casb_info", "gauge", "Version of the sidecar.", [({"version": __version__}, 1)]),
        (
            "casb_records_received_total",
            "counter",
            "Records handed over since start, by what became of them.",
            [
                ({"outcome": "accepted"}, counters.accepted),
                ({"outcome": "duplicate"}, counters.duplicates),
                ({"outcome": "rejected"}, counters.rejected),
            ],
        ),
        ("casb_requests_refused_total", "counter", "Requests without a valid token.", [({}, counters.refused)]),
        ("casb_records_stored", "gauge", "Records in the activity log.", [({}, stored)]),
        ("casb_configuration_valid", "gauge", "1: the configuration folder is valid.", [({}, not view.errors)]),
        (
            "casb_proxy_last_seen_seconds",
            "gauge",
            "Seconds since a proxy was heard of.",
            [({"proxy": each.name}, (now - each.time).total_seconds()) for each in proxies],
        ),
        (
            "casb_spool_pending_bytes",
            "gauge",
            "Bytes a proxy has spooled and not handed over.",
            [(labels, _number(spool.get("pending_bytes"))) for labels, spool in spools if isinstance(spool, dict)],
        ),
        (
            "casb_spool_lag_seconds",
            "gauge",
            "Seconds since a proxy had last handed over everything.",
            [(labels, _number(spool.get("lag"))) for labels, spool in spools if isinstance(spool, dict)],
        ),
    ]
    lines = []
    for name, kind, text, samples in families:
        if samples:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{_labels(labels)} {float(value):g}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
