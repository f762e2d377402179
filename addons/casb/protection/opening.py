"""Opening a protected file again: its bytes in, plain text out, if the person asking is entitled to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from casb.errors import ContentError
from casb.protection.container import Reader, Stanza
from casb.protection.encrypt import HandOver, Unwrap, unwrap_stanza
from casb.protection.entitlement import Answer

_NAME_BYTES = 200  # leaves room for an ending of ours under the 255 bytes of most file systems

type Decide = Callable[[HandOver], Answer]
"""Whether the person asking may open a file with these facts; usually a partial of `may_open`."""


class Opener:
    """Push style. `facts` and `answer` are set as soon as the header has been read, before any plain text is given.

    `update` and `finish` raise `ContentError`: the answer's code when it is no, else what is wrong with the file. When
    `finish` raises, what was given out before it is authentic but not all of the file: break the transfer off.
    """

    def __init__(self, unwrap: Unwrap, decide: Decide) -> None:
        self._unwrap = unwrap
        self._decide = decide
        self._reader = Reader(self._file_key)
        self._key: bytes | None = None
        self.facts: HandOver | None = None
        self.answer: Answer | None = None
        self.file_key: bytes | None = None  # for whoever was entitled, once the header was found to be whole
        self.header_length = 0  # bytes
        self.finish = self._reader.finish

    def update(self, chunk: bytes) -> bytes:
        """Takes bytes of the file, gives authenticated plain text; may be empty."""
        plain = self._reader.update(chunk)
        if self.file_key is None and self._reader.header_length:
            self.file_key, self.header_length = self._key, self._reader.header_length
        return plain

    def _file_key(self, stanzas: Sequence[Stanza]) -> bytes:
        file_key, facts = unwrap_stanza(stanzas, self._unwrap)
        answer = self._decide(facts)
        self.facts, self.answer = facts, answer
        if not answer.allowed:
            raise ContentError(answer.error, answer.reason)
        self._key = file_key
        return file_key


def read_facts(start: bytes, unwrap: Unwrap) -> HandOver:
    """To whom a file was handed over, from its first bytes (the header at least). Decides nothing, gives no content.

    Raises `ContentError`, or what the key ring raises.
    """
    opener = Opener(unwrap, lambda _: Answer(True, "open.only-looked", "Nothing is opened."))
    opener.update(start)
    if opener.facts is None:
        raise ContentError("F006", "the container ends inside its header")
    return opener.facts


def plain_name(name: str) -> str:
    """A file name for this machine from the one in a file's facts: no folder, no control character, never empty."""
    base = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(each for each in base if each.isprintable()).strip().lstrip(".") or "opened"
    stem, dot, extension = kept.rpartition(".")
    if len(kept.encode()) <= _NAME_BYTES:
        return kept
    end = f".{extension}" if dot and len(extension) <= 16 else ""
    start = (stem if end else kept).encode()[: _NAME_BYTES - len(end.encode())].decode("utf-8", "ignore")
    return start + end
