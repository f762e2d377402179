"""What the modules of products are made of: readers over a shape and a field map, tried one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from casb.discovery.entry import Entry, LineReader, Outcome
from casb.discovery.fieldmap import FieldMap
from casb.discovery.formats import Event, delimited
from casb.discovery.parser import HEADER
from casb.discovery.parser import NO_TRAFFIC as NO_TRAFFIC
from casb.discovery.times import Clock

type Fields = Mapping[str, str]
type Start = Callable[[Clock], LineReader]
type Refusal = Callable[[Fields], str | None]
"""Why the fields, though of this source, tell of no traffic; None when they do."""

USER = frozenset({"user"})
ALL = frozenset({"user", "client_ip", "host", "url", "dest_ip", "bytes_up", "bytes_down", "allowed"})
FLOW = frozenset({"client_ip", "dest_ip", "bytes_up", "bytes_down", "allowed"})


def any_of(*starts: Start) -> Start:
    """A reader that offers each entry to several, in this order."""
    if len(starts) == 1:
        return starts[0]

    def start(clock: Clock) -> LineReader:
        readers = [each(clock) for each in starts]

        def read(entry: Entry) -> Outcome:
            for reader in readers:
                outcome = reader(entry)
                if outcome is not None:
                    return outcome
            return None

        return read

    return start


def from_pairs(
    source: str,
    mine: Callable[[Fields], bool],
    fields: FieldMap,
    refuse: Refusal | None = None,
    *,
    prepare: Callable[[dict[str, str], Entry], dict[str, str]] | None = None,
    split: Callable[[str], dict[str, str]] | None = None,
) -> Start:
    """Lines of key=value. `prepare` mends the pairs of a line that is `mine`; `split` reads them in another way."""

    def start(clock: Clock) -> LineReader:
        def read(entry: Entry) -> Outcome:
            if "=" not in entry.text:
                return None
            pairs = entry.pairs if split is None else split(entry.text)
            if not mine(pairs):
                return None
            if prepare:
                pairs = prepare(dict(pairs), entry)
            why = refuse(pairs) if refuse else None
            return entry.skip(why) if why else fields.event(pairs, entry, source, clock)

        return read

    return start


def has(*keys: str) -> Callable[[Fields], bool]:
    """True for fields with all of these keys."""

    def mine(fields: Fields) -> bool:
        return all(key in fields for key in keys)

    return mine


def from_cef(
    source: str,
    mine: Callable[[Event], bool],
    fields: FieldMap,
    refuse: Refusal | None = None,
    *,
    prepare: Callable[[dict[str, str]], dict[str, str]] = dict,
) -> Start:
    """CEF records."""

    def start(clock: Clock) -> LineReader:
        def read(entry: Entry) -> Outcome:
            return _record(entry.cef if "|" in entry.text else None, entry, clock)

        return read

    _record = _event_reader(source, mine, fields, refuse, prepare)
    return start


def from_leef(source: str, mine: Callable[[Event], bool], fields: FieldMap, refuse: Refusal | None = None) -> Start:
    """LEEF records."""

    def start(clock: Clock) -> LineReader:
        def read(entry: Entry) -> Outcome:
            return _record(entry.leef if "|" in entry.text else None, entry, clock)

        return read

    _record = _event_reader(source, mine, fields, refuse, dict)
    return start


def _event_reader(
    source: str,
    mine: Callable[[Event], bool],
    fields: FieldMap,
    refuse: Refusal | None,
    prepare: Callable[[dict[str, str]], dict[str, str]],
) -> Callable[[Event | None, Entry, Clock], Outcome]:
    def read(event: Event | None, entry: Entry, clock: Clock) -> Outcome:
        if event is None or not mine(event):
            return None
        known = prepare({"signature": event.signature, "name": event.name, **event.fields})
        why = refuse(known) if refuse else None
        return entry.skip(why) if why else fields.event(known, entry, source, clock)

    return read


def by_vendor(*words: str, product: tuple[str, ...] = ()) -> Callable[[Event], bool]:
    """True for records whose vendor (and product) field begins with one of these, in lower case."""

    def mine(event: Event) -> bool:
        if not event.vendor.lower().startswith(words):
            return False
        return not product or event.product.lower().startswith(product)

    return mine


def from_json(source: str, mine: Callable[[Fields], bool], fields: FieldMap, refuse: Refusal | None = None) -> Start:
    """One JSON object a line."""

    def start(clock: Clock) -> LineReader:
        def read(entry: Entry) -> Outcome:
            if entry.text[:1] != "{":
                return None
            value = entry.json
            if value is None or not mine(value):
                return None
            why = refuse(value) if refuse else None
            return entry.skip(why) if why else fields.event(value, entry, source, clock)

        return read

    return start


def from_header(
    source: str,
    mine: Callable[[Fields], bool],
    fields: FieldMap,
    refuse: Refusal | None = None,
    *,
    delimiters: str = ",\t;|",
    rename: Callable[[str], str] = str,
) -> Start:
    """Delimited lines below a header that names the columns; the header may come again, and change."""

    def start(clock: Clock) -> LineReader:
        columns: list[str] = []
        delimiter = ","
        narrow = fields

        def read(entry: Entry) -> Outcome:
            nonlocal columns, delimiter, narrow
            text = entry.text
            if columns and delimiter in text:
                values = delimited(text, delimiter)
                if values is not None and 0 <= len(columns) - len(values) <= 0:
                    record = dict(zip(columns, values, strict=True))
                    if _heads(values, columns):
                        return entry.skip(HEADER)
                    why = refuse(record) if refuse else None
                    return entry.skip(why) if why else narrow.event(record, entry, source, clock)
            if _DATA.search(text):
                return None
            for each in delimiters:
                if text.count(each) >= 3:
                    named = delimited(text.lstrip("#\ufeff "), each)
                    if named is None or any(len(name) > 60 for name in named):
                        continue
                    folded = [rename(name.strip().strip('"').lower()) for name in named]
                    if mine(dict.fromkeys(folded, "")):
                        columns, delimiter = folded, each
                        narrow = fields.narrowed(frozenset(folded))
                        return entry.skip(HEADER)
            return None

        return read

    return start


_DATA = re.compile(r"\d:\d\d|\d\.\d+\.\d|\d{5}|[={}]")
"""What no header line holds: times, addresses, long numbers, pairs."""


def _heads(values: list[str], columns: list[str]) -> bool:
    return values[0].strip().lower() == columns[0] and values[-1].strip().lower() == columns[-1]


def over(base: FieldMap, **changes: object) -> FieldMap:
    """A field map that differs from another in some attributes."""
    return replace(base, **changes)  # type: ignore[arg-type]
