"""What rewriting needs to know about one exchange, and about a page's own security policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from casb.model.app import View
from casb.rewrite.hosts import HostMap

GUARD_PATH = "/.casb/guard.js"
RESERVED_PATH = "/.casb/"


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriteContext:
    """One exchange: the map in force, the origin authority (`app.example[:port]`) and what the browser says it is for.

    `destination` and `mode` are `Sec-Fetch-Dest` and `Sec-Fetch-Mode` ("" when absent). `inject_guard` is the app's
    setting, and so is `view`; `guard_digest` the `sha256-…` of the script as served, used only where a page's policy
    admits nothing else. `worker_guard` makes what goes in front of a worker's own script (`guard.worker_prologue`).
    """

    hosts: HostMap
    host: str
    destination: str = ""
    mode: str = ""
    inject_guard: bool = True
    guard_digest: str = ""
    view: View = View.SUFFIX
    worker_guard: Callable[[bytes], bytes] | None = None

    @property
    def page_host(self) -> str:
        """The authority under which the browser knows this origin."""
        return self.hosts.to_suffix(self.host) or self.host


def guard_version(digest: str) -> str:
    """What stands in the guard's URL for its content: nobody who has not seen the script can tell it."""
    return digest.partition("-")[2].replace("+", "-").replace("/", "_").rstrip("=")


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePolicy:
    """What the origin's Content-Security-Policy means for the guard's tag and for inline code.

    `nonce` goes on our tag. `digest` goes on it as `integrity` (only `strict-dynamic` without a nonce asks for it).
    `hashed` says that inline code is pinned by hashes: it stays byte-exact.
    """

    nonce: str = ""
    digest: str = ""
    hashed: bool = False
