import logging
import time
from pathlib import Path

import pytest

from casb.catalog.entries import check
from casb.errors import ConfigError
from casb.store.catalog_files import SHIPPED, load_shipped, read_texts

ONE = """\
as_of: 2025-06
apps:
- {id: a, name: A, vendor: V, about: x, domains: [a.example], facts: {press: {founded: 2001}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "apps"
    made.mkdir()
    (made / "crm.yaml").write_text(ONE)
    return made


def test_compiled_once_and_again_after_a_change(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = load_shipped(cache, folder)
    (compiled,) = cache.iterdir()
    assert compiled.stat().st_mode & 0o077 == 0
    stamp = compiled.stat().st_mtime_ns
    assert load_shipped(cache, folder) == first
    assert compiled.stat().st_mtime_ns == stamp
    (folder / "crm.yaml").write_text(ONE.replace("2001", "2002"))
    second = load_shipped(cache, folder)
    assert second.version != first.version
    assert second.by_id["a"].value("founded") == 2002


def test_a_damaged_or_foreign_compiled_file_is_made_anew(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    first = load_shipped(cache, folder)
    (compiled,) = cache.iterdir()
    for content in (
        b"{",
        b"[{}]",
        b"{}",
        b'{"facts":[],"apps":[{"id":"a","name":"A","category":"crm","facts":{"saml":0}}]}',
    ):
        compiled.write_bytes(content)
        assert load_shipped(cache, folder) == first
    compiled.write_bytes(b'{"facts":[],"apps":[]}')
    compiled.chmod(0o666)
    assert load_shipped(cache, folder) == first, "what others may write is not believed"
    assert "made anew" in caplog.text


def test_only_a_few_old_ones_stay(folder: Path, tmp_path: Path) -> None:
    for year in range(2001, 2008):
        (folder / "crm.yaml").write_text(ONE.replace("2001", str(year)))
        load_shipped(tmp_path / "cache", folder)
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_without_a_cache_it_works_too(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        assert len(load_shipped(tmp_path / "file", folder)) == 1
    assert "cannot be kept" in caplog.text


def test_no_folder_and_no_reading(folder: Path) -> None:
    with pytest.raises(ConfigError, match="C121"):
        read_texts(folder / "nowhere")
    (folder / "sales.yaml").mkdir()
    with pytest.raises(ConfigError, match="C122"):
        read_texts(folder)


def test_what_ships_is_sound_and_loads_fast(tmp_path: Path) -> None:
    assert check(read_texts(), "addons/casb/catalog/apps") == []
    known = load_shipped(tmp_path)
    begun = time.perf_counter()
    assert load_shipped(tmp_path) == known
    assert time.perf_counter() - begun < 5, "a fraction of a second; the limit is for a busy machine"
    assert SHIPPED.is_dir()
