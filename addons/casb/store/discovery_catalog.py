"""The catalog as discovery needs it: who owns a destination, and what is known of an app."""

from __future__ import annotations

from collections.abc import Iterable

from casb.catalog.domains import DomainIndex, Layer
from casb.discovery.facts import AppFacts


class DestinationIndex:
    """Host, URL and address to the id of an app. Picklable."""

    def __init__(self, apps: Iterable[AppFacts], networks: Iterable[tuple[str, str]] = ()) -> None:
        """`networks` are pairs of CIDR network and app id."""
