"""What reading a document adds to a transfer, against hashing its bytes in the same run.

Run: `PYTHONPATH=addons:tests python tests/bench/bench_extract.py [megabytes]`. Absolute figures are noise; the ratios
count.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
import statistics
import sys
import time
import zipfile
from collections.abc import Awaitable, Callable

import hostile_files as hostile
from casb.inspection.extraction import Report, extract
from casb.inspection.scan import scan
from casb.proxy.scanning import Scanner

ROUNDS = 7


def document(megabytes: float) -> bytes:
    """A docx of this size: half of it prose, half a picture."""
    rng = random.Random(4)  # noqa: S311  # the same document each time
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(20_000)]
    out: list[str] = []
    wanted, made = megabytes * 1_000_000 * 0.5, 0.0
    while made < wanted:
        runs = "".join(
            f'<w:r w:rsidR="00AB12CD"><w:rPr><w:lang w:val="en-GB"/></w:rPr>'
            f'<w:t xml:space="preserve">{" ".join(rng.choices(words, k=12))} </w:t></w:r>'
            for _ in range(5)
        )
        out.append(f'<w:p w:rsidR="00AB12CD">{runs}</w:p>')
        made += 190  # what such a paragraph takes when it is packed
    body = f"<w:document {hostile.WORD}><w:body>{''.join(out)}</w:body></w:document>"
    picture = b"\xff\xd8\xff\xe0" + rng.randbytes(round(megabytes * 1_000_000 * 0.4)) + b"\xff\xd9"
    return hostile.package("word/document.xml", {"word/document.xml": body, "word/media/a.jpeg": picture})


def median(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


async def median_of(work: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def text_of(body: bytes) -> int:
    return sum(len(piece.text) for piece in extract(io.BytesIO(body), len(body), "a.docx", Report()))


async def pool(body: bytes) -> tuple[float, float, float]:
    """Seconds of a scan in a worker: with text, without, and of an empty file."""
    scanner = Scanner(workers=1)
    await scanner.start()
    await scanner.scan(body, "a.docx", text=True)
    whole = await median_of(lambda: scanner.scan(body, "a.docx", text=True))
    structure = await median_of(lambda: scanner.scan(body, "a.docx", text=False))
    nothing = await median_of(lambda: scanner.scan(b"x", "a.txt", text=True))
    await scanner.close()
    return whole, structure, nothing


def main(megabytes: float) -> None:
    body = document(megabytes)
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        xml = archive.getinfo("word/document.xml").file_size
        inflating = median(lambda: archive.read("word/document.xml"))
    hashing = median(lambda: hashlib.sha256(body).digest())
    whole, structure, nothing = asyncio.run(pool(body))
    rows = [
        ("sha256 of the file", hashing),
        ("inflating its main part", inflating),
        ("reading its text, in this process", median(lambda: text_of(body))),
        ("scan, in this process", median(lambda: scan(body, "a.docx"))),
        ("scan in a worker", whole),
        ("scan in a worker, structure only", structure),
        ("scan of one byte in a worker", nothing),
    ]
    print(f"docx of {len(body) / 1e6:.2f} MB, {xml / 1e6:.1f} MB of XML, {text_of(body) / 1e6:.1f} MB of text")  # noqa: T201
    for name, seconds in rows:
        print(f"{name:36} {seconds * 1000:8.1f} ms {seconds / hashing:8.1f} x hashing")  # noqa: T201


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
