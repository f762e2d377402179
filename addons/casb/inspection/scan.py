"""A file to its facts: type, digest, label, and whether its structure could be read.

`scan` is total: any input gives `FileFacts`, what cannot be read gives the verdict *unscannable* with a reason from
`Why`. It parses outside bytes with native libraries, so the proxy runs it in a worker process with limits; its
arguments and its result can be sent to one.
"""

from __future__ import annotations

import hashlib
import io
import os
from enum import StrEnum
from pathlib import Path

import olefile  # type: ignore[import-untyped]  # ships no types
import pikepdf

from casb.errors import ContentError
from casb.inspection import encrypted, filetype, labels
from casb.inspection.labels import Label
from casb.inspection.media_types import AGE, ENCRYPTED_OFFICE, PDF, ZIP
from casb.inspection.zips import Directory
from casb.model.file import FileFacts, Verdict, VerdictStatus

INSPECTOR = "structure"

type Source = io.BytesIO | io.BufferedReader


class Why(StrEnum):
    """Reasons of an unscannable file."""

    ENCRYPTED = "encrypted"
    CORRUPT = "corrupt"
    BOMB = "bomb"
    UNREADABLE = "unreadable"  # the bytes could not be had
    FAILED = "failed"  # our own reading failed
    # Said by whoever runs `scan` in a worker.
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    BUSY = "busy"


_WHY = {"F101": Why.CORRUPT, "F102": Why.BOMB, "F103": Why.ENCRYPTED, "F104": Why.CORRUPT}
_ENCRYPTED_TYPES = frozenset({AGE, ENCRYPTED_OFFICE, "application/pgp-encrypted"})


def scan(body: bytes | Path | Source, name: str, declared_type: str | None = None) -> FileFacts:
    """The facts of a file, given as its bytes, as a path or opened. Never raises."""
    try:
        if isinstance(body, bytes):
            return _scan(io.BytesIO(body), len(body), name, declared_type)
        if not isinstance(body, Path):
            return _scan(body, body.seek(0, os.SEEK_END), name, declared_type)
        with body.open("rb") as file:
            return _scan(file, os.fstat(file.fileno()).st_size, name, declared_type)
    except OSError:
        return unscannable(name, declared_type, Why.UNREADABLE)
    except MemoryError:
        return unscannable(name, declared_type, Why.BOMB)
    except Exception:  # whatever it is, the file has not been read
        return unscannable(name, declared_type, Why.FAILED)


def unscannable(name: str, declared_type: str | None, why: Why, size: int | None = None) -> FileFacts:
    """The facts of a file of which nothing is known but its claims."""
    verdict = Verdict(status=VerdictStatus.UNSCANNABLE, inspector=INSPECTOR, why=why.value)
    return FileFacts(
        name=name,
        extension=extension(name),
        size=size,
        declared_type=declared_type,
        inspected=True,
        verdict=verdict,
    )


def extension(name: str) -> str:
    """Lower case, after the last dot, without it; empty when there is none."""
    return name.rpartition(".")[2].strip().lower() if "." in name else ""


def _scan(file: Source, size: int, name: str, declared_type: str | None) -> FileFacts:
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    detected = filetype.detect(file, size)
    found: tuple[Label, ...] = ()
    why: Why | None = None
    try:
        found, why = _structure(file, size, detected)
    except ContentError as error:
        why = _WHY.get(error.code, Why.CORRUPT)
    except MemoryError:
        why = Why.BOMB
    except Exception:  # olefile and pikepdf raise many kinds on damaged files
        why = Why.CORRUPT
    label = (found[0].name or found[0].id) if found else None
    return FileFacts(
        name=name,
        extension=extension(name),
        size=size,
        declared_type=declared_type,
        inspected=True,
        detected_type=detected,
        sha256=digest,
        label=label,
        label_id=found[0].id if found else None,
        verdict=Verdict(
            status=VerdictStatus.UNSCANNABLE if why else VerdictStatus.CLEAN,
            label=label,
            inspector=INSPECTOR,
            why=why.value if why else "",
        ),
    )


def _structure(file: Source, size: int, detected: str) -> tuple[tuple[Label, ...], Why | None]:
    """Labels, and why the content cannot be read, if so. Raises whatever damaged content leads to."""
    file.seek(0)
    head = file.read(filetype.HEAD)
    if filetype.is_zip(file, size, filetype.detect_head(head)):
        directory = Directory(file, size)
        directory.require_harmless()
        if directory.encrypted:
            return (), Why.ENCRYPTED
        return (labels.of_zip(directory) if detected != ZIP else ()), None
    if head[:8] == olefile.MAGIC:
        file.seek(0)
        with olefile.OleFileIO(file) as container:
            closed = detected == ENCRYPTED_OFFICE or encrypted.legacy_office(container)
            return labels.of_ole(container), Why.ENCRYPTED if closed else None
    if detected == PDF:
        return _pdf(file)
    if detected in _ENCRYPTED_TYPES or encrypted.archive(file, size, detected):
        return (), Why.ENCRYPTED
    return (), None


def _pdf(file: Source) -> tuple[tuple[Label, ...], Why | None]:
    file.seek(0)
    try:
        with pikepdf.open(file, suppress_warnings=True) as pdf:
            return labels.of_pdf(pdf), None
    except pikepdf.PasswordError:
        return (), Why.ENCRYPTED
    except pikepdf.PdfError:
        return (), Why.CORRUPT
