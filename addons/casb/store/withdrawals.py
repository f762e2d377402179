"""Policies that went back to shadow because they refused more than their budget allows: one small file, replaced whole.

Written by the sidecar, which counts; read by the supervisor, which puts it in force for all workers. A file that cannot
be read withdraws nothing: the policies are enforced as written.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from casb.model.record import rfc3339
from casb.store.atomic import replace_private

FILE = "withdrawn.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """One policy, by what it says (`digest`): changed text is a new policy with a new chance."""

    policy: str
    digest: str
    since: datetime
    why: str


def read(data: Path) -> tuple[Withdrawal, ...]:
    """What is withdrawn now."""
    path = data / FILE
    try:
        return tuple(
            Withdrawal(
                policy=str(each["policy"]),
                digest=str(each["digest"]),
                since=datetime.fromisoformat(each["since"]),
                why=str(each["why"]),
            )
            for each in json.loads(path.read_bytes())["withdrawn"]
        )
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.error("withdrawn policies cannot be read, all are enforced: %s (%s)", path, type(error).__name__)
        return ()


def digests(data: Path) -> tuple[str, ...]:
    """As `policy.compile.compile_policies` takes them."""
    return tuple(sorted(each.digest for each in read(data)))


def write(data: Path, withdrawn: Iterable[Withdrawal]) -> None:
    """Replace the file, durably. Raises `StoreError` K004."""
    content = {
        "withdrawn": [
            {"policy": each.policy, "digest": each.digest, "since": rfc3339(each.since), "why": each.why}
            for each in sorted(withdrawn, key=lambda each: each.policy)
        ]
    }
    replace_private(data / FILE, json.dumps(content, ensure_ascii=False).encode())
