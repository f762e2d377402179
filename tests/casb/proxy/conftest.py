from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy_world import World, world

POLICIES = """\
version: 1
policies:
  - id: block-payroll
    kind: session
    severity: high
    activities: [download]
    when:
      device: {tag: unmanaged}
      file: {name: "payroll*"}
    action: block
    message: Payroll stays on managed devices.
  - id: protect-reports
    kind: session
    activities: [download]
    when:
      device: {tag: unmanaged}
      file: {name: "report*"}
    action: protect
  - id: no-programs
    kind: session
    activities: [download]
    when: {file: {detected_type: application/vnd.microsoft.portable-executable}}
    action: block
  - id: block-programs-up
    kind: session
    activities: [upload]
    when: {file: {extension: exe}}
    action: block
  - id: no-risky-logon
    kind: access
    when:
      user: {name: mallory@contoso.example}
    action: block
    message: Not from here.
"""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("proxy")
    with world(folder, start=False) as made:
        made.write("policies.yaml", POLICIES)
        made.start()
        yield made


@pytest.fixture
def proxy_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose worker the test runs in this process with `World.inside`."""
    monkeypatch.setenv("CASB_TEST_SECRET", "x" * 32)
    with world(tmp_path, start=False) as made:
        made.write("policies.yaml", POLICIES)
        yield made
