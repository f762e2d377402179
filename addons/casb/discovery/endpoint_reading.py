"""Bytes of an endpoint export to records: NDJSON, advanced-hunting JSON and CSV, batches of the streaming API.

A document that is one JSON value (`{"Results": [...]}`, `{"records": [...]}`, `[...]`) is read whole up to
`MOST_DOCUMENT`; lines and CSV are read one by one. Compressed input is opened by content, as logs are.
"""

from __future__ import annotations

import codecs
import csv
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any, BinaryIO

import orjson

from casb.discovery import unpack
from casb.discovery.endpoint_records import SOURCE, TWICE, DeviceContext, NetworkEvent, Told, record_of
from casb.model.discovery import Skipped, TrafficEvent

MOST_DOCUMENT = 128 * 1024 * 1024
"""Characters of a document, on one line or several; advanced hunting exports at most 100,000 rows."""
NOT_JSON = "not JSON"
NOT_RECORD = "no record"
TOO_LONG = "longer than a record can be"
_LISTS = ("records", "results", "value", "events", "data", "items")
_SAME = timedelta(minutes=1)
_REMEMBERED = 20_000
_DEEPEST = 4

type Line = tuple[int, str | Skipped]


def read_records(stream: BinaryIO, name: str = "") -> Iterator[Told]:
    """Every record of the input, or why it is none. Lazy; never raises for what the bytes say."""
    for member in unpack.members(stream, name):
        if isinstance(member, unpack.Damage):
            yield Skipped(line=0, why=member.why)
            continue
        yield from _member(member.chunks)


def _member(chunks: Iterable[bytes | unpack.Damage]) -> Iterator[Told]:
    lines = _lines(chunks)
    for number, line in lines:
        if isinstance(line, Skipped):
            yield line
            continue
        text = line.strip()
        if not text:
            continue
        if text[:1] not in ("{", "["):
            yield from _table(number, line, lines)
            return
        value = _parsed(text.rstrip(","))
        if value is None and (text in ("{", "[") or _opens(text)):
            yield from _document(number, line, lines)
            return
        yield from _records(value, number, 0)


def _lines(chunks: Iterable[bytes | unpack.Damage]) -> Iterator[Line]:
    """Numbered lines, decoded from UTF-8, or UTF-16 with its mark; `Skipped` for one that cannot be given."""
    number, size = 1, 0
    kept: list[str] = []
    for text in _text(chunks):
        if isinstance(text, Skipped):
            yield number, Skipped(line=number, why=text.why)
            return
        begun = 0
        while (end := text.find("\n", begun)) >= 0:
            size += end - begun
            kept.append(text[begun:end])
            yield number, Skipped(line=number, why=TOO_LONG) if size > MOST_DOCUMENT else "".join(kept)
            number, size, begun = number + 1, 0, end + 1
            kept.clear()
        size += len(text) - begun
        kept.append(text[begun:])
        if size > MOST_DOCUMENT:
            kept.clear()
    if size:
        yield number, Skipped(line=number, why=TOO_LONG) if size > MOST_DOCUMENT else "".join(kept)


def _text(chunks: Iterable[bytes | unpack.Damage]) -> Iterator[str | Skipped]:
    decoder: codecs.IncrementalDecoder | None = None
    first = b""
    for chunk in chunks:
        if isinstance(chunk, unpack.Damage):
            yield Skipped(line=0, why=chunk.why)
            return
        if decoder is None:
            first += chunk
            if len(first) < 3:
                continue
            wide = first[:2] in (b"\xff\xfe", b"\xfe\xff")
            decoder = codecs.getincrementaldecoder("utf-16" if wide else "utf-8-sig")("replace")
            yield decoder.decode(first)
        else:
            yield decoder.decode(chunk)
    yield decoder.decode(b"", True) if decoder is not None else first.decode("utf-8", "replace")


def _opens(text: str) -> bool:
    return text.rstrip()[-1:] in ("{", "[", ",", ":") or text.count("{") > text.count("}")


