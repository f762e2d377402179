"""Durations and sizes as people write them: `90s`, `60m`, `10h`, `14d`; `512KB`, `50MB`, `5GB`."""

from __future__ import annotations

import re

_DURATION = re.compile(r"([0-9]{1,9})\s?(s|m|h|d)\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = re.compile(r"([0-9]{1,9})\s?(B|KB|MB|GB)\Z")
_BYTES = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}


def seconds(text: str) -> int:
    """A duration in seconds; ValueError with a sentence when `text` is none. A bare number has no unit and is none."""
    match = _DURATION.match(text)
    if not match:
        raise ValueError(f"{text!r} is not a duration such as 90s, 60m, 10h or 14d")
    return int(match[1]) * _SECONDS[match[2]]


def byte_count(text: str) -> int:
    """A size in bytes; ValueError with a sentence when `text` is none. 1 KB is 1,024 bytes."""
    match = _SIZE.match(text)
    if not match:
        raise ValueError(f"{text!r} is not a size such as 512KB, 50MB or 5GB")
    return int(match[1]) * _BYTES[match[2]]
