"""A fast lane beside a log parser: lines of one strict layout summed column by column, all others left to the parser.

Arrow splits a block of lines into columns; what a column's value means is asked of the parser's own functions, once
for each value that occurs. So a line gives the same usage on either way, and a line that is the least bit different
(another layout, no ASCII, a host whose paths matter) stays in the stream for the parser. The lane leaves an empty line
where it took one, which keeps the numbers of the others.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from casb.discovery.entry import address, named, target
from casb.discovery.parsers.squid import decided
from casb.discovery.resources import resource_of
from casb.discovery.usage import BEFORE, EXPIRED, FULL, FUTURE, Tally, Usage, Window

HEAD = 128 * 1024
"""Bytes that go to the parser untouched: it finds out who wrote the log."""
BLOCK = 16 * 1024 * 1024
_REMEMBERED = 200_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400_000
_JSON = re.compile(rb"(?:\A|\n)[ \t\r\x0b\x0c]*[\[\]{]")
"""A line that may begin a JSON document of several lines, which only the parser's reader can put together."""
_SIMPLE = re.compile(r"[A-Za-z0-9._:\[\]-]{1,300}\Z")
_COLUMNS = ("stamp", "elapsed", "client", "result", "size", "method", "url", "user", "hierarchy", "type")
_CODED = ("client", "result", "user", "hierarchy")
_KEYS = ("day", "app", "user", "ip", "device", "resource")
_DIGITS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13])
_POWERS = 10 ** np.arange(12, -1, -1, dtype=np.int64)
_OURS = -2
"""The code of a value that is left to the parser. -1 is «none»."""

type Array = np.ndarray[Any, np.dtype[Any]]


class Matcher(Protocol):
    """Who owns a destination."""

    def app(self, host: str | None, url: str | None, address: str | None) -> str | None: ...

    def by_path(self, host: str) -> bool: ...


class Source(Protocol):
    """A reading that knows, after its first outcome, which parser reads the log."""

    @property
    def source(self) -> str | None: ...


class LaneStream(io.RawIOBase):
    """The bytes of a log, without the lines that the lane has summed. Set `reading` to the reading of this stream."""

    def __init__(
        self, file: BinaryIO, tally: Tally, matcher: Matcher, window: Window, spill: Callable[[list[Usage]], None]
    ) -> None:
        """`spill` is given rows as often as memory asks for it."""
        self.reading: Source | None = None
        self._file = file
        self._lane = SquidLane(tally, matcher, window)
        self._spill = spill
        self._pending = memoryview(b"")
        self._rest = b""
        self._began = False
        self._open = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._pending:
            self._pending = memoryview(self._next())
        count = min(len(buffer), len(self._pending))
        buffer[:count] = self._pending[:count]
        self._pending = self._pending[count:]
        return count

    def finish(self) -> None:
        """Give away what is still held."""
        rows = self._lane.drain()
        if rows:
            self._spill(rows)

    def _next(self) -> bytes:
        if not self._open:
            rest, self._rest = self._rest, b""
            return rest or self._file.read(BLOCK)
        data = self._rest + self._file.read(HEAD if not self._began else BLOCK)
        cut = data.rfind(b"\n") + 1
        if not cut or (self._began and (self.reading is None or self.reading.source != self._lane.source)):
            self._open = False
            self._rest = b""
            return data
        block, self._rest = data[:cut], data[cut:]
        if not self._began:
            self._began = True
            self._open = not (_JSON.search(block) or b"\0" in block or block[:3] == b"\xef\xbb\xbf")
            return block
        left = self._lane.take(block)
        if left is None:
            self._open = False
            return block
        if self._lane.rows >= FULL:
            self._spill(self._lane.drain())
        return left


