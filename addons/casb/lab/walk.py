"""Walks through an application in one view and writes down what each stop looks like.

The first walk chooses where to go; every other one follows it, so that what is compared is the same.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from casb.lab.browser import Asked, View, settled
from casb.lab.steps import Step

if TYPE_CHECKING:
    from playwright.sync_api import Page

_PAGE = files("casb.lab").joinpath("page.js").read_text("utf-8")
_WAYS = files("casb.lab").joinpath("ways.js").read_text("utf-8")

BUTTONS = 3
"""Buttons of the first page that are tried."""

type Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One page as it was after a step. `lines` and `url` have no suffix in them; `failure` says why a step failed."""

    label: str
    url: str = ""
    title: str = ""
    lines: tuple[str, ...] = ()
    picture: bytes = field(default=b"", repr=False)
    seconds: float = 0.0
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """A whole walk. All texts are without the suffix."""

    stops: tuple[Stop, ...]
    asked: tuple[Asked, ...]
    console: tuple[str, ...]
    violations: tuple[tuple[str, str, str], ...]
    headers: dict[str, dict[str, list[str]]]
    cookies: tuple[dict[str, Any], ...]
    ways_out: tuple[str, ...] = ()  # paths that look like signing out


@dataclass
class Plan:
    """What the first walk has decided."""

    steps: list[Step] = field(default_factory=list)
    ways_out: set[str] = field(default_factory=set)


def walk(
    here: View, origin: str, start: str, *, plan: Plan | None, script: Sequence[Step], pages: int, progress: Progress
) -> tuple[Walked, Plan]:
    """Walk from `start`; `plan` is the one to follow, or None to make one. `origin` is `https://app.example`.

    With a `script` the walk is that, and nothing is chosen.
    """
    made = plan or Plan(steps=[Step(goto=start), *script])
    stops: list[Stop] = []
    at = 0
    while at < len(made.steps):
        step = made.steps[at]
        progress(f"{here.name}: {step.label}")
        stops.append(_take(here, origin, step))
        if plan is None and not script:
            _look_around(here, origin, made, pages, at)
        here.noticed.collect(here.page)
        at += 1
    asked = tuple(_plain(here, each) for each in here.noticed.requests)
    return (
        Walked(
            stops=tuple(stops),
            asked=asked,
            console=tuple(here.plain(each) for each in here.noticed.console),
            violations=tuple((a, here.plain(b), c) for a, b, c in here.noticed.violations),
            headers={
                here.plain(url): {name: [here.plain(value) for value in values] for name, values in each.items()}
                for url, each in here.noticed.headers.items()
            },
            cookies=tuple(dict(each) for each in here.context.cookies()),
            ways_out=tuple(sorted(made.ways_out)),
        ),
        made,
    )


def _plain(here: View, each: Asked) -> Asked:
    return Asked(
        method=each.method,
        url=here.plain(each.url),
        kind=each.kind,
        page=here.plain(each.page),
        status=each.status,
        failure=each.failure,
    )


def _take(here: View, origin: str, step: Step) -> Stop:
    page, begun, failure = here.page, time.monotonic(), ""
    try:
        _do(here, origin, step)
    except Exception as error:  # whatever Playwright raises is what this stop looks like
        failure = str(error).splitlines()[0][:300]
    settled(page)
    seconds = time.monotonic() - begun
    lines: list[str] = []
    with contextlib.suppress(Exception):
        lines = [here.plain(str(each)) for each in page.evaluate(_PAGE)]
    picture = b""
    with contextlib.suppress(Exception):
        picture = page.screenshot(animations="disabled", caret="hide", timeout=10_000)
    title = ""
    with contextlib.suppress(Exception):
        title = page.title()
    return Stop(
        label=step.label,
        url=here.plain(page.url),
        title=here.plain(title),
        lines=tuple(lines),
        picture=picture,
        seconds=round(seconds, 2),
        failure=failure,
    )


def _do(here: View, origin: str, step: Step) -> None:
    page = here.page
    if step.goto is not None:
        page.goto(here.url(origin + step.goto), wait_until="load", timeout=30_000)
    elif step.click is not None:
        page.locator(step.click).first.click()
    elif step.type is not None:
        page.locator(step.type.into).first.fill(step.type.text)
    elif step.press is not None:
        page.keyboard.press(step.press)
    elif step.expect is not None:
        page.get_by_text(step.expect).first.wait_for(state="visible")
    elif step.wait is not None:
        page.wait_for_timeout(step.wait * 1000)


def _look_around(here: View, origin: str, plan: Plan, pages: int, at: int) -> None:
    """Add ways that lead on from this page, the one of step `at`: links, and on the first page a few of its buttons."""
    found = _ways(here.page, urlsplit(origin).netloc)
    taken = {each.goto for each in plan.steps}
    for link in found["links"]:
        if link["out"]:
            plan.ways_out.add(str(link["path"]).partition("?")[0].partition("#")[0])
        elif not link["danger"] and link["path"] not in taken and _gotos(plan) < pages:
            taken.add(link["path"])
            plan.steps.append(Step(goto=link["path"]))
    if here.page.url.startswith(here.url(origin)) and at == 0:
        buttons = dict.fromkeys((str(role), str(name)) for role, name in found["buttons"])
        plan.steps[1:1] = [Step(click=f"role={role}[name={_quoted(name)}]") for role, name in [*buttons][:BUTTONS]]


def _gotos(plan: Plan) -> int:
    return sum(each.goto is not None for each in plan.steps)


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _ways(page: Page, host: str) -> dict[str, list[Any]]:
    with contextlib.suppress(Exception):
        found = page.evaluate(_WAYS, host)
        return {"links": list(found["links"]), "buttons": list(found["buttons"])}
    return {"links": [], "buttons": []}
