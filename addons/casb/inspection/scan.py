"""A file to its facts: type, digest, label, properties, what is odd, what sensitive information is in it.

`scan` is total: any input gives `FileFacts`, what cannot be read gives the verdict *unscannable* with a reason from
`Why`. It parses outside bytes with native libraries, so the proxy runs it in a worker process with limits.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import olefile  # type: ignore[import-untyped]  # ships no types
import pikepdf

from casb.errors import ContentError
from casb.inspection import filetype, labels, signs
from casb.inspection.extraction import Piece, Report, extract
from casb.inspection.labels import Label
from casb.inspection.limits import LIMITS, Limits, Why
from casb.inspection.malware import Rules
from casb.inspection.media_types import PDF, ZIP
from casb.inspection.spec import TextMatcher
from casb.inspection.zips import Directory
from casb.model.file import FileFacts, Finding, Verdict, VerdictStatus

__all__ = ["INSPECTOR", "LIMITS", "Limits", "Source", "Why", "extension", "scan", "unscannable"]

INSPECTOR = "structure"
"""Who judged when only the structure was read."""
READER = "text"
"""Who judged when the text was read."""

type Source = BinaryIO
"""Any seekable binary file object."""


def scan(
    body: bytes | Path | Source,
    name: str,
    declared_type: str | None = None,
    matcher: TextMatcher | None = None,
    limits: Limits = LIMITS,
    *,
    text: bool = True,
    rules: Rules | None = None,
) -> FileFacts:
    """The facts of a file, given as its bytes, a path or a seekable binary file. Never raises.

    With a `matcher`, the text and the name are searched: the verdict has its findings. A file of which a part could not
    be read is *unscannable* whatever was found in the rest; its findings stand in the verdict all the same. Without
    `text`, the structure alone is read: archives to the bottom, documents not.
    """
    try:
        if isinstance(body, bytes):
            return _scan(io.BytesIO(body), name, declared_type, matcher, limits, text=text, rules=rules)
        if isinstance(body, Path):
            with body.open("rb") as file:
                return _scan(file, name, declared_type, matcher, limits, text=text, rules=rules)
        return _scan(body, name, declared_type, matcher, limits, text=text, rules=rules)
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
        signs=frozenset(sign.value for sign in signs.of_name(name)),
    )


def extension(name: str) -> str:
    """What is behind the last dot of a name, in lower case."""
    name = name.strip()
    return name.rpartition(".")[2].strip().lower() if "." in name else ""


def _scan(
    file: Source,
    name: str,
    declared_type: str | None,
    matcher: TextMatcher | None,
    limits: Limits,
    *,
    text: bool,
    rules: Rules | None,
) -> FileFacts:
    file.seek(0)
    digest = hashlib.sha256()
    size = 0
    while block := file.read(1024 * 1024):
        digest.update(block)
        size += len(block)
    detected = filetype.detect(file, size, name)
    report = Report()
    report.signs.update(signs.of_name(name), signs.of_types(extension(name), declared_type, detected))
    pieces = extract(
        file, size, name, report, declared_type=declared_type, limits=limits, detected=detected, texts=text
    )
    findings = _findings(pieces, name, matcher)
    found = _labels(file, size, detected, report) if report.why is not Why.BOMB else ()
    label = (found[0].name or found[0].id) if found else None
    return FileFacts(
        name=name,
        extension=extension(name),
        size=size,
        declared_type=declared_type,
        inspected=True,
        detected_type=detected,
        sha256=digest.hexdigest(),
        label=label,
        label_id=found[0].id if found else None,
        verdict=Verdict(
            status=_status(report, findings),
            findings=findings,
            label=label,
            inspector=READER if text else INSPECTOR,
            why=report.why.value if report.why else "",
        ),
        engines=(rules.judge(file, size),) if rules else (),
        signs=frozenset(sign.value for sign in report.signs),
        properties=tuple(report.properties),
    )


def _status(report: Report, findings: tuple[Finding, ...]) -> VerdictStatus:
    if report.problems:
        return VerdictStatus.UNSCANNABLE
    return VerdictStatus.SENSITIVE if findings else VerdictStatus.CLEAN


def _findings(pieces: Iterator[Piece], name: str, matcher: TextMatcher | None) -> tuple[Finding, ...]:
    """The whole text through the matcher, a line break between parts; the name last, so that offsets count in the
    text."""
    if matcher is None:
        for _ in pieces:
            pass
        return ()
    search = matcher.begin()
    part = ""
    for piece in pieces:
        if piece.part != part:
            search.feed(b"\n")
            part = piece.part
        search.feed(piece.text)
    search.feed(b"\n" + name.encode("utf-8", "replace") + b"\n")
    return search.finish()


def _labels(file: Source, size: int, detected: str, report: Report) -> tuple[Label, ...]:
    """Sensitivity labels. What cannot be read on the way is reported."""
    try:
        file.seek(0)
        head = file.read(filetype.HEAD)
        if filetype.is_zip(file, size, filetype.detect_head(head)):
            return labels.of_zip(Directory(file, size)) if detected != ZIP else ()
        if head[:8] == olefile.MAGIC:
            file.seek(0)
            with olefile.OleFileIO(file) as container:
                return labels.of_ole(container)
        if detected == PDF:
            file.seek(0)
            with pikepdf.open(file, suppress_warnings=True) as pdf:
                return labels.of_pdf(pdf)
    except ContentError as error:
        report.problem(_WHY.get(error.code, Why.CORRUPT), "")
    except pikepdf.PasswordError:
        report.problem(Why.ENCRYPTED, "")
    except MemoryError:
        report.problem(Why.BOMB, "")
    except Exception:  # olefile and pikepdf raise many kinds on damaged files
        report.problem(Why.CORRUPT, "")
    return ()


_WHY = {"F101": Why.CORRUPT, "F102": Why.BOMB, "F103": Why.ENCRYPTED, "F104": Why.CORRUPT}
