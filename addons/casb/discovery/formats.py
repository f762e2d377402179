"""The common shapes of a log line as plain data: key=value, CEF, LEEF, delimited, JSON.

Each reader takes one line and never raises: what does not fit gives None or less. Keys come out in lower case. Knows no
vendor and no meaning. CEF: ArcSight "Implementing ArcSight Common Event Format"; LEEF: IBM "QRadar Log Event Extended
Format" 1.0 and 2.0.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import Any

import orjson

MAX_PAIRS = 2000
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A CEF or LEEF record. `fields` has its extension with lower-case keys; CEF's labelled fields by label, too."""

    vendor: str
    product: str
    name: str  # CEF: the name; LEEF: the event id
    signature: str
    fields: dict[str, str]


# --- key=value

_PAIR = re.compile(r'([A-Za-z_][\w.\-/]*)=(?:"((?:[^"\\]|\\.)*)"|([^\s"]\S*))?')
_DOUBLED = re.compile(r'=""[^"\s]')  # Quotes as CSV doubles them
_SPACED = re.compile(r"(?:^|[\s,;|])([A-Za-z_][\w.\-/]*)=")


def pairs(text: str) -> dict[str, str]:
    """key=value pairs between spaces, tabs, commas, semicolons or bars; quoted or not. Of a repeated key the first."""
    for separator in "\t|;,":
        if text.count(separator) >= 3:
            split = _split_pairs(text, separator)
            if split is not None:
                return split
    if '=""' in text and _DOUBLED.search(text):
        text = text.replace('""', '"')
    found = _PAIR.findall(text)
    found.reverse()
    if "\\" in text:
        return {key.lower(): (_unescaped(quoted) if "\\" in quoted else quoted) or bare for key, quoted, bare in found}
    return {key.lower(): quoted or bare for key, quoted, bare in found}


_PARTS = {each: re.compile(rf'(?:[^"{each}]|"[^"]*"|")+') for each in "\t|;,"}


def _split_pairs(text: str, separator: str) -> dict[str, str] | None:
    """Pairs by a separator other than space, or None when this is not how the line is built."""
    parts = _PARTS[separator].findall(text) if '"' in text else text.split(separator)
    found: dict[str, str] = {}
    built = 0
    for part in parts:
        key, equals, value = part.strip().partition("=")
        if equals and _is_key(key.rpartition(" ")[2]):
            built += 1
            found.setdefault(key.rpartition(" ")[2].lower(), value.strip().strip('"'))
    return found if built >= 3 and built * 10 >= len(parts) * 8 and not _more_inside(parts) else None


def _is_key(text: str) -> bool:
    return bool(text) and len(text) < 64 and text.replace("_", "").replace("-", "").replace(".", "").isalnum()


_INNER = re.compile(r'\s[A-Za-z_][\w.-]*="')


def _more_inside(parts: list[str]) -> bool:
    """True when the parts hold further pairs: the separator was one inside values."""
    return sum(1 for part in parts if _INNER.search(part)) * 2 > len(parts)


def spaced(text: str) -> dict[str, str]:
    """key=value pairs whose unquoted values may hold spaces: a value ends where the next ` key=` begins."""
    found: dict[str, str] = {}
    marks = list(_SPACED.finditer(text))[:MAX_PAIRS]
    if not marks:
        return found
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        value = text[mark.end() : following.start() if following else len(text)].strip()
        found.setdefault(mark[1].lower(), value.strip('"'))
    return found


_COLON_PAIR = re.compile(r'([A-Za-z_][\w.\- ]{0,60}?):\s?"((?:[^"\\]|\\.)*)"')


def colon_pairs(text: str) -> dict[str, str]:
    """`key:"value"` pairs, as Check Point's exporter writes them."""
    found: dict[str, str] = {}
    for key, value in _COLON_PAIR.findall(text):
        found.setdefault(key.strip().lower(), _unescaped(value) if "\\" in value else value)
    return found


