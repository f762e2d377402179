"""A worker starts without mitmproxy's default addons; whoever wants them still gets them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def run(code: str, **environment: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-O", "-c", code],
        env={"PYTHONPATH": str(ROOT / "addons"), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return ended.stdout.strip()


HEAVY = "print([name for name in ('flask', 'ldap3', 'mitmproxy.addons.onboarding', 'fastapi') if name in sys.modules])"


def test_a_worker_imports_no_web_server_and_no_ldap() -> None:
    assert run(f"import sys, casb.proxy.worker\n{HEAVY}") == "[]"


def test_all_addons_are_there_for_whoever_asks() -> None:
    code = "import casb.proxy\nfrom mitmproxy.addons import default_addons\nprint(len(default_addons()))"
    plain = "from mitmproxy.addons import default_addons\nprint(len(default_addons()))"
    assert int(run(code)) == int(run(plain)) > 20


@pytest.mark.parametrize(
    ("code", "environment"),
    [
        pytest.param("import casb.proxy", {"CASB_PLAIN_CORE": "1"}, id="switched off"),
        pytest.param("import mitmproxy.addons, casb.proxy", {}, id="there before us"),
    ],
)
def test_the_package_stays_as_it_is(code: str, environment: dict[str, str]) -> None:
    assert (
        run(
            f"{code}\nimport sys, mitmproxy.addons\nprint(type(sys.modules['mitmproxy.addons']).__name__)",
            **environment,
        )
        == "module"
    )
