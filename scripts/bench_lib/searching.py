"""casb's worker with all shipped sensitive information types in force: `python -m bench_lib.searching --config …`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from casb.inspection.info_types import Matcher, Spec, compile_spec
from casb.inspection.info_types.shipped import shipped
from casb.inspection.spec import Recipe
from casb.model.file import FileFacts
from casb.proxy import worker
from casb.proxy.scanning import Scanner
from casb.proxy.streaming import StreamWorkers

RECIPE = Recipe(factory="bench_lib.searching:make", data=b"", digest="shipped")


def make(_data: bytes) -> Matcher:
    """The matcher of everything that is shipped."""
    return compile_spec(Spec(types=tuple(shipped().values())))


class Structure(Scanner):
    """Files that are held: what is in these has no text."""

    async def scan(self, *arguments: Any, matcher: Recipe | None = None, **more: Any) -> FileFacts:
        return await super().scan(*arguments, **more)


def main() -> int:
    """As `casb.proxy.worker`."""
    plain = worker.build_runtime

    def build(*arguments: Any) -> Any:
        runtime, spool = plain(*arguments)
        runtime.matcher, runtime.scanner = RECIPE, Structure()
        runtime.streams = StreamWorkers(workers=1, modules=("bench_lib.",), path=str(Path(__file__).parents[1]))
        return runtime, spool

    worker.build_runtime = build  # type: ignore[assignment]
    return worker.main()


if __name__ == "__main__":
    sys.exit(main())
