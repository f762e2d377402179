"""Firewall and proxy logs to discovered apps: who uses which cloud app, how much, at what risk.

Examples:
  casb discover /var/log/squid/access.log
  casb discover strange.csv --learn acme --output policies/logparsers/acme.yaml
  casb discover logs/ 'archive/*.gz' --source paloalto --format json
  zcat fw.gz | casb discover - --zone Europe/Berlin --since 7d
  casb discover access.log --events --format json
  casb discover access.log --format parquet --output usage.parquet

Files, folders, patterns and `-` (standard input); compressed ones as they are. The format is found by itself unless
--source names it. Nothing is kept: to keep usage, see `casb discovery`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from casb.catalog.factors import CATEGORIES
from casb.commands._progress import Progress, size
from casb.config.units import seconds
from casb.discovery import read
from casb.discovery.custom import learn, with_custom
from casb.discovery.facts import Facts
from casb.discovery.shaping import Shaper
from casb.discovery.streams import Kind, Stream
from casb.discovery.usage import BEFORE, Window
from casb.errors import CasbError, ConfigError
from casb.model.discovery import TrafficEvent
from casb.model.record import rfc3339
from casb.spreadsheet import cell
from casb.store.discovery_catalog import known_apps
from casb.store.discovery_pieces import Piece, opened
from casb.store.discovery_run import Job, Sum, expand
from casb.store.discovery_run import run as run_job
from casb.store.discovery_summary import AppUse, merge_to, summary
from casb.store.log_parsers import texts_of
from casb.yamlfile import did_you_mean

TOLD = 20
"""Apps, hosts and reasons that the table for people shows at most; the other formats show all."""
LEARNED, LEARNED_LINES = 64 * 1024, 50
"""Bytes and lines of a log that `--learn` looks at."""
SHOWN_LINES = 3
"""Sample lines shown for a reason."""
EVENT_COLUMNS = (
    "line", "time", "user", "client_ip", "device", "host", "url", "dest_ip", "bytes_up", "bytes_down", "allowed",
    "source",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("logs", nargs="+", metavar="LOG", help="files, folders, patterns, or - for the standard input")
    parser.add_argument("--source", metavar="NAME", help="the log's format; found by itself when not named")
    parser.add_argument(
        "--parser", action="append", default=[], metavar="FILE", help="a log parser of your own (logparsers/*.yaml)"
    )
    parser.add_argument(
        "--learn", metavar="NAME", help="write a log parser of that name out of the log's first lines instead"
    )
    parser.add_argument("--format", choices=("text", "json", "csv", "parquet"), default="text")
    parser.add_argument("--events", action="store_true", help="every single event instead of the apps")
    parser.add_argument("--zone", metavar="ZONE", help="time zone of times that name none, e.g. Europe/Berlin (UTC)")
    parser.add_argument("--since", metavar="WHEN", help="only what came after: 7d, 2026-03-01 or an RFC 3339 time")
    parser.add_argument("--output", metavar="FILE", help="write there instead of to stdout")
    parser.add_argument("--processes", type=int, default=0, metavar="N", help="processes (default: one per core)")
    parser.add_argument(
        "--config",
        metavar="DIR",
        help="configuration folder whose own apps and tags count; default: policies, where there is one",
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 nothing could be read, 2 a wrong call."""
    now = datetime.now(UTC)
    try:
        zone = ZoneInfo(arguments.zone) if arguments.zone else UTC
        window = Window(since=since(arguments.since, now))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        print(f"casb discover: {error}", file=sys.stderr)
        return 2
    try:
        own = (*texts_of(_folder(arguments.config)), *((name, Path(name).read_bytes()) for name in arguments.parser))
        known = with_custom(own)
    except OSError as error:
        print(f"casb discover: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    if arguments.source is not None and known.find(arguments.source) is None:
        hint = did_you_mean(arguments.source, list(known))
        print(
            f"casb discover: there is no log format '{arguments.source}'" + (f"; {hint}" if hint else ""),
            file=sys.stderr,
        )
        return 2
    paths, missing = expand(arguments.logs)
    for name in missing:
        print(f"casb discover: {name}: no such file", file=sys.stderr)
    if not paths:
        return 1
    if arguments.learn:
        return _learn(paths[0], arguments)
    if arguments.format == "parquet" and not arguments.output and sys.stdout.isatty():
        print("casb discover: Parquet is no text; name a file with --output", file=sys.stderr)
        return 2
    catalog = known_apps(_folder(arguments.config), now.date())
    job = Job(
        read=read,
        matcher=catalog.index,
        shaper=Shaper(stream=_stream(now)),
        now=now,
        window=window,
        source=arguments.source,
        own=own,
        zone=zone,
    )
    if arguments.events:
        return _events(paths, job, arguments) or int(bool(missing))
    with tempfile.TemporaryDirectory(prefix="casb-discover-") as folder:
        scratch = Path(folder)
        progress = Progress(sum(os.path.getsize(path) for path in paths if path != "-"))
        try:
            found = run_job(paths, job, scratch, progress=progress, processes=arguments.processes)
        finally:
            progress.close()
        for part in found.parts:
            if part.error:
                print(f"casb discover: {part.name}: {part.error}", file=sys.stderr)
        _write(found, catalog.facts, arguments, scratch)
    broken = all(part.error for part in found.parts)
    return 1 if broken or missing else 0


def _learn(path: str, arguments: argparse.Namespace) -> int:
    """A log parser proposed out of the first lines of a log, as YAML to be looked over and kept in `logparsers/`."""
    with opened(Piece(path=path), lambda _: None) as file:
        head = file.read(LEARNED).decode("utf-8", "replace").splitlines()
    try:
        text = learn(head[:LEARNED_LINES], name=arguments.learn)
        with_custom(((f"{arguments.learn}.yaml", text.encode()),))
    except ValueError as error:
        print(f"casb discover: {path}: {error}", file=sys.stderr)
        return 1
    if arguments.output:
        Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
        with open(arguments.output, "x", encoding="utf-8") as out:
            out.write(text)
        print(f"look it over, then: casb discover {path} --parser {arguments.output}", file=sys.stderr)
    else:
        print(text, end="")
    return 0


def since(text: str | None, now: datetime) -> datetime | None:
    """A point in time: a duration back from now, a date (UTC) or an RFC 3339 time. Raises `ValueError`."""
    if text is None:
        return None
    try:
        return now - timedelta(seconds=seconds(text))
    except (ValueError, OverflowError):
        pass
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"--since {text!r} is neither a duration (7d), a date nor an RFC 3339 time") from None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def _folder(config: str | None) -> str | None:
    if config is not None:
        return config
    return "policies" if Path("policies", "casb.yaml").is_file() else None


