"""The process that reads files while they pass: many at once, one piece after the other.

Frames as in `scan_worker`: a 4-byte big-endian length and a JSON head, then `size` bytes. In: `{"id", "op", "size"}`,
where `op` is `matcher` (with `digest` and `factory`; the bytes are its recipe), `begin` (with `digest`, `charset`,
`coding` and `name`), `feed`, `finish` or `drop`. Out, for each but `matcher` and `drop`: the findings so far, whether
it is `text`, `error` when it cannot be judged, at the end size, digest and type.

No library parses a file here but the decoders of content codings and of archives, all within `memory`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import resource
import struct
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, BinaryIO

from casb.errors import ContentError
from casb.inspection.spec import Span, TextMatcher
from casb.inspection.streams import GROWTH, StreamInspector
from casb.model.file import Finding
from casb.rewrite import codings

FRAME = struct.Struct(">I")
MATCHERS = 4
"""So many are kept: that of the policies in force, and those of streams which began before."""
MODULES = ("casb.inspection.",)


class _Stream:
    """One file: its content coding undone, its text read."""

    def __init__(self, matcher: TextMatcher, told: Mapping[str, Any]) -> None:
        self._decoder = codings.decoder_for(str(told["coding"]), limit=1 << 50, ratio=GROWTH)
        self.inspector = StreamInspector(matcher, charset=str(told["charset"]), name=str(told["name"]))

    def feed(self, data: bytes) -> None:
        self.inspector.feed(self._decoder.feed(data) if self._decoder else data)

    def finish(self) -> dict[str, Any]:
        if self._decoder is not None:
            self.inspector.feed(self._decoder.finish())
        facts = self.inspector.finish()
        return {"size": facts.size, "sha256": facts.sha256, "detected_type": facts.detected_type}


class _Nothing:
    """Finds nothing: for policies about type and digest alone."""

    settled = 1 << 60

    def begin(self, *, spans: bool = False) -> _Nothing:
        return self

    def feed(self, text: bytes) -> None:
        """Nothing."""

    def findings(self) -> tuple[Finding, ...]:
        return ()

    def take_spans(self) -> tuple[Span, ...]:
        return ()

    finish = findings


def main(memory: int, modules: tuple[str, ...] = MODULES) -> int:
    """Serves until the input ends. `memory` bounds the address space in bytes; `modules` are the beginnings of the
    names of modules whose factories may be called."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    matchers: dict[str, TextMatcher] = {"": _Nothing()}
    streams: dict[int, _Stream] = {}
    _answer(outgoing, {"ready": True})
    while head := incoming.read(FRAME.size):
        told = json.loads(incoming.read(*FRAME.unpack(head)))
        data = incoming.read(told["size"]) if told["size"] else b""
        if told["op"] == "drop":
            streams.pop(told["id"], None)
        elif told["op"] == "matcher":
            _learn(matchers, told, data, modules)
        else:
            _answer(outgoing, _done(streams, matchers, told, data))
    return 0


def _learn(matchers: dict[str, TextMatcher], told: Mapping[str, Any], data: bytes, modules: tuple[str, ...]) -> None:
    """Make a matcher. When that fails, streams that ask for it cannot be judged."""
    module, _, function = str(told["factory"]).partition(":")
    with contextlib.suppress(Exception):
        if module.startswith(modules):
            while len(matchers) > MATCHERS:
                del matchers[next(each for each in matchers if each)]
            matchers[told["digest"]] = getattr(importlib.import_module(module), function)(data)


def _done(
    streams: dict[int, _Stream], matchers: Mapping[str, TextMatcher], told: Mapping[str, Any], data: bytes
) -> dict[str, Any]:
    """Do what was told; what is wrong with a file is an answer and ends that file alone."""
    more: dict[str, Any] = {}
    try:
        if told["op"] == "begin":
            streams[told["id"]] = _Stream(matchers[told["digest"]], told)
        stream = streams[told["id"]]
        if data:
            stream.feed(data)
        if told["op"] == "finish":
            more = stream.finish()
    except ContentError as error:
        streams.pop(told["id"], None)
        return {"error": error.message}
    except Exception as error:
        streams.pop(told["id"], None)
        return {"error": f"reading failed ({type(error).__name__})"}
    if told["op"] == "finish":
        with contextlib.suppress(KeyError):
            del streams[told["id"]]
    inspector = stream.inspector
    findings = [asdict(each) for each in inspector.findings()]
    kind, behind = inspector.detected_type, inspector.behind
    return {"findings": findings, "text": inspector.text, "detected_type": kind, "behind": behind, **more}


def _answer(outgoing: BinaryIO, value: Mapping[str, Any]) -> None:
    data = json.dumps(value).encode("ascii")
    outgoing.write(FRAME.pack(len(data)) + data)
    outgoing.flush()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), tuple(sys.argv[2:]) or MODULES))
