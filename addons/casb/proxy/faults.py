"""How our own failures are logged: what kind, and where in the code. Never the message: it may quote a body."""

from __future__ import annotations

import logging
import sys
import traceback


def log_fault(logger: logging.Logger, what: str, **facts: object) -> None:
    """Log the exception being handled, as key=value, without its text."""
    error = sys.exception()
    frames = traceback.extract_tb(error.__traceback__)[-6:] if error else []
    places = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
    told = " ".join(f"{name}={value}" for name, value in facts.items())
    logger.error("%s %s error=%s at=%s", what, told, type(error).__name__, places)
