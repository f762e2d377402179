"""The configuration folder as the portal sees it: every error, and nothing lost while an edit is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from casb.sidecar.deployment import FolderDeployment
from casb.store.folder import load
from live_sidecar import APP, POLICIES

NOW = datetime(2026, 3, 2, tzinfo=UTC)
STEP_UP = """\
version: 1
policies:
  - id: watch
    action: audit
    enabled: false
  - id: hand-over
    activities: download
    action: {type: protect, using: age}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "apps").mkdir()
    (tmp_path / "casb.yaml").write_text("version: 1\nsuffix: casb.example\n")
    (tmp_path / "apps/files.yaml").write_text(APP)
    (tmp_path / "payroll.yaml").write_text(POLICIES)
    return tmp_path


@pytest.fixture
def deployment(folder: Path) -> FolderDeployment:
    return FolderDeployment(folder, load(folder), lambda: NOW)


def test_apps_policies_and_files(deployment: FolderDeployment, folder: Path) -> None:
    (folder / "more.yaml").write_text(STEP_UP)
    view = deployment.view()
    assert [(each.id, each.action, each.severity, each.enabled) for each in view.policies] == [
        ("block-payroll", "block", "high", True),
        ("hand-over", "protect", "medium", True),
        ("watch", "audit", "medium", False),
    ]
    assert (view.policies[0].file, view.policies[0].line) == (f"{folder}/payroll.yaml", 3)
    assert [each.id for each in view.apps] == ["files"]
    assert {Path(file.name).name for file in view.files} == {"casb.yaml", "files.yaml", "payroll.yaml", "more.yaml"}
    assert view.version == load(folder).version
    assert deployment.view() is view  # nothing changed, nothing was read


def test_a_broken_policy_is_shown_and_the_others_stay(deployment: FolderDeployment, folder: Path) -> None:
    deployment.view()
    (folder / "broken.yaml").write_text("version: 1\npolicies:\n  - id: x\n    action: blok\n")
    view = deployment.view()
    assert view.version is None
    assert [each.id for each in view.policies] == ["block-payroll"]
    (error,) = view.errors
    assert (error.where and error.where.line, [file.name for file in view.files if not file.valid]) == (
        4,
        [f"{folder}/broken.yaml"],
    )
    (folder / "broken.yaml").unlink()
    assert deployment.view().errors == ()


@pytest.mark.parametrize("name", ["apps/files.yaml", "casb.yaml"])
def test_a_broken_app_stays_behind_the_proxy(deployment: FolderDeployment, folder: Path, name: str) -> None:
    deployment.view()
    (folder / name).write_text("id: [")
    view = deployment.view()
    assert view.errors
    assert [each.id for each in view.apps] == ["files"]


def test_a_folder_that_vanishes_is_an_error_like_others(deployment: FolderDeployment, folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    view = deployment.view()
    assert [error.code for error in view.errors] == ["C121"]
    assert [each.id for each in view.apps] == ["files"]
