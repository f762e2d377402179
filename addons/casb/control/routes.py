"""Where a connection wants to go: the host it named to an app, or to one of our own pages, or nowhere.

Pure: a `Snapshot` and a host in, a `Route` out. Built once per connection, not per request.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from casb.catalog.tagging import TaggedApp, TagIndex
from casb.control.snapshot import Snapshot
from casb.model.app import App, AppTag
from casb.rewrite.hosts import split_port


class Kind(Enum):
    """What answers on a host."""

    LOGIN = "login"  # our sign-in host
    DEVICE = "device"  # our host that asks for a client certificate
    APP = "app"  # a controlled app
    UNSANCTIONED = "unsanctioned"  # opened only to say no
    MONITORED = "monitored"  # opened only to warn; who has been warned is led past it
    TUNNEL = "tunnel"  # forward mode: not ours, never opened
    NOTHING = "nothing"  # no such host here: refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`host` is what the browser names (its authority), `origin` the app's own name, `address` where to connect.

    An IPv6 address has brackets in the authorities only.
    """

    kind: Kind
    mode: str  # suffix, forward, host
    host: str
    authority: str  # host, with the port when it is not 443, as browsers write it
    origin: str = ""
    origin_authority: str = ""
    app: App | None = None
    address: tuple[str, int] = ("", 0)
    tls: bool = True
    explicit: bool = False  # the admin named the address, so that private addresses are meant
    version: str = ""  # of the snapshot this came from
    tagged: TaggedApp | None = None  # why it is UNSANCTIONED or MONITORED, when a published tag says so

    @property
    def port(self) -> int:
        """The port that browsers use."""
        return int(self.authority.removeprefix(self.host).removeprefix(":") or 443)


def route(snapshot: Snapshot, host: str, port: int, *, forward: bool, tags: TagIndex | None = None) -> Route:
    """The route for a host name as the client gave it (SNI or Host, lower case, no port).

    `port` is the one the browser used. In the forward mode any host may be asked for; in the reverse modes only ours.
    `tags` are those in force: an unsanctioned or monitored app is led to its page in whatever mode it is asked for.
    """
    plain = _plain_route(snapshot, host, port, forward=forward)
    if tags is None or plain.kind not in (Kind.APP, Kind.TUNNEL, Kind.UNSANCTIONED):
        return plain
    tagged = tags.match(plain.origin)
    if tagged is None:
        return plain
    kind = Kind.UNSANCTIONED if tagged.tag is AppTag.UNSANCTIONED else Kind.MONITORED
    if plain.kind is Kind.UNSANCTIONED:
        kind = Kind.UNSANCTIONED  # apps/*.yaml says so too: a monitored tag does not loosen it
    return replace(plain, kind=kind, tagged=tagged, app=plain.app or _app_of(tagged))


def _app_of(tagged: TaggedApp) -> App:
    """A catalog app as the activity log names it."""
    return App(
        id=tagged.id,
        name=tagged.name,
        domains=tagged.domains,
        category=tagged.category,
        tag=tagged.tag,
        risk_score=tagged.score,
        controlled=False,
    )


def _plain_route(snapshot: Snapshot, host: str, port: int, *, forward: bool) -> Route:
    settings = snapshot.settings
    authority = host if port == 443 else f"{host}:{port}"
    if host == settings.login_host:
        return Route(kind=Kind.LOGIN, mode="suffix", host=host, authority=authority, version=snapshot.version)
    if host == settings.device_host and settings.client_certificates is not None:
        return Route(kind=Kind.DEVICE, mode="suffix", host=host, authority=authority, version=snapshot.version)
    origin = snapshot.hosts.origin_host(host)
    if origin is not None:
        return _app_route(snapshot, host, authority, origin, "suffix") or _nothing(snapshot, host, authority)
    if host.endswith(f".{settings.suffix}"):
        return _nothing(snapshot, host, authority)
    mode = "forward" if forward else "host"
    found = _app_route(snapshot, host, authority, authority, mode)
    if found is not None:
        return found
    if not forward:
        return _nothing(snapshot, host, authority)
    app = snapshot.catalog.match(host)
    kind = Kind.UNSANCTIONED if app is not None and app.tag is AppTag.UNSANCTIONED else Kind.TUNNEL
    return Route(
        kind=kind,
        mode="forward",
        host=host,
        authority=authority,
        origin=host,
        app=app,
        address=(host, port),
        version=snapshot.version,
    )


def _nothing(snapshot: Snapshot, host: str, authority: str) -> Route:
    return Route(kind=Kind.NOTHING, mode="", host=host, authority=authority, version=snapshot.version)


def _app_route(snapshot: Snapshot, host: str, authority: str, origin: str, mode: str) -> Route | None:
    name, digits = split_port(origin)
    name = name.strip("[]")
    app = snapshot.catalog.match(name)
    if app is None or not app.controlled or app.tag is AppTag.UNSANCTIONED:
        return None
    origin_port = int(digits) if digits and mode != "host" else 443
    address, tls, explicit = upstream_address(app, name, origin_port)
    if mode == "host" and not explicit:
        return None  # Connecting to our own address by the app's own name would be a loop.
    return Route(
        kind=Kind.APP,
        mode=mode,
        host=host,
        authority=authority,
        origin=name,
        # Host-preserving: the origin sees the very authority that the browser names.
        origin_authority=authority if mode == "host" else origin,
        app=app,
        address=address,
        tls=tls,
        explicit=explicit,
        version=snapshot.version,
    )


def upstream_address(app: App, host: str, port: int) -> tuple[tuple[str, int], bool, bool]:
    """Where to connect for a host of an app: (address, port), TLS or not, and whether an admin named it."""
    own = app.upstream.hosts
    connect = own.get(f"[{host}]:{port}" if ":" in host else f"{host}:{port}") or own.get(host) or app.upstream.connect
    if connect is None:
        return (host, port), True, False
    scheme, separator, rest = connect.rpartition("://")
    name, _, digits = rest.rpartition(":")
    return (name.strip("[]"), int(digits)), (scheme != "http" if separator else True), True