def _stream(now: datetime) -> Stream:
    return Stream(id="snapshot", name="snapshot", kind=Kind.SNAPSHOT, created=now, modified=now)


def _write(found: Sum, facts: Facts, arguments: argparse.Namespace, scratch: Path) -> None:
    if arguments.format == "parquet":
        target = Path(arguments.output) if arguments.output else scratch / "usage.parquet"
        if not found.spills:
            raise ConfigError("D001", "there is no usage of a known app in these logs, so there is nothing to write")
        merge_to(target.absolute(), found.spills, scratch)
        if not arguments.output:
            with open(target, "rb") as file:
                while chunk := file.read(1 << 20):
                    sys.stdout.buffer.write(chunk)
        return
    uses = summary(found.spills, scratch)
    writer = {"json": _json, "csv": _csv, "text": _text}[arguments.format]
    if arguments.output:
        with open(arguments.output, "w", encoding="utf-8", newline="") as file:
            writer(found, uses, facts, file)
    else:
        writer(found, uses, facts, sys.stdout)


def app_json(use: AppUse, facts: Facts) -> dict[str, Any]:
    """One app as `--format json` has it."""
    known = facts.app(use.app)
    return {
        "app": use.app,
        "name": known.name,
        "category": known.category or None,
        "score": known.score,
        "tag": known.tag,
        "tags": sorted(known.tags),
        "transactions": use.transactions,
        "blocked": use.blocked,
        "bytes_up": use.bytes_up,
        "bytes_down": use.bytes_down,
        "bytes_total": use.bytes_total,
        "users": use.users,
        "ips": use.ips,
        "devices": use.devices,
        "first": rfc3339(use.first),
        "last": rfc3339(use.last),
    }


