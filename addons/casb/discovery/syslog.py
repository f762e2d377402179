"""What relays and collectors put around a log line, taken off one layer at a time.

RFC 3164, RFC 5424 with structured data, Cisco's and Kiwi's variants, headers without PRI or host, doubled headers,
journal and rsyslog templates, JSON envelopes. `layers` gives the line and everything inside it; which of them is the
line proper only the format's parser can tell, so nothing is decided here.
"""

from __future__ import annotations

import re
from typing import Any

from casb.discovery import formats
from casb.discovery.entry import BLANK, Entry

MAX_LAYERS = 12

_PRI = re.compile(r"(?:\d{1,7} )?<\d{1,3}>\s?(?:(\d{1,2}) (?=\S))?")
_NEW = re.compile(r"(?:\d )?(-|\d{4}-\d\d-\d\dT\S{8,26}) (\S{1,255}) (\S{1,60}) (\S{1,128}) (\S{1,60}) (?=-|\[)")
_ELEMENT = re.compile(r'\[([^\s=\]"]{1,64})((?:\s+[^\s=\]"]{1,64}="(?:[^"\\]|\\.)*")*)\s*\]')
_PARAMETER = re.compile(r'([^\s=\]"]{1,64})="((?:[^"\\]|\\.)*)"')

_OLD_TIME = re.compile(
    r"(?:\d{1,12}: )?(?:[\w.\-]{1,64}: )??[*.:]?\s?"
    r"((?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?"
    r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) {1,2}\d{1,2}(?: \d{4})? \d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?"
    r"(?: \d{4}(?=[ :]))?(?: (?:[A-Z]{3,4}|[+-]\d\d:?\d\d)(?=[: ]))?)\s?:?(?:\s+|$)"
)
_ISO_TIME = re.compile(
    r"(\d{4}[-:/]\d\d[-:/]\d\d[-T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|[+-]\d\d:?\d\d|UTC|GMT)\b)?)[\s:]+"
)
_KIWI = re.compile(r"((?:Local\d|User|Daemon|Kernel|Auth|System\d?|Mail|Syslog)\.\w{3,9})[\s]+(\S+)\s+", re.I)
_HOST = re.compile(r"(?!CEF:|LEEF:)([A-Za-z0-9_][\w.:\-/@]{0,254}|\[[\d.:a-f]+\]|-)(?<!:)\s+")
_TAG = re.compile(r"\(?([A-Za-z0-9_][\w./\-@]{0,63}(?: \d{1,3})?)\)?(?:\[([^\]\s]{0,32})\])?\s?:\s+")
_LEAD = re.compile(r"[\s\x00\ufeff]+")

_TEXT_KEYS = ("message", "_raw", "raw", "log", "event.original", "event", "msg", "rawmessage", "raw_message", "rawlog",
              "syslogmessage", "full_message", "short_message", "raw_log", "line", "body", "rawdata", "payload",
              "text")  # fmt: skip
_STAMP_KEYS = ("@timestamp", "timestamp", "_time", "time", "__realtime_timestamp", "date", "timegenerated", "ts")
_ORIGIN_KEYS = ("host", "hostname", "_hostname", "source", "computer")
_INNER_KEYS = ("result", "_source", "event", "properties", "record", "fields", "data", "input", "value", "payload")


def layers(entry: Entry) -> list[Entry]:
    """The entry and what each taken-off layer leaves of it, the innermost last."""
    found = [entry]
    index = 0
    while index < len(found) and len(found) < MAX_LAYERS:
        path = found[index].path
        for position, inner in enumerate(peel(found[index])):
            if inner.text and all(inner.text != each.text for each in found):
                inner.path = (*path, position)
                found.append(inner)
        index += 1
    found.sort(key=lambda each: -len(each.text))
    return found


def along(entry: Entry, path: tuple[int, ...]) -> Entry | None:
    """The entry inside this one that `path` leads to, as it did in another line; None when there is none."""
    for position in path:
        inner = peel(entry)
        if position >= len(inner):
            return None
        entry = inner[position]
    return entry


def peel(entry: Entry) -> list[Entry]:
    """What lies directly below the outermost layer of this entry, in one or two readings; empty when nothing does."""
    text = entry.text
    lead = _LEAD.match(text)
    if lead:
        return [entry.below(text[lead.end() :])]
    first = text[:1]
    if first == "{":
        return _enveloped(entry)
    if first == '"' and text.endswith('"') and len(text) > 40 and (text[1] == "<" or '","' not in text):
        return [entry.below(text[1:-1].replace('""', '"'))]
    pri = _PRI.match(text)
    if pri:
        rest = text[pri.end() :]
        if pri[1]:
            new = _structured(entry, rest)
            if new:
                return new
        return [entry.below(rest)]
    if first.isdigit():
        new = _structured(entry, text)
        if new:
            return new
    return _dated(entry)


