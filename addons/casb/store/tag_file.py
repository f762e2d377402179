"""The tags in force, published for those who enforce them: one file in the data folder, replaced whole.

A proxy looks at its stamp every fraction of a second and reads it when that has changed.
"""

from __future__ import annotations

from pathlib import Path

import orjson

from casb.catalog.tagging import TagList, taglist_from_plain, taglist_to_plain
from casb.errors import StoreError
from casb.store.atomic import replace_private
from casb.store.in_force import Stamp, stamp

__all__ = ["FILE", "Stamp", "publish", "read", "stamp"]

FILE = "tags-in-force.json"


def publish(data: Path, tags: TagList) -> Path:
    """Put it in force; where it stands. Raises `StoreError` K004."""
    path = data / FILE
    replace_private(path, orjson.dumps(taglist_to_plain(tags)))
    return path


def read(path: Path) -> TagList:
    """What is in force. Raises `StoreError` S061 when there is nothing that can be read."""
    try:
        return taglist_from_plain(orjson.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError("S061", f"the tags in force cannot be read ({type(error).__name__})") from None
