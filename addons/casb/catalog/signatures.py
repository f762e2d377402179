"""An app's signatures, indexed: which one a request fits, and what the request says it is about.

A look-up walks the segments of a path once, so it hardly depends on how many signatures an app has. Of several that
fit, the first in the app's order counts, as people read them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from casb.model.activity import ActivityObject, RequestFacts
from casb.model.app import App, ObjectRule, Signature

MESSAGE = "MESSAGE"
"""The method of signatures for WebSocket messages; `RequestFacts.path` is that of the handshake."""
NOTHING = "none"
"""The activity of a signature for traffic that looks like an up- or download and is neither."""
MOST_OBJECTS = 20
_LONGEST = 500
_SLASHES = re.compile("//+")
_PLACE = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)(\*?)\}")
_WILD = re.compile(r"[*?\[{]")
_KEPT = 2048

type Captures = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A signature that a request fits, and what stood in the places of its path."""

    signature: Signature
    captures: Captures


@dataclass(slots=True)
class _Node:
    """A segment of paths: what may follow, and what ends or goes on freely here."""

    literal: dict[str, _Node] = field(default_factory=dict)
    one: _Node | None = None  # {place}
    ends: list[_Entry] = field(default_factory=list)
    open: list[_Entry] = field(default_factory=list)  # the pattern decides: everything below this node


@dataclass(frozen=True, slots=True)
class _Entry:
    order: int
    signature: Signature
    pattern: re.Pattern[str] | None  # None: any path


class Index:
    """The signatures of one app."""

    __slots__ = ("_root", "reading")

    def __init__(self, signatures: tuple[Signature, ...]) -> None:
        self._root = _Node()
        self.reading = any(each.reads for each in signatures)
        for order, signature in enumerate(signatures):
            _put(self._root, order, signature)

    def find(self, request: RequestFacts, *, unread: bool = False) -> Match | None:
        """The first that fits. `unread`: conditions on a body that was not read count as met."""
        best: _Entry | None = None
        captures: Captures = {}
        for path in readings_of(request.path):
            for entry in self._candidates(path):
                if best is not None and entry.order >= best.order:
                    continue
                told = _fits(entry, request, path, unread=unread)
                if told is not None:
                    best, captures = entry, told
        return None if best is None else Match(signature=best.signature, captures=captures)

    def asks_for(self, request: RequestFacts) -> frozenset[str]:
        """The activities of those that would fit if the body said so, or that tell more once it was read."""
        if not self.reading:
            return frozenset()
        return frozenset(
            entry.signature.activity
            for path in readings_of(request.path)
            for entry in self._candidates(path)
            if entry.signature.reads and _fits(entry, request, path, unread=True) is not None
        )

    def _candidates(self, path: str) -> Iterator[_Entry]:
        nodes = [self._root]
        for segment in path.removeprefix("/").split("/"):
            following: list[_Node] = []
            for node in nodes:
                yield from node.open
                known = node.literal.get(segment.lower())
                if known is not None:
                    following.append(known)
                if node.one is not None and segment:
                    following.append(node.one)
            nodes = following
            if not nodes:
                return
        for node in nodes:
            yield from node.open
            yield from node.ends


def _put(root: _Node, order: int, signature: Signature) -> None:
    path = signature.path
    if path == "*":
        root.open.append(_Entry(order, signature, None))
        return
    template = _PLACE.search(path) is not None
    pattern = path_pattern(path, exact=signature.activity == NOTHING)
    node = root
    if not path.startswith("/"):
        node.open.append(_Entry(order, signature, pattern))
        return
    for segment in path[1:].split("/"):
        if not _WILD.search(segment):
            node = node.literal.setdefault(segment.lower(), _Node())
        elif template and _PLACE.fullmatch(segment) and not segment.endswith("*}"):
            node.one = node.one or _Node()
            node = node.one
        else:
            node.open.append(_Entry(order, signature, pattern))
            return
    node.ends.append(_Entry(order, signature, pattern))


@lru_cache(maxsize=8192)
def path_pattern(path: str, *, exact: bool = False) -> re.Pattern[str]:
    """A signature's path as an expression: a template where it has `{places}`, else a glob.

    Many applications do not look at case, so neither do we, but for what is exempt from recognition (`exact`).
    """
    if not _PLACE.search(path):
        return re.compile(translate(path), 0 if exact else re.IGNORECASE)
    out, at, names = [], 0, set()
    for found in _PLACE.finditer(path):
        name, rest = found.groups()
        if name in names:
            raise ValueError(f"{{{name}}} stands twice in {path!r}")
        names.add(name)
        out += [_free(path[at : found.start()]), f"(?P<{name}>{'.+' if rest else '[^/]+'})"]
        at = found.end()
    return re.compile("".join((*out, _free(path[at:]))) + r"\Z", re.DOTALL if exact else re.DOTALL | re.IGNORECASE)


def _free(text: str) -> str:
    return ".*".join(re.escape(part) for part in text.split("*"))


def places_of(path: str) -> frozenset[str]:
    """The names of the places in a template."""
    return frozenset(found.group(1) for found in _PLACE.finditer(path))


