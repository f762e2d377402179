"""Exceptions to policies on disk: signed with the deployment's key ring, written into `exceptions/` of the folder.

Also what was answered to requests: an approval is the file itself, a refusal is a line in the data folder, so that the
person who asked can be told.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from casb.errors import PolicyError, StoreError, Where
from casb.policy.exceptions import FOLDER, ExceptionFile, Sign, Verify, dump, moment, read
from casb.store.atomic import replace_private
from casb.store.keyring import Keyring

logger = logging.getLogger(__name__)

PURPOSE = "exception"
DENIED = "denied.json"
KEPT = timedelta(days=90)
MOST = 10_000
EXTENSION = ".yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """A request that was refused. `note` is for the person who asked."""

    request: str
    by: str
    time: str
    note: str = ""


def verifier(data: Path) -> Verify:
    """Checks signatures with the key ring of a data folder, which is read when it is first needed.

    Without a key ring no exception holds; that is logged.
    """
    ring: list[Keyring] = []

    def verify(key: str, signed: bytes, signature: bytes) -> bool:
        try:
            if not ring:
                ring.append(Keyring.load(data))
            return ring[0].verify(PURPOSE, key, signed, signature)
        except StoreError as error:
            logger.error("exceptions cannot be checked, none holds: %s", error)
            return False

    return verify


def signer(data: Path) -> Sign:
    """Signs with the key ring of a data folder."""
    ring = Keyring.load_or_create(data)
    return lambda signed: ring.sign(PURPOSE, signed)


def place(folder: Path, identifier: str) -> Path:
    """Where an exception is kept."""
    return folder / FOLDER / f"{identifier}{EXTENSION}"


def grant(folder: Path, data: Path, document: ExceptionFile, now: datetime) -> Path:
    """Sign an exception and put it in force; its file. Raises `Problems` for one that would be refused at once and
    `StoreError` when it cannot be written; an exception that is there already is not overwritten."""
    text = dump(document, signer(data))
    read(document.id, text, verify=verifier(data), now=now)
    path = place(folder, document.id)
    if path.exists():
        raise PolicyError("P075", f"the exception '{document.id}' is there already", Where(file=str(path)))
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError("S041", f"{path.parent} cannot be made ({error.strerror})") from error
    replace_private(path, text)
    return path


def revoke(folder: Path, identifier: str) -> bool:
    """Remove an exception by its id; False when there is none. Raises `StoreError`."""
    for path, found in documents(folder):
        if found == identifier:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StoreError("S041", f"{path} cannot be removed ({error.strerror})") from error
            return True
    return False


def documents(folder: Path) -> list[tuple[Path, str]]:
    """The files and the ids that they are kept under."""
    where = folder / FOLDER
    return [(path, path.name.removesuffix(EXTENSION)) for path in sorted(where.glob(f"*{EXTENSION}"))]


def denials(data: Path) -> Mapping[str, Denial]:
    """What was refused, by request. A file that cannot be read tells nothing."""
    try:
        found = json.loads((data / DENIED).read_bytes())["denied"]
        return {str(each["request"]): Denial(**{name: str(value) for name, value in each.items()}) for each in found}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.error("refused requests cannot be read: %s (%s)", data / DENIED, type(error).__name__)
        return {}


def deny(data: Path, request: str, by: str, now: datetime, note: str = "") -> None:
    """Remember that a request was refused. Raises `StoreError`."""
    oldest = moment(now - KEPT)
    kept = [each for each in denials(data).values() if each.time > oldest and each.request != request]
    kept.append(Denial(request=request, by=by, time=moment(now), note=note))
    told = [{"request": each.request, "by": each.by, "time": each.time, "note": each.note} for each in kept[-MOST:]]
    replace_private(data / DENIED, json.dumps({"denied": told}, ensure_ascii=False).encode())
