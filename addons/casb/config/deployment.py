"""`casb.yaml` to `Settings`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from casb.config.devices import read_certificates, read_graph, read_scope
from casb.config.discovery import read_discovery
from casb.config.malware import read_malware
from casb.config.notes import Notes
from casb.config.saml import read_source
from casb.config.shape import (
    AdminsShape,
    AlertsShape,
    CasbFile,
    ClaimsShape,
    DeviceShape,
    DiscoveryShape,
    EnforcementShape,
    InspectionShape,
    LabelShape,
    ListenersShape,
    ProviderShape,
    QuarantineShape,
    SidecarShape,
)
from casb.config.store import read_store
from casb.config.units import seconds
from casb.hostname import is_address, normal_host
from casb.model.network import parse_network
from casb.settings import (
    TENANT_ID,
    Admins,
    Alerts,
    ClaimNames,
    ContextRule,
    DeviceRules,
    Enforcement,
    Inspection,
    Limits,
    Listeners,
    Mail,
    Provider,
    Quarantine,
    Recipient,
    SensitivityLabel,
    SessionLimits,
    Settings,
    Sidecar,
    Transmitter,
    Webhook,
    tenants_named,
)
from casb.yamlfile import Path, did_you_mean

_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - recognised here, not bound.


def read_settings(shape: CasbFile, notes: Notes) -> Settings:
    """The deployment. What is wrong is in `notes.errors`; the value then holds defaults in its place."""
    listeners = _listeners(shape.listeners or ListenersShape(), notes)
    providers = tuple(_provider(each, ("providers", at), notes) for at, each in enumerate(shape.providers))
    _distinct([each.id for each in providers], "provider", lambda at: ("providers", at, "id"), notes)
    for at, text in enumerate(shape.trusted_proxies):
        notes.parsed("C117", parse_network, text, ("trusted_proxies", at))
    if listeners.proxy_protocol and not shape.trusted_proxies:
        hint = "name your load balancer's address: without one, every connection would be refused"
        notes.wrong("C125", "'proxy_protocol' without 'trusted_proxies'", ("listeners", "proxy_protocol"), hint)
    if shape.public_port is not None and not 0 < shape.public_port < 65536:
        notes.wrong("C120", f"{shape.public_port} is not a port", ("public_port",))
    recipient = shape.recovery_recipient
    if recipient is not None and not re.match(r"age1[02-9ac-hj-np-z]{58}\Z", recipient):
        notes.wrong("C126", "this is not an age recipient", ("recovery_recipient",), "it starts with age1")
    _distinct([each.name for each in shape.labels], "label", lambda at: ("labels", at, "name"), notes)
    _distinct([each.name for each in shape.recipients], "recipient", lambda at: ("recipients", at, "name"), notes)
    return Settings(
        suffix=_suffix(shape.suffix, notes),
        version=shape.version,
        host_names=shape.host_names,
        public_port=shape.public_port,
        data=notes.path(shape.data),
        authority=notes.path(shape.authority),
        listeners=listeners,
        providers=providers,
        session=_session(shape, notes),
        store=read_store(shape.store, notes),
        limits=_limits(shape, notes),
        inspection=_inspection(shape.inspection or InspectionShape(), notes),
        sidecar=_sidecar(shape.sidecar or SidecarShape(), providers, notes),
        discovery=read_discovery(shape.discovery or DiscoveryShape(), notes, address=_address, url=check_url),
        malware=read_malware(shape.malware, notes) if shape.malware else None,
        quarantine=_quarantine(shape.quarantine, notes) if shape.quarantine else Quarantine(),
        alerts=_alerts(shape.alerts or AlertsShape(), notes),
        enforcement=_enforcement(shape.enforcement or EnforcementShape(), notes),
        security_events=_transmitters(shape, providers, notes),
        choose_provider=shape.choose_provider,
        client_certificates=read_certificates(shape.client_certificates, shape, notes),
        device_inventory=notes.file(shape.device_inventory, ("device_inventory",)),
        groups_file=notes.file(shape.groups_file, ("groups_file",)),
        scope=read_scope(shape.scope, notes),
        trusted_proxies=shape.trusted_proxies,
        address_header=shape.address_header,
        on_failure=shape.on_failure,
        geo_database=notes.file(shape.geo_database, ("geo_database",)),
        geo_asn_database=notes.file(shape.geo_asn_database, ("geo_asn_database",)),
        recovery_recipient=recipient,
        recovery_certificate=notes.file(shape.recovery_certificate, ("recovery_certificate",)),
        labels=tuple(_label(each, ("labels", at), notes) for at, each in enumerate(shape.labels)),
        recipients=tuple(
            Recipient(name=each.name, certificate=notes.file(each.certificate, ("recipients", at, "certificate")) or "")
            for at, each in enumerate(shape.recipients)
        ),
        record_flows=shape.record_flows and notes.path(shape.record_flows),
        folder=notes.folder,
    )


def check_id(text: str, path: Path, notes: Notes) -> None:
    """An id that can stand in an address, a file name and a policy."""
    if not _ID.match(text):
        notes.wrong("C111", f"'{text}' is not an id", path, "use lower-case letters, digits and hyphens")


def check_provider(text: str | None, known: tuple[Provider, ...], path: Path, notes: Notes) -> None:
    """A reference to an identity provider."""
    ids = [each.id for each in known]
    if text is not None and text not in ids:
        notes.wrong("C110", f"there is no provider '{text}'", path, did_you_mean(text, ids))


def endpoint(text: str) -> tuple[str, int]:
    """`address:port`, `[v6]:port` or `name:port` to its parts; ValueError with a sentence when it is none."""
    host, colon, port = text.rpartition(":")
    name = normal_host(host)
    if not colon or name is None or (":" in host and not host.startswith("[")):
        raise ValueError(f"{text!r} is not an address and port such as 127.0.0.1:8443 or [::1]:8443")
    if not re.match(r"[0-9]{1,5}\Z", port) or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} does not end in a port between 1 and 65535")
    return name, int(port)


def _suffix(text: str, notes: Notes) -> str:
    name = normal_host(text)
    if name is None or is_address(name):
        hint = "write a host name alone, without scheme, port, wildcard or leading dot"
        notes.wrong("C107", f"the suffix {text!r} is not a host name", ("suffix",), hint)
        return "invalid"
    return name


def _distinct(ids: list[str], noun: str, path: Callable[[int], Path], notes: Notes) -> None:
    for at, each in enumerate(ids):
        if ids.index(each) < at:
            first = notes.where(*path(ids.index(each)))
            notes.wrong("C109", f"two {noun}s have the id '{each}'", path(at), f"the first is at {first}")


def _listeners(shape: ListenersShape, notes: Notes) -> Listeners:
    default = Listeners()
    texts: dict[str, str | None] = {
        "reverse": shape.reverse or default.reverse,
        "forward": shape.forward,
        "sidecar": shape.sidecar or default.sidecar,
        "health": shape.health,
    }
    taken: dict[str, tuple[str, int]] = {}
    for name, text in texts.items():
        found = text and notes.parsed("C105", _address, text, ("listeners", name))
        if not found:
            continue
        for other, there in taken.items():
            if found[1] == there[1] and (found[0] == there[0] or {found[0], there[0]} & set(_EVERY_ADDRESS)):
                notes.wrong("C106", f"'{name}' and '{other}' listen on the same port {found[1]}", ("listeners", name))
                break
        taken[name] = found
    return Listeners(
        reverse=texts["reverse"] or default.reverse,
        forward=texts["forward"],
        sidecar=texts["sidecar"] or default.sidecar,
        health=texts["health"],
        proxy_protocol=shape.proxy_protocol,
    )


def _address(text: str) -> tuple[str, int]:
    host, port = endpoint(text)
    if not is_address(host) and host != "localhost":
        raise ValueError(f"{text!r} names a host: listeners need one of this machine's addresses")
    return host, port


def _provider(shape: ProviderShape, path: Path, notes: Notes) -> Provider:
    check_id(shape.id, (*path, "id"), notes)
    if shape.kind != "saml":
        _openid(shape, path, notes)
    if not shape.algorithms:
        notes.wrong("C125", "'algorithms' is empty: no token could be accepted", (*path, "algorithms"))
    claims = shape.claims or ClaimsShape()
    domains = []
    for at, text in enumerate(shape.domains):
        name = normal_host(text)
        if name is None:
            notes.wrong("C112", f"{text!r} is not a mail domain", (*path, "domains", at))
        domains.append(name or text)
    return Provider(
        id=shape.id,
        kind=shape.kind,
        authority=shape.authority,
        client_id=shape.client_id,
        client_secret=notes.secret(shape.client_secret, (*path, "client_secret")),
        client_certificate=notes.file(shape.client_certificate, (*path, "client_certificate")),
        tenants=shape.tenants,
        scopes=shape.scopes,
        algorithms=shape.algorithms,
        ca=notes.file(shape.ca, (*path, "ca")),
        domains=tuple(domains),
        groups_claim=shape.groups_claim,
        name=shape.name,
        hosts=_hosts(shape, path, notes),
        claims=ClaimNames(
            username=claims.username,
            display_name=claims.display_name,
            organization=claims.organization,
            tenant=claims.tenant,
        ),
        require=dict(shape.require or {}),
        contexts=_contexts(shape, path, notes),
        device=_device(shape.device or DeviceShape()),
        graph=read_graph(shape, path, notes, check_url),
        saml=read_source(shape.saml, (*path, "saml"), notes, check_url) if shape.kind == "saml" else None,
    )


def _openid(shape: ProviderShape, path: Path, notes: Notes) -> None:
    if shape.saml is not None:
        notes.wrong("C190", "'saml' is for providers of kind saml", (*path, "saml"), "write `kind: saml`")
    check_url(shape.authority, (*path, "authority"), notes)
    if not shape.client_id:
        notes.wrong("C125", "'client_id' is empty", (*path, "client_id"))
    if shape.kind == "entra" and not tenants_named(shape.authority, shape.tenants):
        hint = (
            "list the tenant ids whose users may sign in: an authority such as 'organizations' stands for all of them"
        )
        notes.wrong("C125", "no tenant is named", (*path, "tenants" if shape.tenants else "authority"), hint)
    for at, tenant in enumerate(shape.tenants):
        if shape.kind == "entra" and not TENANT_ID.fullmatch(tenant.lower()):
            notes.wrong("C111", f"{tenant!r} is not a tenant id", (*path, "tenants", at), "write the GUID")


def _hosts(shape: ProviderShape, path: Path, notes: Notes) -> tuple[str, ...]:
    for at, text in enumerate(shape.hosts):
        name, colon, port = text.partition(":")
        if normal_host(name) != name or (colon and not re.fullmatch(r"[0-9]{1,5}", port)):
            notes.wrong("C112", f"{text!r} is not a host name", (*path, "hosts", at), "write it without https://")
    return shape.hosts


def _contexts(shape: ProviderShape, path: Path, notes: Notes) -> dict[str, ContextRule]:
    rules = {}
    for name, rule in (shape.contexts or {}).items():
        here = (*path, "contexts", name)
        if not re.fullmatch(r"c[1-9][0-9]?", name):
            notes.wrong("C111", f"'{name}' is no authentication context", here, "write c1 to c99")
        if shape.kind == "entra":
            notes.wrong("C125", "Entra knows authentication contexts itself", here, "remove 'contexts'")
        if not rule.acr and rule.max_age is None:
            notes.wrong("C125", f"nothing stands for '{name}'", here, "give acr, max_age or both")
        age = None if rule.max_age is None else notes.seconds(rule.max_age, 1, (*here, "max_age"))
        rules[name] = ContextRule(acr=rule.acr, max_age=age)
    return rules


def _device(shape: DeviceShape) -> DeviceRules:
    return DeviceRules(
        compliant=shape.compliant,
        hybrid_joined=shape.hybrid_joined,
        signin_state=shape.signin_state,
        adfs=shape.adfs,
        claims={tag: dict(claims) for tag, claims in (shape.claims or {}).items()},
    )


def check_url(text: str, path: Path, notes: Notes, *, plain: bool = False) -> None:
    """An `https` address. `http` is for loopback, or for anywhere with `plain`: what passes there can be changed."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if parts.scheme not in ("https", "http") or normal_host(host) is None or port == 0 or parts.username is not None:
        notes.wrong("C116", f"{text!r} is not an https address", path)
    elif parts.query or parts.fragment:
        notes.wrong("C116", f"{text!r} has a query or fragment", path)
    elif parts.scheme == "http" and not plain and not _on_loopback(host):
        notes.wrong("C116", f"{text!r} is not encrypted", path, "use https; http is for loopback addresses")


