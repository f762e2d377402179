"""The laboratory from beginning to end: an address in, a finding out."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from casb.catalog.match import Catalog
from casb.errors import ConfigError, ConnectorError
from casb.hostname import domain_pattern, normal_host
from casb.lab.browser import View, find_browser, playwright, view
from casb.lab.compare import Delta, compare
from casb.lab.onboarding import app_id, onboarding
from casb.lab.relay import Target
from casb.lab.stage import Application, stage
from casb.lab.steps import Step
from casb.lab.walk import Walked, walk
from casb.model.app import App

_PIXELS = files("casb.lab").joinpath("pixels.js").read_text("utf-8")
_NAMELESS = "app.lab.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be looked at. `address` is the origin's name under which it is opened both ways."""

    url: str
    name: str
    start: str
    target: Target
    connect: str | None  # for the onboarding file: where it really is, when its name does not lead there
    domains: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    pages: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """All that the laboratory found. `differences` are pictures of differing pixels, one for each stop."""

    wish: Wish
    direct: Walked
    through: Walked
    delta: Delta
    differences: tuple[bytes, ...]
    yaml: str
    seconds: float


def wish(
    url: str,
    *,
    name: str | None = None,
    hosts: Sequence[str] = (),
    ca: str | None = None,
    steps: tuple[Step, ...] = (),
    pages: int = 5,
) -> Wish:
    """What an address means. Raises `ConfigError` L004 when it is none, or `name` or a host is no host name.

    An application that has no name of its own (an address, `localhost`) or an unusual port is opened under a name both
    ways, and really asked for where `url` says.
    """
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        port = parts.port
    except ValueError:
        raise ConfigError("L004", f"{url!r} is not an address") from None
    host = normal_host(parts.hostname or "")
    if parts.scheme not in ("http", "https") or host is None or "@" in parts.netloc:
        raise ConfigError("L004", f"{url!r} is not an address of a web application", hint="https://app.example.com/")
    tls = parts.scheme == "https"
    real = port or (443 if tls else 80)
    given = name or (host if "." in host and not _is_address(host) else _NAMELESS)
    own = normal_host(given)
    if own is None or "." not in own or _is_address(own):
        raise ConfigError("L004", f"{given!r} is not a host name", hint="write app.example.com")
    try:
        domains = tuple(dict.fromkeys((own, *(domain_pattern(each) for each in hosts))))
    except ValueError as error:
        raise ConfigError("L004", str(error)) from None
    start = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    usual = own == host and tls and real == 443
    shown = f"{f'[{host}]' if ':' in host else host}:{real}"
    return Wish(
        url=url,
        name=own,
        start=start,
        target=Target(host=host, port=real, tls=tls, ca=ca),
        connect=None if usual else (shown if tls else f"http://{shown}"),
        domains=domains,
        steps=steps,
        pages=pages,
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def investigate(wanted: Wish, progress: Callable[[str], None]) -> Finding:
    """Open it directly twice and through the suffix once, walk, compare.

    Raises `ConnectorError`: L001 the proxy did not start, L002 no browser, L005 not even directly can it be opened.
    """
    begun = time.monotonic()
    application = Application(
        id=app_id(wanted.name),
        name=wanted.name,
        domains=wanted.domains,
        targets={wanted.name: wanted.target},
    )
    origin = f"https://{wanted.name}"
    catalog = Catalog([App(id=application.id, name=application.name, domains=wanted.domains)])
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="casb-lab-")))
        find_browser()  # so that its absence is told at once
        progress("starting a proxy of its own")
        at = stack.enter_context(stage(folder / "stage", [application]))
        running = stack.enter_context(playwright())
        plan = None
        walks: list[Walked] = []
        left: list[View] = []
        for name in ("direct", "direct again", "through"):
            through = name == "through"
            profile = folder / name.replace(" ", "-")
            here = stack.enter_context(view(running, at, name, profile, through=through, hosts=wanted.domains))
            at.relay.told.clear()
            walked, plan = walk(
                here, origin, wanted.start, plan=plan, script=wanted.steps, pages=wanted.pages, progress=progress
            )
            walks.append(walked)
            why = at.relay.unreached.get(wanted.name) or walked.stops[0].failure
            if why and not through:
                raise ConnectorError("L005", f"{wanted.url} cannot be opened: {why}")
            left = [here]
        direct, again, last = walks
        progress("comparing pictures")
        shares, pictures = _pictures(left[0], direct, again, last)
        delta = compare(
            direct,
            again,
            last,
            left=left[0].escaped(),
            owns=lambda host: catalog.match(host) is not None,
            suffix=at.suffix,
            told=list(at.relay.told),
            pixels=shares,
        )
        title = direct.stops[0].title or wanted.name
        return Finding(
            wish=wanted,
            direct=direct,
            through=last,
            delta=delta,
            differences=pictures,
            yaml=onboarding(
                name=title,
                hosts=wanted.domains,
                unknown=delta.unknown,
                start=wanted.start,
                connect=wanted.connect,
                logout=direct.ways_out,
                notes=_notes(delta),
            ),
            seconds=round(time.monotonic() - begun, 1),
        )


def _notes(delta: Delta) -> list[str]:
    notes = []
    if delta.told:
        notes.append(f"The origin saw the suffix: {delta.told[0]}")
    if delta.escaped:
        notes.append(f"A request left session control: {delta.escaped[0]}")
    if delta.violations:
        notes.append(f"A security policy of the application refused something: {delta.violations[0]}")
    return notes


def _pictures(
    here: View, direct: Walked, again: Walked, through: Walked
) -> tuple[list[tuple[float, float]], tuple[bytes, ...]]:
    """Shares of differing pixels (direct to through, direct to direct) and pictures of them, by the browser itself."""
    page = here.context.new_page()
    shares, pictures = [], []
    for one, two, three in zip(direct.stops, again.stops, through.stops, strict=True):
        share, picture = _difference(page, one.picture, three.picture)
        noise, _ = _difference(page, one.picture, two.picture)
        shares.append((share, noise))
        pictures.append(picture)
    page.close()
    return shares, tuple(pictures)


def _difference(page: object, one: bytes, other: bytes) -> tuple[float, bytes]:
    if not one or not other:
        return (0.0 if one == other else 1.0), b""
    pair = [base64.b64encode(each).decode() for each in (one, other)]
    share, picture = page.evaluate(_PIXELS, pair)  # type: ignore[attr-defined] # Playwright's Page, an extra
    return float(share), base64.b64decode(str(picture))
