"""The operator's GeoIP database (MaxMind DB, extra `casb[geo]`) as a function: address to country and provider."""

from __future__ import annotations

import importlib
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from casb.catalog.ranges import Geo
from casb.errors import ConfigError, Where
from casb.settings import Settings


def default_path(data: Path | str) -> str:
    """Where `casb geo update` puts its database."""
    return str(Path(data) / "geo" / "country.mmdb")


def geo_of(settings: Settings) -> Geo | None:
    """The databases of a deployment as one: the operator's, else what `casb geo update` fetched; None without any.

    Raises as `open_geo`.
    """
    country = settings.geo_database
    if country is None and Path(fetched := default_path(settings.data)).is_file():
        country = fetched
    found = [open_geo(path) for path in (country, settings.geo_asn_database) if path]
    if len(found) < 2:
        return found[0] if found else None
    places, networks = found

    def look_up(ip: str) -> tuple[str | None, str | None]:
        first, second = places(ip), networks(ip)
        return first[0] or second[0], second[1] or first[1]

    return look_up


def open_geo(path: str) -> Geo:
    """Opens the database and keeps it in memory. Raises `ConfigError` C115 or C122 when it cannot be used.

    Country databases (GeoLite2-Country, DB-IP), provider databases (`autonomous_system_organization`, `isp`) and those
    that hold both are understood. What it does not know is None.
    """
    where = Where(file=path)
    try:
        maxminddb = importlib.import_module("maxminddb")
    except ImportError:
        hint = "install casb[geo], or remove 'geo_database'"
        raise ConfigError("C115", "the reader for GeoIP databases is not installed", where, hint) from None
    try:
        reader = maxminddb.open_database(path, maxminddb.MODE_MEMORY)
    except OSError as error:
        raise ConfigError("C115", f"the GeoIP database cannot be read: {error.strerror}", where) from None
    except maxminddb.InvalidDatabaseError:
        raise ConfigError("C122", "this is not a GeoIP database (.mmdb)", where) from None

    def look_up(ip: str) -> tuple[str | None, str | None]:
        try:
            if not ip_address(ip).is_global:  # Private, reserved and documentation ranges are nowhere.
                return None, None
            found = reader.get(ip)
        except ValueError:  # A v6 address in a database of v4 only, or no address.
            return None, None
        return facts(found)

    return look_up


def facts(found: Any) -> tuple[str | None, str | None]:
    """Country and provider out of one record of whatever database it is."""
    if not isinstance(found, dict):
        return None, None
    country = found.get("country") or found.get("registered_country") or found.get("country_code")
    code = country.get("iso_code") if isinstance(country, dict) else country
    traits = found.get("traits")
    provider = found.get("isp") or found.get("autonomous_system_organization")
    if not provider and isinstance(traits, dict):
        provider = traits.get("isp") or traits.get("autonomous_system_organization")
    return (
        code.upper() if isinstance(code, str) and len(code) == 2 else None,
        provider if isinstance(provider, str) and provider else None,
    )
