"""What an admin's editor makes of the schemas: VS Code's YAML language server over policies with mistakes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from language_server import LanguageServer

ROOT = Path(__file__).parents[2]

MISTAKES = """\
# yaml-language-server: $schema=schema.json
version: 2
policies:
  - id: Not An Id
    name: Twelve mistakes
    kind: sesion
    severity: severe
    activities: [download, downlod]
    when:
      device: unmanged
      file: {extention: pdf}
      client: {ip_category: riskyy}
      app: {risk_score: {atleast: 3}}
    action: blok
    unscannable: perhaps
    colour: red
"""
"""Twelve mistakes, and the line (from 1) of each."""
LINES = {2, 4, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16}


HEAD = "# yaml-language-server: $schema=schema.json\nversion: 1\npolicies:\n"
BEGUN = HEAD + "  - id: p\n    \n    action: \n    when:\n      device: \n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "policies/schema.json", tmp_path)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[LanguageServer]:
    server = LanguageServer(folder)
    yield server
    server.close()


@pytest.mark.e2e
def test_every_mistake_is_underlined(server: LanguageServer, folder: Path) -> None:
    path = folder / "mistakes.yaml"
    path.write_text(MISTAKES)
    found = server.open(path)
    assert {each["range"]["start"]["line"] + 1 for each in found} == LINES, [each["message"] for each in found]


@pytest.mark.e2e
def test_the_shipped_policies_are_clean(server: LanguageServer, folder: Path) -> None:
    for shipped in sorted((ROOT / "policies").glob("*.yaml")):
        if shipped.name not in ("casb.yaml", "ranges.yaml"):
            shutil.copy(shipped, folder)
            assert server.open(folder / shipped.name) == [], shipped.name


@pytest.mark.e2e
def test_keys_and_words_are_offered_with_their_meaning(server: LanguageServer, folder: Path) -> None:
    path = folder / "new.yaml"
    path.write_text(BEGUN)
    server.open(path)
    keys = {each["label"]: each for each in server.complete(path, 4, 4)}
    assert {"name", "severity", "activities", "rollout", "schedule", "message"} <= set(keys)
    assert "Activity types it concerns" in str(keys["activities"]["documentation"])
    assert {"audit", "block", "protect", "step_up"} <= {each["label"] for each in server.complete(path, 5, 12)}
    assert {"compliant", "unmanaged"} <= {each["label"] for each in server.complete(path, 7, 14)}


@pytest.mark.e2e
def test_pointing_at_a_key_explains_it(server: LanguageServer, folder: Path) -> None:
    path = folder / "hover.yaml"
    path.write_text(HEAD + "  - {id: p, unscannable: match, action: block}\n")
    server.open(path)
    assert "What happens when a condition stays unknown" in server.hover(path, 3, 14)
