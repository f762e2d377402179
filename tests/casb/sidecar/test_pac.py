"""The PAC file, run by a real browser engine's rules as far as Node has them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace

import pytest

from casb.catalog.tagging import TaggedApp, TagList
from casb.model.app import App, AppTag
from casb.settings import Listeners, Settings
from casb.sidecar.pac import pac_file

APPS = (
    App(id="files", name="Files", domains=("files.example", "*.files.example")),
    App(id="wild", name="Wild", domains=("*.wild.example",)),
    App(id="bad", name="Bad", domains=("bad.example",), tag=AppTag.UNSANCTIONED, controlled=False),
    App(id="free", name="Free", domains=("free.example",), controlled=False),
)
SETTINGS = Settings(suffix="casb.example")
HOSTS = {
    "files.example": True,
    "FILES.example.": True,
    "a.b.files.example": True,
    "evilfiles.example": False,
    "wild.example": False,
    "x.wild.example": True,
    "bad.example": True,
    "free.example": False,
    "example": False,
    "constructor": False,
    "__proto__": False,
    "a.constructor": False,
    "": False,
}


def answers(text: str, hosts: Iterable[str] = tuple(HOSTS)) -> dict[str, str]:
    node = shutil.which("node")
    assert node, "Node runs the PAC file"
    script = f"{text}\nconsole.log(JSON.stringify({json.dumps(list(hosts))}.map(h => [h, FindProxyForURL('', h)])))"
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True, timeout=30)
    return dict(json.loads(done.stdout))


def test_only_what_is_controlled_or_unsanctioned_goes_through_the_proxy() -> None:
    expected = {host: "PROXY 127.0.0.1:8080" if through else "DIRECT" for host, through in HOSTS.items()}
    assert answers(pac_file(SETTINGS, APPS, host="portal.example")) == expected


TAGS = TagList(
    version=3,
    apps=(
        TaggedApp(
            id="mega", name="Mega", tag=AppTag.UNSANCTIONED, domains=("wild.example", "*.free.example", "example")
        ),
        TaggedApp(id="chat", name="Chat", tag=AppTag.MONITORED, domains=("constructor",)),
        TaggedApp(id="own", name="Own", tag=AppTag.NONE, domains=("keep.free.example",)),
        TaggedApp(id="files", name="Files", tag=AppTag.UNSANCTIONED, domains=("x.path.example/a",)),
    ),
    protected=("a.free.example", "*.b.free.example", "files.example"),
)


@pytest.mark.parametrize(
    ("host", "through", "why"),
    [
        ("wild.example", True, "unsanctioned"),
        ("constructor", True, "monitored"),
        ("x.free.example", True, "below the wildcard"),
        ("free.example", False, "not the wildcard's own name"),
        ("keep.free.example", False, "somebody else's"),
        ("a.free.example", False, "protected"),
        ("x.b.free.example", False, "below a protected wildcard"),
        ("b.free.example", True, "which is not the name itself"),
        ("files.example", True, "controlled, so it stays with us"),
        ("x.path.example", False, "a path cannot be asked for here"),
    ],
)
def test_tags_send_hosts_to_the_proxy(host: str, through: bool, why: str) -> None:
    text = pac_file(SETTINGS, APPS, host="portal.example", tags=TAGS)
    assert answers(text, [host]) == {host: "PROXY 127.0.0.1:8080" if through else "DIRECT"}, why


@pytest.mark.parametrize(
    ("listener", "host", "expected"),
    [
        ("127.0.0.1:8080", "portal.example", "PROXY 127.0.0.1:8080"),
        ("0.0.0.0:8080", "portal.example", "PROXY portal.example:8080"),
        ("[::]:3128", "::1", "PROXY [::1]:3128"),
        (None, "portal.example", "DIRECT"),
    ],
)
def test_the_proxys_address(listener: str | None, host: str, expected: str) -> None:
    settings = replace(SETTINGS, listeners=Listeners(forward=listener))
    assert f"return {json.dumps(expected)}" in pac_file(settings, APPS, host=host)


def test_without_apps_everything_is_direct() -> None:
    assert set(answers(pac_file(SETTINGS, (), host="x")).values()) == {"DIRECT"}
