"""Two proxy nodes behind a real balancer, one session store: a node dies, the store goes away, nothing slips past."""

from __future__ import annotations

import contextlib
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from proxy_world import BROWSER, FETCH, NAVIGATE, SUFFIX, Reply, World, free_port, listens, wait_for
from redis_server import RedisServer
from wire_world import LOGIN, WIKI, Browser, Site, site

POLICIES = """
version: 1
policies:
  - id: no-payroll
    kind: session
    apps: [files]
    activities: download
    when: {file: {name: {contains: payroll}}}
    action: block
"""
BALANCER = """
global
  maxconn 200
defaults
  mode tcp
  timeout connect 500ms
  timeout client 60s
  timeout server 60s
  retries 2
  option redispatch
frontend in
  bind 127.0.0.1:{port}
  default_backend nodes
backend nodes
  balance roundrobin
  default-server inter 100ms fall 2 rise 1 on-marked-down shutdown-sessions
  server one 127.0.0.1:{one} check
  server two 127.0.0.1:{two} check
"""


@dataclass
class Cluster:
    """Two nodes, each alone reachable, too."""

    site: Site
    one: World
    two: World
    redis: RedisServer
    direct: int  # the port of node one, past the balancer

    def browser(self) -> Browser:
        return self.site.browser()

    def alive(self, browser: Browser) -> int:
        return browser.send(self.site.url("/"), headers=FETCH).status_code


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with contextlib.ExitStack() as running:
        (tmp_path / "redis").mkdir()
        redis = running.enter_context(RedisServer.running(tmp_path / "redis"))
        front = free_port()
        store = f"{{sessions: '{redis.url.reveal()}', keys: ../sessions.keys}}"
        made = running.enter_context(
            site(tmp_path / "site", policies=POLICIES, start=False, store=store, public_port=str(front))
        )
        made.proxy.origin.page("/", b"<html><head></head>the app</html>", content_type="text/html")
        made.proxy.origin.page(
            "/pay", b"salaries", content_type="text/plain", content_disposition='attachment; filename="payroll.txt"'
        )
        made.proxy.origin.routes["/stream"] = stream
        made.wiki.page("/", b"<html><head></head>the wiki</html>", content_type="text/html")
        one = made.proxy
        two = World(
            folder=tmp_path / "site" / "two",
            port=free_port(),
            forward=free_port(),
            origin=one.origin,
            environment=one.environment,
        )
        one.start()
        shutil.copytree(one.folder / "certs", two.folder / "certs")
        shutil.copytree(one.config, two.config)
        shutil.copy2(one.folder / "sessions.keys", two.folder / "sessions.keys")
        text = (two.config / "casb.yaml").read_text()
        for mine, other in ((one.port, two.port), (one.forward, two.forward)):
            text = text.replace(f"127.0.0.1:{mine}", f"127.0.0.1:{other}")
        lines = [line if "health:" not in line and "sidecar: 127" not in line else "" for line in text.splitlines()]
        lines.insert(lines.index("listeners:") + 1, f"  sidecar: 127.0.0.1:{free_port()}\n  health: null")
        two.write("casb.yaml", "\n".join(lines) + "\n")
        two.start()
        running.callback(two.stop)
        settings = tmp_path / "haproxy.cfg"
        settings.write_text(BALANCER.format(port=front, one=one.port, two=two.port))
        balancer = subprocess.Popen(["haproxy", "-db", "-q", "-f", str(settings)], stderr=subprocess.DEVNULL)
        running.callback(balancer.wait)
        running.callback(balancer.kill)
        wait_for(lambda: listens(front), "the balancer to listen")
        ports, one.port = one.port, front  # addresses are the balancer's
        yield Cluster(site=made, one=one, two=two, redis=redis, direct=ports)