_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


def _unescaped(text: str) -> str:
    r"""Undoes `\"`, `\\`, `\=` and `\|`; other backslashes are the value's own (`DOMAIN\user`)."""
    return _ESCAPE.sub(lambda match: match[1] if match[1] in '"\\=|]' else match[0], text)


# --- CEF and LEEF

_BAR = re.compile(r"(?<!\\)(?:\\\\)*\|")
_CEF_KEY = re.compile(r"(?:^|\s+)(?!(?:OU|CN|DC|O|L|ST|C)=)([A-Za-z0-9_.\-\[\]:/]{1,100})=")
"""Not the parts of a distinguished name, which vendors write unescaped: `suser=LDAP://host OU=People,DC=corp/Ada`."""
_BARE_CEF = re.compile(r"\s*[01]\|[^|=]+\|[^|=]+\|[^|]*\|[^|]*\|[^|]*\|[^|]*\|")
_BARE_LEEF = re.compile(r"\s*[12]\.0\|[^|=]+\|[^|=]+\|[^|]*\|[^|]*\|")


def cef(text: str) -> Event | None:
    """A CEF record wherever it begins in the line: header up to the seventh bar, then the extension."""
    start = text.find("CEF:")
    if start >= 0:
        start += 4
    elif _BARE_CEF.match(text):  # A relay took the prefix for a program's name.
        start = 0
    else:
        return None
    head = _bars(text[start:], 8)
    if len(head) > 2 and not head[1]:
        del head[1]  # A bar too many, as some versions of one vendor write it.
    elif len(head) > 8:
        head[7:] = ["|".join(head[7:])]
    if len(head) < 7:
        return None
    fields = cef_extension(head[7]) if len(head) > 7 else {}
    return Event(
        vendor=_unescaped(head[1]),
        product=_unescaped(head[2]),
        signature=head[4],
        name=_unescaped(head[5]),
        fields=fields,
    )


def _bars(text: str, most: int) -> list[str]:
    if "\\|" not in text:
        return text.split("|", most)
    parts: list[str] = []
    start = 0
    for match in _BAR.finditer(text):
        parts.append(text[start : match.end() - 1])
        start = match.end()
        if len(parts) == most:
            break
    parts.append(text[start:])
    return parts


def cef_extension(text: str) -> dict[str, str]:
    """The key=value part. `cs1=v cs1Label=Rule Name` gives `cs1` and `rule name`."""
    fields: dict[str, str] = {}
    labels: list[tuple[str, str]] = []
    pieces = _CEF_KEY.split(text.strip(), maxsplit=MAX_PAIRS)
    for index in range(1, len(pieces) - 1, 2):
        key, value = pieces[index].lower(), pieces[index + 1].strip()
        if "\\" in value:
            value = _cef_value(value)
        if key.endswith("label"):
            labels.append((key[:-5], value))
        fields.setdefault(key, value)
    for key, label in labels:
        value = fields.get(key)
        if value and label:
            fields.setdefault(label.lower(), value)
    return fields


def _cef_value(value: str) -> str:
    return _ESCAPE.sub(
        lambda match: (
            _ESCAPED.get(match[1], "")
            if match[1] in "nr" and _ends(match)
            else (match[1] if match[1] in '\\=|"' else match[0])
        ),
        value,
    )


def _ends(match: re.Match[str]) -> bool:
    r"""True where `\n` is a line break: not in `CORP\nadia`, which vendors write unescaped."""
    end = match.end()
    return end == len(match.string) or not match.string[end].isalnum()