def _fits(entry: _Entry, request: RequestFacts, path: str, *, unread: bool) -> Captures | None:
    each = entry.signature
    if each.methods and request.method not in each.methods and request.override not in each.methods:
        return None
    if each.content_types and request.content_type not in each.content_types:
        return None
    if not each.query <= request.query_names:
        return None
    found = entry.pattern.match(path) if entry.pattern is not None else None
    if entry.pattern is not None and found is None:
        return None
    if each.body and not (unread and request.document is None) and not _says(request.document, each.body):
        return None
    if found is None:
        return {}
    return {name: text.replace(_ESCAPED, "/") for name, text in found.groupdict().items()}


def _says(document: Any, conditions: tuple[tuple[str, tuple[str, ...]], ...]) -> bool:
    """Whether one of the documents (GraphQL sends lists of operations, too) meets every condition."""
    for one in document if isinstance(document, list) else (document,):
        if all(_meets(one, pointer, wanted) for pointer, wanted in conditions):
            return True
    return False


def _meets(document: Any, pointer: str, wanted: tuple[str, ...]) -> bool:
    values = pointed(document, pointer)
    if not wanted:
        return any(value is not None for value in values)
    return any(_glob(glob).match(_text(value)) for value in values for glob in wanted)


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else "" if value is None or isinstance(value, dict | list) else str(value)


def pointed(document: Any, pointer: str) -> list[Any]:
    """The values at a JSON pointer (RFC 6901); `*` stands for every member of a list or object."""
    values = [document]
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        following: list[Any] = []
        for value in values:
            if isinstance(value, dict):
                following += list(value.values()) if step == "*" else [value[step]] if step in value else []
            elif isinstance(value, list):
                if step == "*":
                    following += value
                elif step.isascii() and step.isdigit() and len(step) < 6 and int(step) < len(value):
                    following.append(value[int(step)])
        values = following[:1000]
    return values


def objects_of(match: Match, request: RequestFacts) -> tuple[ActivityObject, ...]:
    """What the activity is about, as far as the request tells."""
    found: list[ActivityObject] = []
    for rule in match.signature.objects:
        ids = _values(rule.id, match.captures, request)
        names = _values(rule.name, match.captures, request) if rule.name else []
        for at, identifier in enumerate(ids[:MOST_OBJECTS]):
            name = names[at] if len(names) == len(ids) else identifier
            found.append(ActivityObject(type=rule.type, id=identifier[:_LONGEST], name=name[:_LONGEST]))
    return tuple(found[:MOST_OBJECTS])


def _values(told: str, captures: Captures, request: RequestFacts) -> list[str]:
    if told.startswith("/"):
        documents = request.document if isinstance(request.document, list) else [request.document]
        values = [_text(value) for one in documents for value in pointed(one, told)]
        return [value for value in values if value]
    if told.startswith("?"):
        start = told[1:] + "="
        return sorted(each.removeprefix(start) for each in request.query_names if each.startswith(start))
    text = _PLACE.sub(lambda found: captures.get(found.group(1), ""), told)
    return [text] if text else []


def sources_of(rule: ObjectRule) -> frozenset[str]:
    """The places of the path that a rule asks for."""
    texts = [each for each in (rule.id, rule.name) if each and each[0] not in "/?"]
    return frozenset(name for text in texts for name in places_of(text))


def readings_of(path: str) -> tuple[str, ...]:
    """The path as origins read it: percent-encoding undone, empty and dot segments gone, no slash at the end.

    An escaped slash is a part of a name to some (GitLab's `group%2Fproject`) and a slash to others: both are readings.
    """
    if "%" not in path and "//" not in path and "/." not in path and ";" not in path:
        return (path,) if not path.endswith("/") or path == "/" else (path, path.rstrip("/") or "/")
    found = []
    for kept in (False, True) if "%2f" in path.lower() else (False,):
        plain = "/".join(unquote(each).replace("/", _ESCAPED) for each in path.split("/")) if kept else unquote(path)
        plain = _without_dots(_SLASHES.sub("/", plain))
        found.append(plain)
        bare = _PARAMETERS.sub("", plain).rstrip("/") or "/"  # `;v=1` (RFC 3986 section 3.3) and the last slash
        if bare != plain:
            found.append(bare)
    return tuple(found)


_ESCAPED = "\u2215"  # stands for a slash inside of a segment
_PARAMETERS = re.compile(r";[^/]*")


def _without_dots(path: str) -> str:
    if "/." not in path:
        return path
    out: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if len(out) > 1:
                out.pop()
        elif segment != ".":
            out.append(segment)
    return "/".join(out) or "/"


_indexes: dict[int, tuple[tuple[Signature, ...], Index]] = {}


def index_of(app: App) -> Index:
    """The index of an app's signatures, made once as long as the app lives in some snapshot."""
    found = _indexes.get(id(app.signatures))
    if found is None or found[0] is not app.signatures:
        if len(_indexes) >= _KEPT:
            _indexes.clear()
        found = _indexes[id(app.signatures)] = (app.signatures, Index(app.signatures))
    return found[1]


def find(app: App | None, request: RequestFacts, *, unread: bool = False) -> Match | None:
    """The first of the app's signatures that the request fits, or None."""
    if app is None or not app.signatures:
        return None
    return index_of(app).find(request, unread=unread)
