"""What was measured, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import re
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from bench_lib.cases import Result
from bench_lib.contestants import Contestant

BASE = "mitmdump"


def machine() -> dict[str, Any]:
    """What it ran on."""
    model = re.search(r"model name\s*:\s*(.+)", _read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s*(\d+)", _read("/proc/meminfo"))
    return {
        "system": platform.platform(),
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_mb": int(memory[1]) // 1024 if memory else None,
        "load_1m": round(os.getloadavg()[0], 1),
    }


def versions() -> dict[str, str]:
    """Of what took part."""
    found = {name: metadata.version(name) for name in ("casb", "mitmproxy", "cryptography", "pyopenssl", "h2")}
    found |= {"python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION}
    for name, command in (("nginx", ["nginx", "-v"]), ("h2load", ["h2load", "--version"])):
        try:
            said = subprocess.run(command, capture_output=True, text=True, timeout=10)
        except OSError:
            continue
        found[name] = (said.stdout + said.stderr).strip().rpartition("/")[2]
    return found


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def document(
    results: Sequence[Result], contestants: Sequence[Contestant], run: dict[str, Any], before: dict[str, Any]
) -> dict[str, Any]:
    """Everything, samples included. Ratios are to plain mitmdump in the same round."""
    return {
        "run": run,
        "machine": before,
        "versions": versions(),
        "contestants": {
            each.name: {"start_seconds": round(each.start_seconds, 2), "idle_mb": _mb(each.idle_bytes)}
            for each in contestants
        },
        "cases": [
            {
                "id": result.case.id,
                "title": result.case.title,
                "unit": result.case.unit,
                "contestants": {
                    name: {
                        "median": _rounded(asdict(result.median(name))),
                        "ratio": _spread(result.ratios(name, BASE)),
                        "samples": [_rounded(asdict(each)) for each in samples],
                    }
                    for name, samples in result.samples.items()
                },
            }
            for result in results
        ],
    }


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in values.items()}


def _spread(ratios: list[float]) -> dict[str, float] | None:
    if not ratios:
        return None
    middle = (ratios[(len(ratios) - 1) // 2] + ratios[len(ratios) // 2]) / 2
    return {"median": round(middle, 4), "lowest": round(ratios[0], 4), "highest": round(ratios[-1], 4)}


def _mb(size: int) -> float:
    return round(size / 1e6, 1)


def table(found: dict[str, Any]) -> str:
    """For a terminal. One line for each contestant in each case."""
    host, run = found["machine"], found["run"]
    rows = [("", "CPU ms", "ratio", "lowest - highest", "per second", "peak MB over idle")]
    for case in found["cases"]:
        rows.append((f"{case['title']} (per {case['unit']})", "", "", "", "", ""))
        for name, each in case["contestants"].items():
            ratio, median = each["ratio"], each["median"]
            rows.append(
                (
                    f"  {name}",
                    f"{median['cpu_ms']:.3f}",
                    f"{ratio['median']:.3f}" if ratio else "",
                    f"{ratio['lowest']:.3f} - {ratio['highest']:.3f}" if ratio else "",
                    f"{median['per_second']:.0f}",
                    f"{_mb(median['peak_bytes']):.1f}",
                )
            )
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    started = ", ".join(
        f"{name} {each['start_seconds']:.1f} s, {each['idle_mb']:.0f} MB" for name, each in found["contestants"].items()
    )
    lines += [
        "",
        f"CPU of the proxy's processes; ratio to {BASE} in the same round; {run['rounds']} rounds of "
        f"{run['seconds']:g} s, medians; {run['policies']} policies.",
        f"Started and idle: {started}.",
        f"{host['cpu']}, {host['cores']} cores, {host['memory_mb']} MB, load {host['load_1m']}; {host['system']}.",
        ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
    ]
    return "\n".join(lines)


def as_json(found: dict[str, Any]) -> str:
    """For programs."""
    return json.dumps(found, indent=2)
