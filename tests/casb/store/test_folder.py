import os
from pathlib import Path

import pytest

from casb.errors import ConfigError, Problems
from casb.store import folder
from casb.store.folder import fingerprint, load, load_draft, read_folder, resolve_secret
from casb.yamlfile import MAX_BYTES


@pytest.fixture
def config(tmp_path: Path) -> Path:
    root = tmp_path / "policies"
    for name, text in {
        "casb.yaml": "suffix: casb.example\n",
        "finance.yaml": "policies: []\n",
        "apps/box.yaml": "{id: box, name: Box, domains: [box.example]}\n",
        "tests/finance_test.yaml": "cases: []\n",
        "README.md": "not YAML",
        ".casb.yaml.swp": "an editor's",
        ".hidden.yaml": "an editor's",
        "apps/deep/other.yaml": "too deep",
        "other/other.yaml": "elsewhere",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_read_folder(config: Path) -> None:
    assert list(read_folder(config)) == ["casb.yaml", "finance.yaml", "apps/box.yaml", "tests/finance_test.yaml"]
    assert read_folder(config)["finance.yaml"] == b"policies: []\n"


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="C121"):
        read_folder(tmp_path / "nowhere")
    assert fingerprint(tmp_path / "nowhere") == ()


def test_too_many_files(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MOST_FILES", 3)
    with pytest.raises(ConfigError, match="C122 4 files, at most 3"):
        read_folder(config)


def test_a_huge_file_is_cut_so_that_its_reader_refuses_it(config: Path) -> None:
    (config / "apps" / "box.yaml").write_bytes(b"#" * (MAX_BYTES + 1000))
    assert len(read_folder(config)["apps/box.yaml"]) == MAX_BYTES + 1
    with pytest.raises(Problems, match="C004"):
        load(config)


def test_a_file_that_grows_while_it_is_read_is_read_again(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = config / "finance.yaml"
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        grow.undo()

    grow = pytest.MonkeyPatch()
    real = os.fstat

    def growing(descriptor: int) -> os.stat_result:
        with open(file, "ab") as more:
            more.write(b"# more\n")
        return real(descriptor)

    monkeypatch.setattr("time.sleep", pause)
    grow.setattr("os.fstat", growing)
    try:
        text = read_folder(config)["finance.yaml"]
    finally:
        grow.undo()
    assert text == file.read_bytes()
    assert pauses


def test_a_file_that_never_rests_is_refused(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fstat
    count = 0

    def growing(descriptor: int) -> os.stat_result:
        nonlocal count
        count += 1
        with open(config / "finance.yaml", "ab") as more:
            more.write(b"#")
        return real(descriptor)

    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("os.fstat", growing)
    with pytest.raises(ConfigError, match="C122 the file is being written"):
        read_folder(config)


def test_fingerprint(config: Path) -> None:
    before = fingerprint(config)
    assert fingerprint(config) == before
    (config / "README.md").write_text("still no YAML")
    assert fingerprint(config) == before, "only what is read counts"

    (config / "finance.yaml").write_text("policies: [ ]\n")
    changed = fingerprint(config)
    assert changed != before

    (config / "new.tmp").write_text("policies: [ ]\n")
    os.utime(config / "new.tmp", ns=(1, (config / "finance.yaml").stat().st_mtime_ns))
    (config / "new.tmp").rename(config / "finance.yaml")
    replaced = fingerprint(config)
    assert replaced != changed, "replaced by a file of the same size and time"

    (config / "apps" / "box.yaml").unlink()
    assert fingerprint(config) != replaced


def test_linked_folders_are_followed(config: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "casb.yaml").symlink_to(config / "casb.yaml")
    (linked / "broken.yaml").symlink_to(config / "nowhere.yaml")
    assert list(read_folder(linked)) == ["casb.yaml"]


def test_load(config: Path) -> None:
    found = load(config)
    assert [app.id for app in found.apps] == ["box"]
    assert found.settings.folder == config.resolve().as_posix()
    assert list(found.policy_texts) == [f"{config}/finance.yaml"]


def test_places_are_named_as_the_folder_was(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config.parent)
    (config / "casb.yaml").write_text("sufix: a")
    with pytest.raises(Problems, match=r"^policies/casb.yaml:1:1: C013"):
        load("policies")
    monkeypatch.chdir(config)
    with pytest.raises(Problems, match=r"^casb.yaml:1:1: C013"):
        load(".")


def test_a_check_does_not_ask_for_secrets(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (config / "casb.yaml").write_text("suffix: casb.example\nsidecar: {token: 'env:CASB_TEST_TOKEN'}\n")
    monkeypatch.delenv("CASB_TEST_TOKEN", raising=False)
    assert load_draft(config).errors == ()
    assert [error.code for error in load_draft(config, secrets=True).errors] == ["C104"]
    with pytest.raises(Problems, match="C104 the environment variable CASB_TEST_TOKEN is not set"):
        load(config)
    monkeypatch.setenv("CASB_TEST_TOKEN", "s3cret")
    token = load(config).settings.sidecar.token
    assert token is not None and token.reveal() == "s3cret"


def test_secret_files(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    assert resolve_secret(f"file:{file}") == "s3cret"
    for content, word in ((b"", "empty"), (b"\n", "empty"), (b"\xff", "UTF-8"), (b"x" * 70_000, "too long")):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=word):
            resolve_secret(f"file:{file}")
    with pytest.raises(ValueError, match="cannot be read"):
        resolve_secret(f"file:{tmp_path / 'nowhere'}")


def test_the_shipped_folder_is_sound() -> None:
    assert [str(error) for error in load_draft(Path(__file__).parents[3] / "policies").errors] == []
