"""Protecting: MB/s of each streaming format against plain pass-through, peak memory by size, latency of docx and PDF.

    PYTHONPATH=addons:tests .venv/bin/python tests/bench/bench_protect.py

Each format and size runs in a process of its own; 'plain' copies the same chunks.
"""

from __future__ import annotations

import io
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from functools import partial

import pikepdf

from casb.inspection.labelling import LabelOrder
from casb.protection import secret
from casb.protection.cms import CmsProtecting
from casb.protection.encrypt import AgeProtector
from casb.protection.zip_aes import ZipProtecting
from casb.proxy.convert_worker import convert

CHUNK = os.urandom(64 * 1024)
FORMATS = ("plain", "age", "cms", "zip_aes")
SIZES = (16, 64, 256)  # MB


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


class Plain:
    """Copies."""

    def update(self, chunk: bytes) -> bytes:
        return bytes(bytearray(chunk))

    def finish(self) -> bytes:
        return b""


def made(name: str) -> Plain | CmsProtecting | ZipProtecting | object:
    match name:
        case "age":
            work = AgeProtector(lambda *_: ("k", b"w" * 60), os.urandom)
            return work.start("a.bin", "", None, {"user": "t/ada"})
        case "cms":
            return CmsProtecting("a.p7m", "0" * 32, bytes(32), [], os.urandom)
        case "zip_aes":
            return ZipProtecting("a.zip", "a.bin", "0" * 32, "secret")
    return Plain()


def stream(name: str, megabytes: int) -> None:
    """One run, told as JSON."""
    work = made(name)
    begun, out = time.perf_counter(), 0
    for _ in range(megabytes * 16):
        out += len(work.update(CHUNK))  # type: ignore[attr-defined]  # all of them have it
    out += len(work.finish())  # type: ignore[attr-defined]
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    _say(json.dumps({"rate": megabytes * 1.048576 / seconds, "peak": peak, "out": out}))


def document(megabytes: float) -> bytes:
    target = io.BytesIO()
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            f'<Override PartName="/word/document.xml" ContentType="{kind}"/></Types>',
        )
        archive.writestr(
            "_rels/.rels", '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"/>'
        )
        archive.writestr("word/document.xml", "<a/>")
        archive.writestr("word/media/a.bin", os.urandom(int(megabytes * 1e6)))
    return target.getvalue()


def pdf(megabytes: float) -> bytes:
    made_ = pikepdf.new()
    made_.add_blank_page()
    made_.Root.Big = made_.make_stream(os.urandom(int(megabytes * 1e6)))
    target = io.BytesIO()
    made_.save(target)
    return target.getvalue()


def latency() -> None:
    """Milliseconds of labelling and encrypting whole files, in this process."""
    label = LabelOrder(id="1" * 36, name="Confidential", tenant="2" * 36, time="2026-01-01T00:00:00Z")
    password = secret.password(os.urandom(16))
    _say(f"\n{'file':<14}{'label':>10}{'encrypt':>10}{'both':>10}   ms, median of 5")
    for title, make in (("docx", document), ("pdf", pdf)):
        for megabytes in (0.02, 1, 10):
            data = make(megabytes)
            row = [
                _median(partial(convert, data, key, wanted))
                for key, wanted in ((None, label), (password, None), (password, label))
            ]
            _say(f"{title} {megabytes:>5} MB  " + "".join(f"{each:>10.1f}" for each in row))


def _median(work: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        work()
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times)


def main() -> None:
    """The table."""
    _say(f"{'format':<10}" + "".join(f"{f'{size} MB':>24}" for size in SIZES))
    plain: dict[int, float] = {}
    for name in FORMATS:
        cells = []
        for size in SIZES:
            command = [sys.executable, __file__, name, str(size)]
            told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            plain.setdefault(size, told["rate"])
            share = told["rate"] / plain[size]
            cells.append(f"{told['rate']:>8.0f} MB/s {share:>4.0%} {told['peak']:>4.0f}MB")
        _say(f"{name:<10}" + "".join(f"{each:>24}" for each in cells))
    latency()


if __name__ == "__main__":
    if len(sys.argv) == 3:
        stream(sys.argv[1], int(sys.argv[2]))
    else:
        main()
