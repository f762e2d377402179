"""What recognising a request costs with 10, 1,000 and 10,000 signatures, against trying one after the other.

Run: `PYTHONPATH=addons:tests python tests/bench/bench_recognise.py`. Absolute figures are noise; the ratios count.
"""

from __future__ import annotations

import sys
import time

from casb.catalog.signatures import Index, path_pattern
from casb.model.activity import RequestFacts
from casb.model.app import Signature

ROUNDS = 2000


def signatures(count: int) -> tuple[Signature, ...]:
    """As products have them: some places, some globs, several methods for one path."""
    return tuple(
        Signature(
            id=str(at),
            activity="edit",
            methods=frozenset({("POST", "PUT", "DELETE")[at % 3]}),
            path=f"/api/v1/kind{at // 3}/{{item}}/" + ("share", "members/{user}", "x*")[at % 3],
        )
        for at in range(count)
    )


def asked(count: int) -> list[RequestFacts]:
    """Requests that fit the last, the middle and none."""
    paths = [f"/api/v1/kind{(count - 1) // 3}/7/share", f"/api/v1/kind{count // 6}/7/members/3", "/static/app.js"]
    return [RequestFacts(method="POST", scheme="https", host="h", port=443, path=path) for path in paths]


def main() -> int:
    """Print the table."""
    sys.stdout.write(f"{'signatures':>10} {'indexed µs':>11} {'one by one µs':>14}\n")
    for count in (10, 1000, 10_000):
        listed, requests = signatures(count), asked(count)
        index = Index(listed)
        patterns = [(each, path_pattern(each.path)) for each in listed]
        begun = time.perf_counter()
        for _ in range(ROUNDS):
            for request in requests:
                index.find(request)
        fast = (time.perf_counter() - begun) / ROUNDS / len(requests)
        rounds = max(1, ROUNDS // count)
        begun = time.perf_counter()
        for _ in range(rounds):
            for request in requests:
                next((each for each, p in patterns if request.method in each.methods and p.match(request.path)), None)
        slow = (time.perf_counter() - begun) / rounds / len(requests)
        sys.stdout.write(f"{count:>10} {fast * 1e6:>11.2f} {slow * 1e6:>14.2f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
