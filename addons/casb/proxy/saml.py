"""SAML at the rim, as far as every deployment knows of it: which addresses it has, and where its parts are loaded.

The parts themselves (`saml_bridge`, `connectors.saml`) need the extra `casb[saml]` and are imported when a provider or
an app of the configuration asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitmproxy import http

from casb.connectors.signin import IdentityProvider
from casb.control.pages import Page
from casb.control.saml_trust import room
from casb.control.snapshot import Snapshot
from casb.ports import SessionStore
from casb.proxy.runtime import Runtime, now
from casb.proxy.translate import State
from casb.settings import Provider

if TYPE_CHECKING:
    from casb.proxy.endpoints import Endpoints
    from casb.store.saml_keys import SamlKeys

OWN = "/.casb/saml/"
DELIVER = "/.casb/saml/deliver"
LARGEST = 2 * 1024 * 1024
"""Bytes of a posted form with a SAML response: a megabyte, as base64, escaped."""
_BRIDGE = re.compile(r"/saml/([a-z0-9][a-z0-9-]{0,62})(?:/(metadata|sso|continue|start|slo))?")

type Endpoint = Callable[[http.HTTPFlow, State], Awaitable[Page]]

_opened: dict[str, SamlKeys] = {}


def uses_saml(snapshot: Snapshot) -> bool:
    """Whether anything of the configuration is about SAML."""
    return any(each.saml for each in snapshot.settings.providers) or any(app.saml for app in snapshot.catalog.apps)


def attributes_told(snapshot: Snapshot) -> frozenset[str]:
    """The attributes of identity providers that some app is told, and which a sign-in therefore remembers."""
    told: set[str] = set()
    for app in snapshot.catalog.apps:
        if app.saml is not None and app.saml.bridged:
            told |= {*app.saml.attributes.values(), app.saml.name_id_source}
    return frozenset(each for each in told if not each.startswith("user.") and each != "name_id")


def signing_keys(snapshot: Snapshot) -> SamlKeys:
    """The deployment's SAML keys, made at their first use. Raises `StoreError`."""
    data = snapshot.settings.data
    if data not in _opened:
        store = room("casb.store.saml_keys")
        _opened[data] = store.SamlKeys.load_or_create(Path(data), snapshot.settings.login_host)
    return _opened[data]


def key_list(snapshot: Snapshot) -> list[Any]:
    """The keys as SAML messages use them, the one that signs first."""
    signature = room("casb.identity.saml_signature")
    return [signature.SigningKey(key=each.key, certificate=each.certificate) for each in signing_keys(snapshot).keys()]


def provider(settings: Provider, snapshot: Snapshot, store: SessionStore) -> IdentityProvider:
    """A SAML identity provider of the configuration. Raises `ConfigError` C192."""
    connectors, own = room("casb.connectors.saml"), room("casb.identity.saml_own")
    login = snapshot.settings.address_of(snapshot.settings.login_host)
    made: IdentityProvider = connectors.SamlProvider(
        settings,
        own=own.own_addresses(login),
        clock=now,
        keys=lambda: key_list(snapshot),
        store=store,
        keep=attributes_told(snapshot),
    )
    return made


class SamlRoutes:
    """The addresses of SAML on the sign-in host and on apps; everything behind them is loaded at first use."""

    def __init__(self, runtime: Runtime, endpoints: Endpoints) -> None:
        self._runtime = runtime
        self._endpoints = endpoints
        self._loaded: Any = None

    def on_login(self, method: str, path: str, snapshot: Snapshot) -> Endpoint | None:
        """What answers on the sign-in host; None: nothing of SAML."""
        if not path.startswith((OWN, "/saml/")) or not uses_saml(snapshot):
            return None
        found = _BRIDGE.fullmatch(path)
        endpoint: Endpoint | None
        if found is not None:
            endpoint = self._bridge().bridge_endpoint(method, found[1], found[2] or "metadata")
        else:
            endpoint = self._bridge().own_endpoint(method, path)
        return endpoint

    def on_app(self, method: str, path: str) -> Endpoint | None:
        """What answers on a controlled host."""
        if (method, path) != ("GET", DELIVER):
            return None
        deliver: Endpoint = self._bridge().deliver
        return deliver

    @staticmethod
    def from_elsewhere(path: str) -> bool:
        """Whether foreign pages may post there: a provider's answer, an app's request. What they bring is signed."""
        return path == f"{OWN}acs" or (path.startswith("/saml/") and path.endswith("/sso"))

    @staticmethod
    def is_posted(path: str) -> bool:
        """Whether a posted form there may be as large as a SAML response."""
        return path in (f"{OWN}acs", f"{OWN}return") or SamlRoutes.from_elsewhere(path)

    def _bridge(self) -> Any:
        if self._loaded is None:
            self._loaded = room("casb.proxy.saml_bridge").SamlBridge(self._runtime, self._endpoints)
        return self._loaded
