"""The configuration in force, published by the supervisor for all workers: one file, replaced whole.

So all workers follow the same last good configuration, and one that is started while the folder is broken starts with
it too. Holds the folder's own texts, which hold no secrets, only references to them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from casb.config import Configuration, Outside, build, version_of, version_with
from casb.errors import StoreError
from casb.store.atomic import replace_private

FILE = "in-force.json"

type Stamp = tuple[int, int, int]
"""Changes when another configuration is published. Compare it, nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The texts of a folder that was found good. `label` is how messages name it."""

    folder: str
    label: str
    files: Mapping[str, bytes]
    withdrawn: tuple[str, ...] = ()
    shared: bool = False  # with other nodes, whose `casb.yaml` is their own
    revision: int = 0  # of what is shared; grows

    def configuration(self, outside: Outside) -> Configuration:
        """As values; raises `Problems` with everything that is wrong with it."""
        found = build(self.files, self.folder, outside, label=self.label)
        if self.shared:
            return replace(found, withdrawn=self.withdrawn, version=self._version())
        if not self.withdrawn:
            return found
        return replace(found, withdrawn=self.withdrawn, version=version_with(found.version, self.withdrawn))

    def _version(self) -> str:
        """Of what all nodes have in common, then of what is this node's own."""
        common = {name: text for name, text in self.files.items() if name != "casb.yaml"}
        own = {name: text for name, text in self.files.items() if name == "casb.yaml"}
        told = version_of({**common, "withdrawn": "\n".join(self.withdrawn).encode()})
        return f"{told}-{version_of(own)[:4]}"


def publish(data: Path, published: Published) -> Path:
    """Put it in force for all workers; where it stands."""
    content = {
        "folder": published.folder,
        "label": published.label,
        "withdrawn": list(published.withdrawn),
        "shared": published.shared,
        "revision": published.revision,
        "files": {name: text.decode("utf-8") for name, text in published.files.items()},
    }
    path = data / FILE
    replace_private(path, json.dumps(content, ensure_ascii=False).encode())
    return path


def read(path: Path) -> Published:
    """What is in force. Raises `StoreError` S060 when there is none that can be read."""
    try:
        content = json.loads(path.read_bytes())
        return Published(
            folder=content["folder"],
            label=content["label"],
            files={name: text.encode() for name, text in content["files"].items()},
            withdrawn=tuple(content.get("withdrawn", ())),
            shared=content.get("shared", False) is True,
            revision=int(content.get("revision", 0)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError("S060", f"the configuration in force cannot be read ({type(error).__name__})") from None


def stamp(path: Path) -> Stamp | None:
    """The file's state; None when there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
