"""How far a file is read, and what it is called when that is not far enough."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MIB = 1024 * 1024


class Why(StrEnum):
    """Reasons of an unscannable file."""

    BOMB = "bomb"  # out of proportion: more than the `Limits` allow
    TOO_LARGE = "too_large"  # a part that can only be read in memory does not fit there
    ENCRYPTED = "encrypted"
    CORRUPT = "corrupt"
    UNSUPPORTED = "unsupported"  # a format that holds text which nobody here can read
    UNREADABLE = "unreadable"  # the bytes could not be had
    FAILED = "failed"  # our own reading failed
    # Said by whoever runs `scan` in a worker.
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    BUSY = "busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds for one file and everything in it. Sizes in bytes.

    What a file unpacks to, and its text, may come to `ratio` times its size, or to `floor` where that is more, but
    never to more than `inflated` and `text`. `held` bounds what is kept in memory at a time: parts that cannot be read
    as a stream.
    """

    depth: int = 16
    members: int = 100_000
    inflated: int = 4096 * MIB
    text: int = 2048 * MIB
    ratio: int = 200
    floor: int = 256 * MIB
    held: int = 160 * MIB
    objects: int = 500_000  # of a PDF

    def allowed(self, size: int, most: int) -> int:
        """How many bytes may come out of a file of `size` bytes; `most` is `inflated` or `text`. A large file may give
        four times its size whatever the limit: as text in a wider character set does."""
        return min(max(most, 4 * size), max(self.floor, self.ratio * size))


LIMITS = Limits()
