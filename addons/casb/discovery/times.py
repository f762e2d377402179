"""Timestamps as logs write them, to aware UTC: with or without year, zone, fraction, in any common order.

A `Clock` belongs to one reading: it knows the zone for times that name none, the moment that missing years are resolved
against, and learns from the lines whether 03/04 is in March or April. Knows nothing of log formats.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

_CACHED = 8192
_AHEAD = timedelta(days=2)  # A time without year may lie this far ahead of now: zones and clocks that run fast.

_MONTHS = {name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_HOURS = {
    "z": 0, "utc": 0, "gmt": 0, "wet": 0, "west": 1, "bst": 1, "cet": 1, "met": 1, "cest": 2, "mest": 2, "eet": 2,
    "eest": 3, "msk": 3, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
    "akst": -9, "akdt": -8, "hst": -10, "ast": -4, "adt": -3, "brt": -3, "art": -3, "ist": 5.5, "pkt": 5, "sgt": 8,
    "hkt": 8, "awst": 8, "jst": 9, "kst": 9, "aest": 10, "aedt": 11, "acst": 9.5, "nzst": 12, "nzdt": 13, "sast": 2,
}  # fmt: skip

_ZONE = r"(?:\s*(Z|[+-]\d\d:?\d\d(?!\d)|(?:GMT|UTC)[+-]\d{1,2}(?::?\d\d)?|[A-Z]{3,5}\b|[A-Z][a-z]+/[A-Za-z_]+))?"
_CLOCK = r"(\d{1,2}):(\d\d)(?::(\d\d))?(?:[.,:](\d{1,9}))?\s*([AaPp]\.?[Mm]\.?)?"
_DAY_NAME = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?\s+)?"

_ISO = re.compile(r"(\d{4})[-/.: ](\d{1,2})[-/.: ](\d{1,2})[T\s_:,-]+" + _CLOCK + _ZONE)
_MONTH_FIRST = re.compile(
    _DAY_NAME
    + r"([A-Za-z]{3})[a-z]*\.?\s+(\d{1,2}),?\s+(?:(\d{4}),?\s+)?(?:at\s+)?"
    + _CLOCK
    + _ZONE
    + r"(?:(?:\s+|(?<=\s))(\d{4})\b)?"
)
_DAY_FIRST = re.compile(
    _DAY_NAME + r"(\d{1,2})[\s/-]?([A-Za-z]{3})[a-z]*\.?[\s/-]?(\d{4}|\d{2}(?=[\s:]))?,?[\s:T]+" + _CLOCK + _ZONE
)
_NUMERIC = re.compile(r"(\d{1,2})([/.-])(\d{1,2})[/.-](\d{4}|\d{2})[,\s:T-]+" + _CLOCK + _ZONE)
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)[T\s]?(\d\d):?(\d\d):?(\d\d)(?:[.,](\d{1,9}))?()" + _ZONE)
_EPOCH = re.compile(r"(\d{9,19})(?:[.,](\d{1,9}))?\Z")
_TIME_FIRST = re.compile(_CLOCK + r"\s+(.*)")

_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)
_zones: dict[str, tzinfo | None] = {}


def zone_of(text: str) -> tzinfo | None:
    """The zone that a log names: an offset (`+0200`, `-05:00`, `GMT+1`), an abbreviation or an IANA name; else None."""
    if text not in _zones:
        if len(_zones) > 1000:
            _zones.clear()
        _zones[text] = _zone(text.strip().strip("\"'"))
    return _zones[text]


def _zone(text: str) -> tzinfo | None:
    known = _HOURS.get(text.lower())
    if known is not None:
        return timezone(timedelta(hours=known)) if known else UTC
    match = re.fullmatch(r"(?:GMT|UTC)?([+-])(\d{1,2}):?(\d\d)?", text)
    if match:
        hours, minutes = int(match[2]), int(match[3] or 0)
        if hours > 15 or minutes > 59:
            return None
        offset = timedelta(hours=hours, minutes=minutes)
        return timezone(-offset if match[1] == "-" else offset)
    if re.fullmatch(r"[A-Za-z_]+/[A-Za-z_/+-]{1,40}", text):
        try:
            return ZoneInfo(text)
        except (KeyError, ValueError, OSError):
            return None
    return None


class Clock:
    """Reads the times of one log. `zone` is for times without one, `now` (aware) for times without year."""

    __slots__ = ("_cache", "_day_first", "_last", "now", "zone")

    def __init__(self, zone: tzinfo, now: datetime) -> None:
        self.zone = zone
        self.now = now.astimezone(UTC)
        self._cache: dict[str | tuple[str, tzinfo], datetime | None] = {}
        self._day_first: bool | None = None
        self._last: Callable[[str, tzinfo], datetime | None] = self._iso

    def parse(self, text: str, zone: tzinfo | None = None) -> datetime | None:
        """The moment that `text` names in whatever common form, in UTC; None when it names none.

        `zone` is used where the text has none; it goes before the clock's own.
        """
        cache = self._cache
        key = text if zone is None else (text, zone)
        try:
            return cache[key]
        except KeyError:
            pass
        if len(cache) >= _CACHED:
            cache.clear()
        moment = self._parse(text, zone or self.zone)
        cache[key] = moment
        return moment

    def epoch(self, text: str) -> datetime | None:
        """Seconds, milliseconds, microseconds or nanoseconds since 1970, by size."""
        match = _EPOCH.match(text)
        if match is None:
            return None
        whole, fraction = match.groups()
        digits = len(whole)
        value, scale = int(whole), 1
        if digits > 17:
            scale = 1_000_000_000
        elif digits > 14:
            scale = 1_000_000
        elif digits > 11:
            scale = 1_000
        micros = value * 1_000_000 // scale
        if fraction and scale == 1:
            micros += int((fraction + "00000")[:6])
        try:
            return _EPOCH_START + timedelta(microseconds=micros)
        except OverflowError:
            return None

    def _parse(self, text: str, zone: tzinfo) -> datetime | None:
        text = text.strip(" \t\"'[]*")
        if len(text) > 80:
            return None
        try:
            moment = self._last(text, zone)
            if moment is not None:
                return moment
            for form in (self._iso, self._plain, self._month_first, self._day, self._numeric, self._time_first):
                moment = form(text, zone)
                if moment is not None:
                    self._last = form
                    return moment
        except (ValueError, OverflowError):
            pass
        return None

    def _iso(self, text: str, zone: tzinfo) -> datetime | None:
        match = _ISO.match(text)
        if match is None:
            return None
        year, month, day, hour, minute, second, fraction, half, named = match.groups()
        return _moment(int(year), int(month), int(day), (hour, minute, second, fraction, half), named, zone)

    def _plain(self, text: str, zone: tzinfo) -> datetime | None:
        moment = self.epoch(text) if len(text) != 14 or text[:2] not in ("19", "20") else None
        if moment is not None:
            return moment
        match = _COMPACT.match(text)
        if match is None:
            return None
        year, month, day, hour, minute, second, fraction, half, named = match.groups()
        return _moment(int(year), int(month), int(day), (hour, minute, second, fraction, half), named, zone)

    def _month_first(self, text: str, zone: tzinfo) -> datetime | None:
        match = _MONTH_FIRST.match(text)
        if match is None:
            return None
        name, day, early, hour, minute, second, fraction, half, named, late = match.groups()
        month = _MONTHS.get(name.lower())
        if month is None:
            return None
        return self._dated(early or late, month, int(day), (hour, minute, second, fraction, half), named, zone)

    def _day(self, text: str, zone: tzinfo) -> datetime | None:
        match = _DAY_FIRST.match(text)
        if match is None:
            return None
        day, name, year, hour, minute, second, fraction, half, named = match.groups()
        month = _MONTHS.get(name.lower())
        if month is None:
            return None
        return self._dated(year, month, int(day), (hour, minute, second, fraction, half), named, zone)

    def _numeric(self, text: str, zone: tzinfo) -> datetime | None:
        match = _NUMERIC.match(text)
        if match is None:
            return None
        one, separator, two, year, hour, minute, second, fraction, half, named = match.groups()
        first, other = int(one), int(two)
        if first > 12 or other > 12:
            if self._day_first is not (first > 12):
                self._cache.clear()
            self._day_first = first > 12
        day_first = self._day_first if self._day_first is not None else separator == "."
        day, month = (first, other) if day_first else (other, first)
        return self._dated(year, month, day, (hour, minute, second, fraction, half), named, zone)

    def _time_first(self, text: str, zone: tzinfo) -> datetime | None:
        match = _TIME_FIRST.match(text)
        if match is None:
            return None
        rest = match[6]
        time = text[: match.start(6)].rstrip()
        if _TIME_FIRST.match(rest):
            return None
        named = re.match(r"([A-Z]{2,5}|[+-]\d{4})\s+(.*)", rest)
        if named and zone_of(named[1]) is not None:
            return self._parse(f"{named[2]} {time} {named[1]}", zone)
        return self._parse(f"{rest} {time}", zone)

    def _dated(
        self, year: str | None, month: int, day: int, clock: _ClockText, named: str | None, zone: tzinfo
    ) -> datetime | None:
        if year:
            whole = int(year)
            return _moment(whole + 2000 if whole < 100 else whole, month, day, clock, named, zone)
        for candidate in (self.now.year + 1, self.now.year, self.now.year - 1, self.now.year - 2, self.now.year - 3):
            try:  # 29 February is not in every year.
                moment = _moment(candidate, month, day, clock, named, zone)
            except ValueError:
                continue
            if moment is not None and moment <= self.now + _AHEAD:
                return moment
        return None


type _ClockText = tuple[str, str, str | None, str | None, str | None]


def _moment(year: int, month: int, day: int, clock: _ClockText, named: str | None, zone: tzinfo) -> datetime | None:
    hour, minute, second, fraction, half = clock
    hours, seconds = int(hour), int(second or 0)
    if half:
        hours = hours % 12 + (12 if half[0] in "pP" else 0)
    if seconds == 60:  # A leap second.
        seconds = 59
    micros = int((fraction + "00000")[:6]) if fraction else 0
    if named:
        zone = zone_of(named) or zone
    if zone is UTC:
        return datetime(year, month, day, hours, int(minute), seconds, micros, UTC)
    return datetime(year, month, day, hours, int(minute), seconds, micros, zone).astimezone(UTC)
