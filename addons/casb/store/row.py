"""A record's JSON to the columns by which it is found. Pure; refuses what is not a record, and says why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from casb.errors import StoreError

ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
WORD = re.compile(r"[a-z][a-z0-9_ -]{0,63}")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
LONGEST_TEXT = 512


class Row(NamedTuple):
    """One row of `activities`, in the order of its columns after `seq`. `time` is Unix milliseconds."""

    id: str
    time: int
    activity: str
    source: str
    app: str | None
    user_id: str | None
    user_name: str
    ip: str
    action: str
    policy: str | None
    severity: str | None
    device_tags: str
    session: str | None
    country: str | None
    file_name: str
    words: str
    record: str


def parse(line: bytes) -> dict[str, Any]:
    """One line of NDJSON. Raises `StoreError` (S030) when it is not a JSON object."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise StoreError("S030", f"not JSON: {error.msg}") from error
    if not isinstance(record, dict):
        raise StoreError("S030", "a record is a JSON object")
    return record


def to_row(record: Mapping[str, Any], text: str | None = None) -> Row:
    """The columns of a record. Raises `StoreError` (S031) naming the field that is wrong.

    `text` is the JSON that the record was read from: it is kept as it came, and need not be written again.
    Strict where we search, lenient elsewhere: fields we do not know are kept as they are.
    """
    app, user, client = (_object(record, name) for name in ("app", "user", "client"))
    device, file, request = (_object(record, name) for name in ("device", "file", "request"))
    file_name = _text(file, "name", "file.name") or ""
    user_name = (_text(user, "name", "user.name") or "").lower()
    ip = _text(client, "ip", "client.ip") or ""
    words = [
        _text(app, "name", "app.name"),
        ip,
        _text(request, "url", "request.url"),
        _text(user, "display_name", "user.display_name"),
        _text(client, "user_agent", "client.user_agent"),
        _text(record, "message", "message"),
        *(_text(each, "name", "objects.name") for each in _list(record, "objects", dict)),
        *_list(record, "matched", str),
    ]
    return Row(
        id=_matching(record, "id", ID),
        time=millis(record.get("time")),
        activity=_matching(record, "activity", WORD),
        source=_text(record, "source", "source") or "",
        app=_text(app, "id", "app.id"),
        user_id=_text(user, "id", "user.id"),
        user_name=user_name,
        ip=ip,
        action=_matching(record, "action", WORD),
        policy=_text(record, "policy", "policy"),
        severity=_text(record, "severity", "severity"),
        device_tags=",".join(sorted(_list(device, "tags", str))),
        session=_text(record, "session", "session"),
        country=_text(client, "country", "client.country"),
        file_name=file_name,
        words="\n".join(word[:LONGEST_TEXT] for word in words if word),
        record=_dump(record) if text is None else text,
    )


def matched(record: Mapping[str, Any]) -> set[str]:
    """The policies that a record says matched, the deciding one among them."""
    names = set(_list(record, "matched", str))
    if policy := record.get("policy"):
        names.add(policy)
    return names


def millis(value: object) -> int:
    """RFC 3339 text to Unix milliseconds. Raises `StoreError` (S031)."""
    if isinstance(value, str) and RFC3339.fullmatch(value):
        try:
            return round(datetime.fromisoformat(value.upper()).astimezone(UTC).timestamp() * 1000)
        except (ValueError, OverflowError):
            pass
    raise StoreError("S031", "time: not an RFC 3339 time")


def _dump(record: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(record).decode()
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise StoreError("S031", f"the record cannot be kept: {error}") from error


def _matching(record: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = record.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise StoreError("S031", f"{name}: missing or not of its form")
    return value


def _object(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = record.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise StoreError("S031", f"{name}: not an object")
    return value


def _text(record: Mapping[str, Any], name: str, path: str) -> str | None:
    value = record.get(name)
    if value is None or isinstance(value, str):
        return value
    raise StoreError("S031", f"{path}: not text")


def _list[T](record: Mapping[str, Any], name: str, kind: type[T]) -> list[T]:
    value = record.get(name)
    if value is None:
        return []
    if isinstance(value, list | tuple) and all(isinstance(each, kind) for each in value):
        return list(value)
    raise StoreError("S031", f"{name}: not a list of {'objects' if kind is dict else 'texts'}")
