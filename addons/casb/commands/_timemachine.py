"""`casb replay --activities`: where the records come from, and the report as one HTML page."""

from __future__ import annotations

import argparse
import importlib.resources
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import orjson

from casb.commands._log import open_log
from casb.commands.activity import clean
from casb.control.snapshot import build_snapshot
from casb.control.timemachine import Comparison, compare, to_json
from casb.errors import PolicyError, Where
from casb.policy.compile import Policies, compile_policies
from casb.policy.loader import LoadedPolicy
from casb.policy.matchers import Malformed
from casb.policy.rollout import duration
from casb.policy.wording import Difference, differences
from casb.sidecar.chart import Bar, Chart, Column, nice
from casb.store.folder import load_draft

_EVERY = 5000


def run(arguments: argparse.Namespace) -> int:
    """Exit status 1 when a decision would be otherwise."""
    after_policies = loaded_of(arguments.draft or arguments.config)
    before_policies = loaded_of(arguments.config) if arguments.draft else None
    after = compile_policies(after_policies)
    before = compile_policies(before_policies) if before_policies is not None else None
    found = _compared(_records(arguments), after, before)
    names = ("the folder's policies", "the draft") if before is not None else ("what happened", "the folder's policies")
    if arguments.report:
        changes = list(differences(before_policies, after_policies)) if before_policies is not None else []
        Path(arguments.report).write_text(report(found, names, changes), encoding="utf-8")
        print(f"wrote {arguments.report}", file=sys.stderr)
    if arguments.format == "json":
        print(json.dumps(to_json(found), ensure_ascii=False, indent=2))
    else:
        print("\n".join(clean(line) for line in _lines(found, names)))
    return 1 if found.changed else 0


def loaded_of(folder: str | Path) -> tuple[LoadedPolicy, ...]:
    """The policies of a folder, checked against its apps. Raises `Problems`."""
    return build_snapshot(load_draft(folder)).loaded


def _compared(records: Iterator[Mapping[str, Any]], after: Policies, before: Policies | None) -> Comparison:
    found = Comparison()
    shown = sys.stderr.isatty()
    for number, found in enumerate(compare(records, after, before), 1):
        if shown and number % _EVERY == 0:
            print(f"\r{number:,} activities, {found.changed:,} would go otherwise", end="", file=sys.stderr)
    if shown:
        print(file=sys.stderr)
    return found


def _records(arguments: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    since = None
    if arguments.since:
        try:
            since = datetime.now(UTC) - duration(arguments.since)
        except Malformed as wrong:
            raise PolicyError("P064", wrong.message, hint=wrong.hint) from wrong
    if arguments.activities:
        yield from _lines_of(arguments.activities, since)
        return
    log = open_log(arguments)
    try:
        yield from log.stream({"from": since.isoformat()} if since else {})
    finally:
        log.close()


def _lines_of(name: str, since: datetime | None) -> Iterator[Mapping[str, Any]]:
    """Records of an export, one JSON object a line. A line that is none becomes an empty record, which is counted."""
    start = since.isoformat() if since else ""
    with sys.stdin.buffer if name == "-" else _opened(name) as stream:
        for line in stream:
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError:
                record = {}
            if isinstance(record, dict) and str(record.get("time", "~")) >= start:
                yield record


def _opened(name: str) -> Any:
    try:
        return Path(name).open("rb")
    except OSError as error:
        why = (error.strerror or "unknown error").lower()
        raise PolicyError("P064", f"the activities cannot be read: {why}", Where(file=name)) from error


def _lines(found: Comparison, names: tuple[str, str]) -> Iterator[str]:
    data = to_json(found)
    yield sentence(found)
    if found.left_out:
        yield f"{found.left_out:,} records were left out: no policy decided them."
    if found.unsure:
        yield f"{found.unsure:,} rest on what was in a file or a text, which the log does not keep: taken as the same."
    for each in data["transitions"]:
        yield f"  {each['before']:<8} → {each['after']:<8} {each['activities']:>10,}"
    for title, key, name in (
        ("People it would meet most", data["people"]["most"], "user"),
        ("Apps", data["apps"], "app"),
        ("Files", data["files"], "file"),
    ):
        if key:
            yield title
        for each in key:
            split = f"  ({each['tighter']:,} stricter, {each['looser']:,} milder)" if "tighter" in each else ""
            yield f"  {each['activities']:>10,}  {each[name]}{split}"


def sentence(found: Comparison) -> str:
    """The outcome in one sentence."""
    if not found.total:
        return "There are no activities to compare."
    if not found.changed:
        return f"None of {found.total:,} activities would go otherwise."
    percent = 100 * found.changed / found.total
    return (
        f"{found.changed:,} of {found.total:,} activities ({percent:.1f} %) would go otherwise: "
        f"{found.tighter:,} more strictly, {found.looser:,} more mildly, for {len(found.users):,} people."
    )


def report(found: Comparison, names: tuple[str, str], changes: Sequence[Difference]) -> str:
    """The whole as one HTML page that needs nothing else."""
    data = to_json(found)
    rows: dict[str, dict[str, int]] = {
        each["policy"]: {"hits": each["activities"]} for each in data["policies"]["hits"]
    }
    for side in ("tighter", "looser"):
        for each in data["policies"][side]:
            rows.setdefault(each["policy"], {"hits": 0})[side] = each["activities"]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = (importlib.resources.files("casb.commands") / "templates" / "timemachine.html").read_text("utf-8")
    return environment.from_string(template).render(
        title="What other policies would have done" if changes else "Recorded activities decided again",
        before=names[0],
        after=names[1],
        found=data,
        sentence=sentence(found),
        differences=changes,
        policies={name: {"tighter": 0, "looser": 0, **row} for name, row in rows.items()},
        chart=_chart(found),
    )


@dataclass(frozen=True, slots=True)
class _Size:
    width: int = 960
    height: int = 220
    left: int = 60
    bottom: int = 24
    top: int = 10


def _chart(found: Comparison, size: _Size = _Size()) -> Chart:  # a frozen value
    """Two stacks a day: before and after."""
    days = sorted(found.days)[-90:]
    base = size.height - size.bottom
    most = max((sum(found.days[day].values()) for day in days), default=0)
    top = nice(most)
    step = (size.width - size.left) / max(1, len(days))
    scale = (base - size.top) / top
    columns = []
    for index, day in enumerate(days):
        x = size.left + index * step
        bars: list[Bar] = []
        for part, counts in enumerate((found.days_before[day], found.days[day])):
            y = float(base)
            for action, count in sorted(counts.items()):
                y -= count * scale
                left = x + step * (0.1 + 0.42 * part)
                bars.append(
                    Bar(round(left, 2), round(y, 2), round(step * 0.38, 2), round(count * scale, 2), action.word)
                )
        label = day[5:] if index % max(1, len(days) // 12) == 0 else ""
        told = "; ".join(
            ", ".join(f"{count} {action.word}" for action, count in sorted(counts.items()))
            for counts in (found.days_before[day], found.days[day])
        )
        columns.append(Column(round(x, 2), round(step, 2), tuple(bars), f"{day}: {told}", label))
    lines = tuple((round(base - top * part / 4 * scale, 2), top * part // 4) for part in range(5))
    return Chart(size.width, size.height, base, size.left, tuple(columns), lines, found.total)
