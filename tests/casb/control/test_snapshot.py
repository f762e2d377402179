import dataclasses

import pytest

from casb.catalog.agents import Agents
from casb.config import build, draft
from casb.control.snapshot import build_snapshot
from casb.errors import Problems
from control_support import snapshot

POLICY = """\
version: 1
policies:
  - id: no-downloads
    kind: session
    apps: [box]
    activities: [download]
    when: {device: unmanaged}
    action: block
"""
FILES = {
    "casb.yaml": b"suffix: casb.example\n",
    "apps/box.yaml": b"{id: box, name: Box, domains: [box.example]}\n",
    "ranges.yaml": b"ranges: [{name: Office, ranges: [10.0.0.0/8], category: corporate, tags: [hq]}]\n",
    "finance.yaml": POLICY.encode(),
}


def test_build_snapshot() -> None:
    agents = Agents()
    configuration = build(FILES, "/etc/casb")
    snapshot = build_snapshot(configuration, geo=lambda ip: ("DE", None), agents=agents)
    assert snapshot.version == configuration.version
    assert snapshot.catalog.by_id["box"].name == "Box"
    assert snapshot.ranges.lookup("10.0.0.1").tags == {"hq"}
    assert snapshot.ranges.lookup("192.0.2.1").country == "DE"
    assert [policy.id for policy in snapshot.policies.all] == ["no-downloads"]
    assert snapshot.agents is agents
    assert snapshot.warnings == ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshot.version = "x"  # type: ignore[misc]


def test_the_version_follows_every_file() -> None:
    versions = {build_snapshot(build(FILES | {name: text + b"# x\n"}, "/")).version for name, text in FILES.items()}
    assert len(versions) == len(FILES)


def wrong(files: dict[str, bytes]) -> list[str]:
    with pytest.raises(Problems) as caught:
        build_snapshot(draft(files, "/etc/casb"))
    return [f"{error.where and error.where.file} {error.code}" for error in caught.value.errors]


def test_policies_are_checked_against_the_apps() -> None:
    files = FILES | {"finance.yaml": POLICY.replace("[box]", "[bocks]").encode()}
    assert wrong(files) == ["finance.yaml P031"]


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("{id: apps, kind: discovery, when: {category: cloud_storag}}", "P011"),
        ("{id: no-downloads, kind: discovery}", "P030"),
        ("{id: apps, kind: discovery, alert: false}", "P037"),
    ],
)
def test_a_wrong_discovery_policy_keeps_the_folder_out_of_force(entry: str, code: str) -> None:
    files = FILES | {"watch.yaml": f"version: 1\npolicies:\n  - {entry}\n".encode()}
    assert wrong(files) == [f"watch.yaml {code}"]


def test_everything_wrong_in_one_go() -> None:
    files = FILES | {"casb.yaml": b"sufix: x", "finance.yaml": POLICY.replace("download", "dowload").encode()}
    assert set(wrong(files)) == {"casb.yaml C013", "casb.yaml C015", "finance.yaml P014"}


def test_an_app_that_cannot_be_read_does_not_make_its_policies_wrong() -> None:
    assert wrong(FILES | {"apps/box.yaml": b"id: box"}) == ["apps/box.yaml C015"] * 2


@pytest.mark.parametrize(
    ("upstream", "plain", "why"),
    [
        ("{connect: 'http://127.0.0.1:9000'}", True, "what we connect with says it"),
        ("{connect: 'http://127.0.0.1:9000', scheme: https}", False, "its own word"),
        ("{connect: 'http://127.0.0.1:9000', forwarded: x-forwarded}", False, "it is told that browsers use https"),
        ("{scheme: http}", True, "its own word"),
        ("{connect: '127.0.0.1:9000'}", False, "https"),
        ("{hosts: {plain.example: 'http://127.0.0.1:9000'}}", True, "this name alone"),
    ],
)
def test_what_an_app_takes_itself_to_be_on(upstream: str, plain: bool, why: str) -> None:
    text = f"id: plain\nname: P\ndomains: [plain.example]\nupstream: {upstream}\n"
    hosts = snapshot(**{"apps/plain": text}).hosts
    assert hosts.is_plain("plain.example") is plain, why
    assert hosts.url_to_origin("https://plain.example.casb.test:8443") == f"http{'' if plain else 's'}://plain.example"


def test_flattened_names_are_chosen_in_the_deployment() -> None:
    hosts = snapshot(casb="suffix: casb.test\nhost_names: flat\nlisteners: {reverse: '127.0.0.1:8443'}\n").hosts
    assert hosts.to_suffix("files.example") == "files-example--x.casb.test:8443"
