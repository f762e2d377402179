"""The process that reads files: one `scan` after the other, each in a fork of its own, within hard limits.

A frame is a 4-byte big-endian length and that many bytes. In: a JSON head (`name`, `declared_type`, `path` or null,
`key` in hexadecimal when what stands there is a held file, `size`), then, without a path, `size` bytes. Out: the facts
as a frame of JSON. JSON and not pickle on purpose: what comes back from a process that a hostile file may have taken
over is only data.

The fork means that nothing a file does to the memory of its reader is there when the next file is read.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import struct
import sys
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from casb.inspection.scan import Source, scan
from casb.store.held import Sealed, open_sealed

FRAME = struct.Struct(">I")


def main(memory: int, seconds: int) -> int:
    """Serves until the input ends or a reader dies: 0 or 1. `memory` in bytes bounds the address space, `seconds` the
    processor time per file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    while head := _exactly(incoming, FRAME.size):
        request = json.loads(_exactly(incoming, *FRAME.unpack(head)))
        path = request["path"]
        body = (
            _exactly(incoming, request["size"]) if path is None else _file(Path(path), request["key"], request["size"])
        )
        reader = os.fork()
        if not reader:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
            _answer(outgoing, body, request["name"], request["declared_type"])
            os._exit(0)
        if os.waitpid(reader, 0)[1]:
            return 1
    return 0


def _file(path: Path, key: str | None, size: int) -> Path | Sealed:
    return Sealed(path=path, key=bytes.fromhex(key), size=size) if key else path


def _answer(outgoing: BinaryIO, body: bytes | Path | Sealed, name: str, declared_type: str | None) -> None:
    source: bytes | Path | Source = body if not isinstance(body, Sealed) else body.path
    if isinstance(body, Sealed):
        with contextlib.suppress(OSError):  # it is gone: `scan` says so
            source = open_sealed(body)
    answer = json.dumps(asdict(scan(source, name, declared_type)), default=sorted).encode("ascii")
    outgoing.write(FRAME.pack(len(answer)) + answer)
    outgoing.flush()


def _exactly(incoming: BinaryIO, length: int) -> bytes:
    """So many bytes, or none at the end of the input."""
    data = incoming.read(length)
    return data if len(data) == length else b""


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
