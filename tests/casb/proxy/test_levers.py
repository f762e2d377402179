"""Each lever against what it replaces: the same answers, and a failure here when an upgrade moves what it overrides."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import mitmproxy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import addonmanager, connection, http, master, options, optmanager
from mitmproxy.proxy import commands, context, events, layer, mode_servers, server, tunnel
from mitmproxy.proxy.layers import http as core
from mitmproxy.proxy.layers import modes, tls
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook
from mitmproxy.test import tflow
from OpenSSL import SSL

from casb.proxy import levers
from proxy_world import World


@pytest.fixture
def pulled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The levers in place, whatever they were before; and that again afterwards."""
    were = bool(levers._put)
    monkeypatch.delenv("CASB_PLAIN_CORE", raising=False)
    levers.pull()
    yield
    if not were:
        monkeypatch.setenv("CASB_PLAIN_CORE", "1")
        levers.pull()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASB_PLAIN_CORE", "1")
    levers.pull()


def test_the_version_is_the_one_whose_private_parts_are_known() -> None:
    """An upgrade is a deliberate act: read what changed in the methods named here, then change this line."""
    assert mitmproxy.version.VERSION == "12.2.3"


def test_every_override_replaces_something_and_is_taken_back(plain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def now() -> list[Any]:
        return [vars(owner).get(name, levers._MISSING) for owner, name, _ in levers._overrides()]

    before = now()
    for owner, name, _ in levers._overrides():
        assert hasattr(owner, name), f"{owner.__name__}.{name} is gone"
    monkeypatch.delenv("CASB_PLAIN_CORE")
    levers.pull()
    levers.pull()  # twice is once
    pulled = now()
    assert all(after is not was for after, was in zip(pulled, before, strict=True))
    monkeypatch.setenv("CASB_PLAIN_CORE", "1")
    levers.pull()
    assert now() == before


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (levers.stream_handle_event, layer.Layer.handle_event),
        (levers.http_event_to_child, core.HttpLayer.event_to_child),
        (levers.context_fork, context.Context.fork),
        (levers.tls_interact, tls.TLSLayer.tls_interact),
        (levers.tls_receive_data, tls.TLSLayer.receive_data),
        (levers.tls_handle_event, tunnel.TunnelLayer._handle_event),
        (levers.QuickHandler.server_event, server.ConnectionHandler.server_event),
        (levers.QuickHandler.drain_writers, server.ConnectionHandler.drain_writers),
        (levers.QuickHandler.handle_client, server.ConnectionHandler.handle_client),
        (levers.QuickHandler.handle_hook, mode_servers.ProxyConnectionHandler.handle_hook),
        (levers._current, optmanager._Option.current),
        (levers._get_all, http.Headers.get_all),
    ],
)
def test_signatures_are_the_same(plain: None, ours: Callable[..., Any], theirs: Callable[..., Any]) -> None:
    assert list(inspect.signature(ours).parameters)[1:] == list(inspect.signature(theirs).parameters)[1:]


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (layer.Layer, ("handle_event", "_handle_event")),
        (layer.NextLayer, ("_ask",)),
        (tunnel.TunnelLayer, ("_handle_event", "_handle_command", "event_to_child")),
        (tls.TLSLayer, ("send_data", "is_dtls", "tls")),
        (core.HttpLayer, ("get_connection", "register_connection", "make_stream")),
        (server.ConnectionHandler, ("open_connection", "wakeup", "close_connection", "log", "on_timeout")),
        (addonmanager, ("traverse",)),
        (optmanager, ("unset",)),
        (SSL._lib, ("BIO_get_mem_data",)),  # type: ignore[attr-defined]
    ],
)
def test_what_is_called_is_there(owner: Any, names: tuple[str, ...]) -> None:
    assert [name for name in names if not hasattr(owner, name)] == []


def test_commands_that_the_core_can_give_are_known() -> None:
    """`http_event_to_child` and `_carry_out` go by type: a new kind of command must be looked at."""
    kinds = {each.__name__ for each in vars(commands).values() if inspect.isclass(each)} - {"Connection", "Server"}
    assert {each for each in kinds if issubclass(getattr(commands, each), commands.Command)} == {
        "CloseConnection",
        "CloseTcpConnection",
        "Command",
        "ConnectionCommand",
        "Log",
        "OpenConnection",
        "RequestWakeup",
        "SendData",
        "StartHook",
    }


# ---------------------------------------------------------------- headers