def _document(number: int, first: str, lines: Iterator[Line]) -> Iterator[Told]:
    """A value over several lines; where that cannot be read, each line for itself."""
    kept, size = [(number, first)], len(first)
    for at, line in lines:
        if isinstance(line, Skipped) or size + len(line) > MOST_DOCUMENT:
            yield line if isinstance(line, Skipped) else Skipped(line=at, why=TOO_LONG)
            break
        kept.append((at, line))
        size += len(line)
    value = _parsed("\n".join(line for _, line in kept))
    if value is not None:
        yield from _records(value, number, 0)
        return
    for at, line in kept:
        text = line.strip().rstrip(",")
        if text and text not in ("[", "]", "{", "}"):
            yield from _records(_parsed(text), at, 0)


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return None


def _records(value: Any, number: int, depth: int) -> Iterator[Told]:
    """The rows in a value: itself, or those of the list that it wraps."""
    if value is None or depth > _DEEPEST:
        yield Skipped(line=number, why=NOT_JSON)
    elif isinstance(value, list):
        for each in value:
            yield from _records(each if each is not None else 0, number, depth + 1)
    elif isinstance(value, Mapping):
        inner = next(
            (each for key, each in value.items() if str(key).lower() in _LISTS and isinstance(each, list)), None
        )
        if inner is not None and not any(str(key).lower() in ("deviceid", "devicename", "properties") for key in value):
            yield from _records(inner, number, depth + 1)
        else:
            yield record_of(value, number)
    else:
        yield Skipped(line=number, why=NOT_RECORD)


def _table(number: int, header: str, lines: Iterator[Line]) -> Iterator[Told]:
    """CSV with a header; `Timestamp` or `TimeGenerated` must be among its columns."""
    delimiter = max(",;\t", key=header.count)
    try:
        columns = [each.strip().strip('"') for each in next(csv.reader([header.rstrip("\r")], delimiter=delimiter))]
    except (csv.Error, StopIteration):
        columns = []
    if not {"timestamp", "timegenerated"} & {each.lower() for each in columns}:
        yield Skipped(line=number, why=NOT_RECORD)
        for at, line in lines:
            if isinstance(line, Skipped):
                yield line
            elif line.strip():
                yield Skipped(line=at, why=NOT_RECORD)
        return
    at = number

    def rows() -> Iterator[str]:
        nonlocal at
        for each, line in lines:
            at = each
            # The reader's own limit would end the whole table.
            text = "" if isinstance(line, Skipped) else line
            yield text[: csv.field_size_limit()].replace("\0", "").rstrip("\r") + "\n"

    reader = csv.reader(rows(), delimiter=delimiter)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield Skipped(line=at, why=NOT_RECORD)
            continue
        if row:
            yield record_of(dict(zip(columns, row, strict=False)), at)


class EndpointReading:
    """Records read like a log: what discovery counts. `source` and `confidence` as of `casb.discovery.read`."""

    source: str | None = SOURCE
    confidence = 1.0

    def __init__(self, stream: BinaryIO, name: str = "") -> None:
        self._stream = stream
        self._name = name

    def __iter__(self) -> Iterator[TrafficEvent | Skipped]:
        for told in once(read_records(self._stream, self._name)):
            if isinstance(told, NetworkEvent):
                yield told.as_traffic()
            elif isinstance(told, DeviceContext):
                yield Skipped(line=told.line, why="facts about a device")
            else:
                yield told


def once(records: Iterable[Told]) -> Iterator[Told]:
    """A connection is told by several rows (asked, reached, inspected): those that add nothing are left out.

    Only what has the same ends within a minute and another ActionType is taken for the same connection.
    """
    seen: OrderedDict[tuple[Any, ...], tuple[datetime, str, int | None, int | None]] = OrderedDict()
    for told in records:
        if not isinstance(told, NetworkEvent) or told.local_port is None or told.protection:
            yield told
            continue
        key = (told.device_id, told.local_ip, told.local_port, told.remote_ip, told.remote_port, told.host)
        before = seen.get(key)
        if (
            before is not None
            and abs(told.time - before[0]) <= _SAME
            and told.action != before[1]
            and (told.up, told.down) in ((None, None), before[2:])
        ):
            yield Skipped(line=told.line, why=TWICE)
            continue
        seen[key] = (told.time, told.action, told.up, told.down)
        if len(seen) > _REMEMBERED:
            seen.popitem(last=False)
        yield told


def read_endpoint(stream: BinaryIO, *, source: object, zone: tzinfo, now: datetime, name: str = "") -> EndpointReading:
    """As `casb.discovery.read`, for exports of an endpoint agent."""
    return EndpointReading(stream, name)
