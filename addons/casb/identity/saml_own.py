"""Our own names in SAML: the entity ids and addresses of both roles, and the metadata that tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from casb.identity.saml_metadata import EMAIL, OwnRole, write
from casb.identity.saml_signature import SigningKey
from casb.model.app import App
from casb.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAddresses:
    """Our service provider's names: entity id, where answers come in, where requests to sign out do."""

    entity_id: str
    acs: str
    slo: str


def own_addresses(login: str) -> OwnAddresses:
    """Those of the sign-in host, given as `https://login.suffix[:port]`."""
    return OwnAddresses(
        entity_id=f"{login}/.casb/saml/metadata", acs=f"{login}/.casb/saml/acs", slo=f"{login}/.casb/saml/slo"
    )


def own_document(login: str, settings: Settings, keys: Sequence[SigningKey]) -> bytes:
    """Our metadata towards identity providers."""
    own = own_addresses(login)
    signs = any(each.saml and each.saml.sign_requests for each in settings.providers)
    return write(OwnRole(entity_id=own.entity_id, keys=keys, acs=own.acs, slo=own.slo, signs_requests=signs))


def app_document(login: str, app: App, keys: Sequence[SigningKey]) -> bytes:
    """Our metadata towards an app."""
    entity = f"{login}/saml/{app.id}"
    formats = (app.saml.name_id_format,) if app.saml and app.saml.name_id_format else (EMAIL,)
    return write(
        OwnRole(entity_id=entity, keys=keys, sso=f"{entity}/sso", slo=f"{entity}/slo", name_id_formats=formats)
    )
