"""Syslog over a byte stream to messages: octet counting and newlines, told apart one by one (RFC 6587, 5425)."""

from __future__ import annotations

from collections.abc import Iterator

LONGEST = 1024 * 1024
"""Bytes of one message; what is longer is cut and counted."""
_DIGITS = b"0123456789"
_LENGTH_DIGITS = 8


class Frames:
    """Feed it what arrives; it gives messages without their frames, each at most `LONGEST` bytes."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._pending = bytearray()
        self._skip = 0  # octets of a counted message that are dropped
        self._overlong = False  # dropping up to the next newline
        self.cut = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Messages that are complete now."""
        self._pending += data
        while self._pending:
            if self._skip:
                gone = min(self._skip, len(self._pending))
                del self._pending[:gone]
                self._skip -= gone
                continue
            counted = self._counted()
            if counted is None:
                message = self._line()
            elif counted < 0:
                return  # the length itself is not all there
            else:
                message = self._octets(counted)
            if message is None:
                return
            if message:
                yield message

    def rest(self) -> bytes:
        """What was there when the connection ended: a last message without its newline."""
        rest = bytes(self._pending).strip(b"\0\r\n ") if not self._skip and not self._overlong else b""
        self._pending.clear()
        return rest[: self._longest]

    def _counted(self) -> int | None:
        """The length of a counted message; None when it is a line; -1 when that cannot be told yet."""
        pending = self._pending
        if pending[0] not in b"123456789" or self._overlong:
            return None
        space = pending.find(b" ", 0, _LENGTH_DIGITS + 1)
        if space < 0:
            short = len(pending) <= _LENGTH_DIGITS and all(each in _DIGITS for each in pending)
            return -1 if short else None
        head = bytes(pending[:space])
        return int(head) if head.isdigit() else None

    def _octets(self, length: int) -> bytes | None:
        pending = self._pending
        start = pending.find(b" ") + 1
        if length > self._longest:
            # Its start is kept: the facts of a log line are at its front.
            if len(pending) - start < self._longest:
                return None
            message = bytes(pending[start : start + self._longest])
            del pending[: start + self._longest]
            self._skip = length - self._longest
            self.cut += 1
            return message
        if len(pending) - start < length:
            return None
        message = bytes(pending[start : start + length])
        del pending[: start + length]
        return message.rstrip(b"\0\r\n")

    def _line(self) -> bytes | None:
        pending = self._pending
        end = pending.find(b"\n")
        if end < 0:
            if len(pending) > self._longest:
                message = b"" if self._overlong else bytes(pending[: self._longest])
                self.cut += not self._overlong
                self._overlong = True
                pending.clear()
                return message or None
            return None
        message = b"" if self._overlong else bytes(pending[:end]).strip(b"\0\r ")
        del pending[: end + 1]
        self._overlong = False
        return message


def one_line(message: bytes) -> bytes:
    """A message as one line: what would end the line early becomes a space."""
    return message.replace(b"\r\n", b" ").replace(b"\n", b" ").replace(b"\r", b" ").replace(b"\0", b" ")
