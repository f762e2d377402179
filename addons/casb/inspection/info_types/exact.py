"""Exact data match: is this value in that table, and do the other cells of its row stand nearby?

Only keyed digests of the table are kept (`ExactList`), so neither a configuration folder nor a worker holds its data.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from casb.inspection.info_types.shape import ExactList

_WORD = re.compile(r"[^\W_]+(?:[.@'’-][^\W_]+)*")
SIZE = 12
"""Bytes of a digest: 96 bits, so that no list is long enough for one to be met by chance."""


def plain(value: str) -> str:
    """A cell as it is compared: letters and digits only, in one case and one composition."""
    folded = unicodedata.normalize("NFKC", value).casefold()
    return "".join(char for char in folded if char.isalnum())


def digest(key: bytes, column: str, value: str) -> bytes:
    """The keyed digest of a cell; the same value in another column has another one."""
    return hashlib.blake2b(f"{column}\0{plain(value)}".encode(), key=key, digest_size=SIZE).digest()


def hashed(
    rows: Iterable[Mapping[str, str]], *, primary: str, supporting: Sequence[str], key: bytes, needed: int
) -> ExactList:
    """A table as its digests. Rows without a primary value are left out; so are empty cells."""
    found: dict[bytes, list[frozenset[bytes]]] = {}
    longest = 1
    for row in rows:
        value = row.get(primary, "")
        if not plain(value):
            continue
        beside = [(name, row[name]) for name in supporting if plain(row.get(name, ""))]
        longest = max([longest, *(len(_WORD.findall(text)) for _, text in beside)])
        cells = frozenset(digest(key, "beside", text) for _, text in beside)
        found.setdefault(digest(key, "primary", value), []).append(cells)
    return ExactList(
        key=key,
        rows={name: tuple(cells) for name, cells in found.items()},
        needed=needed,
        longest=min(longest, 6),
    )


class Rows:
    """An `ExactList` put to work."""

    def __init__(self, known: ExactList) -> None:
        self._known = known

    def match(self, value: str, before: str, after: str) -> bool:
        """Whether the value is in the table and enough of its row is in the surroundings."""
        known = self._known
        rows = known.rows.get(digest(known.key, "primary", value))
        if rows is None:
            return False
        if not known.needed:
            return True
        beside = self._digests(before) | self._digests(after)
        return any(len(row & beside) >= min(known.needed, len(row) or 1) for row in rows)

    def _digests(self, text: str) -> frozenset[bytes]:
        words = _WORD.findall(text)
        runs = (
            " ".join(words[at : at + length])
            for length in range(1, self._known.longest + 1)
            for at in range(len(words) - length + 1)
        )
        return frozenset(digest(self._known.key, "beside", run) for run in runs)
