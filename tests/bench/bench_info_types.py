"""Searching text for 10, 100 and 1000 patterns: MB/s, against `re` and RE2 one pattern after the other in the same run.

Run: `PYTHONPATH=addons:tests python tests/bench/bench_info_types.py`. Absolute figures are noise; the ratios count.
"""

from __future__ import annotations

import base64
import random
import re
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import re2  # type: ignore[import-untyped]  # google-re2 ships no types

from casb.inspection.info_types import InfoType, Matcher, Pattern, Spec, compile_types
from casb.inspection.info_types.shipped import shipped

SIZE = 4 << 20
BASELINE = 64 << 10
CHUNK = 64 << 10


def say(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")


def corpora() -> Mapping[str, bytes]:
    rng = random.Random(7)  # noqa: S311 - numbers to measure with
    manual = Path(__file__).parents[2].joinpath("policies", "README.md").read_bytes()
    library = Path(sysconfig.get_path("stdlib"))
    source = b"".join((library / name).read_bytes() for name in ("ast.py", "enum.py", "pydoc.py", "tarfile.py"))
    rows = (",".join(str(rng.randrange(10 ** rng.randrange(1, 12))) for _ in range(9)) for _ in range(70_000))
    made = {
        "prose": manual,
        "csv": "\n".join(rows).encode(),
        "base64": base64.encodebytes(rng.randbytes(3 << 20)),
        "source": source,
    }
    return {name: (text * (SIZE // len(text) + 1))[:SIZE] for name, text in made.items()}


def some_types(count: int) -> tuple[InfoType, ...]:
    """Shipped types until they have so many patterns, then made ones that look like tokens."""
    chosen: list[InfoType] = []
    patterns = 0
    for each in sorted(shipped().values(), key=lambda kind: (kind.category != "secret", kind.id != "credit-card")):
        if patterns < count:
            chosen.append(each)
            patterns += len(each.patterns)
    for number in range(count - patterns):
        own = Pattern(expression=f"tok{number:04}_[0-9A-Za-z]{{24}}")
        chosen.append(InfoType(id=f"own-{number}", name="", patterns=(own,)))
    return tuple(chosen)


def rate(run: Callable[[bytes], object], text: bytes) -> float:
    """Megabytes per second of processor time."""
    begun = time.process_time()
    run(text)
    return len(text) / 1e6 / max(time.process_time() - begun, 1e-6)


def searching(matcher: Matcher) -> Callable[[bytes], object]:
    def run(text: bytes) -> object:
        scan = matcher.begin()
        for at in range(0, len(text), CHUNK):
            scan.feed(text[at : at + CHUNK])
        return scan.finish()

    return run


def one_by_one(types: tuple[InfoType, ...], compiled: Callable[[bytes], Any]) -> Callable[[bytes], object]:
    expressions = [compiled(way.expression.encode()) for each in types for way in each.patterns]

    def run(text: bytes) -> object:
        return [sum(1 for _ in expression.finditer(text)) for expression in expressions]

    return run


def main() -> None:
    texts = corpora()
    for count in (10, 100, 1000):
        types = some_types(count)
        begun = time.process_time()
        matcher = compile_types(Spec(types=types))
        made = time.process_time() - begun
        say(f"{count} patterns of {len(types)} types, compiled in {made:.2f} s")
        for name, text in texts.items():
            ours = rate(searching(matcher), text)
            plain = rate(one_by_one(types, re.compile), text[:BASELINE])
            linear = rate(one_by_one(types, re2.compile), text[:BASELINE])
            others = f"re {plain:6.2f} ({ours / plain:5.1f} x), re2 {linear:6.2f} ({ours / linear:5.1f} x)"
            say(f"  {name:<7} {ours:7.1f} MB/s; {others}")


if __name__ == "__main__":
    main()
