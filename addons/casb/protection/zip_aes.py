"""AES-256 ZIP (WinZip AE-2) for recipients with 7-Zip: one stored member, streamed, the file id as the comment.

Its name stands in clear and the authentication is 80 bits wide: an option for those who ask for it by name, never what
`auto` chooses. Info-ZIP's unzip and Windows Explorer cannot open it.
"""

from __future__ import annotations

import io
from typing import Any

from casb.errors import ContentError

MEDIA_TYPE = "application/zip"
EXTENSION = ".zip"


class _Sink(io.RawIOBase):
    """Takes what the archive writes, for the next output. Not seekable: the archive then writes data descriptors."""

    def __init__(self) -> None:
        self.held = bytearray()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: Any, /) -> int:
        self.held += data
        return len(data)

    def take(self) -> bytes:
        out = bytes(self.held)
        self.held.clear()
        return out


class ZipProtecting:
    """One file on its way; implements `ports.Protecting`. Raises `ContentError` F013 without the library."""

    length: int | None = None

    def __init__(self, name: str, member: str, file: str, password: str) -> None:
        try:
            import pyzipper  # noqa: PLC0415 - comes with the extra `protection`
        except ModuleNotFoundError:
            raise ContentError("F013", "AES ZIP needs casb[protection]") from None
        self.name = name
        self.media_type = MEDIA_TYPE
        self.file = file
        self._sink = _Sink()
        self._archive: Any = pyzipper.AESZipFile(
            self._sink, "w", compression=pyzipper.ZIP_STORED, encryption=pyzipper.WZ_AES
        )
        self._archive.setpassword(password.encode("ascii"))
        self._archive.comment = f"casb {file}".encode("ascii")
        info = self._archive.zipinfo_cls(member, (1980, 1, 1, 0, 0, 0))
        self._member: Any = self._archive.open(info, "w", force_zip64=True)

    def update(self, chunk: bytes) -> bytes:
        """Takes plain text, gives what is ready; may be empty."""
        self._member.write(chunk)
        return self._sink.take()

    def finish(self) -> bytes:
        """The rest, directory included."""
        self._member.close()
        self._archive.close()
        return self._sink.take()


def file_id(tail: bytes) -> str | None:
    """The file id in the comment of one of our archives, from its last bytes; None when there is none."""
    at = tail.rfind(b"PK\x05\x06")
    comment = tail[at + 22 :] if at >= 0 else b""
    if not comment.startswith(b"casb ") or len(comment) > 80:
        return None
    return comment[5:].decode("ascii", "replace")
