from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casb.catalog.tagging import TaggedApp, TagList
from casb.errors import StoreError
from casb.model.app import AppTag
from casb.store import tag_file


def test_published_and_read(tmp_path: Path) -> None:
    tags = TagList(version=3, apps=(TaggedApp(id="a", name="A", tag=AppTag.MONITORED, domains=("*.a.example",)),))
    assert tag_file.stamp(tmp_path / tag_file.FILE) is None
    path = tag_file.publish(tmp_path, tags)
    first = tag_file.stamp(path)
    assert tag_file.read(path) == tags
    assert path.stat().st_mode & 0o077 == 0
    tag_file.publish(tmp_path, tags)
    assert tag_file.stamp(path) != first


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=60) | st.sampled_from([b'{"version": 1}', b'{"version":1,"apps":[{}],"protected":[]}', b"[]"])
)
def test_any_other_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(StoreError, match="S061"):
        tag_file.read(tmp_path / "x")