def _on_loopback(host: str) -> bool:
    name = normal_host(host) or ""
    if is_address(name):
        return ip_address(name).is_loopback
    return name == "localhost" or name.endswith(".localhost")


def _session(shape: CasbFile, notes: Notes) -> SessionLimits:
    default, given = SessionLimits(), shape.session
    if given is None:
        return default
    session = SessionLimits(
        idle=notes.seconds(given.idle, default.idle, ("session", "idle")),
        absolute=notes.seconds(given.absolute, default.absolute, ("session", "absolute")),
        pending=notes.seconds(given.pending, default.pending, ("session", "pending")),
        code=notes.seconds(given.code, default.code, ("session", "code")),
        resume_body=notes.byte_count(given.resume_body, default.resume_body, ("session", "resume_body")),
        step_up_body=notes.byte_count(given.step_up_body, default.step_up_body, ("session", "step_up_body")),
        reevaluate=0
        if given.reevaluate == "never"
        else notes.seconds(given.reevaluate, default.reevaluate, ("session", "reevaluate")),
        grace=notes.seconds(given.grace, default.grace, ("session", "grace")),
        watch_address=given.watch_address,
        watch_agent=given.watch_agent,
    )
    if session.idle > session.absolute:
        if given.idle is not None:
            notes.wrong("C120", "'idle' is longer than 'absolute'", ("session", "idle"))
        return replace(session, idle=session.absolute)
    return session


