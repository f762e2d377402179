"""The operator's GeoIP database (MaxMind DB, extra `casb[geo]`) as a function: address to country and provider."""

from __future__ import annotations

import importlib
from typing import Any

from casb.catalog.ranges import Geo
from casb.errors import ConfigError, Where


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
