"""What `casb.yaml` says of devices and of people's groups: certificates, Graph, scope."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from casb.config.notes import Notes
from casb.config.shape import CasbFile, ClientCertificatesShape, ProviderShape, ScopeRuleShape, ScopeShape
from casb.hostname import normal_host
from casb.settings import CertificateRule, ClientCertificates, Graph, Scope, ScopeRule
from casb.yamlfile import Path

type CheckUrl = Callable[[str, Path, Notes], None]

_OID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,17})){1,31}")
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def read_certificates(shape: ClientCertificatesShape | None, file: CasbFile, notes: Notes) -> ClientCertificates | None:
    """`client_certificates`."""
    if shape is None:
        return None
    here: Path = ("client_certificates",)
    if not shape.anchors:
        notes.wrong("C260", "'anchors' is empty: no certificate could be believed", (*here, "anchors"))
    if shape.revocation != "ignore" and not shape.crls and shape.ocsp is None:
        hint = "name `crls` or `ocsp`, or write `revocation: ignore`"
        notes.wrong("C261", "nobody could tell whether a certificate was revoked", here, hint)
    if shape.header is not None and not file.trusted_proxies:
        hint = "name the addresses of the proxies in front of you"
        notes.wrong("C262", "anybody could send the header: 'trusted_proxies' is empty", (*here, "header"), hint)
    default = ClientCertificates(anchors=())
    return ClientCertificates(
        anchors=_files(shape.anchors, (*here, "anchors"), notes),
        intermediates=_files(shape.intermediates, (*here, "intermediates"), notes),
        crls=tuple(_list(each, (*here, "crls", at), notes) for at, each in enumerate(shape.crls)),
        ocsp=shape.ocsp and _address(shape.ocsp, (*here, "ocsp"), notes),
        revocation=shape.revocation,
        rules=_rules(shape, (*here, "rules"), notes),
        device_id=shape.device_id,
        device_id_pattern=_pattern(shape.device_id_pattern, (*here, "device_id_pattern"), notes),
        valid_for=notes.seconds(shape.valid_for, default.valid_for, (*here, "valid_for")),
        header=shape.header,
        ask=shape.ask,
    )


def _files(names: tuple[str, ...], path: Path, notes: Notes) -> tuple[str, ...]:
    return tuple(found for at, each in enumerate(names) if (found := notes.file(each, (*path, at))))


def _list(text: str, path: Path, notes: Notes) -> str:
    if "://" in text:
        return _address(text, path, notes)
    return notes.file(text, path) or text


def _address(text: str, path: Path, notes: Notes) -> str:
    """An http or https address: what is fetched there is signed."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if parts.scheme not in ("http", "https") or normal_host(host) is None or port == 0 or "@" in parts.netloc:
        notes.wrong("C116", f"{text!r} is not an http or https address", path)
    return text


def _rules(shape: ClientCertificatesShape, path: Path, notes: Notes) -> tuple[CertificateRule, ...]:
    found = []
    for at, each in enumerate(shape.rules):
        if not (each.issuer or each.subject or each.san or each.oid):
            notes.wrong("C263", "the rule is empty: every certificate would fit", (*path, at))
        if each.oid and _OID.fullmatch(each.oid) is None:
            hint = "write it in dots: 1.3.6.1.5.5.7.3.2"
            notes.wrong("C263", f"{each.oid!r} is not an object identifier", (*path, at, "oid"), hint)
        found.append(CertificateRule(issuer=each.issuer, subject=each.subject, san=each.san, oid=each.oid))
    return tuple(found)


def _pattern(text: str, path: Path, notes: Notes) -> str:
    try:
        groups = re.compile(text).groups if len(text) <= 200 else 2
    except re.error as error:
        notes.wrong("C264", f"the expression cannot be read: {error}", path)
        return ""
    if groups > 1:
        notes.wrong("C264", "the expression is too long or has more than one group", path, "use (?:…) for the others")
    return text


def read_graph(shape: ProviderShape, path: Path, notes: Notes, check_url: Callable[..., None]) -> Graph | None:
    """`graph` of a provider."""
    given, here = shape.graph, (*path, "graph")
    if given is None:
        return None
    if shape.kind != "entra":
        notes.wrong("C265", "only providers of kind entra have a Graph", here, "write `kind: entra`")
    if given.client_secret is None and given.client_certificate is None:
        notes.wrong("C265", "nothing proves us to Graph", here, "name client_certificate or client_secret")
    if given.url is not None:
        check_url(given.url, (*here, "url"), notes)
    for name, each in (given.group_ids or {}).items():
        if _GUID.fullmatch(each.lower()) is None:
            notes.wrong("C265", f"{each!r} is not the object id of a group", (*here, "group_ids", name))
    default = Graph(client_id="")
    return Graph(
        client_id=given.client_id,
        client_secret=notes.secret(given.client_secret, (*here, "client_secret")),
        client_certificate=notes.file(given.client_certificate, (*here, "client_certificate")),
        url=(given.url or default.url).rstrip("/"),
        ca=notes.file(given.ca, (*here, "ca")),
        groups=given.groups,
        group_ids={name: each.lower() for name, each in (given.group_ids or {}).items()},
        devices=given.devices,
        contexts=given.contexts,
        fresh=notes.seconds(given.fresh, default.fresh, (*here, "fresh")),
        usable=notes.seconds(given.usable, default.usable, (*here, "usable")),
    )


def read_scope(shape: ScopeShape | None, notes: Notes) -> Scope:
    """`scope`."""
    if shape is None:
        return Scope()
    return Scope(
        include=tuple(_rule(each, ("scope", "include", at), notes) for at, each in enumerate(shape.include)),
        exclude=tuple(_rule(each, ("scope", "exclude", at), notes) for at, each in enumerate(shape.exclude)),
        suites=dict(shape.suites or {}),
    )


def _rule(shape: ScopeRuleShape, path: Path, notes: Notes) -> ScopeRule:
    if not shape.groups and not shape.users:
        notes.wrong("C266", "the rule is about nobody", path, "name `groups` or `users`")
    return ScopeRule(groups=shape.groups, users=shape.users, apps=shape.apps)