def _transmitters(shape: CasbFile, providers: tuple[Provider, ...], notes: Notes) -> tuple[Transmitter, ...]:
    found = []
    for at, each in enumerate(shape.security_events):
        path: Path = ("security_events", at)
        check_url(each.jwks, (*path, "jwks"), notes)
        check_provider(each.provider, providers, (*path, "provider"), notes)
        for name, value in (("issuer", each.issuer), ("audience", each.audience)):
            if not value:
                notes.wrong("C125", f"'{name}' is empty", (*path, name))
        found.append(
            Transmitter(
                issuer=each.issuer,
                jwks=each.jwks,
                audience=each.audience,
                provider=each.provider,
                token=notes.secret(each.token, (*path, "token")),
                ca=notes.file(each.ca, (*path, "ca")),
                algorithms=each.algorithms,
            )
        )
    _distinct([each.issuer for each in found], "transmitter", lambda at: ("security_events", at, "issuer"), notes)
    return tuple(found)


def _limits(shape: CasbFile, notes: Notes) -> Limits:
    default, given = Limits(), shape.limits
    if given is None:
        return default
    return Limits(
        hold=notes.byte_count(given.hold, default.hold, ("limits", "hold")),
        spool_file=notes.byte_count(given.spool_file, default.spool_file, ("limits", "spool_file")),
        spool_total=notes.byte_count(given.spool_total, default.spool_total, ("limits", "spool_total")),
        spool_free=notes.byte_count(given.spool_free, default.spool_free, ("limits", "spool_free")),
        spool_folder=given.spool_folder and notes.path(given.spool_folder),
        rewrite=notes.byte_count(given.rewrite, default.rewrite, ("limits", "rewrite")),
        request_body=notes.byte_count(given.request_body, default.request_body, ("limits", "request_body")),
        head=notes.byte_count(given.head, default.head, ("limits", "head")),
        upstream_idle=notes.seconds(given.upstream_idle, default.upstream_idle, ("limits", "upstream_idle")),
        client_head=notes.seconds(given.client_head, default.client_head, ("limits", "client_head")),
        client_rate=notes.byte_count(given.client_rate, default.client_rate, ("limits", "client_rate")),
        upstream_pool=_kept(given.upstream_pool, default.upstream_pool, notes),
    )


