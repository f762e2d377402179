"""The process that labels and encrypts office files and PDF: one file at a time, each in a fork, within hard limits.

A frame is a 4-byte big-endian length and that many bytes. In: a JSON head (`password` or null, `label` or null,
`only`, `size`), then `size` bytes. Out: a JSON head (`code` and `message` on refusal; else `label`, `label_id`,
`written`, `size`), then `size` bytes. What comes back from a process that a hostile file may have taken over is only
data.
"""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import sys
from typing import Any, BinaryIO

from casb.errors import ContentError
from casb.inspection import filetype, labelling
from casb.inspection.labelling import Labelled, LabelOrder
from casb.inspection.media_types import ENCRYPTED_OFFICE, OOXML_MAIN, PDF
from casb.protection.office import encrypt_ooxml
from casb.protection.pdf import encrypt_pdf

FRAME = struct.Struct(">I")
UNSUPPORTED = frozenset({"F012", "F015", "F103"})
"""Codes that say that nothing is wrong with the file: it only cannot be labelled or encrypted in its own format."""
OFFICE = frozenset(OOXML_MAIN.values())


def convert(data: bytes, password: str | None, label: LabelOrder | None, only: str = "") -> Labelled:
    """The file with the label and under the password, as far as each is given; `only` is `office`, `pdf` or either.
    Raises `ContentError`: a code of `UNSUPPORTED`, or what is wrong with the file."""
    kind = filetype.detect(io.BytesIO(data), len(data))
    none = labelling.NO_LABEL
    if kind == PDF and only != "office":
        with labelling.open_pdf(data) as pdf:
            found, written = labelling.apply_to_pdf(pdf, label) if label else (none, False)
            if password:
                return Labelled(data=encrypt_pdf(pdf, password), label=found, written=written)
            return labelling.saved(pdf, found) if written else Labelled(data=data, label=found, written=False)
    if kind in OFFICE and only != "pdf":
        done = labelling.label_ooxml(data, label) if label else Labelled(data=data, label=none, written=False)
        if not password:
            return done
        labelling.require_sound_ooxml(done.data)
        return Labelled(data=encrypt_ooxml(done.data, password), label=done.label, written=done.written)
    if kind == ENCRYPTED_OFFICE:
        raise ContentError("F103", "the file is encrypted already")
    raise ContentError("F015", "this kind of file has no label and no password of its own")


def main(memory: int, seconds: int) -> int:
    """Serves until the input ends or a child dies: 0 or 1. `memory` in bytes bounds the address space, `seconds` the
    processor time per file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    while head := incoming.read(FRAME.size):
        request = json.loads(incoming.read(*FRAME.unpack(head)))
        body = incoming.read(request["size"])
        child = os.fork()
        if not child:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
            _answer(outgoing, body, request)
            os._exit(0)
        del body
        if os.waitpid(child, 0)[1]:
            return 1
    return 0


def _answer(outgoing: BinaryIO, body: bytes, request: dict[str, Any]) -> None:
    label = LabelOrder(**request["label"]) if request["label"] else None
    data = b""
    try:
        done = convert(body, request["password"], label, request["only"])
    except ContentError as error:
        answer: dict[str, Any] = {"code": error.code, "message": error.message, "size": 0}
    except MemoryError:
        answer = {"code": "F102", "message": "the file unpacks out of all proportion", "size": 0}
    else:
        data = done.data
        answer = {
            "code": "",
            "label": done.label.name or done.label.id,
            "label_id": done.label.id,
            "written": done.written,
            "size": len(data),
        }
    head = json.dumps(answer).encode("ascii")
    outgoing.write(FRAME.pack(len(head)) + head)
    outgoing.write(data)
    outgoing.flush()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
