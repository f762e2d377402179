"""What is known of a file: from its name and headers first, from its bytes when a policy needs that."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class VerdictStatus(StrEnum):
    CLEAN = "clean"
    SENSITIVE = "sensitive"
    MALICIOUS = "malicious"
    UNSCANNABLE = "unscannable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sensitive information type and how often it occurs.

    `count` counts different values, `total` all of them (0: not told). `levels` are pairs of a confidence and how many
    different values are at least so sure; without them every value has `confidence`. `places` hold byte offsets and
    masked excerpts only.
    """

    info_type: str
    count: int
    confidence: int = 100  # percent
    places: tuple[tuple[int, str], ...] = ()
    total: int = 0
    levels: tuple[tuple[int, int], ...] = ()

    def at_least(self, confidence: int) -> int:
        """How many different values are at least so sure."""
        if not self.levels:
            return self.count if self.confidence >= confidence else 0
        return max((count for level, count in self.levels if level >= confidence), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What reading the content gave. `why` says why a file is unscannable."""

    status: VerdictStatus
    findings: tuple[Finding, ...] = ()
    label: str | None = None
    inspector: str = ""
    why: str = ""
    threat: str = ""  # malicious: what the engine calls it


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineVerdict:
    """What one engine says of a file as malware: clean, malicious with the threat's name, or unscannable and why."""

    engine: str
    status: VerdictStatus
    threat: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """`None` means not known (yet); `inspected` tells whether the content facts below it are final."""

    name: str
    extension: str = ""  # lower case, after the last dot, without it
    size: int | None = None
    declared_type: str | None = None
    # From the content; unknown until `inspected`.
    inspected: bool = False
    detected_type: str | None = None  # media type by content
    sha256: str | None = None
    label: str | None = None  # its name, or its id when the file does not tell the name
    label_id: str | None = None  # GUID, lower case
    verdict: Verdict | None = None
    engines: tuple[EngineVerdict, ...] = ()  # those that looked for malware
    signs: frozenset[str] = frozenset()  # what is odd about name, type or structure: see `inspection.signs`
    # Document properties: ("author", "…"). The log keeps only whether there are any; None where they are not known.
    properties: tuple[tuple[str, str], ...] | None = ()
