"""A bug of ours refuses (house rule 4), whatever breaks and wherever; and the traps of mitmproxy 12.2.

Each trap is shown twice: with our defence nothing leaks; with the defence taken away the same test sees the leak.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from mitmproxy import io as flow_io
from mitmproxy import options
from mitmproxy.addons import proxyserver
from mitmproxy.master import Master

from casb.control.exchange import Exchange
from casb.errors import StoreError
from casb.proxy import control, levers, master, rewriting, sessions, translate
from casb.proxy.control import Control
from casb.proxy.sealed import sealed
from casb.store.spool import Spool
from proxy_world import NAVIGATE, World

SECRET = b"the secret of the origin " * 200


class Bug(Exception):
    """What our own code might raise."""


def boom(*_arguments: Any, **_named: Any) -> Any:
    raise Bug


PLACES: list[tuple[object, str]] = [
    (sessions.Sessions, "address"),
    (sessions.Sessions, "cookie"),
    (Control, "visitor"),
    (Exchange, "request"),
    (Exchange, "response"),
    (translate, "response_facts"),
    (rewriting, "request_headers"),
    (rewriting, "response_headers"),
    (rewriting, "context_of"),
    (rewriting.Outward, "_rewriter"),
    (control, "access"),
]


@pytest.mark.parametrize(("owner", "name"), PLACES, ids=[f"{getattr(o, '__name__', o)}.{n}" for o, n in PLACES])
@pytest.mark.parametrize("core", ["ours", "plain"])
def test_a_bug_anywhere_refuses_and_is_recorded(
    proxy_inside: World, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, core: str
) -> None:
    monkeypatch.setenv("CASB_PLAIN_CORE", "1" if core == "plain" else "0")
    world = proxy_inside
    world.origin.page("/secret", SECRET, content_type="text/html")
    cookie = world.session()
    with world.inside():
        assert SECRET in world.ask("/secret", cookie=cookie, headers=NAVIGATE).body, "it works while nothing is broken"
        monkeypatch.setattr(owner, name, boom)
        # Another program, so that nothing of the first exchange's decisions is kept.
        got = world.ask("/secret", cookie=cookie, headers={**NAVIGATE, "user-agent": "Another/1.0"})
        monkeypatch.undo()
    assert b"secret of the origin" not in got.body
    assert got.status == 502
    assert "X-Casb-Activity".lower() in got.headers


def unsealed(hook: Any) -> Any:
    """The hook as it would be without the seal."""
    return getattr(hook, "__wrapped__", hook)


def test_without_the_seal_the_same_bug_leaks(proxy_inside: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap 1: mitmproxy logs an exception in a hook and goes on. So it is the seal that holds."""
    monkeypatch.setenv("CASB_PLAIN_CORE", "1")
    monkeypatch.setattr(Control, "responseheaders", unsealed(Control.responseheaders))
    world = proxy_inside
    disposition = 'attachment; filename="payroll.xlsx"'
    world.origin.page("/payroll", SECRET, content_type="application/octet-stream", content_disposition=disposition)
    cookie = world.session()
    with world.inside():
        assert SECRET not in world.ask("/payroll", cookie=cookie, headers=NAVIGATE).body, "blocked by policy"
        monkeypatch.setattr(Exchange, "response", boom)
        assert SECRET in world.ask("/payroll", cookie=cookie, headers=NAVIGATE).body, "leaks: the seal was all"


def test_every_hook_that_may_touch_an_exchange_is_sealed() -> None:
    """The recorder's hooks alone are not: they run for refused exchanges, and catch everything themselves."""
    from casb.proxy import controls, endpoints, gateway, learning, siblings

    classes = [gateway.Gateway, sessions.Sessions, endpoints.Endpoints, Control, rewriting.Inward, rewriting.Outward]
    classes += [siblings.Before, siblings.After, controls.Controls, learning.Learning]
    hooks = ("requestheaders", "request", "responseheaders", "response")
    found = [getattr(each, hook) for each in classes for hook in hooks if hook in vars(each)]
    assert len(found) >= 18
    assert all(getattr(hook, "__sealed__", False) for hook in found)


def blocked_world(world: World) -> str:
    disposition = 'attachment; filename="payroll.xlsx"'
    world.origin.page("/payroll", SECRET, content_type="application/octet-stream", content_disposition=disposition)
    return world.session()


