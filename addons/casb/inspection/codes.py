"""The codes of errors about a file's content, each with the sentence that explains it."""

from __future__ import annotations

from collections.abc import Mapping

CODES: Mapping[str, str] = {
    "F101": "The file is damaged: its parts are not where its directory says, or cannot be read.",
    "F102": "The file unpacks out of all proportion; reading it on would cost too much.",
    "F103": "The file is encrypted or protected by a password.",
    "F104": "An XML part declares a document type or entities, which office files never do.",
}
