from pathlib import Path
from typing import Any

import pytest

from casb.errors import ConfigError
from casb.store.geo import facts, open_geo


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"country": {"iso_code": "DE", "names": {}}}, ("DE", None)),
        ({"registered_country": {"iso_code": "nl"}}, ("NL", None)),
        ({"country_code": "US"}, ("US", None)),
        ({"autonomous_system_organization": "Example Net"}, (None, "Example Net")),
        ({"country": {"iso_code": "DE"}, "traits": {"isp": "Example ISP"}}, ("DE", "Example ISP")),
        ({"country": {}}, (None, None)),
        ({"country": {"iso_code": 7}, "isp": 7}, (None, None)),
        (None, (None, None)),
        ("DE", (None, None)),
    ],
)
def test_facts(record: Any, expected: tuple[str | None, str | None]) -> None:
    assert facts(record) == expected


def test_no_database(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="C115"):
        open_geo(str(tmp_path / "nowhere.mmdb"))
    broken = tmp_path / "broken.mmdb"
    broken.write_bytes(b"not a database")
    with pytest.raises(ConfigError, match="C122"):
        open_geo(str(broken))
