"""A real browser with a profile of its own that trusts the demo's authorities, and no other change."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, Playwright, sync_playwright

from demo_lib.processes import StartError

QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=DialMediaRouteProvider,OptimizationHints,Translate",
)


def find_browser() -> str:
    """The installed Chromium or Chrome."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        found = shutil.which(name)
        if found:
            return found
    raise StartError("no Chromium found: as root, apt-get install chromium")


def trust(home: Path, authorities: Mapping[str, Path]) -> None:
    """Puts the authorities (nickname to PEM) into the certificate store that a browser with this HOME reads."""
    store = home / ".pki" / "nssdb"
    certutil = shutil.which("certutil")
    if certutil is None:
        raise StartError("certutil is missing: as root, apt-get install libnss3-tools")
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir(parents=True)
    database = ["-d", f"sql:{store}"]
    calls: list[Sequence[str]] = [["-N", "--empty-password"]]
    calls += [["-A", "-t", "C,,", "-n", nickname, "-i", str(pem)] for nickname, pem in authorities.items()]
    for call in calls:
        subprocess.run([certutil, *call[:1], *database, *call[1:]], check=True, capture_output=True)


def command_line(home: Path, address: str, *, profile: str = "person", mapping: str = "") -> str:
    """What a person types to open the demo in a browser of its own. `mapping` is a host resolver rule."""
    options = [f"--user-data-dir={home / profile}", "--no-first-run"]
    if mapping:
        options.append(f"--host-resolver-rules='{mapping}'")
    if os.geteuid() == 0:
        options.append("--no-sandbox")
    return f"HOME={home} {find_browser()} {' '.join(options)} {address}"


class Browsers:
    """People at their machines: each context is a profile of its own, with its own cookies."""

    def __init__(self, playwright: Playwright, home: Path) -> None:
        self._playwright, self._home = playwright, home
        self._open: list[BrowserContext] = []
        self._count = 0

    def person(self, name: str, *extra: str) -> BrowserContext:
        """A fresh profile for somebody; `extra` goes to the browser's command line."""
        self._count += 1
        folder = self._home / "profiles" / f"{self._count}-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        context = self._playwright.chromium.launch_persistent_context(
            str(folder),
            executable_path=find_browser(),
            args=[*QUIET, *extra, *(["--no-sandbox"] if os.geteuid() == 0 else [])],
            env={**os.environ, "HOME": str(self._home)},
            headless=True,
            accept_downloads=True,
            viewport={"width": 1280, "height": 800},
        )
        context.set_default_timeout(20_000)
        self._open.append(context)
        return context

    def close(self) -> None:
        """Everybody goes home."""
        for context in self._open:
            context.close()
        self._open.clear()


@contextmanager
def browsers(home: Path, authorities: Mapping[str, Path]) -> Iterator[Browsers]:
    """Headless Chromium, trusting these authorities."""
    trust(home, authorities)
    with sync_playwright() as playwright:
        crowd = Browsers(playwright, home)
        try:
            yield crowd
        finally:
            crowd.close()
