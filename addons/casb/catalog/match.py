"""Which app owns a host. Exact names and `*.` wildcards; the longest match wins.

Knows hosts of apps only: suffixes and ports are the rewriting room's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from casb.hostname import domain_pattern, normal_host
from casb.model.app import App


class Catalog:
    """An immutable set of apps, indexed by host. A look-up costs one dictionary probe per label at most."""

    __slots__ = ("_below", "_exact", "apps", "by_id")

    apps: tuple[App, ...]
    by_id: Mapping[str, App]

    def __init__(self, apps: Iterable[App] = ()) -> None:
        """Raises `ValueError` when two apps share an id or a domain, or when a domain is none (see `domain_pattern`).

        The configuration's reader has said so with file and line before it comes to that.
        """
        self.apps = tuple(apps)
        by_id: dict[str, App] = {}
        self._exact: dict[str, App] = {}
        self._below: dict[str, App] = {}
        for app in self.apps:
            if by_id.setdefault(app.id, app) is not app:
                raise ValueError(f"two apps have the id {app.id!r}")
            for domain in map(domain_pattern, app.domains):
                index, key = (self._below, domain[2:]) if domain.startswith("*.") else (self._exact, domain)
                owner = index.setdefault(key, app)
                if owner is not app:
                    raise ValueError(f"{domain!r} belongs to {owner.id!r} and to {app.id!r}")
        self.by_id = MappingProxyType(by_id)

    def match(self, host: str) -> App | None:
        """The app that owns `host` (no port), in whatever case and spelling it comes; None when nobody does.

        >>> catalog = Catalog([App(id="box", name="Box", domains=("*.box.example",))])
        >>> catalog.match("Files.BOX.example.").id
        'box'
        >>> catalog.match("box.example"), catalog.match("notbox.example")
        (None, None)
        """
        app = self._exact.get(host)
        if app is not None:
            return app
        name = normal_host(host)
        if name is None:
            return None
        app = self._exact.get(name)
        if app is not None or not self._below:
            return app
        below = self._below
        dot = name.find(".")
        while dot >= 0:
            app = below.get(name[dot + 1 :])
            if app is not None:
                return app
            dot = name.find(".", dot + 1)
        return None

    def __len__(self) -> int:
        return len(self.apps)