def _quarantine(shape: QuarantineShape, notes: Notes) -> Quarantine:
    default, here = Quarantine(), "quarantine"
    keep = notes.seconds(shape.keep, default.keep, (here, "keep"))
    if not 3600 <= keep <= 3650 * 86400:
        notes.wrong("C120", "files are kept from an hour to 3650 days", (here, "keep"))
    return Quarantine(
        keep=keep,
        limit=notes.byte_count(shape.limit, default.limit, (here, "limit")),
        folder=shape.folder and notes.path(shape.folder),
        two_people=shape.two_people,
    )


def _kept(text: str | None, default: int, notes: Notes) -> int:
    """A duration; nothing is one too."""
    return default if text is None else notes.parsed("C101", seconds, text, ("limits", "upstream_pool")) or 0


def _inspection(shape: InspectionShape, notes: Notes) -> Inspection:
    key = notes.secret(shape.exact_match_key, ("inspection", "exact_match_key"))
    if key and len(key.reveal()) < 32:
        notes.wrong("C120", "a key of less than 32 characters", ("inspection", "exact_match_key"))
    return Inspection(last_four=shape.last_four, exact_match_key=key)


def _enforcement(shape: EnforcementShape, notes: Notes) -> Enforcement:
    default = Enforcement()
    bypass = notes.seconds(shape.bypass, default.bypass, ("enforcement", "bypass"))
    if not 60 <= bypass <= 30 * 86400:
        notes.wrong("C120", "a bypass lasts from a minute to 30 days", ("enforcement", "bypass"))
    for name, url in (("blocked_help", shape.blocked_help), ("warned_help", shape.warned_help)):
        if url is not None:
            check_url(url, ("enforcement", name), notes)
    return Enforcement(
        severity=shape.severity, bypass=bypass, blocked_help=shape.blocked_help, warned_help=shape.warned_help
    )