def _json(found: Sum, uses: list[AppUse], facts: Facts, out: Any) -> None:
    counts = found.counts
    several = len(found.parts) > 1
    samples = [
        {"line": each.line, "why": each.why, **({"file": part.name} if several else {})}
        for part in found.parts
        for each in part.counts.samples
    ]
    answer = {
        "source": found.source,
        "confidence": round(found.confidence, 3),
        "lines": counts.lines,
        "events": counts.events,
        "skipped": samples[:1000],
        "skipped_total": counts.skipped.total(),
        "skipped_reasons": dict(counts.skipped.most_common()),
        "outside": dict(counts.outside),
        "oldest": counts.oldest and rfc3339(counts.oldest),
        "newest": counts.newest and rfc3339(counts.newest),
        "apps": [app_json(use, facts) for use in uses],
        "unmatched": [{"host": host, "transactions": count} for host, count in found.unmatched.total()],
        "files": [
            {
                "file": part.name,
                "source": part.source,
                "confidence": round(part.confidence, 3),
                "lines": part.counts.lines,
                "events": part.counts.events,
                "error": part.error or None,
            }
            for part in found.parts
        ],
    }
    json.dump(answer, out, indent=2)
    out.write("\n")


def _csv(found: Sum, uses: list[AppUse], facts: Facts, out: Any) -> None:
    writer = csv.writer(out)
    rows = [{**app_json(use, facts), "domains": list(facts.app(use.app).domains)} for use in uses]
    columns = ["app", "name", "category", "score", "tag", "tags", "transactions", "blocked", "bytes_up", "bytes_down",
               "bytes_total", "users", "ips", "devices", "first", "last", "domains"]  # fmt: skip
    writer.writerow(columns)
    for row in rows:
        writer.writerow([cell(row[column]) for column in columns])


def _text(found: Sum, uses: list[AppUse], facts: Facts, out: Any) -> None:
    counts = found.counts
    print(
        f"{counts.lines} lines, {counts.events} events, read as {found.source or 'nothing known'}"
        f" (confidence {found.confidence:.2f})",
        file=out,
    )
    if counts.oldest and counts.newest:
        print(f"from {rfc3339(counts.oldest)} to {rfc3339(counts.newest)}", file=out)
    rows = [("APP", "CATEGORY", "RISK", "TAG", "TRANSACTIONS", "BLOCKED", "UP", "DOWN", "USERS", "ADDRESSES")]
    for use in uses[:TOLD]:
        known = facts.app(use.app)
        score = "-" if known.score is None else f"{known.score:g} {known.risk}"
        share = f"{use.blocked / use.transactions:.0%}" if use.blocked else "-"
        rows.append(
            (known.name[:32], CATEGORIES.get(known.category, known.category)[:24], score, known.tag,
             str(use.transactions), share, size(use.bytes_up),
             size(use.bytes_down), str(use.users), str(use.ips))
        )  # fmt: skip
    print(file=out)
    print(_table(rows, right=(4, 5, 6, 7, 8, 9)), file=out)
    if len(uses) > TOLD:
        print(f"… and {len(uses) - TOLD} more apps; --format json or csv shows all", file=out)
    hosts = found.unmatched.total()
    if hosts:
        print("\nHosts of no known app:", file=out)
        print(_table([(printable(host), str(count)) for host, count in hosts[:TOLD]], right=(1,)), file=out)
        if len(hosts) > TOLD:
            print(f"… and {len(hosts) - TOLD} more", file=out)
    for why, count in counts.outside.most_common():
        print(f"\nNot counted: {count} events, {why}" if why != BEFORE else f"\n{count} events {why}", file=out)
    if counts.skipped:
        _skipped(found, out)


def _skipped(found: Sum, out: Any) -> None:
    print(f"\nSkipped {found.counts.skipped.total()} lines:", file=out)
    for why, count in found.counts.skipped.most_common(TOLD):
        print(f"  {count:>10}  {printable(why)}", file=out)
        shown = 0
        for part in found.parts:
            for sample in part.counts.samples:
                if sample.why == why and shown < SHOWN_LINES:
                    shown += 1
                    text = masked_line(part.name, sample.line)
                    print(f"              {part.name}:{sample.line}: {text}" if text else
                          f"              {part.name}:{sample.line}", file=out)  # fmt: skip


