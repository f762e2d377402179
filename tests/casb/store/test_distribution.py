"""Configuration between nodes: what is published is in force where it is followed, and nothing else ever is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casb.errors import StoreError
from casb.proxy.reload import Warden
from casb.settings import Settings
from casb.store import in_force
from casb.store.configuration_redis import RedisConfiguration
from casb.store.distribution import push
from casb.store.folder import WORLD, load, published
from redis_server import RedisServer

CASB = """
suffix: casb.example
data: ../data
authority: ../certs
store: {{sessions: '{url}', keys: '{ring}'{mode}}}
"""
POLICY = """
version: 1
policies:
  - {{id: {name}, kind: session, activities: download, action: block}}
"""

type Node = Callable[..., Path]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer.running(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def node(server: RedisServer, tmp_path: Path) -> Node:
    if server.process is None:
        server.start()

    def make(name: str, mode: str = "", policy: str = "") -> Path:
        folder = tmp_path / name / "config"
        folder.mkdir(parents=True)
        (tmp_path / name / "data").mkdir()
        told = f", configuration: {mode}, prefix: {tmp_path.name[-20:].replace('_', '-').strip('-')}"
        if not mode:
            told = told.replace("configuration: ,", "").replace(",  prefix", ", prefix")
        text = CASB.format(url=server.url.reveal(), ring=tmp_path / "ring", mode=told)
        (folder / "casb.yaml").write_text(text)
        if policy:
            (folder / "p.yaml").write_text(POLICY.format(name=policy))
        return folder

    return make


def settings_of(folder: Path) -> Settings:
    return load(folder).settings


def in_force_at(folder: Path) -> list[str]:
    """The policies; settings are asked for in a folder that may be broken by now."""
    read = in_force.read(folder.parent / "data" / in_force.FILE)
    return re.findall(r"id: ([a-z-]+)", read.files.get("p.yaml", b"").decode())


def version_at(folder: Path) -> str:
    return in_force.read(folder.parent / "data" / in_force.FILE).configuration(WORLD).version


def test_what_one_node_finds_good_is_in_force_on_another(node: Node) -> None:
    first, second = node("one", "publish", "alpha"), node("two", "follow", "never-used")
    one, two = Warden(first), Warden(second)
    one.begin()
    two.begin()
    assert in_force_at(first) == in_force_at(second) == ["alpha"]
    assert version_at(first)[:12] == version_at(second)[:12]
    assert version_at(first) != version_at(second), "its own casb.yaml is part of a node's version"

    (first / "p.yaml").write_text(POLICY.format(name="beta"))
    one.look()
    two.look()
    assert in_force_at(second) == ["beta"]

    (first / "p.yaml").write_text("policies: [{")
    one.look()
    two.look()
    assert one.warnings()
    assert in_force_at(first) == in_force_at(second) == ["beta"], "a broken file is loaded nowhere"


def test_the_last_good_one_stays_while_the_server_is_away(node: Node, server: RedisServer) -> None:
    first, second = node("one", "publish", "alpha"), node("two", "follow")
    one, two = Warden(first), Warden(second)
    one.begin()
    two.begin()
    server.stop()
    (first / "p.yaml").write_text(POLICY.format(name="beta"))
    one.look()
    two.look()
    assert (in_force_at(first), in_force_at(second)) == (["beta"], ["alpha"])
    assert any("S054" in each for each in one.warnings())
    # A node that starts meanwhile goes on with what was in force.
    late = Warden(second)
    with pytest.raises(StoreError, match="S054"):
        late.begin()
    resumed = late.resume(Path(settings_of(second).data))
    assert resumed is not None
    server.start()  # empty: it has forgotten everything
    one.look()
    late.look()
    two.look()
    assert in_force_at(second) == ["beta"]
    assert one.warnings() == []


def test_nobody_without_the_ring_puts_anything_in_force(node: Node, tmp_path: Path) -> None:
    first, second = node("one", "publish", "alpha"), node("two", "follow")
    Warden(first).begin()
    two = Warden(second)
    two.begin()
    stranger = node("stranger", "publish", "evil")
    text = (stranger / "casb.yaml").read_text()
    (stranger / "casb.yaml").write_text(text.replace(str(tmp_path / "ring"), str(tmp_path / "other-ring")))
    time.sleep(0.002)
    with pytest.raises(StoreError, match="S055"):
        push(settings_of(stranger), published(stranger))
    shared = RedisConfiguration(settings_of(second))
    good = shared._client.get(shared._key)
    for bad in (b"", b"x" * 10, good[:-1], good[:30] + b"?" + good[31:], b"\xff" * 8 + good[8:]):
        shared._client.set(shared._key, bad)
        two.look()
        assert in_force_at(second) == ["alpha"]
    # What was good once and is older than what is in force is refused, too.
    shared._client.set(shared._key, good)
    time.sleep(0.002)
    (first / "p.yaml").write_text(POLICY.format(name="beta"))
    push(settings_of(first), published(first))
    two.look()
    assert in_force_at(second) == ["beta"]
    shared._client.set(shared._key, good)
    two.look()
    assert in_force_at(second) == ["beta"]
    assert any("S055" in each for each in two.warnings())
    shared.close()


def test_a_node_that_follows_nobody_does_not_start(node: Node) -> None:
    folder = node("two", "follow", "own")
    with pytest.raises(StoreError, match="S056"):
        Warden(folder).begin()
