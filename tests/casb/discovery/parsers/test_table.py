"""Every layout of the sources that have several, against what its lines say: `tests/vectors/logs`."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from casb.discovery import read
from casb.model.discovery import Skipped, TrafficEvent

VECTORS = Path(__file__).resolve().parents[3] / "vectors" / "logs"
NOW = datetime(2024, 5, 20, tzinfo=UTC)
FILES = sorted(VECTORS.glob("*.log"))


def told(outcome: TrafficEvent | Skipped) -> dict[str, Any]:
    if isinstance(outcome, Skipped):
        return {"line": outcome.line, "why": outcome.why}
    values = {name: getattr(outcome, name) for name in outcome.__slots__ if getattr(outcome, name) is not None}
    return {**values, "time": outcome.time.isoformat()}


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_lines_give_what_stands_beside_them(file: Path) -> None:
    outcomes = read(io.BytesIO(file.read_bytes()), source=None, zone=UTC, now=NOW)
    found = [told(outcome) for outcome in sorted(outcomes, key=lambda each: each.line)]
    assert found == json.loads(file.with_suffix(".json").read_text())


def test_there_are_vectors() -> None:
    assert len(FILES) >= 8
