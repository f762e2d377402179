"""The process that reads files: one `scan` after the other, each in a fork of its own, within hard limits.

A frame is a 4-byte big-endian length and that many bytes. In: a JSON head, then the bytes it announces (`Request`).
Out: a frame of JSON, either `{"facts": …}` or `{"why": …}` when the reader died. JSON and not pickle on purpose: what
comes back from a process that a hostile file may have taken over is only data.

This process loads the libraries and makes the matchers; it never looks at a file itself. The fork means that nothing a
file does to the memory of its reader is there when the next file is read, and that its death costs nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import resource
import signal
import struct
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, cast

from casb.inspection.limits import Why
from casb.inspection.malware import Rules
from casb.inspection.scan import scan, unscannable
from casb.inspection.spec import TextMatcher

FRAME = struct.Struct(">I")
ANSWER = 1024 * 1024
"""The longest answer of a reader, bytes."""
MATCHERS = 8
"""So many matchers and rules are kept: those in force, and those of exchanges which began before."""

_LIBRARIES = ("pypdfium2", "python_calamine", "libarchive", "charset_normalizer", "stdnum", "hyperscan", "yara_x")
_FACTORIES = ("casb.inspection.", "casb.proxy.", "casb.store.")


def main(memory: int) -> int:
    """Serves until the input ends: 0. `memory` in bytes bounds the address space of this process and each reader."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    for library in _LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    made: dict[str, object] = {}
    while head := _exactly(incoming, FRAME.size):
        request = json.loads(_exactly(incoming, *FRAME.unpack(head)))
        recipes = [(digest, factory, _exactly(incoming, size)) for digest, factory, size in request["making"]]
        body = _exactly(incoming, request["size"])
        try:
            for digest, factory, data in recipes:
                _keep(made, digest, factory, data)
            matcher = cast(TextMatcher | None, _kept(made, request["matcher"]))
            rules = cast(Rules | None, _kept(made, request["rules"]))
        except Exception:  # whatever it is, nothing can be searched
            answer = _died(Why.FAILED)
        else:
            answer = _in_fork(request, body, matcher, rules)
        del body
        outgoing.write(FRAME.pack(len(answer)) + answer)
        outgoing.flush()
    return 0


def _keep(made: dict[str, object], digest: str, factory: str, data: bytes) -> None:
    """Make what a recipe gives. Raises when it cannot be had."""
    while len(made) >= MATCHERS:
        del made[next(iter(made))]
    made[digest] = _make(factory, data)


def _kept(made: dict[str, object], digest: str | None) -> object | None:
    return None if digest is None else made[digest]


def _make(factory: str, data: bytes) -> object:
    """What a `Recipe` gives. Raises whatever its factory raises; `ValueError` when that is none of ours."""
    module, _, function = factory.partition(":")
    if not module.startswith(_FACTORIES):
        raise ValueError("not a factory of ours")
    return getattr(importlib.import_module(module), function)(data)


def _in_fork(request: dict[str, Any], body: bytes, matcher: TextMatcher | None, rules: Rules | None) -> bytes:
    """The answer of a reader; when it did not live to give one, why."""
    reading, writing = os.pipe()
    reader = os.fork()
    if not reader:
        status = 1
        try:
            os.close(reading)
            _confine(request["seconds"])
            _read(writing, request, body, matcher, rules)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    answer = b""
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read(ANSWER + 1)
        if len(answer) > ANSWER:
            os.kill(reader, signal.SIGKILL)
    status = os.waitpid(reader, 0)[1]
    if status == 0 and 0 < len(answer) <= ANSWER:
        return answer
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return _died(Why.TIMEOUT if ended_by in (signal.SIGALRM, signal.SIGXCPU) else Why.CRASHED)


def _confine(seconds: float) -> None:
    """Takes from a reader what it has no use for: time, children, and the pipes to the proxy."""
    whole = max(1, round(seconds + 0.5))
    resource.setrlimit(resource.RLIMIT_CPU, (whole, whole + 1))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)


def _read(writing: int, request: dict[str, Any], body: bytes, matcher: TextMatcher | None, rules: Rules | None) -> None:
    name, declared = request["name"], request["declared_type"]
    source: bytes | Path | BinaryIO
    try:
        if request["source"]:
            source = cast(BinaryIO, _make(request["source"], body))
        else:
            source = Path(request["path"]) if request["path"] is not None else body
        facts = scan(source, name, declared, matcher, text=request["text"], rules=rules)
    except (OSError, ValueError):
        facts = unscannable(name, declared, Why.UNREADABLE)
    answer = io.BytesIO(json.dumps({"facts": asdict(facts)}, default=sorted).encode("ascii"))
    while piece := answer.read(65536):
        os.write(writing, piece)


def _died(why: Why) -> bytes:
    return json.dumps({"why": why.value}).encode("ascii")


def _exactly(incoming: BinaryIO, length: int) -> bytes:
    """So many bytes, or none at the end of the input."""
    data = incoming.read(length)
    return data if len(data) == length else b""


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
