"""`scripts/cluster`: two nodes behind a balancer on loopback until Ctrl-C, or with `--check` a load and a kill test."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from cluster_lib.check import Broken, play
from cluster_lib.servers import NotStarted
from cluster_lib.world import Cluster


def main() -> int:
    """Exit status: 0 done, 1 with a sentence about what failed."""
    parser = argparse.ArgumentParser(prog="scripts/cluster", description=__doc__)
    parser.add_argument("--check", action="store_true", help="load it, kill one part after the other, then end")
    parser.add_argument("--people", type=int, default=4, help="with --check: who ask at once (default: 4)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    top = Path(tempfile.mkdtemp(prefix="casb-cluster-"))
    begun = time.monotonic()
    try:
        with Cluster(top / "cluster") as cluster:
            say(f"two proxies, two sidecars, HAProxy, PostgreSQL and Redis run ({time.monotonic() - begun:.0f} s)")
            if not arguments.check:
                say(f"people: {cluster.url()}\nportal: http://127.0.0.1:{cluster.sidecars}\nCtrl-C ends it")
                signal.pause()
            for line in play(cluster, people=arguments.people):
                say(line)
    except (Broken, NotStarted) as problem:
        print(f"scripts/cluster: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(top, ignore_errors=True)
    say(f"everything held ({time.monotonic() - begun:.0f} s)")
    return 0


def say(line: str) -> None:
    """One line, at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
