"""The audit log of commands run on the machine itself: `audit.jsonl` in the data folder, one JSON object a line.

For what an operator does past the portal, and for machines that have no portal. Append-only by convention: whoever may
write it could also forge it, so ship it elsewhere.
"""

from __future__ import annotations

import getpass
import json
import os
from datetime import datetime
from pathlib import Path

from casb.errors import StoreError
from casb.model.record import rfc3339

FILE = "audit.jsonl"


def note(folder: Path, what: str, now: datetime, **detail: str) -> None:
    """Add a line, durably, before the thing is done. Never a secret: names and ids only. Raises `StoreError` K004."""
    entry = {"time": rfc3339(now), "who": f"{getpass.getuser()} (uid {os.getuid()})", "what": what, "detail": detail}
    try:
        descriptor = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(entry).encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError("K004", f"{folder / FILE} cannot be written ({error.strerror})") from None
