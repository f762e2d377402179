"""The deployment's key of pseudonyms: a file of the data folder that only its owner can read, made on first use."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from casb.discovery.pseudonym import KEY_BYTES, Pseudonyms
from casb.errors import StoreError
from casb.store.atomic import create_private

FILE = "discovery.key"


def pseudonyms(folder: Path) -> Pseudonyms:
    """The pseudonyms of a data folder. Raises `StoreError` D041 when the key cannot be used or trusted."""
    path = folder / FILE
    if not path.exists():
        create_private(path, secrets.token_bytes(KEY_BYTES))
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise StoreError("D041", f"{path} can be read by others", hint=f"chmod 600 {path}")
            key = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise StoreError("D041", f"{path} cannot be read ({error.strerror})") from None
    if len(key) != KEY_BYTES:
        raise StoreError("D041", f"{path} is not a key of pseudonyms", hint="restore it from your backup")
    return Pseudonyms(key)
