"""The bearer token with which the proxy hands records to the sidecar. Both sides read it here.

Knows the data folder; knows nothing of HTTP. The token is a secret: it is never printed and never logged.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from casb.errors import StoreError
from casb.settings import Secret, Settings

TOKEN_FILE = "sidecar.token"  # noqa: S105 - a file name
SHORTEST = 32  # characters: anything shorter can be guessed or is a truncated file


def data_folder(settings: Settings) -> Path:
    """The deployment's data folder, made with mode 0700 when it is missing. Raises `StoreError` (S001)."""
    folder = Path(settings.data)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError("S001", f"the data folder {folder} cannot be made ({error.strerror})") from error
    return folder


def sidecar_token(settings: Settings) -> Secret:
    """The token of `casb.yaml`, or the one in `<data>/sidecar.token`, made there by whoever comes first.

    Raises `StoreError`: S001 the file cannot be read or made, S002 what is in it is no token.
    """
    if settings.sidecar.token is not None:
        return settings.sidecar.token
    path = data_folder(settings) / TOKEN_FILE
    try:
        _create_once(path)
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise StoreError("S001", f"{path} cannot be used ({error.strerror})") from error
    if len(text) < SHORTEST or not text.isascii() or not text.isprintable():
        raise StoreError("S002", f"{path} holds no token", hint="remove the file; a new one is made at the next start")
    return Secret(text)


def _create_once(path: Path) -> None:
    """Of several processes exactly one makes the file, and nobody ever sees half of it."""
    if path.exists():
        return
    write_secret(path, secrets.token_urlsafe(32), replace=False)


def write_secret(path: Path, text: str, *, replace: bool) -> None:
    """Write a file that only its owner reads (0600), whole or not at all; an existing one stays unless `replace`."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