def test_a_node_dies_the_store_goes_away_and_nothing_slips_past(cluster: Cluster) -> None:
    site_, redis = cluster.site, cluster.redis
    browser = cluster.browser()
    assert "the app" in browser.open(site_.url("/")).text
    for _ in range(8):
        assert cluster.alive(browser) == 200, "either node knows the session"

    # A stream that runs through one node ends when the other is told to end the session.
    spare = cluster.browser()
    spare.open(site_.url("/"))
    line = stream_through(cluster, cluster.two, f"__Host-casb_s={spare.cookie('__Host-casb_s')}")
    begun = time.monotonic()
    assert log_out(cluster, cluster.direct).status == 200
    line.settimeout(5)
    with contextlib.suppress(OSError):
        while line.recv(65536):
            pass
    line.close()
    assert time.monotonic() - begun < 1
    browser.open(site_.url("/"))

    # A sign-in that begins at one node and ends at the other: connections are spread one by one.
    assert "the wiki" in cluster.browser().open(site_.url("/", WIKI)).text

    # One node is killed in the middle.
    process = cluster.one.process
    assert process is not None
    process.send_signal(signal.SIGKILL)
    process.wait()
    asked = len(site_.idp.asked)
    wait_for(lambda: answers(cluster, browser) == 200, "the other node to take over", 5)
    for _ in range(4):
        assert cluster.alive(browser) == 200
        blocked = browser.send(site_.url("/pay"), headers=NAVIGATE)
        assert b"salaries" not in blocked.content, "policies hold on the node that is left"
    assert len(site_.idp.asked) == asked, "nobody signs in again"

    # A logout that the left node hears of ends it everywhere.
    told = log_out(cluster, cluster.one.port)
    assert told.status == 200
    assert cluster.alive(browser) == 401

    # The store goes away: a clear page, no redirect, nothing passed on; and sign-in works again once it is back.
    other = cluster.browser()
    other.open(site_.url("/"))
    redis.stop()
    before = len(cluster.one.origin.seen)
    time.sleep(0.5)
    page = other.send(site_.url("/"))
    assert (page.status_code, page.is_redirect) == (503, False)
    assert "Sessions cannot be checked" in page.text
    assert other.send(site_.url("/"), headers=FETCH).status_code == 503
    fresh = cluster.browser().send(site_.url("/"))
    assert fresh.status_code == 503, "nor is a stranger sent round in circles"
    assert len(cluster.one.origin.seen) == before
    redis.start()
    wait_for(lambda: "the app" in other.open(site_.url("/")).text, "sessions to be had again", 8)
    assert other.cookie("__Host-casb_s", f"files.example.{SUFFIX}")


def answers(cluster: Cluster, browser: Browser) -> int:
    with contextlib.suppress(OSError):
        return cluster.alive(browser)
    return 0


def log_out(cluster: Cluster, port: int) -> Reply:
    """A logout token to one node."""
    body = f"logout_token={cluster.site.idp.logout_token()}".encode()
    line = cluster.one.connect(LOGIN, port=port)
    head = (
        f"POST /.casb/oidc/backchannel-logout HTTP/1.1\r\nhost: {LOGIN}:{cluster.one.port}\r\nconnection: close\r\n"
        f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    line.sendall(head.encode() + body)
    answer = b""
    while piece := line.recv(65536):
        answer += piece
    line.close()
    return Reply(status=int(answer.split()[1]), headers={}, cookies=[], body=answer)


def stream_through(cluster: Cluster, node: World, cookie: str) -> ssl.SSLSocket:
    """A server-sent stream that one node carries."""
    host = f"{cluster.one.host}:{cluster.one.port}"
    line = node.connect(cluster.one.host)
    head = f"GET /stream HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\nuser-agent: {BROWSER}\r\n"
    line.sendall(f"{head}sec-fetch-mode: cors\r\nsec-fetch-dest: empty\r\n\r\n".encode())
    got = b""
    while b"data: 0" not in got:
        piece = line.recv(65536)
        assert piece, got
        got += piece
    return line


def stream(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
    """Events without end."""
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream")
    handler.end_headers()
    with contextlib.suppress(OSError):
        for number in range(400):
            handler.wfile.write(f"data: {number}\n\n".encode())
            handler.wfile.flush()
            time.sleep(0.05)
