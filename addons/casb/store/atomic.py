"""Small files that several processes make and read: never half written, never readable by others."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from casb.errors import StoreError


def create_private(path: Path, content: bytes) -> bool:
    """Make `path` (mode 0600) with `content`, durably. False, and nothing changed, when somebody else was first.

    Raises `StoreError` K004. Missing folders are made with mode 0700.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _Written(path, content, 0o600) as temporary:
            try:
                # A hard link fails when the name is taken: of all who race exactly one wins.
                os.link(temporary, path)
            except FileExistsError:
                return False
            _sync_folder(path.parent)
            return True
    except OSError as error:
        raise StoreError("K004", f"{path} cannot be written ({error.strerror})") from None


def replace_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put `content` in the place of `path` in one step, durably. Raises `StoreError` K004."""
    try:
        with _Written(path, content, mode) as temporary:
            os.replace(temporary, path)
            _sync_folder(path.parent)
    except OSError as error:
        raise StoreError("K004", f"{path} cannot be written ({error.strerror})") from None


class _Written:
    """A finished temporary file beside `path`; gone again on leaving."""

    def __init__(self, path: Path, content: bytes, mode: int) -> None:
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        self._content = content
        self._mode = mode

    def __enter__(self) -> Path:
        descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, self._mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._content)
            file.flush()
            os.fsync(file.fileno())
        return self._temporary

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._temporary)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
