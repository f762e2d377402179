"""Tags over real sockets: blocked and warned pages, ways on, tunnels that are cut, files that cannot be read."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from casb.catalog.tagging import Profile, TaggedApp, TagList
from casb.model.app import AppTag
from casb.store import tag_file
from proxy_world import APP_HOST, FETCH, NAVIGATE, Origin, World, wait_for, world


@dataclass
class Scene:
    """A forward proxy, and an origin on loopback that is somebody else's application."""

    proxy: World
    other: Origin
    version: int = 0

    def publish(self, *apps: TaggedApp, protected: tuple[str, ...] = ()) -> None:
        """Put tags in force and wait until the worker has them."""
        self.version += 1
        tag_file.publish(self.proxy.data, TagList(version=self.version, apps=apps, protected=protected))
        wait_for(lambda: f"tags in force version={self.version} " in self.proxy.log, "the tags", 10, self.proxy.alive)

    @contextlib.contextmanager
    def connected(self, host: str, *, ours: bool) -> Iterator[ssl.SSLSocket]:
        """CONNECT and TLS; `ours`: trust the proxy's authority, else the origin's own."""
        ca = self.proxy.folder / "certs" / "casb-ca.pem" if ours else self.other.ca
        context = ssl.create_default_context(cafile=str(ca))
        context.set_alpn_protocols(["h2", "http/1.1"] if ours else ["http/1.1"])
        with socket.create_connection(("127.0.0.1", self.proxy.forward), timeout=10) as raw:
            raw.sendall(f"CONNECT {host}:{self.other.port} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert b" 200 " in raw.recv(4096)
            with context.wrap_socket(raw, server_hostname=host) as inner:
                yield inner

    def ask(self, path: str = "/", *, ours: bool = True, method: str = "GET", host: str = "localhost",
            headers: dict[str, str] = NAVIGATE) -> tuple[int, dict[str, str], bytes]:  # fmt: skip
        with self.connected(host, ours=ours) as inner:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            length = "Content-Length: 0\r\n" if method == "POST" else ""
            close = "" if ours else "Connection: close\r\n"
            inner.sendall(
                f"{method} {path} HTTP/1.1\r\nHost: {host}:{self.other.port}\r\n{close}{length}{lines}\r\n".encode()
            )
            return answer_of(inner)

    def records(self, code: str) -> list[dict[str, Any]]:
        return [each for each in self.proxy.records() if each["reasons"] and each["reasons"][0]["code"] == code]


def answer_of(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """The answer of a connection that ends behind it."""
    got = b""
    while chunk := connection.recv(65536):
        got += chunk
    head, _, body = got.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[1]), {name.lower(): value for name, value in headers.items()}, body


def app(tag: AppTag = AppTag.UNSANCTIONED, host: str = "localhost", **facts: Any) -> TaggedApp:
    given: dict[str, Any] = {
        "id": "mega",
        "name": "Mega <Box>",
        "domains": (host,),
        "category": "cloud_storage",
        "score": 3,
    }
    return TaggedApp(tag=tag, **(given | facts))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("enforcement")
    (folder / "other").mkdir()
    with world(folder, start=False, enforcement="{bypass: 2h, blocked_help: 'https://help.example/apps'}") as made:
        other = Origin(folder / "other", "localhost")
        other.page("/", b"<title>Mega</title>", content_type="text/html")
        other.page("/.casb/continue", b"the origin's own", content_type="text/html")
        made.start()
        with contextlib.closing(other):
            yield Scene(made, other)


@pytest.fixture(autouse=True)
def _no_bypass(scene: Scene) -> None:
    for each in (scene.proxy.data / "bypasses").glob("*"):
        each.unlink()


def test_an_unsanctioned_app_gets_a_page_that_says_why_and_what_else(scene: Scene) -> None:
    scene.publish(app(alternatives=(("files", "Company Files"), ("box", "Box"))))
    before = len(scene.other.seen)
    status, headers, body = scene.ask("/secret?token=1")
    assert (status, len(scene.other.seen)) == (403, before), "nothing reaches the application"
    text = body.decode()
    assert "Mega &lt;Box&gt; is blocked" in text
    assert "Mega <Box>" not in text
    assert f'<a href="https://{APP_HOST}/" rel=noreferrer>Company Files</a>' in text
    assert "<li>Box</li>" in text
    assert "https://help.example/apps" in text
    record = scene.proxy.record(headers["x-casb-activity"])
    assert (record["action"], record["app"]["id"], record["app"]["tag"], record["source"]) == (
        "block", "mega", "unsanctioned", "session control",
    )  # fmt: skip
    assert record["request"]["url"].endswith("/secret"), "without the query"
    assert record["alerts"] == [
        {
            "policy": "blocked-cloud-app",
            "severity": "medium",
            "title": "Connection to a blocked cloud application was detected",
            "daily_limit": 1000,
            "email": [],
        }
    ]


def test_scripts_get_a_clear_403(scene: Scene) -> None:
    scene.publish(app())
    status, headers, body = scene.ask("/api", headers=FETCH)
    assert (status, headers["content-type"]) == (403, "application/json")
    assert b'"casb":"blocked"' in body


def test_who_does_not_trust_us_is_refused_and_recorded(scene: Scene) -> None:
    scene.publish(app())
    before = len(scene.records("app.unsanctioned"))
    with pytest.raises(ssl.SSLCertVerificationError), scene.connected("localhost", ours=False):
        pass
    found = wait_for(lambda: scene.records("app.unsanctioned")[before:], "the attempt")
    assert found[0]["request"]["method"] == "CONNECT"
    assert "certificate" in found[0]["reasons"][0]["fact"]


def test_plain_http_is_blocked_too(scene: Scene) -> None:
    scene.publish(app(host="plain.example"))
    with socket.create_connection(("127.0.0.1", scene.proxy.forward), timeout=10) as raw:
        raw.sendall(
            b"GET http://plain.example/x HTTP/1.1\r\nHost: plain.example\r\nAccept: text/html\r\n"
            b"Sec-Fetch-Mode: navigate\r\nConnection: close\r\n\r\n"
        )
        status, _, body = answer_of(raw)
    assert status == 403
    assert b"is blocked" in body


def test_other_hosts_stay_closed_and_protected_ones_open(scene: Scene) -> None:
    scene.publish(app(), protected=("localhost",))
    assert scene.ask("/", ours=False)[0] == 200
    scene.publish(app(host="*.elsewhere.example"))
    assert scene.ask("/", ours=False)[0] == 200


def test_a_tag_cuts_what_is_open_and_its_removal_opens_again(scene: Scene) -> None:
    scene.publish()
    with scene.connected("localhost", ours=False) as inner:
        inner.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in inner.recv(4096)
        scene.publish(app())
        inner.settimeout(5)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while inner.recv(4096):
                pass
    assert scene.ask("/")[0] == 403
    scene.publish()
    assert scene.ask("/", ours=False)[0] == 200


def test_a_monitored_app_warns_and_opens_for_who_goes_on(scene: Scene) -> None:
    scene.publish(app(AppTag.MONITORED))
    status, headers, body = scene.ask("/page?x=1")
    assert status == 403
    assert "opens the application for 2 hours" in body.decode()
    assert scene.proxy.record(headers["x-casb-activity"])["alerts"] == []
    action = body.decode().split('action="')[1].split('"')[0].replace("&amp;", "&")
    assert scene.ask("/api", headers=FETCH)[2].startswith(b'{"casb":"warned"')
    for forged in ("/.casb/continue", "/.casb/continue?t=x&to=/", action.replace("t=", "t=A")):
        assert scene.ask(forged, method="POST")[0] == 403, forged
    assert scene.ask(action)[0] == 403, "a link is no consent"
    status, headers, _ = scene.ask(action, method="POST")
    assert (status, headers["location"]) == (303, "/page?x=1")
    record = scene.proxy.record(headers["x-casb-activity"])
    assert (record["action"], record["reasons"][0]["fact"]) == ("audit", "went on past the warning")
    assert scene.ask("/", ours=False)[:1] == (200,), "tunnelled unopened from now on"


def test_a_connection_that_we_opened_is_left_once_the_app_is_open(scene: Scene) -> None:
    scene.publish(app(AppTag.MONITORED))
    with scene.connected("localhost", ours=True) as early:
        _, _, body = scene.ask("/page")
        action = body.decode().split('action="')[1].split('"')[0].replace("&amp;", "&")
        assert scene.ask(action, method="POST")[0] == 303
        early.sendall(
            f"POST /form?a=b HTTP/1.1\r\nHost: localhost:{scene.other.port}\r\nContent-Length: 2\r\n\r\nhi".encode()
        )
        status, headers, _ = answer_of(early)
    assert (status, headers["location"]) == (307, "/form?a=b")


def test_a_profile_leaves_out_who_is_known_to_be_in_no_included_group(scene: Scene) -> None:
    scene.proxy.origin.page("/own", b"own")
    sales = Profile(name="sales", include=frozenset({"sales"}))
    scene.publish(app(profile=sales))
    assert scene.ask("/")[0] == 403, "somebody unknown is concerned"
    cookie = scene.proxy.session("ada@contoso.example", groups=("it",))
    assert scene.proxy.ask("/own", cookie=cookie).status == 200
    assert scene.ask("/", ours=False)[0] == 200, "ada of it is not"
    cookie = scene.proxy.session("bob@contoso.example", groups=("it",))
    assert scene.proxy.ask("/own", cookie=cookie).status == 200
    assert scene.ask("/")[0] == 403, "an address that two people share is nobody's"


def test_tags_that_cannot_be_read_change_nothing(scene: Scene) -> None:
    scene.publish(app())
    path = scene.proxy.data / tag_file.FILE
    path.write_bytes(b"{")
    wait_for(lambda: "the last good tags stay in force" in scene.proxy.log, "the complaint")
    assert scene.ask("/")[0] == 403
    path.unlink()
    wait_for(lambda: "the published tags are gone" in scene.proxy.log, "the complaint")
    assert scene.ask("/")[0] == 403


def test_a_controlled_app_that_is_unsanctioned_is_blocked_under_its_suffixed_name(scene: Scene) -> None:
    scene.proxy.origin.page("/own", b"own")
    cookie = scene.proxy.session()
    scene.publish()
    assert scene.proxy.ask("/own", cookie=cookie).status == 200
    scene.publish(app(host=APP_HOST, id="files", name="Company Files"))
    got = scene.proxy.ask("/own", cookie=cookie, headers=NAVIGATE)
    assert got.status == 403
    assert "Company Files is blocked" in got.text


def test_a_worker_does_not_start_on_tags_that_it_cannot_read(tmp_path: Path) -> None:
    with world(tmp_path, start=False) as made:
        made.data.mkdir()
        (made.data / tag_file.FILE).write_bytes(b"[]")
        with pytest.raises(AssertionError, match="S061"):
            made.start()
