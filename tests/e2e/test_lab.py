"""`casb lab` on an application that is the same through the suffix, and on one that is not."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from proxy_world import ADDONS, Origin

pytestmark = pytest.mark.e2e

GOOD = b"""<!doctype html><html><head><title>Board</title></head><body><h1>Board</h1>
<a href="/cards">Cards</a> <a href="/logout">Sign out</a>
<button aria-expanded="false" onclick="this.after('opened')">More</button>
</body></html>"""
CARDS = b"<!doctype html><html><head><title>Cards</title></head><body><h1>Cards</h1><input id=t></body></html>"
# Told by its own address in a way that no rewriter of names can see.
BAD = b"""<!doctype html><html><head><title>Bad</title></head><body><h1>Bad</h1><p id=p></p><script>
p.textContent = location.href.length + " characters"; navigator.sendBeacon("/seen", btoa(location.href));
</script></body></html>"""


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    folder = tmp_path_factory.mktemp("origin")
    with contextlib.closing(Origin(folder, "127.0.0.1")) as made:
        for path, body in (("/", GOOD), ("/cards", CARDS), ("/bad", BAD), ("/logout", b"out"), ("/seen", b"")):
            made.page(path, body, content_type="text/html", x_frame_options="DENY")
        yield made


def lab(origin: Origin, folder: Path, path: str, *more: str) -> tuple[int, dict[str, object], str]:
    """Exit status, the JSON, and the report."""
    command = [
        sys.executable,
        "-m",
        "casb.cli",
        "lab",
        f"https://127.0.0.1:{origin.port}{path}",
        "--ca",
        str(origin.ca),
    ]
    command += ["--name", "board.contoso.example", "--format", "json", "--report", str(folder / "lab.html"), *more]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ADDONS)}, capture_output=True, text=True, timeout=170, check=False
    )
    assert done.stderr == "", "progress is for terminals"
    return done.returncode, json.loads(done.stdout), (folder / "lab.html").read_text()


def test_the_same(origin: Origin, tmp_path: Path) -> None:
    origin.seen.clear()
    status, told, report = lab(origin, tmp_path, "/", "--onboard", str(tmp_path / "board.yaml"))
    assert (status, told["same"]) == (0, True), told
    steps = ["goto /", 'click role=button[name="More"]', "goto /cards"]
    assert [stop["step"] for stop in told["stops"]] == steps  # type: ignore[attr-defined]
    assert {each.path for each in origin.seen} >= {"/", "/cards"}
    assert "/logout" not in {each.path for each in origin.seen}, "a laboratory signs nobody out"
    assert report.count("data:image/png;base64,") == 9
    assert "<script" not in report and "https://" not in report.replace("https://127.0.0.1", "").replace(
        "https://board", ""
    )
    written = yaml.safe_load((tmp_path / "board.yaml").read_text())
    assert (written["id"], written["domains"], written["logout"]) == ("board", ["board.contoso.example"], ["/logout"])


def test_what_differs_is_found(origin: Origin, tmp_path: Path) -> None:
    steps = tmp_path / "walk.yaml"
    steps.write_text("steps:\n  - goto: /cards\n  - type: {into: '#t', text: Milk}\n  - expect: Cards\n")
    status, told, report = lab(origin, tmp_path, "/bad", "--steps", str(steps))
    assert status == 1
    first = told["stops"][0]  # type: ignore[index]
    assert (first["same"], len(first["missing"]), len(first["extra"])) == (False, 1, 1)
    assert [stop["same"] for stop in told["stops"][1:]] == [True, True, True]  # type: ignore[index]
    assert "casb-lab" in told["told"][0], told  # type: ignore[index]
    assert "Not the same through the suffix" in report


def test_no_browser(origin: Origin) -> None:
    command = [sys.executable, "-m", "casb.cli", "lab", "https://x.example/"]
    environment = {"PYTHONPATH": str(ADDONS), "PATH": "/nowhere", "HOME": "/nowhere"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("L002 no Chromium was found; apt-get install chromium")
