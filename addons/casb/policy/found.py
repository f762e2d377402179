"""What is known to be in a content: the fact that conditions on findings ask for."""

from __future__ import annotations

from dataclasses import dataclass

from casb.model.file import FileFacts, Finding, VerdictStatus


@dataclass(frozen=True, slots=True)
class Found:
    """What is known to be in a content; `complete` when all of it has been read."""

    findings: tuple[Finding, ...] = ()
    complete: bool = True


def in_file(file: FileFacts | None) -> Found | None:
    """What is known of a file's content; None as long as nothing is."""
    if file is None or (file.verdict is None and not file.inspected):
        return None
    if file.verdict is None:
        return Found()
    return Found(
        file.verdict.findings,
        complete=file.inspected and file.verdict.status is not VerdictStatus.UNSCANNABLE,
    )
