"""What the configuration says of SAML, understood: an app's addresses and certificates, and what is wrong with them.

The packages of the extra `casb[saml]` are asked for here only when an app or provider needs them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from casb.errors import CasbError, ConfigError, TokenError, Where
from casb.model.app import App, SamlApp
from casb.settings import Provider, Settings

if TYPE_CHECKING:
    from casb.identity.saml_metadata import IdpMetadata, SpMetadata

_ALWAYS = datetime.min.replace(tzinfo=UTC)


def room(name: str) -> Any:
    """A module that needs the extra; raises `ConfigError` C192 when the packages are not there."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if error.name is not None and error.name.startswith("casb"):
            raise
        raise ConfigError(
            "C192", f"SAML needs packages that are not installed ({error.name})", hint="pip install 'casb[saml]'"
        ) from error


def app_metadata(saml: SamlApp, now: datetime = _ALWAYS) -> SpMetadata:
    """An app as its metadata, or the single values, tell of it. Raises `TokenError` T059, T048 or `ConfigError` C192.

    Without `now` a date of expiry is not looked at.
    """
    metadata, signature = room("casb.identity.saml_metadata"), room("casb.identity.saml_signature")
    certificates = tuple(signature.load_certificate(each) for each in saml.certificates)
    if saml.document is not None:
        found: SpMetadata = metadata.read_sp(saml.document, now, entity_id=saml.entity_id)
        if certificates:
            found = metadata.replaced(found, certificates)
        return found
    made: SpMetadata = metadata.SpMetadata(
        entity_id=saml.entity_id,
        acs={number: metadata.web_address(url) for number, url in enumerate(saml.acs)},
        certificates=certificates,
        slo_url=saml.slo_url,
        slo_response_url=saml.slo_url,
    )
    return made


def provider_metadata(provider: Provider, now: datetime = _ALWAYS) -> IdpMetadata | None:
    """A provider whose metadata is at hand; None when it is at an address. Raises as `app_metadata`."""
    source = provider.saml
    if source is None or source.metadata:
        return None
    metadata = room("casb.identity.saml_metadata")
    found: IdpMetadata = metadata.configured_idp(source, now)
    return found


def problems(settings: Settings, apps: Iterable[App]) -> Iterator[CasbError]:
    """What is wrong with the metadata and certificates of a configuration, with places."""
    for provider in settings.providers:
        if provider.saml is not None:
            yield from _tried(lambda provider=provider: provider_metadata(provider), provider.saml.origin)  # type: ignore[misc]
    for app in apps:
        if app.saml is not None and app.saml.bridged:
            yield from _app_problems(app, app.saml)


def _app_problems(app: App, saml: SamlApp) -> Iterator[CasbError]:
    found: list[SpMetadata] = []
    yield from _tried(lambda: found.append(app_metadata(saml)), saml.origin)
    for each in found:
        if saml.requests == "signed" and not each.certificates:
            yield ConfigError(
                "C190", "requests must be signed, and no certificate of the app is known", saml.origin,
                "add 'certificates', or metadata with a KeyDescriptor",
            )  # fmt: skip


def _tried(look: Callable[[], object], where: Where | None) -> Iterator[CasbError]:
    try:
        look()
    except (TokenError, ConfigError) as error:
        yield ConfigError(error.code, error.message, where, error.hint)
