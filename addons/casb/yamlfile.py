"""YAML with places: a text to typed values, or every error with file, line, column and hint.

Knows YAML and dataclasses and nothing of what the documents mean. The text is parsed by libyaml into events; the tree
over them is ours, so that each value keeps its place and nothing is guessed: what YAML 1.1 would silently turn into
something else (`NO`, `010`, `12:30`, a date), duplicate keys, anchors, tags and further documents are errors. Types
come from frozen standard-library dataclasses, checked strictly by pydantic with unknown keys refused.
"""

from __future__ import annotations

import difflib
import functools
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import orjson
import pydantic
import yaml

from casb.errors import CasbError, ConfigError, PolicyError, Problems, Where

_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 30
MAX_ERRORS = 100
MAX_MESSAGE = 300

type Path = tuple[str | int, ...]
type Scalar = str | int | float | bool | None


@dataclass(slots=True)
class Node:
    """A value and its place. `value` is a scalar, a list of nodes or a dict of nodes by key."""

    line: int
    column: int
    value: Scalar | list[Node] | dict[str, Node]
    key_line: int = 0  # where its key stands, in a mapping
    key_column: int = 0
    faulty: bool = False  # an error has been told already

    def plain(self) -> Any:
        """The value as plain Python data."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


class Marks:
    """Where each key and value of a document stands."""

    def __init__(self, file: str, root: Node) -> None:
        self.file = file
        self.root = root

    def where(self, path: Path, *, key: bool = False) -> Where:
        """The place of the value at `path`, or of its key. For a path that is not there, of the nearest one above."""
        node, _ = _follow(self.root, path)
        return _place(self.file, node, key=key)

    def data(self, path: Path = ()) -> Any:
        """The value at `path` as plain Python data; KeyError when there is none."""
        node, rest = _follow(self.root, path)
        if rest:
            raise KeyError(path)
        return node.plain()


def read[T](shape: type[T], text: bytes, file: str, *, prefix: str = "P", limit: int = MAX_BYTES) -> T:
    """The document as a `shape`, a frozen dataclass.

    `file` is the name that errors carry; `prefix` is P (raising `PolicyError`s) or C (`ConfigError`s); `limit` is in
    bytes. Raises `Problems` with all errors of the file.
    """
    return read_located(shape, text, file, prefix=prefix, limit=limit)[0]


def read_located[T](
    shape: type[T], text: bytes, file: str, *, prefix: str = "P", limit: int = MAX_BYTES
) -> tuple[T, Marks]:
    """As `read`, together with the place of every key and value."""
    value, marks, report = examine(shape, text, file, prefix=prefix, limit=limit)
    if report.errors or value is None or marks is None:
        raise Problems(report.sorted())
    return value, marks


def examine[T](
    shape: type[T],
    text: bytes,
    file: str,
    *,
    prefix: str = "P",
    limit: int = MAX_BYTES,
    dates: bool = False,
    narrow: Callable[[Node], Node] = lambda root: root,
) -> tuple[T | None, Marks | None, Report]:
    """As `read_located`, without raising: the value is None when it does not fit, the marks when there is no tree.

    For those who have more to say about a faulty file. A value may come together with errors and must not be used then.
    With `dates` a plain `2024-04-24` is that text, for documents whose shape leaves no doubt about what it is.
    `narrow` leaves out what others read.
    """
    report = Report(file, prefix)
    root = _tree(text, report, limit, dates)
    if root is None:
        return None, None, report
    root = narrow(root)
    return _typed(shape, root, report), Marks(file, root), report


class Report:
    """Collects the errors of one file and numbers them with its prefix."""

    def __init__(self, file: str, prefix: str) -> None:
        self.file = file
        self.prefix = prefix
        self.kind: type[CasbError] = ConfigError if prefix == "C" else PolicyError
        self.errors: list[CasbError] = []

    def add(self, number: str, message: str, where: Where, hint: str = "") -> None:
        """One error; `number` is the code without its prefix."""
        if len(message) > MAX_MESSAGE:  # A text of the file in it.
            message = message[: MAX_MESSAGE - 1] + "…"
        self.errors.append(self.kind(self.prefix + number, message, where, hint))

    def at(self, number: str, message: str, line: int, column: int, hint: str = "") -> None:
        self.add(number, message, Where(file=self.file, line=line, column=column), hint)

    def sorted(self) -> list[CasbError]:
        """In the order of the file, without repetitions and what follows from a misread word, at most `MAX_ERRORS`."""
        guessed = {(error.where, error.code[1:]) for error in self.errors if error.code[1:] == "011"}
        kept = [each for each in self.errors if each.code[1:] == "011" or (each.where, "011") not in guessed]
        unique = {str(error): error for error in kept}
        ordered = sorted(unique.values(), key=_order)
        if len(ordered) <= MAX_ERRORS:
            return ordered
        left = len(ordered) - MAX_ERRORS
        last = ordered[MAX_ERRORS - 1].where
        return [*ordered[:MAX_ERRORS], self.kind(self.prefix + "019", f"{left} more errors are not shown", last)]


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """A hint for a misspelled word: the closest known one, or all of them when they are few."""
    known = sorted(set(words))
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.65) if len(word) <= 100 else []
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known)}" if 0 < len(known) <= 40 else ""


def _order(error: CasbError) -> tuple[int, int, str]:
    where = error.where or Where(file="")
    return where.line, where.column, error.code


def _place(file: str, node: Node, *, key: bool = False) -> Where:
    if key and node.key_line:
        return Where(file=file, line=node.key_line, column=node.key_column)
    return Where(file=file, line=node.line, column=node.column)


def _follow(node: Node, path: Sequence[str | int]) -> tuple[Node, Sequence[str | int]]:
    """The node at `path` and nothing, or the last one on the way and the rest of the path."""
    for position, step in enumerate(path):
        below = _below(node, step)
        if below is None:
            return node, path[position:]
        node = below
    return node, ()


def _below(node: Node, step: str | int) -> Node | None:
    if isinstance(node.value, dict) and isinstance(step, str):
        return node.value.get(step)
    if isinstance(node.value, list) and isinstance(step, int) and 0 <= step < len(node.value):
        return node.value[step]
    return None


# --- text to tree


# Besides controls: characters that end a line for YAML but not for an editor, and those that turn the writing
# direction, which make a file read otherwise than it is.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")


def _tree(text: bytes, report: Report, limit: int, dates: bool = False) -> Node | None:
    """The tree, or None when the text gives none (the report says why)."""
    if len(text) > limit:
        report.at(
            "004", f"the file has {len(text)} bytes, at most {limit} are read", 0, 0, "split it into several files"
        )
        return None
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        report.at("001", "the file is UTF-16, not UTF-8", 1, 1, "save it as UTF-8")
        return None
    if text.startswith(b"\xef\xbb\xbf"):
        report.at("002", "the file starts with a byte order mark", 1, 1, "save it as UTF-8 without BOM")
        text = text[3:]
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        before = text[: error.start].decode("utf-8")
        line, column = _position(before, len(before))
        report.at("001", f"byte 0x{text[error.start]:02x} is not UTF-8", line, column, "save the file as UTF-8")
        return None
    control = _CONTROL.search(decoded)
    if control:
        line, column = _position(decoded, control.start())
        report.at("003", f"control character U+{ord(control[0]):04X}", line, column, "remove it")
        return None
    builder = _Builder(report, dates)
    if not builder.build(decoded):
        return None
    if builder.root is None or builder.root.value is None:
        report.at("018", "the file is empty", 0, 0, "write a document, or delete the file")
        return None
    return builder.root


def _position(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet; `key` is the key that waits for its value."""

    node: Node
    key: Node | None = None
    skip: bool = False  # the key was refused: its value is read and dropped


