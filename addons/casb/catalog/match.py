"""Which app owns a host. Exact names and `*.` wildcards; the longest match wins.

Knows hosts of apps only: suffixes and ports are the rewriting room's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from casb.catalog.domains import Layer
from casb.hostname import domain_pattern, normal_host
from casb.model.app import App


class Catalog:
    """An immutable set of apps, indexed by host. A look-up costs one dictionary probe per label at most."""

    __slots__ = ("_layer", "apps", "by_id")

    apps: tuple[App, ...]
    by_id: Mapping[str, App]

    def __init__(self, apps: Iterable[App] = ()) -> None:
        """Raises `ValueError` when two apps share an id or a domain, or when a domain is none (see `domain_pattern`).

        The configuration's reader has said so with file and line before it comes to that.
        """
        self.apps = tuple(apps)
        by_id: dict[str, App] = {}
        owners: dict[str, App] = {}
        for app in self.apps:
            if by_id.setdefault(app.id, app) is not app:
                raise ValueError(f"two apps have the id {app.id!r}")
            for domain in map(domain_pattern, app.domains):
                owner = owners.setdefault(domain, app)
                if owner is not app:
                    raise ValueError(f"{domain!r} belongs to {owner.id!r} and to {app.id!r}")
        self._layer = Layer(owners.items())
        self.by_id = MappingProxyType(by_id)

    def match(self, host: str) -> App | None:
        """The app that owns `host` (no port), in whatever case and spelling it comes; None when nobody does.

        >>> catalog = Catalog([App(id="box", name="Box", domains=("*.box.example",))])
        >>> catalog.match("Files.BOX.example.").id
        'box'
        >>> catalog.match("box.example"), catalog.match("notbox.example")
        (None, None)
        """
        found = self._layer.exactly(host)
        if found is None:
            name = normal_host(host)
            found = self._layer.host(name) if name is not None else None
        return None if found is None else found.owner

    def __len__(self) -> int:
        return len(self.apps)
