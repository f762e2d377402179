r"""Log parsers of one's own: CSV or key=value described in YAML, and a proposal for one out of a few lines.

    # logparsers/acme.yaml
    name: acme                       # usable wherever a source is named
    format: csv                      # or pairs
    delimiter: comma                 # comma, tab, semicolon, space, bar, or the character itself
    columns: [stamp, src, user, url, up, down, verdict]   # only where the file has no header
    time: {column: stamp, format: "%d/%m/%Y %H:%M:%S", zone: Europe/Berlin}
    fields: {client_ip: src, user: user, url: url, bytes_up: up, bytes_down: down, action: verdict}
    denied: [blocked]

`time` may name a `date` and a `time` column instead; without a format any common one is read, `epoch` included. Column
names are taken without regard to case; a header may appear anywhere in the file. Lines may be wrapped in syslog.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Literal

from casb import yamlfile
from casb.discovery import formats
from casb.discovery.entry import Entry, LineReader, Outcome, address, host_of_url, named, number, verdict
from casb.discovery.fieldmap import FieldMap
from casb.discovery.parser import HEADER, LogParser, Parsers
from casb.discovery.parsers.generic import FIELDS as GENERIC
from casb.discovery.parsers.table import PARSERS
from casb.discovery.times import Clock, zone_of
from casb.errors import CasbError, ConfigError, Problems, Where

type Attribute = Literal[
    "user", "client_ip", "device", "host", "url", "dest_ip", "bytes_up", "bytes_down", "bytes_total", "action",
]  # fmt: skip

_DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "space": " ", "bar": "|"}
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeShape:
    """Where the time stands: in one column, or in a date and a time column."""

    column: str = ""
    date: str = ""
    time: str = ""
    format: str = ""
    """As Python's strptime has it, for date and time joined by a blank; any common form without it."""
    zone: str = ""
    """For times that name none: an IANA name or an offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParserShape:
    """One custom log parser."""

    name: str
    format: Literal["csv", "pairs"]
    time: TimeShape
    fields: dict[Attribute, str]
    """Which column or key gives which attribute."""
    title: str = ""
    delimiter: str = "comma"
    columns: tuple[str, ...] = ()
    """The columns, in a file without header."""
    denied: tuple[str, ...] = ()
    """What the action column says of a refused transaction; known words are known without it."""
    sample: str = ""


def load(text: bytes, file: str) -> LogParser:
    """The log parser that a YAML text describes. Raises `Problems` with all its errors, each with its place."""
    return parser(read_shape(text, file))


type Texts = tuple[tuple[str, bytes], ...]
"""Custom parsers as written: file name and text."""


@functools.lru_cache(maxsize=16)
def with_custom(texts: Texts) -> Parsers:
    """The shipped log parsers and these. Raises `Problems` with all errors of all texts; a name counts once."""
    own: list[LogParser] = []
    errors: list[CasbError] = []
    for file, text in texts:
        try:
            made = load(text, file)
        except Problems as problems:
            errors += problems.errors
            continue
        if PARSERS.find(made.name) is not None or any(each.name == made.name for each in own):
            hint = "choose another name"
            errors.append(ConfigError("C017", f"there is a log parser {made.name!r} already", Where(file=file), hint))
        else:
            own.append(made)
    if errors:
        raise Problems(errors)
    return PARSERS.extended(*own)


def read_shape(text: bytes, file: str) -> ParserShape:
    """The checked description. Raises `Problems`."""
    shape, marks, report = yamlfile.examine(ParserShape, text, file, prefix="C")
    if shape is not None and marks is not None:
        _check(shape, marks, report)
    if report.errors or shape is None:
        raise Problems(report.sorted())
    return shape


def _check(shape: ParserShape, marks: yamlfile.Marks, report: yamlfile.Report) -> None:
    def wrong(path: tuple[str | int, ...], message: str, hint: str = "") -> None:
        report.add("017", message, marks.where(path), hint)

    if not _NAME.match(shape.name):
        wrong(("name",), f"{shape.name!r} is no name", "small letters, digits and hyphens")
    if shape.format == "csv" and shape.delimiter not in _DELIMITERS and len(shape.delimiter) != 1:
        wrong(
            ("delimiter",), f"{shape.delimiter!r} is no delimiter", f"known: {', '.join(_DELIMITERS)}, or one character"
        )
    if not shape.time.column and not (shape.time.date and shape.time.time):
        wrong(("time",), "no column with the time", "write time: {column: NAME}, or both date and time")
    if shape.time.zone and zone_of(shape.time.zone) is None:
        wrong(("time", "zone"), f"{shape.time.zone!r} is no time zone", "for example Europe/Berlin, UTC or +02:00")
    if shape.time.format and not _is_format(shape.time.format):
        wrong(("time", "format"), f"{shape.time.format!r} is no time format", "for example %Y-%m-%d %H:%M:%S, or epoch")
    if not any(key in shape.fields for key in ("host", "url", "dest_ip")):
        wrong(("fields",), "nothing tells the destination", "name a column for host, url or dest_ip")
    known = {name.lower() for name in shape.columns}
    for path, name in _named_columns(shape):
        if known and name.lower() not in known:
            wrong(path, f"there is no column {name!r}", yamlfile.did_you_mean(name, shape.columns))


def _named_columns(shape: ParserShape) -> list[tuple[tuple[str, str], str]]:
    times = [(("time", key), getattr(shape.time, key)) for key in ("column", "date", "time")]
    return [each for each in times if each[1]] + [(("fields", key), name) for key, name in shape.fields.items()]


def _is_format(text: str) -> bool:
    if text == "epoch":
        return True
    try:
        moment = datetime(2024, 11, 21, 13, 14, 15, tzinfo=UTC)
        datetime.strptime(moment.strftime(text), text)  # noqa: DTZ007
    except (ValueError, re.error):
        return False
    return "%" in text


def parser(shape: ParserShape) -> LogParser:
    """The log parser that a checked description describes."""
    fields = _field_map(shape)
    return LogParser(
        name=shape.name,
        title=shape.title or shape.name,
        sample=shape.sample,
        start=functools.partial(_start, shape, fields),
        gives=frozenset("allowed" if key == "action" else key for key in shape.fields),
        certainty=0.9,
    )


def _field_map(shape: ParserShape) -> FieldMap:
    def column(key: Attribute) -> tuple[str, ...]:
        return (shape.fields[key].lower(),) if key in shape.fields else ()

    return FieldMap(
        time=("\0time",),
        user=column("user"),
        client=column("client_ip"),
        device=column("device"),
        host=column("host"),
        url=column("url"),
        dest=column("dest_ip"),
        up=column("bytes_up"),
        down=column("bytes_down"),
        total=column("bytes_total"),
        action=column("action"),
        verdicts={word.lower(): False for word in shape.denied},
        otherwise=True if shape.denied and "action" in shape.fields else None,
    )


def _start(shape: ParserShape, fields: FieldMap, clock: Clock) -> LineReader:
    zone = zone_of(shape.time.zone) if shape.time.zone else None
    moment = _moment_reader(shape.time, clock, zone)
    needed = {name.lower() for _, name in _named_columns(shape)}
    split = _pairs_of(needed) if shape.format == "pairs" else _columns_of(shape, needed)

    def read(entry: Entry) -> Outcome:
        record = split(entry.text)
        if record is None or isinstance(record, str):
            return None if record is None else entry.skip(record)
        when = moment(record)
        if when is None:
            return entry.skip("no time that can be read")
        record["\0time"] = when
        return fields.event(record, entry, shape.name, clock)

    return read


def _moment_reader(shape: TimeShape, clock: Clock, zone: tzinfo | None) -> Callable[[dict[str, str]], str | None]:
    """What reads the time of a record, as a text in ISO form."""
    names = [name.lower() for name in ((shape.column,) if shape.column else (shape.date, shape.time))]

    def parse(text: str) -> str | None:
        if not shape.format or shape.format == "epoch":
            moment = clock.parse(text, zone)
        else:
            moment = _strptime(text, shape.format, zone or clock.zone)
        return moment.isoformat() if moment else None

    def read(record: dict[str, str]) -> str | None:
        return parse(" ".join(record.get(name, "") for name in names).strip())

    return read


def _strptime(text: str, form: str, zone: tzinfo) -> datetime | None:
    try:
        moment = datetime.strptime(text, form)  # noqa: DTZ007  # The zone follows.
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _pairs_of(needed: set[str]) -> Callable[[str], dict[str, str] | str | None]:
    def split(text: str) -> dict[str, str] | None:
        pairs = formats.pairs(text)
        return pairs if len(needed & pairs.keys()) * 2 >= len(needed) else None

    return split


def _columns_of(shape: ParserShape, needed: set[str]) -> Callable[[str], dict[str, str] | str | None]:
    delimiter = _DELIMITERS.get(shape.delimiter, shape.delimiter)
    columns = [name.lower() for name in shape.columns]

    def split(text: str) -> dict[str, str] | str | None:
        nonlocal columns
        values = formats.words(text) if delimiter == " " else formats.delimited(text, delimiter)
        if values is None:
            return None
        folded = [value.strip().lower() for value in values]
        if needed <= set(folded):
            columns = folded
            return HEADER
        if not columns or len(values) != len(columns):
            return None
        return dict(zip(columns, (value.strip() for value in values), strict=True))

    return split


# --- a proposal out of a few lines


def learn(lines: Sequence[str], *, name: str = "custom", header: str | None = None) -> str:
    """A custom parser's YAML for a log of which these lines are a sample (three do); `header` names its columns, if the
    first line does not. ValueError with a sentence when there is no such parser.
    """
    kept = [line.strip("\r\n") for line in lines if line.strip()]
    if not kept:
        raise ValueError("there is no line to learn from")
    records = [formats.pairs(line) for line in kept]
    if (
        all(len(record) >= 4 and kept[index].count("=") >= len(record) for index, record in enumerate(records))
        and not header
    ):
        keys = [key for key in records[0] if all(key in record for record in records)]
        return _proposal(name, "pairs", "", (), _infer(keys, [[record[key] for record in records] for key in keys]))
    delimiter = _delimiter([*kept, header] if header else kept)
    rows = [_row(line, delimiter) for line in kept]
    if header is not None:
        names = _row(header, delimiter)
    elif _is_header(rows[0]) and len(rows) > 1:
        names, rows = rows[0], rows[1:]
        header = "in the file"
    else:
        names = []
    width = len(names) or len(rows[0])
    if width < 3 or any(len(row) != width for row in rows):
        raise ValueError("the lines have no common number of columns")
    columns = _unique(names) if names else [f"column{index}" for index in range(1, width + 1)]
    facts = _infer(columns, [[row[index] for row in rows] for index in range(width)], known=bool(names))
    word = next(word for word, character in _DELIMITERS.items() if character == delimiter)
    return _proposal(name, "csv", word, () if header == "in the file" else columns, facts)


def _row(line: str, delimiter: str) -> list[str]:
    values = formats.words(line) if delimiter == " " else formats.delimited(line, delimiter)
    return [value.strip() for value in values or []]


def _delimiter(lines: Sequence[str]) -> str:
    """The character that cuts all lines into the same, largest number of columns; blanks only where no other does."""
    best, most = "", 2
    for delimiter in (",", "\t", ";", "|", " "):
        widths = {len(_row(line, delimiter)) for line in lines}
        width = min(widths)
        if len(widths) == 1 and width > most and not (delimiter == " " and best):
            best, most = delimiter, width
    if not best:
        raise ValueError("no delimiter cuts the lines into one number of columns")
    return best


def _is_header(row: Sequence[str]) -> bool:
    return all(cell and not cell[:1].isdigit() and "://" not in cell and address(cell) is None for cell in row)


def _unique(names: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    unique = []
    for position, name in enumerate(names, 1):
        key = (name or f"column{position}").lower()
        seen[key] = seen.get(key, 0) + 1
        unique.append((name or f"column{position}") + (f"_{seen[key]}" if seen[key] > 1 else ""))
    return unique


_DATE = re.compile(
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{1,2}[ -]?[A-Za-z]{3}[ -]?\d{2,4})\Z"
)
_TIME = re.compile(r"\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d+)?(?: ?[AaPp][Mm])?\Z")
_HOST = re.compile(r"(?:[a-z0-9_-]+\.)+[a-z]{2,24}(?::\d+)?(?:/.*)?\Z", re.IGNORECASE)
_BY_NAME: tuple[tuple[Attribute, tuple[str, ...]], ...] = (
    ("user", GENERIC.user), ("client_ip", GENERIC.client), ("device", GENERIC.device), ("url", GENERIC.url),
    ("dest_ip", GENERIC.dest), ("host", GENERIC.host), ("bytes_up", GENERIC.up), ("bytes_down", GENERIC.down),
    ("bytes_total", GENERIC.total), ("action", GENERIC.action),
)  # fmt: skip


def _kind(values: Sequence[str]) -> str:
    """What a column of these values holds."""
    clock = Clock(UTC, datetime(2100, 1, 1, tzinfo=UTC))
    tests: tuple[tuple[str, Callable[[str], object]], ...] = (
        ("date", _DATE.match),
        ("clock", _TIME.match),
        ("address", address),
        ("time", lambda value: len(value) > 8 and clock.parse(value)),
        ("number", lambda value: number(value) is not None),
        ("url", lambda value: "://" in value and host_of_url(value)),
        ("host", _HOST.match),
        ("action", lambda value: len(value) < 24 and verdict(value) is not None),
    )
    filled = [value for value in values if named(value) is not None]
    for kind, test in tests:
        if filled and all(test(value) for value in filled):
            return kind
    return "text" if filled else ""


def _infer(columns: Sequence[str], values: Sequence[Sequence[str]], *, known: bool = True) -> dict[str, str]:
    """Attribute or `time`, `date`, `clock` to column: by its name where that says it, by its values else."""
    kinds = {column: _kind(column_values) for column, column_values in zip(columns, values, strict=True)}
    facts = _time_facts(kinds)
    by_column = dict(zip(columns, values, strict=True))
    if "time" in facts and (form := _day_first(by_column[facts["time"]])):
        facts["format"] = form
    taken = {column for key, column in facts.items() if key != "format"}
    if known:
        for attribute, names in _BY_NAME:
            fits = [column for column in columns if column not in taken and _fits(attribute, kinds[column])]
            column = next(
                (each for name in names for each in fits if each.lower().replace(" ", "_") == name.replace(" ", "_")),
                None,
            )
            if column:
                facts[attribute] = column
                taken.add(column)
    _by_values(facts, taken, kinds, by_column)
    if not any(key in facts for key in ("host", "url", "dest_ip")):
        raise ValueError("no column looks like a destination (URL, host or address)")
    if "time" not in facts and "date" not in facts:
        raise ValueError("no column looks like a time")
    return facts


def _time_facts(kinds: dict[str, str]) -> dict[str, str]:
    dates = [column for column, kind in kinds.items() if kind == "date"]
    clocks = [column for column, kind in kinds.items() if kind == "clock"]
    times = [column for column, kind in kinds.items() if kind == "time"]
    if times:
        return {"time": times[0]}
    if dates and clocks:
        return {"date": dates[0], "clock": clocks[0]}
    return {}


_SLASHED = re.compile(r"(\d\d)([/.-])(\d\d)[/.-]\d{4} \d\d:\d\d:\d\d\Z")


def _day_first(values: Sequence[str]) -> str:
    """The format of dates that begin with the day, where the sample proves it; empty otherwise."""
    matches = [_SLASHED.match(value) for value in values]
    if all(matches) and any(match and int(match[1]) > 12 for match in matches):
        between = matches[0][2] if matches[0] else "/"
        return f"%d{between}%m{between}%Y %H:%M:%S"
    return ""


_KINDS_OF = {
    "client_ip": ("address",), "dest_ip": ("address",), "url": ("url", "host", "text"), "host": ("host", "address"),
    "bytes_up": ("number",), "bytes_down": ("number",), "bytes_total": ("number",), "action": ("action", "text"),
    "user": ("text", "host", ""), "device": ("text", "host", ""),
}  # fmt: skip


def _fits(attribute: str, kind: str) -> bool:
    return kind in _KINDS_OF[attribute]


def _by_values(facts: dict[str, str], taken: set[str], kinds: dict[str, str], values: dict[str, Sequence[str]]) -> None:
    def free(*wanted: str) -> list[str]:
        return [column for column, kind in kinds.items() if kind in wanted and column not in taken]

    def take(attribute: str, candidates: Sequence[str]) -> None:
        if attribute not in facts and candidates:
            facts[attribute] = candidates[0]
            taken.add(candidates[0])

    take("client_ip", free("address"))
    take("dest_ip", free("address"))
    take("url", free("url"))
    if "url" not in facts:
        take("host", free("host"))
    take("action", free("action"))
    sizes = [column for column in free("number") if _is_size(values[column])]
    if "bytes_up" not in facts and "bytes_down" not in facts and "bytes_total" not in facts:
        if len(sizes) >= 2:
            take("bytes_up", sizes)
            take("bytes_down", [column for column in sizes if column not in taken])
        else:
            take("bytes_total", sizes)
    people = [column for column in free("text") if all(_is_person(value) for value in values[column])]
    take("user", sorted(people, key=lambda column: not any("\\" in value or "@" in value for value in values[column])))


def _is_size(values: Sequence[str]) -> bool:
    """Neither ports nor statuses nor short durations."""
    numbers = [found for found in map(number, values) if found is not None]
    statuses = all(100 <= each < 600 for each in numbers)
    return bool(numbers) and not statuses and not all(each in (80, 443, 8080, 53, 21, 22) for each in numbers)


def _is_person(value: str) -> bool:
    return named(value) is None or (
        len(value) < 80 and value.upper() not in _METHODS and " " not in value and "/" not in value
    )


_METHODS = frozenset(
    "GET POST PUT HEAD DELETE OPTIONS CONNECT PATCH TRACE TCP UDP ICMP HTTP HTTPS TLS SSL FTP DNS".split()
)


def _proposal(name: str, form: str, delimiter: str, columns: Sequence[str], facts: dict[str, str]) -> str:
    quoted = functools.partial(json.dumps, ensure_ascii=False)
    out = [f"name: {quoted(name)}", f"format: {form}"]
    if delimiter:
        out.append(f"delimiter: {delimiter}")
    if columns:
        out.append(f"columns: [{', '.join(map(quoted, columns))}]")
    form_of_time = f", format: {quoted(facts['format'])}" if "format" in facts else ""
    if "time" in facts:
        out.append(f"time: {{column: {quoted(facts['time'])}{form_of_time}}}")
    else:
        out.append(f"time: {{date: {quoted(facts['date'])}, time: {quoted(facts['clock'])}}}")
    out.append("fields:")
    out += [f"  {key}: {quoted(facts[key])}" for key, _ in _BY_NAME if key in facts]
    return "\n".join(out) + "\n"