class SquidLane:
    """Squid's native layout, with the time in seconds and milliseconds and all ten columns."""

    source = "squid"

    def __init__(self, tally: Tally, matcher: Matcher, window: Window) -> None:
        self._tally = tally
        self._matcher = matcher
        self._bounds = [
            (_micros(window.newest), True, FUTURE),
            (_micros(window.oldest), False, EXPIRED),
            (_micros(window.since), False, BEFORE),
        ]
        self._sums: list[pa.Table] = []
        self.rows = 0
        self._forget()

    def take(self, block: bytes) -> bytes | None:
        """Sum the lines that are of this layout; the block with an empty line in place of each. None: none was taken,
        and none may be from here on.
        """
        raw = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(raw == 10)
        starts = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))
        sound = ends - starts >= 60
        strange = np.flatnonzero(((raw < 32) & (raw != 10)) | (raw > 126))
        if len(strange):
            strange = strange[~((raw[strange] == 13) & (raw[np.minimum(strange + 1, len(raw) - 1)] == 10))]
            sound[np.searchsorted(ends, strange)] = False
            raw = raw.copy()
            raw[strange] = 63
        heads = raw[np.minimum(starts[:, None] + np.arange(15), len(raw) - 1)]
        digits = heads[:, _DIGITS] - 48
        sound &= (digits < 10).all(axis=1) & (heads[:, 10] == 46) & (heads[:, 14] == 32)
        blank = raw == 32
        table, at = _split(raw[~np.concatenate((np.zeros(1, bool), blank[1:] & blank[:-1]))], len(ends))
        good, columns = self._columns(table)
        good &= sound[at]
        taken = at[good]
        gone = np.zeros(len(ends), bool)
        gone[taken] = True
        left = _left(block, starts, ends, np.flatnonzero(~gone))
        if _JSON.search(left):
            return None
        times = (digits[taken] @ _POWERS) if len(taken) else np.zeros(0, np.int64)
        self._count(times, {name: values[good] for name, values in columns.items()})
        return left

    def drain(self) -> list[Usage]:
        """The rows so far; the lane starts anew."""
        texts, found = self._texts, []
        if self._sums:
            for row in zip(*(each.to_pylist() for each in _grouped(self._sums).columns), strict=True):
                day, app, user, ip, device, resource, events, blocked, size, first, last = row
                found.append(
                    Usage(
                        _date(day), texts[app] or "", texts[user], texts[ip], texts[device], texts[resource],
                        events, blocked, 0, size, size, _time(first), _time(last),
                    )
                )  # fmt: skip
        self._forget()
        return found

    def _forget(self) -> None:
        self._sums, self.rows = [], 0
        self._texts: list[str | None] = [None]
        self._codes: dict[str | None, int] = {None: 0}
        self._known: dict[Hashable, tuple[int, ...]] = {}

    def _code(self, text: str | None) -> int:
        code = self._codes.get(text)
        if code is None:
            code = self._codes[text] = len(self._texts)
            self._texts.append(text)
        return code

    def _columns(self, table: pa.Table) -> tuple[Array, dict[str, Array]]:
        """Which rows can be taken, and the meaning of all."""
        size = table.column("size")
        good = pc.and_(pc.utf8_is_digit(size), pc.less_equal(pc.utf8_length(size), 10)).to_numpy()
        found = {"size": pc.cast(pc.if_else(pa.chunked_array([pa.array(good)]), size, "0"), pa.int64()).to_numpy()}
        coded = {name: table.column(name).combine_chunks() for name in _CODED}
        keys = _authorities(table.column("url")).dictionary_encode()
        client = self._meant("client", coded["client"], self._client)
        user = self._meant("user", coded["user"], lambda text: (self._code(named(text)),))
        result = self._meant("result", coded["result"], _result)
        hierarchy = self._meant("hierarchy", coded["hierarchy"], self._hierarchy)
        host = self._meant("host", keys, self._host)
        for each in (client, user, result, hierarchy, host):
            good = good & (each[0] != _OURS)
        owner = np.where(hierarchy[0] > 0, hierarchy[1], host[2])
        found |= {
            "ip": client[0], "device": client[1], "user": user[0], "blocked": result[0], "host": host[0],
            "app": np.where(host[1] > 0, host[1], owner), "resource": host[3],
        }  # fmt: skip
        return good, found

    def _meant(self, kind: str, column: Any, meaning: Callable[[str], tuple[int, ...] | None]) -> list[Array]:
        """The meaning of each row's value, found once for each value."""
        known = self._known
        if len(known) > _REMEMBERED:
            known.clear()
        meanings = []
        for text in column.dictionary.to_pylist():
            found = known.get((kind, text))
            if found is None:
                found = known[kind, text] = (meaning(text) if text else None) or (_OURS,) * 4
            meanings.append(found)
        rows = column.indices.to_numpy()
        width = min(map(len, meanings), default=4)
        by_value = np.array([each[:width] for each in meanings], np.int64).reshape(-1, width)
        return [by_value[rows, index] for index in range(width)]

    def _client(self, text: str) -> tuple[int, ...]:
        ip = address(text)
        return self._code(ip), self._code(None if ip else named(text))

    def _hierarchy(self, text: str) -> tuple[int, ...] | None:
        if "/" not in text:
            return None
        ip = address(text.partition("/")[2])
        return self._code(ip), self._code(self._matcher.app(None, None, ip)) if ip else 0

    def _host(self, key: str) -> tuple[int, ...] | None:
        """Host, its app, the app of the address that it is, and its resource."""
        web = key.startswith("http://")
        if not _SIMPLE.match(key[7:] if web else key) or key.startswith("error:"):
            return None
        url = key + "/" if web else key
        host, _ = target(url)
        if host is None or self._matcher.by_path(host):
            return None
        app = self._matcher.app(host, url, None)
        resource = resource_of(app or "", host, None)
        if resource_of(app or "", host, "http://host/probe") != resource:
            return None
        literal = address(host) if host[-1].isdigit() or ":" in host else None
        owner = self._matcher.app(None, None, literal) if literal else None
        return self._code(host), self._code(app), self._code(owner), self._code(resource)

    def _count(self, times: Array, rows: dict[str, Array]) -> None:
        counts = self._tally.counts
        counts.lines += len(times)
        counts.events += len(times)
        if not len(times):
            return
        counts.spread(_time(int(times.min())))
        counts.spread(_time(int(times.max())))
        inside = np.ones(len(times), bool)
        for bound, above, why in self._bounds:
            if bound is not None:
                out = inside & ((times * 1000 > bound) if above else (times * 1000 < bound))
                if out.any():
                    counts.outside[why] += int(out.sum())
                    inside &= ~out
        days = times // _DAY
        owned = rows["app"] > 0
        counts.matched += int((inside & owned).sum())
        self._unmatched(days, rows["host"], inside & ~owned)
        matched = inside & owned
        columns = {
            "day": days,
            **{name: rows[name] for name in _KEYS[1:]},
            "blocked": rows["blocked"],
            "size": rows["size"],
        }
        table = pa.table({name: pa.array(values[matched]) for name, values in columns.items()})
        summed = table.append_column("first", pa.array(times[matched])).append_column("last", pa.array(times[matched]))
        self._sums.append(_grouped([summed.append_column("events", pa.array(np.ones(len(summed), np.int64)))]))
        self.rows += len(self._sums[-1])
        if self.rows >= FULL:
            self._sums = [_grouped(self._sums)]
            self.rows = len(self._sums[0])

    def _unmatched(self, days: Array, hosts: Array, which: Array) -> None:
        if not which.any():
            return
        pairs, counts = np.unique(days[which] << 32 | hosts[which], return_counts=True)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
            self._tally.unmatched.add(_date(pair >> 32), self._texts[pair & 0xFFFFFFFF] or "", count)


