"""What the activity log can be searched by: filters as people write them, to one SQL condition. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from casb.errors import StoreError
from casb.model.identity import UNMANAGED
from casb.store.row import millis

type Condition = tuple[str, list[Any]]

TRIGRAM = 3  # characters: the text index knows nothing shorter
LONGEST = 200  # characters of one filter value


def _equal(column: str) -> Callable[[Sequence[str]], Condition]:
    def condition(values: Sequence[str]) -> Condition:
        return f"{column} IN ({', '.join('?' * len(values))})", list(values)

    return condition


def _contains(column: str) -> Callable[[Sequence[str]], Condition]:
    """Through the trigram index where it can, else by looking at the rows; case does not matter."""

    def one(value: str) -> Condition:
        if len(value) >= TRIGRAM and "\0" not in value:
            phrase = '"' + value.replace('"', '""') + '"'
            return "seq IN (SELECT rowid FROM activity_text WHERE activity_text MATCH ?)", [f"{{{column}}} : {phrase}"]
        columns = column.split()
        text = f"%{_escape(value)}%"
        return (
            "(" + " OR ".join(f"{each} LIKE ? ESCAPE '\\'" for each in columns) + ")",
            [text] * len(columns),
        )

    return lambda values: _any_of([one(value) for value in values])


def _ip(values: Sequence[str]) -> Condition:
    """An address, or the beginning of one: `10.1.` or `10.1.*`."""
    parts: list[Condition] = []
    for value in values:
        if value.endswith((".", ":", "*")):
            parts.append(("ip LIKE ? ESCAPE '\\'", [_escape(value.rstrip("*")) + "%"]))
        else:
            parts.append(("ip = ?", [value]))
    return _any_of(parts)


def _device(values: Sequence[str]) -> Condition:
    """A device tag, or `unmanaged` for a device that has none."""
    parts: list[Condition] = []
    for value in values:
        if value == UNMANAGED:
            parts.append(("device_tags = ''", []))
        else:
            parts.append(("(',' || device_tags || ',') LIKE ? ESCAPE '\\'", [f"%,{_escape(value)},%"]))
    return _any_of(parts)


def _policy(values: Sequence[str]) -> Condition:
    """A policy that matched, whether or not it decided."""
    sql, parameters = _equal("policy")(values)
    return f"seq IN (SELECT seq FROM matches WHERE {sql})", parameters  # noqa: S608 - only question marks


def _since(values: Sequence[str]) -> Condition:
    return "time >= ?", [millis(values[-1])]


def _until(values: Sequence[str]) -> Condition:
    return "time < ?", [millis(values[-1])]


FILTERS: Mapping[str, Callable[[Sequence[str]], Condition]] = {
    "id": _equal("id"),
    "activity": _equal("activity"),
    "app": _equal("app"),
    "user": _contains("user_name"),
    "user_id": _equal("user_id"),
    "ip": _ip,
    "action": _equal("action"),
    "policy": _policy,
    "severity": _equal("severity"),
    "device": _device,
    "file": _contains("file_name"),
    "session": _equal("session"),
    "source": _equal("source"),
    "country": _equal("country"),
    "text": _contains("user_name file_name words"),
    "from": _since,
    "to": _until,
}
"""Every filter by its name, as in `GET /v1/activities`, the portal's form and `casb activity`.

A filter given several values means any of them; several filters mean all of them. `from` is inclusive, `to` exclusive.
"""


def _like(columns: str) -> Callable[[Sequence[str]], Condition]:
    """As `_contains`, in PostgreSQL: texts are kept in lower case there, and its trigram index serves LIKE."""

    def one(value: str) -> Condition:
        names = columns.split()
        sql = " OR ".join(f"{each} LIKE ? ESCAPE '\\'" for each in names)
        return f"({sql})", [f"%{_escape(value.lower())}%"] * len(names)

    return lambda values: _any_of([one(value) for value in values])


def _policy_by_time(values: Sequence[str]) -> Condition:
    """As `_policy`, in PostgreSQL: with the time, by which both tables are partitioned."""
    sql, parameters = _equal("policy")(values)
    return f"(seq, time) IN (SELECT seq, time FROM matches WHERE {sql})", parameters  # noqa: S608 - question marks


_POSTGRES: Mapping[str, Callable[[Sequence[str]], Condition]] = {
    **FILTERS,
    "user": _like("user_name"),
    "file": _like("file_name"),
    "text": _like("user_name file_name words"),
    "policy": _policy_by_time,
}


def in_postgres(condition: Condition) -> Condition:
    """The condition with psycopg's placeholders; PostgreSQL keeps no NUL, `records_postgres` writes U+FFFD for it."""
    sql, values = condition
    plain = [each.replace("\0", "\ufffd") if isinstance(each, str) else each for each in values]
    return sql.replace("?", "%s"), plain


def condition_of(filters: Mapping[str, Any], *, postgres: bool = False) -> Condition:
    """The SQL condition and its parameters. Values are text, a time, or lists of them; None and "" mean no filter.
    `postgres`: in its words instead of SQLite's.

    Raises `StoreError` (S032) for a filter that does not exist or a value that cannot be one.
    """
    parts: list[Condition] = []
    known = _POSTGRES if postgres else FILTERS
    for name, given in filters.items():
        if name not in FILTERS:
            raise StoreError("S032", f"there is no filter '{name}'", hint=f"filters: {', '.join(FILTERS)}")
        values = _values(name, given)
        if values:
            try:
                parts.append(known[name](values))
            except StoreError as error:
                raise StoreError(
                    "S032", f"{name}: not an RFC 3339 time", hint="for example 2026-01-31T08:00:00Z"
                ) from error
    if not parts:
        return "1 = 1", []
    return " AND ".join(f"({sql})" for sql, _ in parts), [value for _, values in parts for value in values]


def encode_cursor(time: int, record_id: str) -> str:
    """Where a page ended, as an opaque text."""
    return base64.urlsafe_b64encode(f"{time}~{record_id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[int, str]:
    """What `encode_cursor` was given. Raises `StoreError` (S033)."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        time, separator, record_id = text.partition("~")
        if separator and time.isascii() and 0 < len(time) < 16:
            return int(time), record_id
    except (binascii.Error, ValueError):
        pass
    raise StoreError("S033", "the cursor is not one of ours", hint="start again without it")


def _values(name: str, given: object) -> list[str]:
    items = list(given) if isinstance(given, list | tuple | set | frozenset) else [given]
    values = []
    for item in items:
        text = item.isoformat() if isinstance(item, datetime) else item
        if text is None or text == "":
            continue
        if not isinstance(text, str) or len(text) > LONGEST:
            raise StoreError("S032", f"{name}: not a text of at most {LONGEST} characters")
        values.append(text)
    if len(values) > 50:
        raise StoreError("S032", f"{name}: more than 50 values")
    return values


def _any_of(parts: Sequence[Condition]) -> Condition:
    return "(" + " OR ".join(sql for sql, _ in parts) + ")", [value for _, values in parts for value in values]


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