class _Builder:
    """Events to a tree, without recursion, so that no nesting can exhaust the stack."""

    def __init__(self, report: Report, dates: bool) -> None:
        self.report = report
        self.dates = dates
        self.root: Node | None = None
        self.open: list[_Open] = []
        self.documents = 0
        self.aliases = 0

    def build(self, text: str) -> bool:
        """False when the tree is not to be used: the text ends early or nests too deeply."""
        parser = _PARSER(text)
        try:
            while parser.check_event():
                if not self._event(parser.get_event()):
                    return False
        except yaml.MarkedYAMLError as error:
            self._syntax(error, text)
            return False
        finally:
            parser.dispose()
        return self.documents < 2

    def _event(self, event: yaml.Event) -> bool:
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                line, column = _mark(event)
                self.report.at("007", "a second document starts here", line, column, "remove the line '---'")
                return False
        elif isinstance(event, yaml.AliasEvent):
            self._refuse_alias(event)
            self._add(Node(*_mark(event), value=None, faulty=True))
        elif isinstance(event, yaml.ScalarEvent):
            self._check_properties(event)
            self._add(self._scalar(event))
        elif isinstance(event, yaml.CollectionStartEvent):
            return self._start(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.open.pop()
        return True

    def _start(self, event: yaml.CollectionStartEvent) -> bool:
        self._check_properties(event)
        line, column = _mark(event)
        if len(self.open) >= MAX_DEPTH:
            self.report.at("006", f"nested more than {MAX_DEPTH} levels deep", line, column)
            return False
        mapping = isinstance(event, yaml.MappingStartEvent)
        node = Node(line, column, {} if mapping else [], faulty=event.tag is not None)
        self._add(node)
        self.open.append(_Open(node))
        return True

    def _add(self, node: Node) -> None:
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        if isinstance(parent.node.value, list):
            parent.node.value.append(node)
        elif parent.skip:
            parent.skip = False
        elif parent.key is None:
            self._key(parent, node)
        else:
            node.key_line, node.key_column = parent.key.line, parent.key.column
            typing.cast("dict[str, Node]", parent.node.value)[str(parent.key.value)] = node
            parent.key = None

    def _key(self, parent: _Open, key: Node) -> None:
        """Take a key, or refuse it together with its value."""
        known = typing.cast("dict[str, Node]", parent.node.value)
        name = key.value
        if isinstance(name, str) and name not in known and name != "<<":
            parent.key = key
            return
        parent.skip = True
        parent.node.faulty = True
        if name == "<<":
            self._once("a merge key", key.line, key.column)
        elif isinstance(name, str):
            first = known[name].key_line
            self.report.at(
                "010", f"key '{name}' is here twice", key.line, key.column, f"the first one is in line {first}"
            )
        elif not key.faulty:
            self.report.at("012", "a key must be a text", key.line, key.column, "quote it")

    def _check_properties(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        line, column = _mark(event)
        if event.anchor:
            self._once(f"anchor '&{event.anchor}'", line, column)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.report.at("009", f"tag '{tag}' is not allowed", line, column, "remove it; quote what is meant as text")

    def _refuse_alias(self, event: yaml.AliasEvent) -> None:
        self._once(f"alias '*{event.anchor}'", *_mark(event))

    def _once(self, what: str, line: int, column: int) -> None:
        """Only the first anchor or alias of a file is told: the others are the same mistake."""
        self.aliases += 1
        if self.aliases == 1:
            self.report.at("008", f"{what} is not allowed", line, column, "write the value out")

    def _scalar(self, event: yaml.ScalarEvent) -> Node:
        line, column = _mark(event)
        text = event.value
        control = _CONTROL.search(text)
        if control:  # From an escape in double quotes.
            self.report.at("003", f"control character U+{ord(control[0]):04X}", line, column, "remove it")
            return Node(line, column, "", faulty=True)
        if event.style or event.tag is not None:
            return Node(line, column, text, faulty=event.tag is not None)
        value, fault = _resolve(text)
        if fault and not (self.dates and _LIKE_DATE.fullmatch(text)):
            self.report.at("011", *_with_place(fault, line, column))
            return Node(line, column, value, faulty=True)
        return Node(line, column, value)

    def _syntax(self, error: yaml.MarkedYAMLError, text: str) -> None:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        lines = text.split("\n")
        current = lines[line - 1][:1000] if 0 < line <= len(lines) else ""
        before = next((each for each in reversed(lines[: max(line - 1, 0)]) if each.strip()), "")
        special = _SPECIAL.search(current)
        problem = (error.problem or error.context or "it cannot be parsed").rstrip(".")
        if "\t" in current[: max(column, 1)]:
            hint = "indent with spaces, not with tabs"
        elif _NO_SPACE.match(before):
            hint = "put a space after the colon in the line before"
        elif special and special.start(1) < max(column, 1):
            hint = f"a text that begins with {special[1]} needs quotes"
        elif "mapping values are not allowed" in problem:
            hint = "quote a text that has ': ' in it, or mend the indentation"
        elif error.context:
            start = error.context_mark
            hint = error.context + (f" that starts in line {start.line + 1}" if start else "")
        else:
            hint = ""
        self.report.at("005", f"this is not YAML: {problem}", line, column, hint)


_NO_SPACE = re.compile(r"\s*(?:- )?[A-Za-z_]+:[^\s:]")
_SPECIAL = re.compile(r"(?:^|: |- |\[|, )([*&!%@`]|\{[^}]*\}(?= *[^ ,\]}#])|\[[^\]]*\](?= *[^ ,\]}#]))")
"""A value that begins with what YAML takes for something else, or with a bracket and goes on behind it."""


def _mark(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _with_place(fault: tuple[str, str], line: int, column: int) -> tuple[str, int, int, str]:
    return fault[0], line, column, fault[1]


_NULLS = frozenset({"", "~", "null"})
_TRUTHS: Mapping[str, bool] = {"true": True, "false": False}
_LIKE_TRUTHS: Mapping[str, str] = {
    **dict.fromkeys(("True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), "true"),
    **dict.fromkeys(("False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), "false"),
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,18}")
_LIKE_NUMBER = re.compile(
    r"[-+]?(?:0[0-9_]+|[0-9][0-9_]*_[0-9_]*|0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+|[0-9]{19,}"
    r"|[0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN"
)
_LIKE_TIME = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_LIKE_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9].*)?")


def _resolve(text: str) -> tuple[Scalar, tuple[str, str] | None]:
    """A plain scalar's value; with (message, hint) when YAML 1.1 and a person may read it differently."""
    if text in _NULLS:
        return None, None
    if text in _TRUTHS:
        return _TRUTHS[text], None
    if text in _LIKE_TRUTHS:
        word = _LIKE_TRUTHS[text]
        return text, (f"plain {text} may be read as {word}", f"quote it ('{text}') for a text, or write {word}")
    if text in ("Null", "NULL"):
        return text, (f"plain {text} may be read as null", f"quote it ('{text}') for a text, or write null")
    if not (text[0].isdigit() or text[0] in "+-."):
        return text, None
    if _INTEGER.fullmatch(text):
        return int(text), None
    if _DECIMAL.fullmatch(text):
        return float(text), None
    if _LIKE_TIME.fullmatch(text):
        return text, (f"plain {text} may be read as a number of base 60", f"quote it ('{text}')")
    if _LIKE_DATE.fullmatch(text):
        return text, (f"plain {text} may be read as a date", f"quote it ('{text}')")
    if _LIKE_NUMBER.fullmatch(text) and text not in (".", "..", "+.", "-."):
        shown = text if len(text) <= 40 else text[:40] + "…"
        return text, (
            f"{shown} is an unusual way to write a number",
            "quote it for a text, or write a plain decimal number",
        )
    return text, None


# --- tree to types


@functools.lru_cache(maxsize=64)
def _adapter(shape: Any) -> pydantic.TypeAdapter[Any]:
    # A list around the shape: only then does the configuration reach plain dataclasses below it.
    return pydantic.TypeAdapter(list[shape], config=pydantic.ConfigDict(extra="forbid"))


def _typed[T](shape: type[T], root: Node, report: Report) -> T | None:
    data = orjson.dumps([root.plain()])
    try:
        (value,) = _adapter(typing.cast("Any", shape)).validate_json(data, strict=True)
    except pydantic.ValidationError as error:
        faults = [_fault(root, each) for each in error.errors(include_url=False)]
        for fault in _settle(faults):
            _tell(shape, root, fault, report)
        return None
    return typing.cast("T", value)


@dataclass(frozen=True, slots=True)
class _Fault:
    """One error of pydantic. `path` holds real keys only, `branches` the union members on the way with their depth."""

    kind: str
    path: Path
    branches: tuple[tuple[int, str], ...]
    given: Any
    context: Mapping[str, Any]
    text: str


def _fault(root: Node, error: Any) -> _Fault:
    steps = error["loc"][1:]
    node: Node | None = root
    path: list[str | int] = []
    branches: list[tuple[int, str]] = []
    for position, step in enumerate(steps):
        below = _below(node, step) if node is not None else None
        if below is not None:
            node = below
            path.append(step)
        elif error["type"] == "missing" and position == len(steps) - 1:
            path.append(step)
        else:
            branches.append((len(path), str(step)))
    return _Fault(error["type"], tuple(path), tuple(branches), error["input"], error.get("ctx", {}), error["msg"])


def _settle(faults: list[_Fault]) -> Iterator[_Fault]:
    """Of a union that nothing fits, only what the most likely member says: a person meant one of them."""
    groups: dict[tuple[Path, int], list[_Fault]] = {}
    for fault in faults:
        if fault.branches:
            depth = fault.branches[0][0]
            groups.setdefault((fault.path[:depth], depth), []).append(fault)
        else:
            yield fault
    for (path, depth), group in groups.items():
        yield from _likely(path, depth, group)


def _likely(path: Path, depth: int, group: list[_Fault]) -> Iterator[_Fault]:
    members: dict[str, list[_Fault]] = {}
    for fault in group:
        shorter = _Fault(fault.kind, fault.path, fault.branches[1:], fault.given, fault.context, fault.text)
        members.setdefault(fault.branches[0][1], []).append(shorter)

    def wrong_kind(fault: _Fault) -> bool:
        return fault.path == path or (fault.kind == "literal_error" and fault.path == (*path, "type"))

    fitting = [faults for faults in members.values() if not any(wrong_kind(each) for each in faults)]
    if fitting:
        yield from _settle(min(fitting, key=len))
        return
    rejected = [each for faults in members.values() for each in faults if wrong_kind(each)]
    words = [each for each in rejected if each.kind in ("literal_error", "enum")]
    discriminated = [each for each in words if len(each.path) > depth]
    chosen = discriminated or (words if words and isinstance(words[0].given, str) else rejected)
    first = chosen[0]
    expected = _join(dict.fromkeys(str(each.context.get("expected", _kind(each.kind))) for each in chosen))
    yield _Fault(
        first.kind if chosen is words or discriminated else "one_of",
        first.path,
        (),
        first.given,
        {"expected": expected},
        first.text,
    )


def _join(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


_KINDS: Mapping[str, str] = {
    "string_type": "a text",
    "string_sub_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "none_required": "nothing",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "dataclass_type": "a mapping",
    "dataclass_exact_type": "a mapping",
}


def _kind(kind: str) -> str:
    return _KINDS.get(kind, "another value")


def describe(value: Any) -> str:
    """A value in an error message: short, and saying what it is."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text '{value if len(value) <= 60 else value[:60] + '…'}'"
        case int() | float():
            return f"the number {value}"
        case dict():
            return "a mapping"
        case list():
            return "a list"
    return "something else"


def _tell(shape: type[Any], root: Node, fault: _Fault, report: Report) -> None:
    node, rest = _follow(root, fault.path)
    if node.faulty and not rest:
        return
    where = _place(report.file, node)
    name = next((step for step in reversed(fault.path) if isinstance(step, str)), "")
    subject = f"'{name}'" if name else "the document"
    if fault.kind == "missing":
        if not node.faulty:
            report.add(
                "015", f"key '{name}' is missing", _place(report.file, node, key=True), _one_line(fault.path[:-1])
            )
    elif fault.kind == "unexpected_keyword_argument":
        many = len(report.errors) > MAX_ERRORS  # Then the hint would not be shown.
        hint = "" if many else did_you_mean(name, _keys_at(shape, fault.path[:-1]))
        report.add("013", f"unknown key '{name}'", _place(report.file, node, key=True), hint)
    elif fault.kind in ("literal_error", "enum"):
        _tell_word(fault, name, where, report)
    elif fault.kind in _KINDS or fault.kind == "one_of":
        expected = fault.context.get("expected", "") or _kind(fault.kind)
        hint = f'quote it: "{fault.given}"' if _wants_quotes(expected, fault.given) else ""
        report.add("016", f"{subject} must be {expected}, not {describe(fault.given)}", where, hint)
    elif fault.kind == "value_error":
        report.add("017", f"{subject}: {fault.context.get('error', fault.text)}", where)
    else:
        text = fault.text.removeprefix("Input should be ").removeprefix("Value should ")
        report.add("017", f"{subject} is {describe(fault.given)}, but should be {text}", where)


def _tell_word(fault: _Fault, name: str, where: Where, report: Report) -> None:
    expected = str(fault.context.get("expected", ""))
    noun = _singular(name) if isinstance(fault.given, str) else name
    words = re.findall(r"'([^']*)'", expected)
    if isinstance(fault.given, str) and words:
        report.add("014", f"unknown {noun} '{fault.given[:60]}'", where, did_you_mean(fault.given, words))
    else:
        hint = "" if words else f"write {expected} without quotes" if isinstance(fault.given, str) else ""
        report.add("016", f"'{noun}' must be {expected}, not {describe(fault.given)}", where, hint)


def _wants_quotes(expected: str, given: Any) -> bool:
    return "a text" in expected and isinstance(given, int | float) and not isinstance(given, bool)


def _one_line(path: Path) -> str:
    names = [str(step) for step in path if isinstance(step, str)]
    return f"add it under '{names[-1]}'" if names else ""


def _singular(noun: str) -> str:
    return noun[:-3] + "y" if noun.endswith("ies") else noun.removesuffix("s")


def _keys_at(shape: Any, path: Path) -> set[str]:
    """The keys that the types allow at `path`."""
    shapes = list(_members(shape))
    for step in path:
        shapes = [member for each in shapes for below in _step(each, step) for member in _members(below)]
    return {field.name for each in shapes if is_dataclass(each) for field in fields(each)}


def _members(shape: Any) -> Iterator[Any]:
    """A type without its annotations and aliases; of a union, every member."""
    if isinstance(shape, typing.TypeAliasType):
        yield from _members(shape.__value__)
    elif typing.get_origin(shape) is typing.Annotated:
        yield from _members(typing.get_args(shape)[0])
    elif typing.get_origin(shape) in (typing.Union, types.UnionType):
        for member in typing.get_args(shape):
            yield from _members(member)
    else:
        yield shape


def _step(shape: Any, step: str | int) -> Iterator[Any]:
    if is_dataclass(shape):
        if isinstance(step, str):
            hints = typing.get_type_hints(shape, include_extras=True)
            if step in hints:
                yield hints[step]
    elif arguments := typing.get_args(shape):
        yield arguments[-1] if isinstance(step, str) else arguments[0]