NAMES = st.sampled_from([b"Host", b"host", b"HOST", b"Set-Cookie", b"set-cookie", b"X-A", b"Content-Length"])
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=12)), max_size=8)
ASKED = st.sampled_from(["host", "Host", b"HOST", "set-cookie", "x-a", "missing", b"content-length"])
CHANGE = st.tuples(st.sampled_from(["set", "del", "add"]), ASKED, st.text(max_size=8))


def asked(headers: http.Headers, name: str | bytes) -> list[Any]:
    try:
        item = headers[name]
    except KeyError as error:
        item = ("none", error.args)
    return [item, headers.get(name), headers.get(name, "other"), name in headers, headers.get_all(name)]


def changed(fields: list[tuple[bytes, bytes]], change: tuple[str, str | bytes, str], name: str | bytes) -> list[Any]:
    headers = http.Headers(fields)
    seen = [asked(headers, name)]
    kind, key, value = change
    if kind == "set":
        headers[key] = value
    elif kind == "add":
        headers.add(key, value)
    elif key in headers:
        del headers[key]
    return [*seen, asked(headers, name), headers.fields, bytes(headers), headers == headers.copy()]


def both(monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> tuple[Any, Any]:
    """A call's result with the plain core and with the levers."""
    monkeypatch.setenv("CASB_PLAIN_CORE", "1")
    levers.pull()
    first = call()
    monkeypatch.delenv("CASB_PLAIN_CORE")
    levers.pull()
    return first, call()


@given(fields=FIELDS, change=CHANGE, name=ASKED)
def test_headers_answer_as_before(fields: list[tuple[bytes, bytes]], change: Any, name: str | bytes) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        try:
            first, second = both(monkeypatch, functools.partial(changed, fields, change, name))
        finally:
            monkeypatch.setenv("CASB_PLAIN_CORE", "1")
            levers.pull()
    assert first == second


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        pytest.param([("host", b"x")], {}, id="a name that is text"),
        pytest.param([(b"host", "x")], {}, id="a value that is text"),
        pytest.param([(b"host", None)], {}, id="no value"),
    ],
)
def test_headers_refuse_what_is_not_bytes(pulled: None, fields: Any, more: dict[str, str]) -> None:
    with pytest.raises(TypeError):
        http.Headers(fields, **more)


def test_headers_by_keyword_are_made_as_before(pulled: None) -> None:
    assert http.Headers([(b"a", b"1")], content_type="text/html").fields == (
        (b"a", b"1"),
        (b"content-type", b"text/html"),
    )


# ---------------------------------------------------------------- options, connections, contexts


def test_options_cannot_be_changed_through_what_was_read(pulled: None) -> None:
    chosen = options.Options()
    chosen.update(mode=["regular"], tcp_timeout=7)
    chosen.mode.append("socks5")
    assert (chosen.mode, chosen.tcp_timeout, chosen.http2) == (["regular"], 7, True)
    chosen.reset()
    assert chosen.tcp_timeout == 600


def test_connections_are_told_apart(pulled: None) -> None:
    one, other = (connection.Server(address=("127.0.0.1", 1)) for _ in range(2))
    assert one == one and one != other and one.id != other.id
    assert {one: 1, other: 2}[other] == 2


def test_a_fork_shares_what_the_original_shared(monkeypatch: pytest.MonkeyPatch, plain: None) -> None:
    whole = context.Context(tflow.tclient_conn(), options.Options())
    whole.layers.append(object())  # type: ignore[arg-type]
    before, after = both(monkeypatch, whole.fork)
    assert vars(before) == vars(after)
    assert after.layers is not whole.layers
    monkeypatch.setenv("CASB_PLAIN_CORE", "1")
    levers.pull()


# ---------------------------------------------------------------- hooks


class Seen:
    """An addon that writes down what it was called with."""

    def __init__(self) -> None:
        self.flows: list[http.HTTPFlow] = []
        self.name = f"seen-{id(self)}"

    def request(self, flow: http.HTTPFlow) -> None:
        self.flows.append(flow)


class Later(Seen):
    async def request(self, flow: http.HTTPFlow) -> None:  # type: ignore[override]
        self.flows.append(flow)


class Broken:
    def request(self, flow: http.HTTPFlow) -> None:
        raise RuntimeError("broken")


def handler(*addons: Any) -> levers.QuickHandler:
    boss = master.Master(options.Options())
    boss.addons.add(*addons)
    chosen = context.Context(tflow.tclient_conn(), boss.options)
    chosen.client.transport_protocol = "tcp"
    made = object.__new__(levers.QuickHandler)
    made.client, made.table = chosen.client, levers.HookTable(boss.addons)
    return made


