"""The grammar of HTML tokens over bytes: where a tag, an attribute, a comment and raw text begin and end.

After the WHATWG states (HTML, section 13.2.5), as regular expressions that are possessive wherever a token may be long.
"""

from __future__ import annotations

import re

URL_ATTRIBUTES = frozenset(
    b"href src action formaction poster data background cite longdesc manifest codebase profile xlink:href classid "
    b"lowsrc dynsrc icon".split()
)
"""Attributes that hold one URL each."""

_S = rb"[\t\n\f\r ]"
_VALUE = rb"(?:\"[^\"]*+\"|'[^']*+'|(?![\"'])[^\t\n\f\r >]++|(?=>))"
_ATTRIBUTE = rb"[^\t\n\f\r />][^\t\n\f\r />=]*+(?:" + _S + rb"*+=" + _S + rb"*+" + _VALUE + rb"|(?!" + _S + rb"*+=))"
_TAIL = rb"(?:[\t\n\f\r /]++|" + _ATTRIBUTE + rb")*+>"
_RAW_TEXT = rb"script|style|textarea|title|xmp|iframe|noembed|noframes|noscript|plaintext"

RAW_NAMES = frozenset(_RAW_TEXT.split(b"|"))
"""HTML elements whose content is not markup to a browser that runs scripts."""

# A tag without surprises: every value is quoted at once or not at all, holds no angle bracket, and is followed by what
# may follow a value. So its first ">" ends it, and quotes pair as they stand.
_CALM_VALUE = rb"=(?:\"[^\"<>]*+\"|'[^'<>]*+'|[^\t\n\f\r <>\"'=]++)(?=[\t\n\f\r />])"
_CALM_TAIL = rb"[^<>\"'=]*+(?:" + _CALM_VALUE + rb"[^<>\"'=]*+)*+>"

QUIET = re.compile(rb"[^<]*+(?:(?:</?[a-zA-Z]" + _CALM_TAIL + rb"|<(?=[^a-zA-Z/!?]))[^<]*+)*+")
"""Text and tags without surprises, as many as there are. Matches the empty string.

The caller bounds it where a tag begins that markup does not follow. In what it matches the last "<" before an offset
begins the tag that the offset is in, unless there is a ">" between or no letter behind it.
"""

_DRAWING = (
    rb"(?:a|animate[a-z]*|circle|clippath|defs|ellipse|fe[a-z]+|filter|g|image|line|lineargradient|marker|mask|path"
    rb"|pattern|polygon|polyline|radialgradient|rect|set|stop|switch|symbol|text|textpath|tspan|use|view)"
)
DRAWING = re.compile(
    rb"<svg(?=[\t\n\f\r >])"
    + _CALM_TAIL
    + rb"(?<!/>)(?:[^<]++|</?(?i:"
    + _DRAWING
    + rb")(?=[\t\n\f\r />])"
    + _CALM_TAIL
    + rb")*+</svg>",
    re.IGNORECASE,
)
"""A whole drawing made of shapes only, its tags without surprises: to a tokenizer it is markup like any other."""

TAG = re.compile(rb"<(/?)([a-zA-Z][^\t\n\f\r />]*+)" + _TAIL)
"""A whole tag: the slash of an end tag, and the name."""

NAMED = re.compile(
    rb"([^\t\n\f\r />][^\t\n\f\r />=]*+)(?:"
    + _S
    + rb"*+="
    + _S
    + rb"*+(?:\"([^\"]*+)\"|'([^']*+)'|((?![\"'])[^\t\n\f\r >]++)|(?=>))|(?!"
    + _S
    + rb"*+=))"
)
"""An attribute: its name, and its value in the last group that matched, when it has one."""

_ORIGIN = rb"(?:(?:https?|wss?):)?//[a-zA-Z0-9._-]{1,253}+(?::[0-9]{1,5})?+"
ORIGIN = re.compile(_ORIGIN + rb"(?=[/\\?#]|\Z)")
"""Scheme and authority of a URL as everybody writes it: no user, no escape, nothing that a browser would drop."""

HEAD_OF_URL = re.compile(_ORIGIN + rb"(?=[/?#\"])")
"""As `ORIGIN`, at the beginning of a value in double quotes."""

COMMENT = re.compile(rb"<!--(?:-?>|(?s:.*?)--!?>)")
COMMENT_END = re.compile(rb"--!?>")
CDATA_END = re.compile(rb"\]\]>")
BOGUS_END = re.compile(rb">")
SPACE = re.compile(rb"[\t\n\f\r ]*+")
_SCRIPT_MARK = re.compile(rb"<!--(?P<open>-?>)?|(?P<close>-->)|<(?P<slash>/?)script(?=[\t\n\f\r />])", re.IGNORECASE)
_ENDS = {name: re.compile(rb"</" + name + rb"(?=[\t\n\f\r />])", re.IGNORECASE) for name in RAW_NAMES}


def attributes(tag: bytes, start: int) -> dict[bytes, bytes]:
    """The attributes of a whole start tag, whose name ends at `start`: names in lower case to raw values.

    Of duplicates the first counts.
    """
    found: dict[bytes, bytes] = {}
    for attribute in NAMED.finditer(tag, start, len(tag) - 1):
        found.setdefault(attribute[1].lower(), attribute[2] or attribute[3] or attribute[4] or b"")
    return found


class RawText:
    """Where raw text ends: a state machine over one element's content (section 13.2.5.20 and following for scripts)."""

    __slots__ = ("_double", "_end", "_escaped", "_name")

    def __init__(self, name: bytes) -> None:
        self._name = name
        self._end = _ENDS[name]
        self._escaped = self._double = False  # script data escaped, double escaped

    def find_end(self, data: bytes, start: int) -> tuple[int, bool]:
        """Where the text is decided up to, and whether its end tag begins there."""
        if self._name != b"script":
            found = self._end.search(data, start)
            return (found.start(), True) if found else (_undecided(data, start, len(self._name) + 3), False)
        at = start
        for mark in _SCRIPT_MARK.finditer(data, start):
            if mark["close"]:
                self._escaped = self._double = False
            elif mark[0].startswith(b"<!--"):
                if not mark["open"] and data[mark.end() : mark.end() + 2] in (b"", b"-"):
                    return mark.start(), False  # "<!-->" and "<!--->" end at once
                self._escaped, self._double = (False, False) if mark["open"] else (True, self._double)
            elif not mark["slash"]:
                self._double = self._double or self._escaped
            elif self._double:
                self._double = False
            else:
                return mark.start(), True
            at = mark.end()
        return max(at, _undecided(data, at, 9)), False


def _undecided(data: bytes, start: int, width: int) -> int:
    """The first offset from which a marker of up to `width` bytes may still be growing."""
    low = max(start, len(data) - width)
    for offset in range(low, len(data)):
        if data[offset] in b"<-":
            return offset
    return len(data)
