"""What rewriting needs to know about one exchange, and about a page's own security policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from casb.model.app import View
from casb.rewrite.hosts import HostMap
from casb.rewrite.shared import Seal

GUARD_PATH = "/.casb/guard.js"
RESERVED_PATH = "/.casb/"
NO_SCRIPT_PATH = "/.casb/scripts-off"


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriteContext:
    """One exchange: the map in force, the origin authority (`app.example[:port]`) and what the browser says it is for.

    `destination` and `mode` are `Sec-Fetch-Dest` and `Sec-Fetch-Mode` ("" when absent). `inject_guard` is the app's
    setting, and so is `view`; `worker_guard` makes what goes in front of a worker's own script
    (`guard.worker_prologue`); `guard_digest` the `sha256-…` of the script as served: it makes its version, and is its
    integrity where a page's policy admits nothing else; `trusted_policy` the name of the Trusted Types policy that the
    guard makes for itself ("": it makes none).

    `method`, `path` (without the query) and `cookies` (the `Cookie` value) are the request's own, `client` is the
    browser's address. `relation` is what `Sec-Fetch-Site` would have said at the origin, `crossing` that the browser
    takes the request for same-site and it is not (`sites.relation`). `forwarded` is how
    the application is told of the browser: `none`, `x-forwarded` or `forwarded`. `user` is the person's id and `seal`
    the deployment's key ring, for cookies that flattened hosts share. `controls` goes to the guard on its tag: what
    this page's person may not copy, paste or print (base64url; "": no policy is about that, and the guard comes without
    the parts for it); `needs_script` sends browsers without scripts away from the page.
    """

    hosts: HostMap
    host: str
    destination: str = ""
    mode: str = ""
    inject_guard: bool = True
    guard_digest: str = ""
    view: View = View.SUFFIX
    worker_guard: Callable[[bytes], bytes] | None = None
    trusted_policy: str = ""
    method: str = "GET"
    path: str = "/"
    cookies: bytes = b""
    relation: str = ""
    crossing: bool = False
    client: str = ""
    forwarded: str = "none"
    user: str = ""
    seal: Seal | None = field(default=None, repr=False, compare=False)
    controls: bytes = field(default=b"", repr=False)
    needs_script: bool = False

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