def leef(text: str) -> Event | None:
    """A LEEF 1.0 or 2.0 record wherever it begins in the line."""
    start = text.find("LEEF:")
    if start >= 0:
        start += 5
    elif _BARE_LEEF.match(text):
        start = 0
    else:
        return None
    parts = text[start:].split("|", 5)
    if len(parts) < 6:
        return None
    version, vendor, product, _, signature, rest = parts
    delimiter = "\t"
    if version.strip().startswith("2"):
        named, bar, after = rest.partition("|")
        if bar and len(named) <= 6 and "=" not in named[1:]:
            delimiter, rest = _delimiter(named), after
    return Event(
        vendor=vendor, product=product, signature=signature, name=signature, fields=leef_attributes(rest, delimiter)
    )


def _delimiter(named: str) -> str:
    named = named.strip(" ")
    code = re.fullmatch(r"(?:0?x|\\x|\\u)([0-9A-Fa-f]{1,4})", named)
    if code:
        return chr(int(code[1], 16)) or "\t"
    return {"": "\t", "\\t": "\t", "<tab>": "\t", "tab": "\t"}.get(named.lower(), named)


def leef_attributes(text: str, delimiter: str = "\t") -> dict[str, str]:
    """Attributes by their delimiter; by guess when the delimiter was lost on the way (tabs turned into spaces)."""
    if delimiter not in text:
        for other in ("\t", "\\t", "#011", "^", "|", ";"):
            if text.count(other) >= 2 and text.count(other) >= text.count("=") // 2:
                delimiter = other
                break
        else:
            return cef_extension(text)
    fields: dict[str, str] = {}
    for part in text.split(delimiter)[:MAX_PAIRS]:
        key, equals, value = part.partition("=")
        if equals:
            fields.setdefault(key.strip().lower(), value.strip())
    return fields


# --- delimited

csv.field_size_limit(4 * 1024 * 1024)


def delimited(text: str, delimiter: str = ",") -> list[str] | None:
    """The columns of a line, quotes undone; None when the quoting is broken."""
    if '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader((text,), delimiter=delimiter, skipinitialspace=delimiter != " "))
    except (csv.Error, StopIteration):
        return None


def words(text: str) -> list[str]:
    """Columns between single spaces or runs of them; `"quoted"` and `[bracketed]` ones keep theirs."""
    if '"' not in text and "[" not in text:
        return text.split()
    return [quoted or bracketed or bare for quoted, bracketed, bare in _WORD.findall(text)]


_WORD = re.compile(r'"((?:[^"\\]|\\.|"(?=[^\s]))*)"(?=\s|$)|\[([^\]]*)\](?=\s|$)|(\S+)')


# --- JSON


def json_object(text: str) -> dict[str, Any] | None:
    """The object that the line is, or None."""
    text = text.strip().rstrip(",")
    if not text.startswith("{"):
        return None
    try:
        value = orjson.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def flat_json(text: str) -> dict[str, str] | None:
    """The object as flat text fields: `{"a": {"b": 1}}` gives `a.b`: `1`."""
    value = json_object(text)
    return flattened(value) if value is not None else None


def flattened(value: dict[str, Any]) -> dict[str, str]:
    """Nested values by dotted lower-case keys; of a list its first entry, or all of its texts between commas."""
    fields: dict[str, str] = {}
    _flatten(value, "", fields, 0)
    return fields


def _flatten(value: Any, prefix: str, fields: dict[str, str], depth: int) -> None:
    if isinstance(value, dict):
        if depth < _MAX_DEPTH:
            for key, inner in value.items():
                _flatten(inner, f"{prefix}.{key}".lower() if prefix else str(key).lower(), fields, depth + 1)
    elif isinstance(value, list):
        if value and all(isinstance(each, str | int | float) for each in value):
            fields.setdefault(prefix, ",".join(str(each) for each in value))
        elif value:
            _flatten(value[0], prefix, fields, depth + 1)
    elif value is not None and len(fields) < MAX_PAIRS:
        fields.setdefault(prefix, value if isinstance(value, str) else _text(value))


def _text(value: Any) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def dumped(value: dict[str, Any]) -> str:
    """An object as the line that it would be."""
    return orjson.dumps(value).decode()
