"""The bearer token with which the proxy hands records to the sidecar. Both sides read it here.

Knows the data folder; knows nothing of HTTP. The token is a secret: it is never printed and never logged.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from casb.errors import StoreError
from casb.settings import Secret, Settings
from casb.store.atomic import create_private

TOKEN_FILE = "sidecar.token"  # noqa: S105 - a file name
SHORTEST = 32  # characters: anything shorter can be guessed or is a truncated file


def data_folder(settings: Settings) -> Path:
    """The deployment's data folder, made with mode 0700 when it is missing. Raises `StoreError` (S041)."""
    folder = Path(settings.data)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError("S041", f"the data folder {folder} cannot be made ({error.strerror})") from error
    return folder


def sidecar_token(settings: Settings) -> Secret:
    """The token of `casb.yaml`, or the one in `<data>/sidecar.token`, made there by whoever comes first.

    Raises `StoreError`: S041 the file cannot be read or made, S042 what is in it is no token.
    """
    if settings.sidecar.token is not None:
        return settings.sidecar.token
    path = data_folder(settings) / TOKEN_FILE
    try:
        if not path.exists():
            create_private(path, secrets.token_urlsafe(32).encode() + b"\n")
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise StoreError("S041", f"{path} cannot be used ({error.strerror})") from error
    if len(text) < SHORTEST or not text.isascii() or not text.isprintable():
        raise StoreError("S042", f"{path} holds no token", hint="remove the file; a new one is made at the next start")
    return Secret(text)