async def test_hooks_that_need_no_waiting_are_run_in_line_and_in_order() -> None:
    first, second, flow = Seen(), Seen(), tflow.tflow()
    assert handler(first, second).run_hook(HttpRequestHook(flow)) is None
    assert first.flows == second.flows == [flow]


async def test_what_follows_a_hook_that_waits_waits_too() -> None:
    first, second, flow = Later(), Seen(), tflow.tflow()
    waiting = handler(first, second).run_hook(HttpRequestHook(flow))
    assert waiting is not None and second.flows == []
    await waiting
    assert first.flows == second.flows == [flow]


async def test_a_hook_that_fails_kills_its_exchange_and_runs_no_further() -> None:
    after, flow = Seen(), tflow.tflow()
    flow.live = True
    assert handler(Broken(), after).run_hook(HttpRequestHook(flow)) is None
    assert flow.error is not None and after.flows == []


class OneHook(levers.HttpStream):
    """A stream that does nothing but ask."""

    def __init__(self, chosen: context.Context, flow: http.HTTPFlow) -> None:
        super().__init__(chosen, 1)
        self.flow, self.passed = flow, False

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        yield HttpRequestHook(self.flow)
        self.passed = True
        yield commands.Log("passed")


def stream() -> OneHook:
    return OneHook(context.Context(tflow.tclient_conn(), options.Options()), tflow.tflow())


async def test_a_stream_runs_its_hooks_where_they_arise(pulled: None) -> None:
    made, asking = stream(), Seen()
    made.context.client.casb_run_hook = handler(asking).run_hook  # type: ignore[attr-defined]
    given = list(made.handle_event(events.Start()))
    assert [type(each) for each in given] == [commands.Log]
    assert made.passed and asking.flows == [made.flow]


async def test_a_stream_waits_for_a_hook_that_waits(pulled: None) -> None:
    made, asking = stream(), Later()
    made.context.client.casb_run_hook = handler(asking).run_hook  # type: ignore[attr-defined]
    (hook,) = made.handle_event(events.Start())
    assert isinstance(hook, commands.StartHook) and vars(hook)["blocking"] is made
    assert not made.passed, "nothing goes on before the decision"
    await hook.__dict__[levers._WAITING]
    assert [type(each) for each in made.handle_event(events.HookCompleted(hook))] == [commands.Log]
    assert made.passed


def test_a_stream_without_our_handler_asks_as_before(pulled: None) -> None:
    made = stream()
    (hook,) = made.handle_event(events.Start())
    assert isinstance(hook, HttpRequestHook) and not made.passed


# ---------------------------------------------------------------- layers


def test_layers_that_only_hand_on_are_left_out() -> None:
    chosen = context.Context(tflow.tclient_conn(), options.Options())
    inner = core.HttpLayer(chosen, core.HTTPMode.transparent)
    outer, between = layer.NextLayer(chosen), modes.ReverseProxy(chosen)
    assert levers.innermost(outer) is outer, "not decided yet"
    following = layer.NextLayer(chosen)
    outer.layer, following.layer = between, inner
    assert levers.innermost(outer) is between, "not started yet"
    between._handle_event = following.handle_event
    assert levers.innermost(outer) is inner
    following._paused_event_queue.append(events.Start())
    assert levers.innermost(outer) is following, "it keeps events back"


# ---------------------------------------------------------------- the whole


def test_the_same_traffic_with_and_without(proxy_inside: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads, pages, large bodies and errors are the same bytes with every lever and with none."""
    proxy_inside.origin.page("/data", b'{"a": "https://files.example/x"}' * 30, content_type="application/json")
    proxy_inside.origin.page("/page", b"<html><head></head>x</html>" + b" " * 70_000, content_type="text/html")
    proxy_inside.origin.page("/large", bytes(range(256)) * 12_000, content_type="application/zip")
    proxy_inside.origin.page("/post", b"taken", content_type="text/plain")
    answers = []
    for core_is_plain in ("1", "0"):
        monkeypatch.setenv("CASB_PLAIN_CORE", core_is_plain)
        cookie = proxy_inside.session()
        with proxy_inside.inside():
            got = [proxy_inside.ask(path, cookie=cookie) for path in ("/data", "/page", "/large", "/missing")]
            got.append(proxy_inside.ask("/post", cookie=cookie, method="POST", body=b"x" * 200_000))
        answers.append([(each.status, each.headers.get("content-type"), each.body) for each in got])
    assert answers[0] == answers[1]
    assert [each[0] for each in answers[0]] == [200, 200, 200, 404, 200]
