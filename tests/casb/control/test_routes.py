"""Host to route: to an app, to our own pages, through a tunnel, or nowhere."""

from __future__ import annotations

import pytest

from casb.catalog.tagging import TaggedApp, TagList, index_of
from casb.control.routes import Kind, route
from casb.model.app import AppTag
from control_support import snapshot

SHARED = snapshot()


@pytest.mark.parametrize(
    ("host", "port", "forward", "kind", "mode", "origin", "address", "tls", "why"),
    [
        ("login.casb.test", 8443, False, Kind.LOGIN, "suffix", "", ("", 0), True, "the sign-in host"),
        ("login.casb.test", 8443, True, Kind.LOGIN, "suffix", "", ("", 0), True, "through the forward proxy as well"),
        ("files.example.casb.test", 8443, False, Kind.APP, "suffix", "files.example", ("files.example", 443), True, "by its suffixed name"),
        ("a.b.files.example.casb.test", 8443, False, Kind.APP, "suffix", "a.b.files.example", ("a.b.files.example", 443), True, "below the wildcard"),
        ("intra.example.casb.test", 8443, False, Kind.APP, "suffix", "intra.example", ("127.0.0.1", 9000), False, "where the admin says, without TLS"),
        ("six.example.casb.test", 8443, False, Kind.APP, "suffix", "six.example", ("::1", 9443), True, "an IPv6 address"),
        ("files.example", 443, True, Kind.APP, "forward", "files.example", ("files.example", 443), True, "forward: by its own name"),
        ("files.example", 8443, False, Kind.NOTHING, "", "", ("", 0), True, "its own name leads back here: a loop"),
        ("intra.example", 443, False, Kind.APP, "host", "intra.example", ("127.0.0.1", 9000), False, "host-preserving, as its address is told"),
        ("elsewhere.example", 443, True, Kind.TUNNEL, "forward", "elsewhere.example", ("elsewhere.example", 443), True, "not ours: never opened"),
        ("elsewhere.example", 443, False, Kind.NOTHING, "", "", ("", 0), True, "not ours"),
        ("bad.example", 443, True, Kind.UNSANCTIONED, "forward", "bad.example", ("bad.example", 443), True, "opened only to say no"),
        ("bad.example.casb.test", 8443, False, Kind.NOTHING, "", "", ("", 0), True, "unsanctioned apps have no suffixed name"),
        ("other.example.casb.test", 8443, True, Kind.NOTHING, "", "", ("", 0), True, "below our suffix nothing is tunnelled"),
        ("notfiles.example.casb.test", 8443, False, Kind.NOTHING, "", "", ("", 0), True, "a longer name that merely ends alike"),
        ("", 8443, False, Kind.NOTHING, "", "", ("", 0), True, "no name at all"),
    ],
)  # fmt: skip
def test_route(
    host: str,
    port: int,
    forward: bool,
    kind: Kind,
    mode: str,
    origin: str,
    address: tuple[str, int],
    tls: bool,
    why: str,
) -> None:
    found = route(SHARED, host, port, forward=forward)
    assert (found.kind, found.mode, found.origin, found.address, found.tls) == (kind, mode, origin, address, tls), why
    assert found.version == SHARED.version


@pytest.mark.parametrize(
    ("host", "port", "authority", "origin_authority"),
    [
        ("files.example.casb.test", 8443, "files.example.casb.test:8443", "files.example"),
        ("intra.example", 443, "intra.example", "intra.example"),
        ("intra.example", 8443, "intra.example:8443", "intra.example:8443"),
    ],
)
def test_authorities(host: str, port: int, authority: str, origin_authority: str) -> None:
    found = route(SHARED, host, port, forward=False)
    assert (found.authority, found.origin_authority, found.port) == (authority, origin_authority, port)


NAMES = snapshot(
    **{
        "apps/ported": "id: ported\nname: P\ndomains: [p.example, 'p.example:8444', 'only.example:9000', '2001:db8::5']\n"
        "upstream: {hosts: {'p.example:8444': '10.0.0.1:1', p.example: 'http://10.0.0.2:2'}}\n"
    }
)


@pytest.mark.parametrize(
    ("host", "authority", "address", "tls"),
    [
        ("p.example.casb.test", "p.example", ("10.0.0.2", 2), False),
        ("p.example--p8444.casb.test", "p.example:8444", ("10.0.0.1", 1), True),
        ("only.example--p9000.casb.test", "only.example:9000", ("only.example", 9000), True),
        ("2001-db8-0-0-0-0-0-5--v6.casb.test", "[2001:db8::5]", ("2001:db8::5", 443), True),
    ],
)
def test_names_that_are_elsewhere(host: str, authority: str, address: tuple[str, int], tls: bool) -> None:
    found = route(NAMES, host, 8443, forward=False)
    assert (found.kind, found.origin_authority, found.address, found.tls) == (Kind.APP, authority, address, tls)


@pytest.mark.parametrize("host", ["only.example.casb.test", "p.example--p8445.casb.test", "p-example--x.casb.test"])
def test_names_that_nobody_listed(host: str) -> None:
    assert route(NAMES, host, 8443, forward=False).kind is Kind.NOTHING


TAGS = index_of(
    TagList(
        apps=(
            TaggedApp(id="mega", name="Mega", tag=AppTag.UNSANCTIONED, domains=("elsewhere.example", "files.example")),
            TaggedApp(
                id="chat", name="Chat", tag=AppTag.MONITORED, domains=("chat.example", "bad.example", "192.0.2.7")
            ),
            TaggedApp(id="own", name="Own", tag=AppTag.UNSANCTIONED, domains=("login.casb.test", "*.kept.example")),
            TaggedApp(id="path", name="Path", tag=AppTag.UNSANCTIONED, domains=("shared.example/x",)),
        ),
        protected=("a.kept.example",),
    )
)


@pytest.mark.parametrize(
    ("host", "forward", "kind", "app", "why"),
    [
        ("elsewhere.example", True, Kind.UNSANCTIONED, "mega", "a host of the catalog"),
        ("ELSEWHERE.example", True, Kind.UNSANCTIONED, "mega", "in whatever spelling"),
        ("elsewhere.example", False, Kind.NOTHING, None, "nothing of ours in the reverse modes"),
        ("chat.example", True, Kind.MONITORED, "chat", "opened for the warning"),
        ("192.0.2.7", True, Kind.MONITORED, "chat", "an address as host"),
        ("files.example", True, Kind.UNSANCTIONED, "files", "a controlled app is blocked by its own name"),
        ("files.example.casb.test", False, Kind.UNSANCTIONED, "files", "and by its suffixed name"),
        ("bad.example", True, Kind.UNSANCTIONED, "bad", "monitored does not loosen what apps/*.yaml says"),
        ("login.casb.test", True, Kind.LOGIN, None, "our own hosts are nobody's app"),
        ("x.kept.example", True, Kind.UNSANCTIONED, "own", "below the wildcard"),
        ("a.kept.example", True, Kind.TUNNEL, None, "protected"),
        ("shared.example", True, Kind.TUNNEL, None, "a path is nothing that can be told from a host"),
        ("free.example", True, Kind.TUNNEL, None, "untagged"),
    ],
)
def test_tags_lead_to_a_page(host: str, forward: bool, kind: Kind, app: str | None, why: str) -> None:
    found = route(SHARED, host, 443, forward=forward, tags=TAGS)
    assert (found.kind, found.app and found.app.id) == (kind, app), why
    assert (found.tagged is not None) is (kind in (Kind.UNSANCTIONED, Kind.MONITORED)), why
