"""Binary workbooks: cells by calamine, and what it leaves out by a walk over the records (MS-XLS)."""

from __future__ import annotations

import struct

from casb.inspection.extraction.context import Item, Refused, Texts
from casb.inspection.extraction.text import strings as runs
from casb.inspection.limits import Why

CELLS = 40_000_000
"""A sheet whose used range has more cells than this is a bomb: the library makes room for every one of them."""

_TXO, _CONTINUE, _HEADER, _FOOTER, _DIMENSIONS, _BOUNDSHEET = 0x01B6, 0x003C, 0x0014, 0x0015, 0x0200, 0x0085
_CELLS = frozenset({0x00FD, 0x0204, 0x0203, 0x027E, 0x00BD, 0x0006, 0x0205, 0x00D6, 0x0406})


def cells(item: Item) -> Texts:
    """The cells of an xls or xlsb workbook, a row a line, hidden sheets too. Raises `Refused`."""
    import python_calamine  # noqa: PLC0415  # an extra

    item.file.seek(0)
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(item.file)
        for number, name in enumerate(book.sheet_names):
            part = item.inside(name)
            yield part, f"{name}\n"
            for row in book.get_sheet_by_index(number).iter_rows():
                if line := "\t".join(_shown(value) for value in row if value != ""):
                    yield part, line + "\n"
    except python_calamine.PasswordError:
        raise Refused(Why.ENCRYPTED) from None
    except (python_calamine.CalamineError, OSError, ValueError):
        raise Refused(Why.CORRUPT) from None


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e20 else repr(value)
    return str(value)


def binary(item: Item, data: bytes, *, strings: bool = False) -> Texts:
    """Text boxes, comments, headers and footers of a BIFF 8 stream. Raises `Refused` for one with a used range that
    is out of proportion. `strings`: also whatever else is readable in it."""
    at = 0
    boxed = False
    rows = columns = 0
    while at + 4 <= len(data):
        kind, length = struct.unpack_from("<HH", data, at)
        body = data[at + 4 : at + 4 + length]
        at += 4 + length
        if kind == _CONTINUE and boxed and body:
            yield item.inside("comments"), body[1:].decode("utf-16-le" if body[0] & 1 else "latin-1", "replace") + "\n"
        elif kind in (_HEADER, _FOOTER) and len(body) > 3:
            found = body[3:].decode("utf-16-le" if body[2] & 1 else "latin-1", "replace")
            yield item.inside("headers"), found + "\n"
        elif kind in _CELLS and len(body) >= 4:
            row, column = struct.unpack_from("<HH", body)
            rows, columns = max(rows, row + 1), max(columns, column + 1)
        boxed = kind == _TXO
    if rows * columns > CELLS:
        raise Refused(Why.BOMB)
    if strings:
        yield from runs(item.part, iter((data,)))