def _split(raw: Array, lines: int) -> tuple[pa.Table, Array]:
    """The columns of the lines that have as many as they should, and which lines those are."""
    other: list[int] = []

    def skip(row: pa.csv.InvalidRow) -> str:
        other.append(row.number)
        return "skip"

    text = pa.string()
    types = {name: pa.dictionary(pa.int32(), text) if name in _CODED else text for name in ("url", "size", *_CODED)}
    table = pa.csv.read_csv(
        pa.py_buffer(raw),
        read_options=pa.csv.ReadOptions(use_threads=False, column_names=_COLUMNS, block_size=4 * 1024 * 1024),
        parse_options=pa.csv.ParseOptions(
            delimiter=" ", quote_char=False, ignore_empty_lines=False, invalid_row_handler=skip
        ),
        convert_options=pa.csv.ConvertOptions(
            column_types=types, include_columns=list(types), strings_can_be_null=False, check_utf8=False
        ),
    ).unify_dictionaries()
    at = np.ones(lines, bool)
    at[np.array(other, np.int64) - 1] = False
    return table, np.flatnonzero(at)


def _authorities(urls: pa.ChunkedArray) -> pa.Array:
    """`http://authority` of web URLs, anything else as it is."""
    urls = urls.combine_chunks()
    web = pc.or_(pc.starts_with(urls, "http://"), pc.starts_with(urls, "https://"))
    parts = pc.split_pattern(pc.if_else(web, urls, "http:///"), "/", max_splits=3)
    ends = parts.offsets.to_numpy()[:-1] + 2
    return pc.if_else(web, pc.binary_join_element_wise("http:/", parts.flatten().take(pa.array(ends)), "/"), urls)


def _left(block: bytes, starts: Array, ends: Array, lines: Array) -> bytes:
    """These lines of the block, and an empty line for each other."""
    parts, above = [], 0
    for line in lines.tolist():
        parts.append(b"\n" * (line - above))
        parts.append(block[starts[line] : ends[line] + 1])
        above = line + 1
    parts.append(b"\n" * (len(ends) - above))
    return b"".join(parts)


def _grouped(tables: Sequence[pa.Table]) -> pa.Table:
    found = (
        pa.concat_tables(tables)
        .group_by(list(_KEYS), use_threads=False)
        .aggregate([("events", "sum"), ("blocked", "sum"), ("size", "sum"), ("first", "min"), ("last", "max")])
    )
    return found.rename_columns([name.partition("_")[0] for name in found.column_names]).select(
        [*_KEYS, "events", "blocked", "size", "first", "last"]
    )


def _result(text: str) -> tuple[int, ...] | None:
    allowed = decided(text)
    return None if allowed is None else (int(not allowed),)


def _micros(time: datetime | None) -> int | None:
    return None if time is None else (time - _EPOCH) // timedelta(microseconds=1)


def _time(millis: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=millis)


def _date(day: int) -> date:
    return (_EPOCH + timedelta(days=day)).date()