def masked_line(path: str, number: int, most: int = 200_000) -> str:
    """The line's shape without its content: letters become `x`, digits `9`. Empty where it cannot be had cheaply."""
    if path == "-" or number > most:
        return ""
    try:
        with opened(Piece(path=path)) as stream:
            if stream.peek(4)[:4].startswith((b"\x1f\x8b", b"PK", b"\x28\xb5\x2f\xfd", b"\xff\xfe", b"\xfe\xff")):
                return ""
            for at in range(1, number + 1):
                raw = stream.readline(1 << 20)
                if at == number:
                    return masked(raw[:400].decode("utf-8", "replace"))
    except OSError:
        return ""
    return ""


def masked(text: str) -> str:
    """Letters to `x`, digits to `9`, the rest as it is; cut to what fits a line."""
    shape = "".join("9" if each.isdigit() else "x" if each.isalpha() else each for each in text.strip())
    shape = printable(shape)
    return shape if len(shape) <= 90 else shape[:89] + "…"


def printable(text: str) -> str:
    """The text without what could steer a terminal."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def _table(rows: Sequence[tuple[str, ...]], right: tuple[int, ...] = ()) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            each.rjust(width) if column in right else each.ljust(width)
            for column, (each, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def event_json(event: TrafficEvent) -> dict[str, Any]:
    """One event as `--events --format json` has it."""
    return {
        "line": event.line,
        "time": rfc3339(event.time),
        "user": event.user,
        "client_ip": event.client_ip,
        "device": event.device,
        "host": event.host,
        "url": event.url,
        "dest_ip": event.dest_ip,
        "bytes_up": event.bytes_up,
        "bytes_down": event.bytes_down,
        "allowed": event.allowed,
        "source": event.source,
    }


def _events(paths: list[str], job: Job, arguments: argparse.Namespace) -> int:
    failed = 0

    def events() -> Iterator[TrafficEvent]:
        nonlocal failed
        for path in paths:
            try:
                with opened(Piece(path=path)) as stream:
                    for item in job.read(stream, source=job.source, zone=job.zone, now=job.now, name=path):
                        if isinstance(item, TrafficEvent) and not (job.window.since and item.time < job.window.since):
                            yield item
            except OSError as error:
                failed += 1
                print(f"casb discover: {path}: {error.strerror or error}", file=sys.stderr)
            except CasbError as error:
                failed += 1
                print(f"casb discover: {path}: {error}", file=sys.stderr)

    if arguments.format == "parquet":
        from casb.store.discovery_events import write_events

        target = arguments.output or "/dev/stdout"
        write_events(target, events())
    else:
        out = open(arguments.output, "w", encoding="utf-8", newline="") if arguments.output else sys.stdout
        try:
            _EVENT_WRITERS[arguments.format](events(), out)
        finally:
            if arguments.output:
                out.close()
    return 1 if failed == len(paths) else 0


def _events_json(events: Iterator[TrafficEvent], out: Any) -> None:
    for event in events:
        out.write(json.dumps(event_json(event)) + "\n")


def _events_csv(events: Iterator[TrafficEvent], out: Any) -> None:
    writer = csv.writer(out)
    writer.writerow(EVENT_COLUMNS)
    for event in events:
        writer.writerow([cell(value) for value in event_json(event).values()])


def _events_text(events: Iterator[TrafficEvent], out: Any) -> None:
    for event in events:
        verdict = {True: "allowed", False: "blocked", None: "-"}[event.allowed]
        up = "-" if event.bytes_up is None else size(event.bytes_up)
        down = "-" if event.bytes_down is None else size(event.bytes_down)
        who = event.user or event.device or "-"
        where = event.url or event.host or event.dest_ip or "-"
        line = (
            f"{rfc3339(event.time)}  {event.client_ip or '-':<15}  {who:<20}  {verdict:<7}  {up:>9}  {down:>9}  {where}"
        )
        out.write(printable(line) + "\n")


_EVENT_WRITERS: dict[str, Callable[[Iterator[TrafficEvent], Any], None]] = {
    "json": _events_json,
    "csv": _events_csv,
    "text": _events_text,
}
