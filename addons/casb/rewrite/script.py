"""JavaScript by a real parser: what only its syntax tells, for the few things that no guard in the page can reach.

`location` cannot be replaced in a window (HTML, section 7.2.4: `[LegacyUnforgeable]`), and `import()` is no function.
Everything else is done in the page by the guard. So only two kinds of places are edited, and a script that has neither
is not even parsed:

- both views: the argument of a dynamic `import()` that is computed goes through the guard's mapping;
- the origin view (`View.ORIGIN`): every read and write of something called `location` goes through the guard, which
  hands out a stand-in when it is the real one and the very same value otherwise; `eval` gets its text rewritten;
  absolute module specifiers are mapped, and `import.meta.url` is mapped back.

In the suffix view, literals are mapped by `scan.names_to_suffix`; in the origin view they stay as they are, and so do
JSON, event streams and messages. Scripts the parser cannot make sense of keep their bytes around the error.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple

import tree_sitter_javascript
from cachetools import LRUCache
from tree_sitter import Language, Node, Parser

from casb.model.app import View
from casb.rewrite.context import RewriteContext
from casb.rewrite.hosts import HostMap
from casb.rewrite.scan import BodyRewriter, names_to_suffix, once

MAX_SCRIPT = 8 * 1024 * 1024
"""A longer script streams: in the suffix view its literals are still mapped, in the origin view it passes as it is."""
_CACHE_BYTES = 64 * 1024 * 1024
_WORTH_KEEPING = 16 * 1024  # shorter scripts are parsed faster than it matters

_COMPUTED_IMPORT = re.compile(rb"import(?<![\w$]import)\s*\((?!\s*(?:[\"'][^\"'\\\n]{0,2000}[\"']\s*[,)]|\)))")
_LOCATION = re.compile(rb"location(?<![\w$]location)(?![\w$])")
_EVAL = re.compile(rb"eval(?<![\w$]eval)(?=\s*\)?\s*\()")
_POST = re.compile(rb"postMessage(?<=\.postMessage)(?=\s*\()")
_OTHERS = re.compile(
    rb"eval(?<![\w$]eval)\s*\)?\s*\(|\.postMessage\s*\([^)]{1,200},|import(?<![\w$]import)(?![\w$])|\bfrom\s*[\"']"
)
_GUARD = b'globalThis[Symbol.for("casb.guard")]'
_IMPORTED = b"(" + _GUARD + b"?.url??String)("
_TARGETS = frozenset({"assignment_expression", "augmented_assignment_expression"})
_BINDING = {  # parent node type: the field in which a name is declared, not read
    "variable_declarator": "name",
    "function_declaration": "name",
    "function_expression": "name",
    "generator_function": "name",
    "generator_function_declaration": "name",
    "class_declaration": "name",
    "class": "name",
    "arrow_function": "parameter",
    "catch_clause": "parameter",
    "assignment_pattern": "left",
    "object_assignment_pattern": "left",
    "for_in_statement": "left",
}
_NEVER = frozenset(
    {
        "formal_parameters", "array_pattern", "rest_pattern", "pair_pattern", "object_pattern", "import_specifier",
        "import_clause", "namespace_import", "export_specifier", "namespace_export", "update_expression",
        "labeled_statement", "break_statement", "continue_statement", "ERROR", "jsx_attribute",
    }
)  # fmt: skip


class _Edit(NamedTuple):
    at: int
    end: int
    text: bytes


@cache
def _language() -> Language:
    return Language(tree_sitter_javascript.language())


def rewrite_script(source: bytes, hosts: HostMap, *, view: View) -> bytes:
    """A whole script, classic or module, or the text of an event handler; the same object when nothing changes.

    Pure; UTF-8 or any ASCII-compatible charset. The edits keep line numbers, and directives (`"use strict"`) first.
    """
    if not hosts.maps_anything:
        return source
    if view is View.SUFFIX:
        source = once(names_to_suffix(hosts), source)
    if not needs_parsing(source, view):
        return source
    return _remembered(source, hosts, view) if len(source) >= _WORTH_KEEPING else _parsed(source, hosts, view)


def needs_parsing(source: bytes, view: View) -> bool:
    """Is there anything that only a parser can place? One or two searches."""
    if view is View.SUFFIX:
        return _COMPUTED_IMPORT.search(source) is not None
    return _LOCATION.search(source) is not None or _OTHERS.search(source) is not None


def is_module(source: bytes) -> bool:
    """Does the script have a static import or export, or `import.meta`: can it be nothing but a module?"""
    if b"import" not in source and b"export" not in source:
        return False
    root = Parser(_language()).parse(source).root_node
    kinds = {"import_statement", "export_statement"}
    return any(child.type in kinds for child in root.children) or re.search(rb"\bimport\.meta\b", source) is not None


_memo: LRUCache[bytes, bytes] = LRUCache(_CACHE_BYTES, getsizeof=len)


def _remembered(source: bytes, hosts: HostMap, view: View) -> bytes:
    # What depends on the hosts is the map itself; its suffix, port and names stand in for it.
    key = hashlib.blake2b(source, digest_size=24, person=view.value[:16].encode(), salt=_salt(hosts)).digest()
    found = _memo.get(key)
    if found is None:
        found = _parsed(source, hosts, view)
        if len(found) <= _CACHE_BYTES // 8:
            _memo[key] = found
    return found


_salts: LRUCache[int, tuple[HostMap, bytes]] = LRUCache(8)


def _salt(hosts: HostMap) -> bytes:
    found = _salts.get(id(hosts))
    if found is None or found[0] is not hosts:
        text = "\n".join([hosts.suffix, hosts.port_tail, *sorted(hosts.exact), "*", *sorted(hosts.parents)])
        found = _salts[id(hosts)] = (hosts, hashlib.blake2b(text.encode(), digest_size=16).digest())
    return found[1]


def _parsed(source: bytes, hosts: HostMap, view: View) -> bytes:
    root = Parser(_language()).parse(source).root_node
    edits = _Edits(source, root)
    edits.imports()
    if view is View.ORIGIN:
        edits.specifiers(hosts)
        edits.locations()
        edits.evals()
        edits.posts()
    return _applied(source, edits.found)


def _applied(source: bytes, edits: Iterable[_Edit]) -> bytes:
    """Insertions and replacements by offset; what opens further out is written first, what closes last."""
    out: list[bytes] = []
    done = 0
    for edit in sorted(edits, key=lambda each: each.at):
        out += (source[done : edit.at], edit.text)
        done = edit.end
    if not out:
        return source
    out.append(source[done:])
    return b"".join(out)


class _Edits:
    """The edits of one script. Opening and closing text at one offset must nest, which `wrap` sees to."""

    def __init__(self, source: bytes, root: Node) -> None:
        self._source = source
        self._root = root
        self._opens: dict[int, list[tuple[int, bytes]]] = {}
        self._closes: dict[int, list[tuple[int, bytes]]] = {}
        self._replaced: list[_Edit] = []

    @property
    def found(self) -> list[_Edit]:
        """All edits in order."""
        edits = list(self._replaced)
        for at in self._opens.keys() | self._closes.keys():
            closing = [text for _, text in sorted(self._closes.get(at, ()), key=lambda each: -each[0])]  # inner first
            opening = [text for _, text in sorted(self._opens.get(at, ()), key=lambda each: -each[0])]  # outer first
            edits.append(_Edit(at, at, b"".join(closing + opening)))
        return sorted(edits, key=lambda each: (each.at, each.end))

    def wrap(self, node: Node, before: bytes, after: bytes) -> None:
        """Put text around a node."""
        self._opens.setdefault(node.start_byte, []).append((node.end_byte, before))
        self._closes.setdefault(node.end_byte, []).append((node.start_byte, after))

    def _at(self, start: int, end: int) -> Node | None:
        return self._root.descendant_for_byte_range(start, end)

    def _nodes(self, pattern: re.Pattern[bytes], width: int) -> Iterable[Node]:
        for hit in pattern.finditer(self._source):
            node = self._at(hit.start(), hit.start() + width)
            while node is not None and node.parent and node.parent.type == node.type:
                node = node.parent  # a token and the expression that is nothing but it
            if node is not None and node.start_byte == hit.start():
                yield node

    def imports(self) -> None:
        """`import(x)` to `import(map(x))`."""
        for node in self._nodes(_COMPUTED_IMPORT, 6):
            call = node.parent
            if node.type != "import" or call is None or call.type != "call_expression":
                continue
            arguments = call.child_by_field_name("arguments")
            first = _first(arguments)
            if first is not None and first.type != "spread_element":
                self.wrap(first, _IMPORTED, b")")

    def specifiers(self, hosts: HostMap) -> None:
        """Absolute module specifiers, and `import.meta.url`."""
        for node in self._nodes(re.compile(rb"\b(?:import|export)\b"), 6):
            statement = node.parent
            if statement is None:
                continue
            if statement.type in ("import_statement", "export_statement"):
                self._specifier(statement.child_by_field_name("source"), hosts)
            elif statement.type == "meta_property" and statement.parent and _property(statement.parent) == b"url":
                if not _is_target(statement.parent):
                    self.wrap(statement.parent, b"casb$.back(", b")")
            elif statement.type == "call_expression" and node.type == "import":
                first = _first(statement.child_by_field_name("arguments"))
                self._specifier(first if first is not None and first.type == "string" else None, hosts)

    def _specifier(self, string: Node | None, hosts: HostMap) -> None:
        if string is None or string.end_byte - string.start_byte < 6:
            return
        start, end = string.start_byte + 1, string.end_byte - 1
        text = self._source[start:end].decode("utf-8", "surrogateescape")
        mapped = hosts.url_to_suffix(text) if "\\" not in text else text
        if mapped != text:
            self._replaced.append(_Edit(start, end, mapped.encode("utf-8", "surrogateescape")))

    def locations(self) -> None:
        """Everything called `location`."""
        for hit in _LOCATION.finditer(self._source):
            node = self._at(hit.start(), hit.end())
            if node is None or node.start_byte != hit.start() or node.end_byte != hit.end():
                continue
            if node.type == "identifier":
                self._identifier(node)
            elif node.type == "shorthand_property_identifier":
                self._closes.setdefault(node.end_byte, []).append((node.start_byte, b":casb$.here(location)"))
            elif node.type == "property_identifier" and node.parent and node.parent.type == "member_expression":
                self._member(node.parent)
            elif node.type == "string_fragment" and (string := node.parent) and (access := string.parent):
                if access.type == "subscript_expression" and access.child_by_field_name("index") == string:
                    self._member(access)

    def _identifier(self, node: Node) -> None:
        parent = node.parent
        if parent is None or parent.type in _NEVER or _is_unary(parent):
            return
        field = _BINDING.get(parent.type)
        if field and parent.child_by_field_name(field) == node:
            return
        if parent.type in _TARGETS and parent.child_by_field_name("left") == node:
            value = parent.child_by_field_name("right")
            if parent.type == "assignment_expression" and value is not None:
                self.wrap(parent, b"casb$.set(location,", b",casb$v=>location=casb$v)")
                self._replaced.append(_Edit(node.start_byte, value.start_byte, b""))
            return
        if parent.type == "call_expression" and parent.child_by_field_name("function") == node:
            return  # a function of that name
        self.wrap(node, b"casb$.here(", b")")

    def _member(self, node: Node) -> None:
        """`x.location`, read, called or assigned."""
        parent, owner = node.parent, node.child_by_field_name("object")
        if parent is None or owner is None or parent.type in _NEVER or _is_unary(parent) or owner.type == "super":
            return
        if parent.type in _TARGETS and parent.child_by_field_name("left") == node:
            value = parent.child_by_field_name("right")
            if parent.type == "assignment_expression" and value is not None:
                self.wrap(parent, b"casb$.put(", b")")
                self._replaced.append(_Edit(owner.end_byte, value.start_byte, b","))
            return
        if parent.type in ("assignment_pattern", "for_in_statement") and parent.child_by_field_name("left") == node:
            return
        if parent.type in ("call_expression", "new_expression") and node in (
            parent.child_by_field_name("function"),
            parent.child_by_field_name("constructor"),
        ):
            return  # a method of that name, whose `this` must stay
        self.wrap(node, b"casb$.here(", b")")
        if _short_circuits(node) and parent.child_by_field_name("object") == node:
            self._continue_chain(node, parent)

    def _continue_chain(self, node: Node, parent: Node) -> None:
        """`a?.location.href` is one chain, and a call in the middle cuts it: the rest becomes optional itself."""
        if any(child.type == "optional_chain" for child in parent.children):
            return
        step = next((child for child in parent.children if child.type in (".", "[", "arguments")), None)
        if step is not None:
            text = b"?" if step.type == "." else b"?."
            self._closes.setdefault(step.start_byte, []).append((-1, text))

    def posts(self) -> None:
        """`x.postMessage(data, target)`: a window of another origin shows nothing that could be wrapped."""
        for node in self._nodes(_POST, 11):
            member = node.parent
            call = member.parent if member and member.type == "member_expression" else None
            if member is None or call is None or call.type != "call_expression":
                continue
            owner, arguments = member.child_by_field_name("object"), call.child_by_field_name("arguments")
            if call.child_by_field_name("function") != member or owner is None or arguments is None:
                continue
            if len(arguments.named_children) < 2 or owner.type == "super" or _short_circuits(member):
                continue
            self.wrap(call, b"casb$.post(", b"")
            self._replaced.append(_Edit(owner.end_byte, arguments.start_byte + 1, b","))

    def evals(self) -> None:
        """`eval(x)`, which stays direct, for it sees the scope around it; `(0, eval)(x)` and `window.eval(x)`."""
        for node in self._nodes(_EVAL, 4):
            callee: Node = node
            if node.type == "property_identifier" and node.parent and _is_global(node.parent):
                callee = node.parent
            elif node.type != "identifier":
                continue
            while callee.parent and callee.parent.type in ("sequence_expression", "parenthesized_expression"):
                callee = callee.parent
            call = callee.parent
            if call is None or call.type != "call_expression" or call.child_by_field_name("function") != callee:
                continue
            arguments = call.child_by_field_name("arguments")
            if (
                arguments
                and len(arguments.named_children) == 1
                and arguments.named_children[0].type != "spread_element"
            ):
                self.wrap(arguments.named_children[0], b"casb$.code(", b")")


def _first(arguments: Node | None) -> Node | None:
    return next((each for each in arguments.named_children if each.type != "comment"), None) if arguments else None


def _property(node: Node) -> bytes:
    name = node.child_by_field_name("property") if node.type == "member_expression" else None
    return (name.text or b"") if name else b""


def _is_global(node: Node) -> bool:
    owner = node.child_by_field_name("object") if node.type == "member_expression" else None
    return owner is not None and owner.text in (b"window", b"self", b"globalThis", b"top", b"parent", b"frames")


def _is_target(node: Node) -> bool:
    parent = node.parent
    return parent is not None and parent.type in _TARGETS and parent.child_by_field_name("left") == node


def _is_unary(node: Node) -> bool:
    """`typeof location` must not throw where there is none; `delete` needs the reference itself."""
    if node.type != "unary_expression":
        return False
    operator = node.child_by_field_name("operator")
    return operator is not None and operator.type in ("typeof", "delete")


def _short_circuits(node: Node) -> bool:
    step: Node | None = node
    while step is not None and step.type in ("member_expression", "subscript_expression", "call_expression"):
        if any(child.type == "optional_chain" for child in step.children):
            return True
        step = step.child_by_field_name("object") or step.child_by_field_name("function")
    return False


class ScriptRewriter:
    """A `BodyRewriter` for scripts: held until complete, for a parser needs all of it, but never beyond `limit`.

    `before` is put in front of what comes out (the guard, in workers); it gets the source and returns text. A script
    that outgrows `limit` is passed on through `beyond` (the suffix view: its literals are still mapped) and comes too
    late for `before`, which is then called with what is there.
    """

    __slots__ = ("_before", "_beyond", "_held", "_hosts", "_limit", "_size", "_streams", "_view")

    def __init__(
        self, hosts: HostMap, view: View, *, limit: int = MAX_SCRIPT, before: Callable[[bytes], bytes] | None = None
    ) -> None:
        self._hosts = hosts
        self._view = view
        self._limit = limit
        self._before = before
        self._held: list[bytes] = []
        self._size = 0
        self._streams = False
        self._beyond: BodyRewriter | None = None

    def feed(self, chunk: bytes) -> bytes:
        if self._streams:
            return self._beyond.feed(chunk) if self._beyond else chunk
        self._held.append(chunk)
        self._size += len(chunk)
        if self._size <= self._limit:
            return b""
        self._streams = True
        source = b"".join(self._held)
        self._held = []
        self._beyond = names_to_suffix(self._hosts) if self._view is View.SUFFIX else None
        head = placed(self._before(source), source) if self._before else source
        return self._beyond.feed(head) if self._beyond else head

    def finish(self) -> bytes:
        if self._streams:
            return self._beyond.finish() if self._beyond else b""
        source = b"".join(self._held)
        out = rewrite_script(source, self._hosts, view=self._view)
        return placed(self._before(source), out) if self._before and source else out


_WORKERS = frozenset({"worker", "sharedworker", "serviceworker"})


def script_rewriter(context: RewriteContext) -> BodyRewriter | None:
    """The rewriter for a response that is a script, by the app's view and by who asked for it; None: untouched."""
    before = context.worker_guard if context.inject_guard and context.destination in _WORKERS else None
    if not context.hosts.maps_anything:
        return None
    return ScriptRewriter(context.hosts, context.view, before=before)


_PROLOGUE = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:#![^\n]*\n)?"
    rb"(?:\s+|//[^\n]*(?:\n|\Z)|/\*.*?\*/|(?P<d>\"[^\"\\\n]*\"|'[^'\\\n]*')"
    rb"(?=[ \t]*(?:;|\n(?!\s*[-+*/%.,?<>=&|^(\[`]|\s*in)))"
    rb"[ \t]*;?)*",
    re.DOTALL,
)


def placed(text: bytes, script: bytes) -> bytes:
    """`text` in front of a script, but behind its directives, which only count when they come first."""
    found = _PROLOGUE.match(script)
    at = found.end("d") if found and found["d"] else 0
    if not at and script.startswith(b"\xef\xbb\xbf"):
        at = 3
    return script[:at] + (b";" if found and found["d"] else b"") + text + script[at:]