def test_a_refusal_at_the_headers_does_not_get_the_body_put_back(
    proxy_inside: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap 2: a response assigned in `responseheaders` gets the origin's body put back into it."""
    cookie = blocked_world(proxy_inside)
    with proxy_inside.inside():
        assert SECRET not in proxy_inside.ask("/payroll", cookie=cookie, headers=NAVIGATE).body
        monkeypatch.setattr(translate, "hold_refusal", _assign_at_once)
        monkeypatch.setattr(translate, "is_refused", lambda flow: False)
        leaked = proxy_inside.ask("/payroll", cookie=cookie, headers=NAVIGATE)
        monkeypatch.undo()
    assert b"secret of the origin" in leaked.body, "assigning the page at the headers is what leaks"


def _assign_at_once(flow: Any, phase: str, page: Any = None) -> None:
    if phase == "responseheaders":
        flow.response = translate.response_from(page)


def test_an_option_that_streams_large_bodies_is_refused() -> None:
    """Trap 3: a chunked body that outgrows `stream_large_bodies` streams out although we hold it."""

    async def check() -> None:
        opened = Master(options.Options())
        opened.addons.add(proxyserver.Proxyserver())
        master.refuse_unsafe(opened.options)
        opened.options.update(stream_large_bodies="1m")
        with pytest.raises(master.UnsafeOption, match="stream_large_bodies"):
            master.refuse_unsafe(opened.options)

    asyncio.run(check())


def test_a_held_body_of_unknown_length_stops_at_our_own_limit(proxy_inside: World) -> None:
    """Trap 3 again: no option bounds it; the stream does, and policy decides on what could not be read."""
    world = proxy_inside
    world.write(
        "held.yaml",
        """\
        version: 1
        policies:
          - id: no-programs-at-all
            activities: download
            when: {file: {detected_type: application/vnd.microsoft.portable-executable}}
            action: block
        """,
    )
    text = (world.config / "casb.yaml").read_text()
    (world.config / "casb.yaml").write_text(text + "limits: {hold: 64KB, spool_file: 64KB}\n")

    def endless(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/zip")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        chunk = b"400\r\n" + bytes(1024) + b"\r\n"
        with contextlib.suppress(OSError):
            for _ in range(5000):
                handler.wfile.write(chunk)
                time.sleep(0.0005)

    world.origin.routes["/endless"] = endless
    cookie = world.session()
    with world.inside():
        started = time.monotonic()
        got = world.ask("/endless", cookie=cookie, headers=NAVIGATE)
    assert time.monotonic() - started < 4, "it did not wait for the end"
    assert b"xxxx" not in got.body
    record = world.record(got.headers["x-casb-activity"])
    assert record["action"] == "block"
    assert any("larger than 65536 bytes" in reason["fact"] for reason in record["reasons"])


def test_what_is_kept_with_a_flow_is_plain_text(proxy_inside: World) -> None:
    """Trap 4: `flow.metadata` is serialised; and a recorded flow holds nothing secret."""
    world = proxy_inside
    recording = world.folder / "flows.mitm"
    text = (world.config / "casb.yaml").read_text()
    (world.config / "casb.yaml").write_text(text + f"record_flows: {recording}\n")
    cookie = blocked_world(world)
    with world.inside():
        headers = {
            **NAVIGATE,
            "authorization": "Bearer very-secret-token",
            "x-vault-token": "very-secret-vault",
            "x-amz-security-token": "very-secret-cloud",
            "referer": "https://files.example/?very-secret-referer",
            "upload-metadata": "token dmVyeS1zZWNyZXQ=",
        }
        world.ask("/payroll?ticket=very-secret-query", cookie=cookie + "; sid=very-secret", headers=headers)
    raw = recording.read_bytes()
    assert b"very-secret" not in raw
    assert b"dmVyeS1zZWNyZXQ" not in raw
    with recording.open("rb") as file:
        flows = list(flow_io.FlowReader(file).stream())
    assert len(flows) == 1
    assert all(isinstance(value, str) for value in flows[0].metadata.values())
    assert flows[0].metadata["casb.action"] == "block"


def test_a_rewriter_that_breaks_in_the_middle_cuts_the_answer_off(
    proxy_inside: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap 5: stream callables run after the head has left; nothing more may follow."""
    world = proxy_inside

    def slow(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/html")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for part in (b"<html><head></head><body>", b"second part", b"third part"):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            handler.wfile.flush()
            time.sleep(0.3)
        handler.wfile.write(b"0\r\n\r\n")

    world.origin.routes["/slow"] = slow
    cookie = world.session()
    from casb.rewrite.body import recoded as original

    def fragile(inner: Any, *arguments: Any, **named: Any) -> Any:
        return _Fragile(original(inner, *arguments, **named))

    with world.inside():
        assert b"third part" in world.ask("/slow", cookie=cookie, headers=NAVIGATE).body
        monkeypatch.setattr(rewriting, "recoded", fragile)
        got = world.ask("/slow", cookie=cookie, headers=NAVIGATE)
    assert b"second part" not in got.body
    assert b"third part" not in got.body


class _Fragile:
    def __init__(self, inner: Any) -> None:
        self.inner, self.count = inner, 0

    def feed(self, chunk: bytes) -> bytes:
        self.count += 1
        if self.count > 1:
            raise Bug
        return bytes(self.inner.feed(chunk))

    def finish(self) -> bytes:
        return bytes(self.inner.finish())


def test_a_stranger_cannot_fill_the_session_store(proxy_inside: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "ASKED", 3)
    monkeypatch.setattr(sessions, "MINUTE", 1e9)
    with proxy_inside.inside():
        got = [proxy_inside.ask("/", headers=NAVIGATE) for _ in range(5)]
        known = proxy_inside.ask("/", cookie=proxy_inside.session(), headers=NAVIGATE)
    assert [each.status for each in got] == [303, 303, 303, 429, 429]
    assert got[-1].headers["retry-after"] == "60"
    assert known.status == 404, "who is signed in already is not concerned: that is the origin's own answer"


@pytest.mark.parametrize(("on_failure", "passes"), [("block", False), ("allow", True)])
def test_what_cannot_be_recorded_is_refused_unless_the_app_says_otherwise(
    proxy_inside: World, monkeypatch: pytest.MonkeyPatch, on_failure: str, passes: bool
) -> None:
    """S22: the default behaviour of an app, when the disk of the spool is full."""

    def full(*_arguments: Any) -> None:
        raise StoreError("S011", "a record could not be spooled (disk full)")

    app = proxy_inside.config / "apps" / "files.yaml"
    app.write_text(app.read_text() + f"on_failure: {on_failure}\n")
    proxy_inside.origin.page("/secret", SECRET, content_type="text/html")
    cookie = proxy_inside.session()
    with proxy_inside.inside():
        monkeypatch.setattr(Spool, "append", full)
        got = proxy_inside.ask("/secret", cookie=cookie, headers=NAVIGATE)
        monkeypatch.undo()
    assert (SECRET in got.body) is passes
    assert (got.status == 502) is not passes


def test_production_loads_no_script(proxy_inside: World) -> None:
    """Trap 6: a broken save of a `-s` script unloads it while the proxy runs on, open."""
    from casb.proxy import worker
    from casb.proxy.reload import Folder

    names: list[str] = []

    def look(made: Master) -> None:
        names.extend(made.addons.lookup)
        made.event_loop.call_soon(made.shutdown)

    asyncio.run(worker.run(Folder(proxy_inside.config), look))
    assert "control" in names
    assert not {"scriptloader", "save", "view", "onboarding", "proxyauth", "block"} & set(names)


class Hooked:
    """A class with a hook, as small as can be."""

    def __init__(self, act: Callable[[Any], Any]) -> None:
        self.act = act

    @sealed
    def request(self, flow: Any) -> Any:
        return self.act(flow)


def test_a_seal_stays_synchronous_where_nothing_is_waited_for() -> None:
    from mitmproxy.test import tflow

    assert Hooked(lambda flow: None).request(tflow.tflow()) is None


def test_an_asynchronous_bug_refuses_too() -> None:
    from mitmproxy.test import tflow

    async def later(flow: Any) -> None:
        await asyncio.sleep(0)
        raise Bug

    flow = tflow.tflow()

    async def run() -> None:
        waiting = Hooked(later).request(flow)
        assert waiting is not None
        await waiting

    asyncio.run(run())
    assert translate.is_refused(flow)
    assert flow.response is not None
    assert flow.response.status_code == 502


def test_the_plain_core_serves_the_same(proxy_inside: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The levers change the cost and nothing else."""
    answers = []
    for plain in ("1", "0"):
        monkeypatch.setenv("CASB_PLAIN_CORE", plain)
        proxy_inside.origin.page("/same", b"<html><head></head>same</html>", content_type="text/html")
        cookie = proxy_inside.session()
        with proxy_inside.inside():
            got = proxy_inside.ask("/same", cookie=cookie, headers=NAVIGATE)
        answers.append((got.status, got.body))
    assert answers[0] == answers[1]
    assert levers.wanted()
