"""The codes of errors about protected files, each with the sentence that explains it."""

from __future__ import annotations

from collections.abc import Mapping

CODES: Mapping[str, str] = {
    "F001": "The file is no age container: its first line is not `age-encryption.org/v1`.",
    "F002": "The header of the container is damaged, too long, or was changed after it was written.",
    "F003": "The container was not made by this deployment: it carries no `casb` stanza that we can read.",
    "F004": "The key that closed the file is not in this deployment's key ring.",
    "F005": "The content was changed after it was encrypted; nothing from the changed place on is handed out.",
    "F006": "The container ends too early: a part of the file is missing.",
    "F007": "The person asking is not the one whom the file was handed to.",
    "F008": "A file cannot be protected as ordered: the order names no person, or an identifier is malformed.",
    "F009": "The recovery recipient is no age X25519 recipient (`age1…`).",
}
