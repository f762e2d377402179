"""What `casb.yaml` and `apps/*.yaml` say of SAML. Metadata is passed on as it is: its meaning is another room's."""

from __future__ import annotations

from collections.abc import Callable

from casb.config.notes import Notes
from casb.config.shape import NameIdShape, SamlAppShape, SamlSourceShape
from casb.model.app import SamlApp
from casb.settings import SamlSource
from casb.yamlfile import Path, did_you_mean

FORMATS = {
    "email": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
    "persistent": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
    "unspecified": "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
}
SOURCES = ("name_id", "user.name", "user.id", "user.display_name", "user.domain", "user.groups")

type CheckUrl = Callable[[str, Path, Notes], None]


def read_source(shape: SamlSourceShape | None, path: Path, notes: Notes, check_url: CheckUrl) -> SamlSource | None:
    """The `saml` of a provider of that kind."""
    if shape is None:
        hint = "add `saml: {metadata: …}`, a file or an https address"
        notes.wrong("C190", "a provider of kind saml has no 'saml'", (*path[:-1], "kind"), hint)
        return None
    address, document = "", None
    if shape.metadata is not None and "://" in shape.metadata:
        check_url(shape.metadata, (*path, "metadata"), notes)
        address = shape.metadata
    elif shape.metadata is not None:
        document = notes.content(shape.metadata, (*path, "metadata"))
    elif not (shape.entity_id and shape.sso_url and shape.certificates):
        hint = "or 'entity_id', 'sso_url' and 'certificates'"
        notes.wrong("C190", "'saml' has no 'metadata'", path, hint)
    for name, url in (("sso_url", shape.sso_url), ("slo_url", shape.slo_url)):
        if url:
            check_url(url, (*path, name), notes)
    return SamlSource(
        metadata=address,
        document=document,
        trust=_pems(shape.metadata_certificates, (*path, "metadata_certificates"), notes),
        entity_id=shape.entity_id,
        sso_url=shape.sso_url,
        slo_url=shape.slo_url,
        certificates=_pems(shape.certificates, (*path, "certificates"), notes),
        sign_requests=shape.sign_requests,
        name_id_format=FORMATS.get(shape.name_id_format, shape.name_id_format),
        subject=shape.subject,
        username=shape.username,
        display_name=shape.display_name,
        groups=shape.groups,
        origin=notes.where(*path),
    )


def read_saml_app(shape: SamlAppShape | None, path: Path, notes: Notes) -> SamlApp | None:
    """The `saml` of an app."""
    if shape is None:
        return None
    bridged = shape.metadata is not None or bool(shape.entity_id)
    if shape.pass_through and bridged:
        hint = "leave 'metadata' and 'entity_id' out, or 'pass_through'"
        notes.wrong(
            "C190", "'pass_through' is for apps that the bridge does not sign in to", (*path, "pass_through"), hint
        )
    elif not bridged and not shape.pass_through and not shape.idp_initiated:
        notes.wrong("C190", "'saml' has no 'metadata'", path, "or 'entity_id' and 'acs'")
    elif shape.metadata is None and bridged and not shape.acs:
        notes.wrong("C190", "'saml' has an 'entity_id' and no 'acs'", (*path, "entity_id"))
    name_id = shape.name_id or NameIdShape()
    _source(name_id.source, (*path, "name_id", "source"), notes)
    for name, source in (shape.attributes or {}).items():
        _source(source, (*path, "attributes", name), notes)
    return SamlApp(
        document=notes.content(shape.metadata, (*path, "metadata")),
        entity_id=shape.entity_id,
        acs=shape.acs,
        slo_url=shape.slo_url,
        certificates=_pems(shape.certificates, (*path, "certificates"), notes),
        requests=shape.requests,
        name_id_format=FORMATS[name_id.format] if name_id.format else "",
        name_id_source=name_id.source,
        attributes=dict(shape.attributes or {}),
        idp_initiated=shape.idp_initiated,
        pass_through=shape.pass_through,
        origin=notes.where(*path),
    )


def _source(text: str, path: Path, notes: Notes) -> None:
    if not text or (text.startswith("user.") and text not in SOURCES):
        notes.wrong("C191", f"{text!r} is not a source", path, did_you_mean(text, SOURCES))


def _pems(files: tuple[str, ...], path: Path, notes: Notes) -> tuple[str, ...]:
    found = [notes.content(each, (*path, at)) for at, each in enumerate(files)]
    return tuple(each.decode("ascii", "replace") for each in found if each)