def _structured(entry: Entry, text: str) -> list[Entry]:
    """RFC 5424, section 6: the rest of a line behind PRI and version."""
    match = _NEW.match(text)
    if match is None:
        return []
    stamp, origin, tag, _, ident = match.groups()
    data, at = _structured_data(text, match.end())
    outer = entry.below(
        text[match.end() :],
        stamp=None if stamp == "-" else stamp,
        origin=None if origin == "-" else origin,
        tag=f"{tag} {ident}".replace("-", "").strip() or None,
        data=data,
    )
    inner = outer.below(text[at:].lstrip(" \ufeff"))
    if not inner.text:
        return [outer]
    return [outer, inner] if data else [inner]


def _structured_data(text: str, at: int) -> tuple[dict[str, str] | None, int]:
    if text[at] == "-":
        return None, at + 1
    data: dict[str, str] = {}
    while True:
        match = _ELEMENT.match(text, at)
        if match is None:
            return data or None, at
        data.setdefault("sd-id", match[1])
        for key, value in _PARAMETER.findall(match[2]):
            data.setdefault(key.lower(), value.replace('\\"', '"').replace("\\]", "]").replace("\\\\", "\\"))
        at = match.end()


def _dated(entry: Entry) -> list[Entry]:
    """A header's time; what follows it may be a host and a tag, or the message itself."""
    text = entry.text
    match = _OLD_TIME.match(text) or _ISO_TIME.match(text)
    if match is None:
        if entry.stamp is not None:
            return _host_and_tag(entry, text)
        tag = _TAG.match(text)
        return [entry.below(text[tag.end() :], tag=tag[1])] if tag else []
    rest = text[match.end() :]
    stamp = match[1]
    # An inner header's time is the nearer to the device, but only a whole one is the better one.
    nearer = entry.stamp is None or _whole(stamp) or not _whole(entry.stamp)
    dated = Entry(entry.number, rest, stamp if nearer else entry.stamp, data=entry.data)
    kiwi = _KIWI.match(rest)
    if kiwi:
        return [dated, entry.below(rest[kiwi.end() :], stamp=stamp, origin=kiwi[2])]
    return [dated]


def _whole(stamp: str) -> bool:
    return stamp[:4].isdigit()


def _host_and_tag(entry: Entry, text: str) -> list[Entry]:
    found: list[Entry] = []
    tag = _TAG.match(text)
    if tag:
        found.append(entry.below(text[tag.end() :], tag=tag[1]))
    host = _HOST.match(text)
    if host and entry.origin is None:
        found.append(entry.below(text[host.end() :], origin=host[1]))
    elif host and not tag:
        # `host program message` without a colon, as some firewalls write it.
        found.append(entry.below(text[host.end() :], tag=host[1]) if entry.tag is None else entry)
    return found


def _enveloped(entry: Entry) -> list[Entry]:
    """A JSON object that carries the line, or the record proper, in one of its fields."""
    value = formats.json_object(entry.text)
    if value is None:
        return []
    lowered = {str(key).lower(): inner for key, inner in value.items()}
    stamp = _first(lowered, _STAMP_KEYS)
    origin = _first(lowered, _ORIGIN_KEYS)
    found = []
    for key in _TEXT_KEYS:
        inner = _nested(lowered, key)
        if isinstance(inner, str) and len(inner) > 20:
            found.append(entry.below(inner.strip("\r\n"), stamp=stamp, origin=origin))
            break
    for key in _INNER_KEYS:
        inner = lowered.get(key)
        if isinstance(inner, dict) and inner:
            below = entry.below(formats.dumped(inner), stamp=stamp, origin=origin)
            found.append(below)
    return found


def _nested(value: dict[str, Any], key: str) -> Any:
    if key in value:
        return value[key]
    outer, dot, inner = key.partition(".")
    below = value.get(outer)
    return below.get(inner) if dot and isinstance(below, dict) else None


def _first(value: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    for key in keys:
        found = value.get(key)
        if isinstance(found, str) and found not in BLANK:
            return found
        if isinstance(found, int | float) and not isinstance(found, bool):
            return str(found)
        if isinstance(found, dict) and isinstance(found.get("name"), str):
            return str(found["name"])
    return None
