"""`scripts/bench`: what casb costs, beside plain mitmdump and nginx, in one interleaved run on one upstream."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from demo_lib.pki import DemoAuthority
from demo_lib.processes import StartError, free_port

from bench_lib import bodies, memory, report, upstream, waits
from bench_lib import contestants as proxies
from bench_lib.cases import cases, measure
from bench_lib.load import LoadFailed

_EXTRAS = ("waits", "bodies", "memory")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    made.add_argument("--quick", action="store_true", help="one short round: shows that it runs, not how fast")
    made.add_argument("--format", choices=("table", "json"), default="table")
    made.add_argument("--case", action="append", metavar="ID", help="only this case (may be given several times)")
    made.add_argument("--rounds", type=int, help="how often everything is measured (default 5)")
    made.add_argument("--seconds", type=float, help="how long each measurement takes (default 3)")
    made.add_argument("--policies", type=int, default=1000, help="how many policies casb has (default 1000)")
    made.add_argument("--megabytes", type=int, help="size of the large files (default 100)")
    made.add_argument("--large", type=int, help="size of the files of `memory`, in MB (default 1000)")
    made.add_argument("--plain-core", action="store_true", help="also casb without its levers on mitmproxy's core")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 measured, 1 with a sentence about what failed, 2 for a wrong command line."""
    chosen = parser().parse_args(arguments)
    rounds = chosen.rounds or (1 if chosen.quick else 5)
    seconds = chosen.seconds or (0.7 if chosen.quick else 3.0)
    megabytes = chosen.megabytes or (10 if chosen.quick else 100)
    wanted = [each for each in cases(megabytes) if not chosen.case or each.id in chosen.case]
    extras = [each for each in _EXTRAS if not chosen.case or each in chosen.case]
    if chosen.case and len(wanted) + len(extras) != len(set(chosen.case)):
        known = ", ".join([*(each.id for each in cases(megabytes)), *_EXTRAS])
        print(f"scripts/bench: the cases are {known}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # Leaves every `with` in order.
    before = report.machine()
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="casb-bench-")))
            running = _start(stack, folder, chosen.policies, megabytes, chosen.plain_core)
            results = measure(running, wanted, rounds=rounds, seconds=seconds, tell=_progress)
            run = {"rounds": rounds, "seconds": seconds, "policies": chosen.policies, "quick": chosen.quick}
            found = report.document(results, running, run, before)
            if "waits" in extras:
                found["waits"] = waits.waits(running, times=20 if chosen.quick else 200)
            if "memory" in extras:
                found["memory"] = _memory(stack, folder, quick=chosen.quick, megabytes=chosen.large)
        if "bodies" in extras:
            _progress("rewriting alone")
            size = 200_000 if chosen.quick else 2_000_000
            found["bodies"] = bodies.speeds(size=size, rounds=1 if chosen.quick else 3)
    except (StartError, LoadFailed) as error:
        _progress("")
        print(f"scripts/bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    _progress("")
    if chosen.format == "json":
        print(report.as_json(found))
        return 0
    parts = [report.table(found), *waits.table(found.get("waits", [])), *bodies.table(found.get("bodies", []))]
    parts += memory.table(found.get("memory", []))
    print("\n".join(parts))
    return 0


def _start(stack: ExitStack, folder: Path, policies: int, megabytes: int, plain_core: bool) -> list[proxies.Contestant]:
    authority = DemoAuthority(folder / "pki", "casb bench servers")
    port, proxy_port = free_port(), free_port()
    stack.callback(upstream.origin(folder / "origin", port, authority, megabytes).stop)
    ca = authority.certificate_path
    running = []

    def keep(made: proxies.Contestant) -> None:
        stack.callback(made.child.stop)
        running.append(made)

    keep(proxies.mitmdump(folder / "mitmdump", port, ca))
    keep(proxies.casb(folder / "casb", port, ca, policies=policies))
    if plain_core:
        keep(proxies.casb(folder / "plain", port, ca, policies=policies, plain_core=True))
    child = upstream.plain_proxy(folder / "nginx", proxy_port, authority, port)
    host = upstream.ORIGIN
    keep(proxies.Contestant(name="nginx", child=child, port=proxy_port, host=host, authority=host, ca=ca))
    return running


def _memory(stack: ExitStack, folder: Path, *, quick: bool, megabytes: int | None) -> list[dict[str, Any]]:
    """A casb of its own, with an origin of its own: its files are large."""
    authority = DemoAuthority(folder / "memory-pki", "casb bench servers")
    port, size, each, many = free_port(), megabytes or (6 if quick else 1000), 1 if quick else 50, 4 if quick else 50
    hold = 2 if quick else 50
    stack.callback(upstream.origin(folder / "memory-origin", port, authority, size).stop)
    memory.contents(folder / "memory-origin" / "www", megabytes=size, each=each, hold=hold)
    ca = authority.certificate_path
    made = proxies.casb(folder / "looking", port, ca, policies=50, looking=memory.POLICIES, hold=hold)
    stack.callback(made.child.stop)
    return memory.measure(made, megabytes=size, each=each, many=many, tell=_progress)


def _progress(text: str) -> None:
    """On a terminal only, always on the same line."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