def _label(shape: LabelShape, path: Path, notes: Notes) -> SensitivityLabel:
    guids = {name: text.strip().strip("{}").lower() for name, text in (("id", shape.id), ("tenant", shape.tenant))}
    for name, guid in guids.items():
        if not _GUID.match(guid):
            notes.wrong("C133", f"{guid[:80]!r} is not a GUID", (*path, name), "as Get-Label shows it")
    return SensitivityLabel(id=guids["id"], name=shape.name, tenant=guids["tenant"], priority=shape.priority)


def _alerts(shape: AlertsShape, notes: Notes) -> Alerts:
    mail = shape.mail
    if mail is not None:
        try:
            endpoint(mail.server)
        except ValueError as error:
            notes.wrong("C120", str(error), ("alerts", "mail", "server"))
        for path, address in ((("sender",), mail.sender), *((("to", at), each) for at, each in enumerate(mail.to))):
            if not re.fullmatch(r"[^@\s<>,;]+@[^@\s<>,;]+", address):
                notes.wrong("C120", f"{address!r} is no mail address", ("alerts", "mail", *path))
        if mail.password and mail.tls == "none":
            hint = "use starttls or tls"
            notes.wrong("C120", "the password would be sent unencrypted", ("alerts", "mail", "tls"), hint)
    hooks = []
    for at, hook in enumerate(shape.webhooks):
        path = ("alerts", "webhooks", at)
        check_url(hook.url, (*path, "url"), notes)
        if not hook.url.startswith("https:"):
            notes.wrong("C116", f"{hook.url!r} is not encrypted", (*path, "url"), "use https")
        secret, ca = notes.secret(hook.secret, (*path, "secret")), notes.file(hook.ca, (*path, "ca"))
        hooks.append(Webhook(url=hook.url, secret=secret, ca=ca, least=hook.least))
    return Alerts(
        mail=Mail(
            server=mail.server,
            sender=mail.sender,
            to=mail.to,
            tls=mail.tls,
            username=mail.username,
            password=notes.secret(mail.password, ("alerts", "mail", "password")),
            ca=notes.file(mail.ca, ("alerts", "mail", "ca")),
            least=mail.least,
        )
        if mail
        else None,
        webhooks=tuple(hooks),
    )


def _sidecar(shape: SidecarShape, providers: tuple[Provider, ...], notes: Notes) -> Sidecar:
    for name, text in (("url", shape.url), ("public_url", shape.public_url)):
        if text is not None:
            check_url(text, ("sidecar", name), notes)
    if shape.retention_days < 1:
        notes.wrong("C120", "activities must be kept for a day at least", ("sidecar", "retention_days"))
    admins = shape.admins or AdminsShape()
    check_provider(admins.provider, providers, ("sidecar", "admins", "provider"), notes)
    if admins.provider is not None and admins.group is None:
        hint = "without it everybody at that provider would be an admin"
        notes.wrong("C125", "'admins' names a provider and no group", ("sidecar", "admins", "provider"), hint)
    return Sidecar(
        url=shape.url,
        public_url=shape.public_url,
        token=notes.secret(shape.token, ("sidecar", "token")),
        database=shape.database,
        retention_days=shape.retention_days,
        admins=Admins(
            local=admins.local,
            provider=admins.provider,
            group=admins.group,
            client_id=admins.client_id,
            client_secret=notes.secret(admins.client_secret, ("sidecar", "admins", "client_secret")),
        ),
    )
