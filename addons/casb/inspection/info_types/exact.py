"""Exact data match: is this value in that table, and do the other cells of its row stand nearby?

A table is kept as keyed digests alone, so that neither a configuration folder nor a worker holds its data: for each row
the digest of its primary value and of each supporting cell, sorted. The key stays in the deployment's secrets.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from casb.errors import ContentError
from casb.inspection.info_types.shape import ExactList

SIZE = 8
"""Bytes of a digest: no list is so long that one would be met by chance."""

MOST_ROWS = 500_000
_MAGIC = b"casb exact match 1\n"
_WORD = re.compile(r"[^\W_]+(?:[.@'\u2019-][^\W_]+)*")
_NOTHING = bytes(SIZE)
_LONGEST = 6  # words of a supporting cell


def plain(value: str) -> str:
    """A cell as it is compared: letters and digits only, in one case and one composition."""
    folded = unicodedata.normalize("NFKC", value).casefold()
    return "".join(char for char in folded if char.isalnum())


def digest(key: bytes, column: str, value: str) -> bytes:
    """The keyed digest of a cell."""
    keyed = hashlib.blake2b(f"{column}\0{plain(value)}".encode(), key=key[:64], digest_size=SIZE).digest()
    return keyed if keyed != _NOTHING else b"\x01" * SIZE


def packed(rows: Iterable[Mapping[str, str]], *, primary: str, supporting: Sequence[str], key: bytes) -> bytes:
    """A table as the file that is kept of it. Rows without a primary value are left out. ContentError F204 when the
    table is too long or lacks a column."""
    records, longest = set[bytes](), 1
    for row in rows:
        if primary not in row or any(name not in row for name in supporting):
            raise ContentError("F204", f"the table lacks a column: it has {', '.join(map(str, row))}")
        if not plain(row[primary] or ""):
            continue
        record = digest(key, "primary", row[primary])
        for name in supporting:
            text = row[name] or ""
            longest = max(longest, len(_WORD.findall(text)))
            record += digest(key, "beside", text) if plain(text) else _NOTHING
        records.add(record)
        if len(records) > MOST_ROWS:
            raise ContentError("F204", f"the table has more than {MOST_ROWS} rows")
    head = f"{len(supporting)} {min(longest, _LONGEST)} {_check(key)}\n".encode()
    return _MAGIC + head + base64.b64encode(b"".join(sorted(records))) + b"\n"


def unpacked(data: bytes, key: bytes, needed: int) -> ExactList:
    """The list that a file holds. ContentError F205 when it is no such file, F206 when it was made with another key."""
    head, _, rest = data.removeprefix(_MAGIC).partition(b"\n")
    try:
        columns, longest, check = head.decode("ascii").split(" ")
        width, words = int(columns), int(longest)
        body = base64.b64decode(rest.strip(), validate=True)
    except (ValueError, binascii.Error):
        raise ContentError("F205", "no list of exact data match") from None
    record = SIZE * (width + 1)
    if not data.startswith(_MAGIC) or not 0 <= width < 100 or not 1 <= words <= _LONGEST or len(body) % record:
        raise ContentError("F205", "no list of exact data match")
    if check != _check(key):
        raise ContentError("F206", "the list was made with another key")
    return ExactList(key=key, records=body, columns=width, needed=min(needed, width), longest=words)


def _check(key: bytes) -> str:
    return hashlib.blake2b(b"casb exact match", key=key[:64], digest_size=8).hexdigest()


class Rows:
    """An `ExactList` put to work."""

    def __init__(self, known: ExactList) -> None:
        self._known = known
        self._size = SIZE * (known.columns + 1)
        self._count = len(known.records) // self._size

    def match(self, value: str, before: str, after: str) -> bool:
        """Whether the value is in the table and enough of its row is in the surroundings."""
        wanted, known = digest(self._known.key, "primary", value), self._known
        at, beside = self._first(wanted), None
        while at < self._count:
            record = known.records[at * self._size : (at + 1) * self._size]
            if record[:SIZE] != wanted:
                return False
            if beside is None:
                beside = self._digests(before) | self._digests(after) if known.needed else frozenset[bytes]()
            cells = [record[start : start + SIZE] for start in range(SIZE, self._size, SIZE)]
            there = [cell for cell in cells if cell != _NOTHING]
            if sum(cell in beside for cell in there) >= min(known.needed, len(there)):
                return True
            at += 1
        return False

    def _first(self, wanted: bytes) -> int:
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            if self._known.records[middle * self._size : middle * self._size + SIZE] < wanted:
                low = middle + 1
            else:
                high = middle
        return low

    def _digests(self, text: str) -> frozenset[bytes]:
        words = _WORD.findall(text)
        runs = (
            " ".join(words[at : at + length])
            for length in range(1, self._known.longest + 1)
            for at in range(len(words) - length + 1)
        )
        return frozenset(digest(self._known.key, "beside", run) for run in runs)
