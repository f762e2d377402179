from pathlib import Path
from typing import Any

import pytest

from casb.errors import ConfigError
from casb.settings import Settings
from casb.store.geo import default_path, facts, geo_of, open_geo
from geo_files import countries, database


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


def deployment(folder: Path, **more: Any) -> Settings:
    return Settings(suffix="casb.test", data=str(folder), **more)


def test_the_operators_databases_go_before_what_was_fetched(tmp_path: Path) -> None:
    assert geo_of(deployment(tmp_path)) is None
    fetched = Path(default_path(tmp_path))
    fetched.parent.mkdir()
    fetched.write_bytes(countries({"8.8.8.0/24": "US"}))
    only = geo_of(deployment(tmp_path))
    assert only is not None and only("8.8.8.8") == ("US", None)
    own, networks = tmp_path / "own.mmdb", tmp_path / "asn.mmdb"
    own.write_bytes(countries({"8.8.8.0/24": "FR", "9.9.9.0/24": "CH"}))
    networks.write_bytes(database({"8.8.8.0/24": {"autonomous_system_organization": "Example Net"}}))
    both = geo_of(deployment(tmp_path, geo_database=str(own), geo_asn_database=str(networks)))
    assert both is not None
    assert (both("8.8.8.8"), both("9.9.9.9")) == (("FR", "Example Net"), ("CH", None))
    alone = geo_of(deployment(tmp_path, geo_asn_database=str(networks)))
    assert alone is not None and alone("8.8.8.8") == ("US", "Example Net")


@pytest.mark.parametrize("address", ["10.0.0.1", "192.0.2.1", "127.0.0.1", "2001:db8::1", "fe80::1", "::1", "garbage"])
def test_some_addresses_are_nowhere(tmp_path: Path, address: str) -> None:
    path = tmp_path / "all.mmdb"
    path.write_bytes(countries({"0.0.0.0/1": "XX", "128.0.0.0/1": "XX", "2000::/3": "XX", "fe00::/8": "XX"}))
    assert open_geo(str(path))(address) == (None, None)
    assert open_geo(str(path))("8.8.8.8") == ("XX", None)
