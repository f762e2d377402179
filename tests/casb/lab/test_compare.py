"""What counts as a difference, and what an application does by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from casb.lab.browser import Asked
from casb.lab.compare import Delta, compare
from casb.lab.relay import Told
from casb.lab.walk import Stop, Walked

STOP = Stop(label="goto /", url="https://app.example/", title="App", lines=("h1", "“Hello”", "“12 new messages”"))
WALK = Walked(stops=(STOP,), asked=(), console=(), violations=(), headers={}, cookies=())


def delta(
    through: Walked = WALK,
    *,
    direct: Walked = WALK,
    again: Walked = WALK,
    left: tuple[Asked, ...] = (),
    told: tuple[Told, ...] = (),
    pixels: tuple[float, float] = (0.0, 0.0),
) -> Delta:
    return compare(
        direct,
        again,
        through,
        left=left,
        owns=lambda host: host == "app.example",
        suffix="casb.test",
        told=told,
        pixels=[pixels],
    )


def asked(url: str, **more: Any) -> Asked:
    return Asked(method="GET", url=url, kind="fetch", page="https://app.example/", **more)


def stopped(**changes: Any) -> Walked:
    return replace(WALK, stops=(replace(STOP, **changes),))


def test_the_same_is_the_same() -> None:
    assert delta().differs is False


@pytest.mark.parametrize(
    ("through", "missing", "extra"),
    [
        (stopped(lines=("h1", "“Hello”")), ("“12 new messages”",), ()),
        (stopped(lines=(*STOP.lines, "“Blocked”")), (), ("“Blocked”",)),
        (stopped(lines=("h1", "h1", *STOP.lines[1:])), (), ("h1",)),
    ],
)
def test_lines(through: Walked, missing: tuple[str, ...], extra: tuple[str, ...]) -> None:
    found = delta(through)
    assert (found.stops[0].missing, found.stops[0].extra, found.differs) == (missing, extra, True)


def test_what_changes_by_itself_is_no_news() -> None:
    again = stopped(lines=("h1", "“Hello”", "“13 new messages”"))
    through = stopped(lines=("h1", "“Hello”", "“14 new messages”"))
    assert delta(through, again=again).differs is False


def test_another_page_than_directly_is_a_failure() -> None:
    found = delta(stopped(url="https://app.example/login"))
    assert found.stops[0].failure == "ended at https://app.example/login instead of https://app.example/"


@pytest.mark.parametrize(("pixels", "expected"), [((0.01, 0.0), False), ((0.05, 0.0), True), ((0.05, 0.02), False)])
def test_pixels(pixels: tuple[float, float], expected: bool) -> None:
    assert delta(pixels=pixels).differs is expected


def test_failures_that_are_there_directly_too_are_none() -> None:
    bad = replace(
        WALK, asked=(asked("https://app.example/x?v=1", status=404),), console=("error: status of 404 (Not Found)",)
    )
    same = replace(bad, console=("error: status of 404 ()",))
    assert delta(same, direct=bad, again=bad).differs is False
    assert delta(bad).failed == ("GET https://app.example/x (fetch): 404",)


def test_leaving_session_control_is_a_difference_and_an_unknown_host_is_none() -> None:
    assert delta(left=(asked("https://app.example/a?b"),)).escaped == ("GET https://app.example/a (fetch)",)
    found = delta(left=(asked("https://cdn.test/a"), asked("https://cdn.test/b")))
    assert (found.unknown, found.differs) == ((("cdn.test", 2, "fetch"),), False)


def test_what_the_origin_saw() -> None:
    found = delta(told=(Told(host="app.example", mark="casb-lab", request="POST /x"),))
    assert found.told == ("POST /x to app.example carries 'casb-lab'",)


@pytest.mark.parametrize(
    ("name", "origin", "through", "verdict"),
    [
        ("content-security-policy", ["default-src 'self'"], ["default-src 'self'"], "same"),
        (
            "content-security-policy",
            ["script-src 'nonce-a'"],
            ["script-src 'nonce-b' https://x/.casb/guard.js"],
            "same",
        ),
        ("content-security-policy", ["script-src 'self'; img-src *"], ["img-src *; script-src 'self'"], "same"),
        ("content-security-policy", ["script-src 'self'"], ["script-src 'self' 'unsafe-inline'"], "changed"),
        ("x-frame-options", ["DENY"], [], "missing"),
        ("referrer-policy", [], ["no-referrer"], "added"),
    ],
)
def test_security_headers(name: str, origin: list[str], through: list[str], verdict: str) -> None:
    url = "https://app.example/"
    before = replace(WALK, headers={url: {name: origin} if origin else {}})
    after = replace(WALK, headers={url: {name: through} if through else {}})
    (found,) = delta(after, direct=before).headers
    assert (found.verdict, found.weaker) == (verdict, verdict in ("missing", "changed"))


def test_cookies() -> None:
    def kept(name: str, domain: str, **more: Any) -> dict[str, Any]:
        return {
            "name": name,
            "domain": domain,
            "httpOnly": True,
            "secure": True,
            "sameSite": "Lax",
            "path": "/",
            **more,
        }

    before = replace(WALK, cookies=(kept("a", "app.example"), kept("b", ".app.example")))
    after = replace(
        WALK,
        cookies=(
            kept("a", "app.example.casb.test", httpOnly=False),
            kept("__Host-casb_s", "app.example.casb.test"),
            kept("c", ".app.example.casb.test"),
        ),
    )
    lines = delta(after, direct=before).cookies
    assert [line.split(":")[0] for line in lines] == [
        "a of app.example",
        "b of app.example is missing",
        "c of app.example is new",
    ]
