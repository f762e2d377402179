"""Where SVG and MathML begin and end inside HTML: there `<style>` holds markup and `<![CDATA[` holds text.

The part of tree construction that changes what the tokenizer does (HTML, sections 13.2.6 and 13.2.6.5), on a stack that
is empty outside of foreign elements. Approximate in one point only: which HTML elements stand open around them.
"""

from __future__ import annotations

_ROOTS = frozenset((b"svg", b"math"))
_SVG_POINTS = frozenset((b"foreignobject", b"desc", b"title"))
_MATH_TEXT = frozenset((b"mi", b"mo", b"mn", b"ms", b"mtext"))
_ENCODINGS = frozenset((b"text/html", b"application/xhtml+xml"))
_BREAKOUTS = frozenset(
    b"b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li listing menu meta "
    b"nobr ol p pre ruby s small span strong strike sub sup table tt u ul var".split()
)
_VOID = frozenset(
    b"area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr".split()
)
_BLOCKS = frozenset(
    b"address applet article aside blockquote body button caption center dd details dialog dir div dl dt fieldset "
    b"figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup html li listing main marquee menu nav object ol p "
    b"pre search section select summary table tbody td template tfoot th thead tr ul".split()
)
_HTML, _INNER_SVG, _INNER_MATH = b"html", b"svg", b"math"
_MAX_DEPTH = 512  # browsers flatten what is nested deeper


class Foreign:
    """The open elements from the outermost `<svg>` or `<math>` on; false while there is none."""

    __slots__ = ("_stack",)

    def __init__(self) -> None:
        self._stack: list[tuple[bytes, bytes]] = []  # namespace, name; an annotation that holds HTML is "html-point"

    def __bool__(self) -> bool:
        return bool(self._stack)

    @property
    def cdata(self) -> bool:
        """Is `<![CDATA[` a section here?"""
        return bool(self._stack) and self._stack[-1][0] != _HTML

    @property
    def text_of(self) -> bytes:
        """`script` or `style` when text here belongs to one of SVG's own, else empty."""
        if not self._stack:
            return b""
        space, name = self._stack[-1]
        return name if space == _INNER_SVG and name in (b"script", b"style") else b""

    def start(self, name: bytes, attributes: dict[bytes, bytes], closed: bool) -> bool:
        """A start tag, its name in lower case; `closed` says that it ends in `/>`. True: it is an HTML element."""
        stack = self._stack
        if not stack or self._html_next(name):
            if name in _ROOTS:
                if not closed:
                    self._push(name, name)
                return False
            if stack and name not in _VOID:
                self._push(_HTML, name)
            return True
        if name in _BREAKOUTS or (name == b"font" and attributes.keys() & {b"color", b"face", b"size"}):
            self._break_out()
            return self.start(name, attributes, closed)
        if not closed:
            space = stack[-1][0]
            if name == b"annotation-xml" and attributes.get(b"encoding", b"").lower() in _ENCODINGS:
                name = b"html-point"
            self._push(space, name)
        return False

    def end(self, name: bytes) -> None:
        """An end tag, its name in lower case."""
        stack = self._stack
        if not stack:
            return
        if stack[-1][0] != _HTML and name in (b"p", b"br"):
            self._break_out()
            return
        at = len(stack)
        if stack[-1][0] != _HTML:
            while at and stack[at - 1][0] != _HTML:
                at -= 1
                if stack[at][1] == name or (stack[at][1] == b"html-point" and name == b"annotation-xml"):
                    del stack[at:]
                    return
        self._end_html(name, at)

    def _end_html(self, name: bytes, known: int) -> None:
        """By the rules for HTML: the element must be open, and no special element may stand between."""
        stack = self._stack
        for at in range(len(stack) - 1, -1, -1):
            space, open_name = stack[at]
            if space == _HTML and open_name == name:
                del stack[at:]
                return
            if space != _HTML and (self._is_point(at) or name not in _BLOCKS):
                if self._is_point(at):
                    return
            elif open_name in _BLOCKS and name not in _BLOCKS:
                return
        if known == 0 and name in _BLOCKS:
            stack.clear()  # the end of something around the drawing

    def _push(self, space: bytes, name: bytes) -> None:
        if len(self._stack) < _MAX_DEPTH:
            self._stack.append((space, name))

    def _html_next(self, name: bytes) -> bool:
        """Is a start tag of this name, here, one of HTML?"""
        space, top = self._stack[-1]
        if space == _HTML or (space == _INNER_SVG and top in _SVG_POINTS) or top == b"html-point":
            return True
        if space == _INNER_MATH:
            if top in _MATH_TEXT:
                return name not in (b"mglyph", b"malignmark")
            return top == b"annotation-xml" and name == b"svg"
        return False

    def _is_point(self, at: int) -> bool:
        space, name = self._stack[at]
        if space == _INNER_SVG:
            return name in _SVG_POINTS
        return space == _INNER_MATH and (name in _MATH_TEXT or name == b"html-point")

    def _break_out(self) -> None:
        while self._stack and self._stack[-1][0] != _HTML and not self._is_point(len(self._stack) - 1):
            self._stack.pop()
