"""The YAML of `casb.yaml`, `apps/*.yaml` and `ranges.yaml`, as dataclasses: what may be written, key by key.

Field lists, types, defaults and documentation in one; `casb.config` turns them into `Settings`, `App` and `IpRange`. A
default of None means that the default of the corresponding field there holds. Durations are texts with a unit
(`90s`, `60m`, `10h`, `14d`), sizes likewise (`512KB`, `50MB`, `5GB`; 1 KB is 1,024 bytes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pydantic

type TagWord = Literal["sanctioned", "unsanctioned", "monitored", "none"]
type CategoryWord = Literal["administrative", "cloud-provider", "corporate", "risky", "vpn", "other"]
type FailureWord = Literal["block", "allow"]
type UnknownHostsWord = Literal["pass", "learn", "deny"]
type ReceiverWord = Literal["syslog-udp", "syslog-tcp", "syslog-tls", "directory", "ftp", "ftps", "upload"]
type ViewWord = Literal["suffix", "origin"]
type ClipboardWord = Literal["system", "inside"]
type WatermarkWord = Literal["never", "controlled", "always"]
type TamperWord = Literal["record", "block"]
type ScriptWord = Literal["allow", "refuse"]
type DetectionWord = Literal[
    "exfiltration-to-unsanctioned-app", "breached-app", "new-popular-app", "generative-ai-app", "unblocked-cloud-app"
]
type DeviceTagWord = Literal["compliant", "hybrid-joined", "client-certificate"]
type ActivityWord = Literal[
    "logon", "logoff", "view", "download", "upload", "copy", "cut", "paste", "print", "send_item", "share", "unshare",
    "edit", "create", "delete", "none",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenersShape:
    """Where we listen, as `address:port`. `null` switches `forward` or `health` off."""

    reverse: str | None = None
    """Suffixed hosts and host-preserving apps, TLS. Default `127.0.0.1:8443`."""
    forward: str | None = "127.0.0.1:8080"
    """The forward proxy that the PAC file names."""
    sidecar: str | None = None
    """API and portal. Default `127.0.0.1:8090`."""
    health: str | None = "127.0.0.1:8091"
    """`/healthz`, `/readyz` and `/metrics` of the proxy."""
    proxy_protocol: tuple[Literal["reverse", "forward"], ...] = ()
    """Listeners whose connections begin with PROXY protocol (v1 or v2), e.g. `[reverse]`. Needs `trusted_proxies`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceShape:
    """Which proof of the identity provider gives which device tag."""

    compliant: tuple[str, ...] = ()
    """Authentication contexts (`c1`) that only a compliant device gets."""
    hybrid_joined: tuple[str, ...] = ()
    """Authentication contexts that only a hybrid-joined device gets."""
    signin_state: bool = False
    """Accept Entra's undocumented `signin_state` values (`dvc_cmp`, `dvc_dmjd`) as well."""
    adfs: bool = False
    """Accept AD FS's device-context attributes: `iscompliant` gives `compliant`; `trusttype` of a device that is known
    to the domain (`ServerAd`) gives `hybrid-joined`."""
    claims: Mapping[DeviceTagWord, Mapping[str, tuple[str | bool, ...]]] | None = None
    """Tag to claim to accepted values: `{compliant: {device_compliant: [true]}}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlSourceShape:
    """A SAML identity provider: its metadata, or what the metadata would say."""

    metadata: str | None = None
    """Its metadata: a file, or an https address that is read again every hour."""
    metadata_certificates: tuple[str, ...] = ()
    """PEM files; the metadata must be signed by one of these."""
    entity_id: str = ""
    """Its entity id. Beside `metadata`: which of several."""
    sso_url: str = ""
    """Its sign-in address (Redirect binding)."""
    slo_url: str = ""
    """Its sign-out address (Redirect binding)."""
    certificates: tuple[str, ...] = ()
    """PEM files of its signing certificates; several while it changes them."""
    sign_requests: bool = True
    """Sign what we ask of it."""
    name_id_format: str = ""
    """The format of NameID to ask for; default: whichever it gives."""
    subject: str = ""
    """Attribute that names a person for good. Default: the NameID; needed where that is a transient one."""
    username: tuple[str, ...] = ()
    """Attributes with the sign-in name, in order of preference. Default: the usual ones, then the NameID."""
    display_name: tuple[str, ...] = ()
    """Attributes with the full name."""
    groups: tuple[str, ...] = ()
    """Attributes that list groups. Default: the usual ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextShape:
    """What stands for an authentication context at a provider that knows no `acrs`."""

    acr: tuple[str, ...] = ()
    """Accepted values of the claim `acr`, e.g. `[phr, phrh]`; asked for as `acr_values`."""
    max_age: str | None = None
    """The person proved themself actively within this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsShape:
    """What an OpenID provider calls things. `realm_access.roles` is a path, unless a claim has that very name."""

    username: tuple[str, ...] = ("preferred_username", "upn", "email")
    """Claims with the sign-in name; the first that is there counts."""
    display_name: tuple[str, ...] = ("name",)
    """Claims with the full name."""
    organization: str = ""
    """The claim with the organisational unit, for `user.organization`."""
    tenant: str = ""
    """The claim with the tenant, of providers other than Entra."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphShape:
    """Microsoft Graph, for an Entra provider: an app registration of its own with application permissions."""

    client_id: str
    """Its application id. Permissions: User.Read.All, GroupMember.Read.All; Device.Read.All; Policy.Read.All."""
    client_secret: str | None = None
    """`env:NAME` or `file:PATH`. Prefer `client_certificate`."""
    client_certificate: str | None = None
    """PEM file with private key and certificate."""
    url: str | None = None
    """Graph of your cloud. Default `https://graph.microsoft.com`."""
    ca: str | None = None
    """PEM file that alone is trusted for Graph. Default: the system's roots."""
    groups: bool = True
    """Look up the groups that policies name when a token leaves a person's groups out (more than 200)."""
    group_ids: Mapping[str, str] | None = None
    """Names that policies use, to object ids: `{Finance: 5a1e0c1e-…}`."""
    devices: bool = False
    """Look up devices by the id in the token or certificate: `isCompliant` and `trustType`."""
    contexts: bool = True
    """Believe an authentication context of `device` only while an enabled policy guards it; looked at every day."""
    fresh: str | None = None
    """What was looked up is used for this long without asking. Default `10m`."""
    usable: str | None = None
    """And for this long while Graph is away. Default `60m`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRuleShape:
    """Which certificates count; all parts that are given must fit, and texts may have `*`."""

    issuer: str = ""
    """Its issuer as RFC 4514 writes it: `CN=Device issuing CA,*`."""
    subject: str = ""
    """Its subject, likewise."""
    san: str = ""
    """One of its alternative names."""
    oid: str = ""
    """An extension, extended key usage or certificate policy that it must have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificatesShape:
    """Device certificates, asked for on `device.<suffix>` and nowhere else."""

    anchors: tuple[str, ...]
    """PEM files of the authorities whose certificates prove a device: roots or intermediates."""
    intermediates: tuple[str, ...] = ()
    """PEM files of authorities between these and the certificates; browsers do not always send them."""
    crls: tuple[str, ...] = ()
    """Revocation lists: files, or http or https addresses that are read again in time."""
    ocsp: str | None = None
    """Address of the OCSP responder for the device certificates."""
    revocation: Literal["require", "prefer", "ignore"] = "require"
    """`require`: an unknown or stale status is a failure. `prefer`: it is not. `ignore`: nobody is asked."""
    rules: tuple[CertificateRuleShape, ...] = ()
    """Any of them must fit. Default: every certificate of the anchors counts."""
    device_id: Literal["san_uri", "san_dns", "san_email", "common_name"] = "common_name"
    """Where the device's id stands."""
    device_id_pattern: str = ""
    """Regular expression; its one group is the id: `IntuneDevice://(.+)`."""
    valid_for: str | None = None
    """The result holds for the session, at most this long. Default `8h`."""
    header: Literal["x-ssl-client-cert", "x-forwarded-client-cert"] | None = None
    """A proxy in front of us (`trusted_proxies`) ends TLS and names the certificate in this header."""
    ask: Literal["needed", "always"] = "needed"
    """`needed`: only of people whose app a policy with a device condition is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeRuleShape:
    """People, for all apps or some."""

    groups: tuple[str, ...] = ()
    """Names or ids of groups."""
    users: tuple[str, ...] = ()
    """Names that people sign in with."""
    apps: tuple[str, ...] = ()
    """Apps, or suites of them. Default: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeShape:
    """Whose activities are recorded. Policies hold for everybody, and what they do is always recorded."""

    include: tuple[ScopeRuleShape, ...] = ()
    """With a rule for an app, its other users are out; a rule for all apps does so for all."""
    exclude: tuple[ScopeRuleShape, ...] = ()
    """Who is out, whatever `include` says."""
    suites: Mapping[str, tuple[str, ...]] | None = None
    """Apps that belong together: `{microsoft-365: [exchange, power-bi]}`. A rule for the app itself comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderShape:
    """One identity provider."""

    id: str
    """Your own short name for it; apps refer to it."""
    kind: Literal["entra", "oidc", "saml"] = "oidc"
    """`entra` for Microsoft Entra ID, `oidc` for any other OpenID provider, `saml` for AD FS and other SAML ones."""
    authority: str = ""
    """The issuer: `https://login.microsoftonline.com/<tenant>/v2.0`, or the issuer of the OpenID provider."""
    client_id: str = ""
    """The application id registered there for this proxy."""
    saml: SamlSourceShape | None = None
    """For `kind: saml`, in place of `authority` and `client_id`."""
    client_secret: str | None = None
    """`env:NAME` or `file:PATH`. Prefer `client_certificate`."""
    client_certificate: str | None = None
    """PEM file with private key and certificate."""
    tenants: tuple[str, ...] = ()
    """Entra tenants whose users may sign in."""
    scopes: tuple[str, ...] = ()
    """Scopes beyond `openid profile email`."""
    algorithms: tuple[Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384"], ...] = ("RS256",)
    """Signature algorithms accepted in its tokens."""
    ca: str | None = None
    """PEM file that alone is trusted for it. Default: the system's roots."""
    domains: tuple[str, ...] = ()
    """The organisation's own mail domains; users of others are guests."""
    groups_claim: str = "groups"
    """The claim that lists groups."""
    name: str = ""
    """What people know it by, on the page that asks where to sign in. Default: the id."""
    hosts: tuple[str, ...] = ()
    """Further hosts that its discovery document names (`oauth2.googleapis.com`). No other is ever asked."""
    claims: ClaimsShape | None = None
    """What it calls things."""
    require: Mapping[str, tuple[str | bool, ...]] | None = None
    """Claims without which nobody is signed in: `{hd: [contoso.example], email_verified: [true]}`."""
    contexts: Mapping[str, ContextShape] | None = None
    """For providers other than Entra: `{c1: {acr: [phr], max_age: 5m}}`."""
    device: DeviceShape | None = None
    """Which proof gives which device tag."""
    graph: GraphShape | None = None
    """Look-ups in Microsoft Graph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionShape:
    """How long things live."""

    idle: str | None = None
    """A session ends after this long without a request. Default `60m`."""
    absolute: str | None = None
    """A session ends after this long in any case. Default `10h`."""
    pending: str | None = None
    """Time to finish a sign-in. Default `10m`."""
    code: str | None = None
    """Life of the one-time hand-off between hosts. Default `60s`."""
    resume_body: str | None = None
    """Largest POST body kept across a sign-in. Default `1MB`."""
    step_up_body: str | None = None
    """Largest upload kept across a step-up or a re-evaluation. Default `32MB`."""
    reevaluate: str | None = None
    """What the provider said is asked anew, silently, at the first navigation after this long; `never`: not at all.
    Default `15m`."""
    grace: str | None = None
    """Scripts of a page that stays open go on for so much longer, then get 401 until the provider was asked.
    Default `5m`."""
    watch_address: Literal["any", "network", "off"] = "network"
    """A change of the client's address that is a reason to ask at once: of the address itself, of its network
    (provider where `geo_database` knows it, else /24 or /48), or none."""
    watch_agent: bool = True
    """Another user agent is a reason to ask at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransmitterShape:
    """A transmitter of security events (CAEP, RISC): it pushes them to `https://login.<suffix>/.casb/events`."""

    issuer: str
    """`iss` of its tokens."""
    jwks: str
    """Address of its signing keys."""
    audience: str
    """`aud` that it addresses us by."""
    provider: str
    """Id of the identity provider whose sessions its events are about."""
    token: str | None = None
    """Bearer token that it sends, `env:NAME` or `file:PATH`. Left out: its signature alone counts."""
    ca: str | None = None
    """PEM file that alone is trusted for `jwks`. Default: the system's roots."""
    algorithms: tuple[Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384"], ...] = ("RS256",)
    """Signature algorithms accepted in its tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreShape:
    """Where sessions, activities and the configuration are shared. Left out: the data folder, for one machine."""

    records: str | None = None
    """PostgreSQL for the activity log, shared by all sidecars: its connection string, `env:NAME` or `file:PATH`."""
    configuration: Literal["follow", "publish"] | None = None
    """Needs `sessions`. `publish`: what this node finds good in its folder is in force on all nodes. `follow`: what
    another node published is in force here, and this folder's policies, apps and lists are not. Left out: this node
    goes by its own folder."""
    sessions: str | None = None
    """A Redis-compatible server that all nodes share: `rediss://user@host:port/0`, or `env:NAME`, `file:PATH`."""
    password: str | None = None
    """Password of the address's user, `env:NAME` or `file:PATH`."""
    ca: str | None = None
    """PEM file that alone is trusted for `rediss://`. Default: the system's roots."""
    keys: str | None = None
    """Key ring that sessions are encrypted with, the same on all nodes. Default: `sessions.keys` in the data folder."""
    prefix: str = "casb"
    """Of every key and of the channel on the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsShape:
    """Ceilings."""

    hold: str | None = None
    """Files up to this size are judged whole before any of them goes on; larger downloads of text are judged while they
    stream, all else is held on disk whatever its size. Default `50MB`."""
    spool_file: str | None = None
    """Largest file held encrypted on disk; larger ones take the policy's `unscannable`. Default `5GB`."""
    spool_total: str | None = None
    """All files held on disk together, of all workers. Default `20GB`."""
    spool_free: str | None = None
    """What stays free on the disk of held files. Default `1GB`."""
    spool_folder: str | None = None
    """Folder of held files. Their keys are in memory only. Default: `held` in the data folder."""
    rewrite: str | None = None
    """Text larger than this streams through the rewriter. Default `16MB`."""
    request_body: str | None = None
    """Largest request body. Default `5GB`."""
    head: str | None = None
    """Largest header section of a request or response. Default `256KB`."""
    upstream_idle: str | None = None
    """Patience with an app that says nothing. Default `2m`."""
    client_head: str | None = None
    """How long a browser may take for a handshake, or for the head of a request. Default `20s`."""
    client_rate: str | None = None
    """Bytes a second that a browser sends of a body, or takes of an answer, at the least. Default `100B`."""
    upstream_pool: str | None = None
    """How long an idle connection to an app is kept for the next browser; stay below the app's own patience. `0s` keeps
    none. Default `4s`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminsShape:
    """Who may sign in to the portal."""

    local: bool = True
    """Allow the admin that the sidecar makes at its first run."""
    provider: str | None = None
    """Id of the identity provider of admins."""
    group: str | None = None
    """Group at that provider whose members are admins."""
    client_id: str | None = None
    """The portal's own application id there."""
    client_secret: str | None = None
    """`env:NAME` or `file:PATH`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarShape:
    """The sidecar, and the proxy's way to it."""

    url: str | None = None
    """Where the proxy finds it. Default: `http://` and its listener."""
    public_url: str | None = None
    """As admins' browsers see the portal."""
    token: str | None = None
    """`env:NAME` or `file:PATH`. Default: made in the data folder."""
    database: str = "sqlite"
    """`sqlite`: a file in the data folder."""
    retention_days: int = 180
    """Days that activities are kept."""
    admins: AdminsShape | None = None
    """Who may sign in to the portal."""


type SeverityWord = Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailShape:
    """Alerts by e-mail."""

    server: str
    """`host:port` of the mail server."""
    sender: str
    """The address that they come from."""
    to: tuple[str, ...] = ()
    """Who is told of every alert; a policy's `alert: {email: […]}` adds to them."""
    tls: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted."""
    username: str | None = None
    """Account at the mail server."""
    password: str | None = None
    """`env:NAME` or `file:PATH`."""
    ca: str | None = None
    """PEM file that alone is trusted for it."""
    least: SeverityWord = "low"
    """Alerts below this severity are not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookShape:
    """Alerts as JSON to an address."""

    url: str
    """Where each alert is posted; https."""
    secret: str | None = None
    """`env:NAME` or `file:PATH`: signs each message (HMAC-SHA256 in `X-Casb-Signature`)."""
    ca: str | None = None
    """PEM file that alone is trusted for it."""
    least: SeverityWord = "low"
    """Alerts below this severity are not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnforcementShape:
    """What unsanctioned and monitored apps meet with."""

    severity: SeverityWord = "medium"
    """Of alerts about connections to unsanctioned apps."""
    bypass: str = "24h"
    """How long a monitored app stays open to whoever went on past its warning."""
    blocked_help: str | None = None
    """Address that the page of a blocked app links to: where to ask, what to use."""
    warned_help: str | None = None
    """The same for the warning of a monitored app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MalwareShape:
    """Engines that look for malware in files. Whichever of them calls a file malicious, it is."""

    clamd: str | None = None
    """ClamAV's daemon: `unix:/run/clamav/clamd.ctl` or `host:port`."""
    icap: tuple[str, ...] = ()
    """Engines behind ICAP (RFC 3507): `icap://host[:port]/service`."""
    yara: tuple[str, ...] = ()
    """Files or folders of YARA rules."""
    hashes: tuple[str, ...] = ()
    """Files or folders with SHA-256 digests of known malware, one a line, with a name."""
    timeout: str | None = None
    """For one file and engine. Default `60s`."""
    at_once: int = 8
    """Files that are with the engines at a time, for each worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsShape:
    """Whom alerts are told, besides the portal."""

    mail: MailShape | None = None
    """By e-mail."""
    webhooks: tuple[WebhookShape, ...] = ()
    """To programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelShape:
    """A Microsoft sensitivity label, as the Purview portal or `Get-Label` shows it."""

    id: str
    """The label's GUID."""
    name: str
    """What policies call it."""
    tenant: str
    """GUID of the tenant that the label belongs to."""
    priority: int
    """Higher is stricter; a file never gets a lower label than it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientShape:
    """Whom files can be encrypted to (`using: cms`)."""

    name: str
    """What policies call it."""
    certificate: str
    """PEM file of an X.509 certificate with an RSA or EC key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSourceShape:
    """A source of egress logs that the collector receives or that is uploaded."""

    name: str
    """Name of the source and of its stream."""
    type: str | None = None
    """Log format, e.g. `squid` or `FORTIGATE_SYSLOG`. Default: found by itself."""
    receiver: ReceiverWord = "upload"
    """How its logs come in; `upload`: by API only."""
    listen: str | None = None
    """`address:port` of a syslog receiver; each source has a port of its own."""
    path: str | None = None
    """Folder of a `directory` receiver; finished files are taken from it."""
    user: str | None = None
    """FTP account that belongs to this source."""
    password: str | None = None
    """`env:NAME` or `file:PATH`."""
    certificate: str | None = None
    """`syslog-tls`: our certificate, PEM."""
    key: str | None = None
    """`syslog-tls`: its private key, PEM."""
    client_ca: str | None = None
    """`syslog-tls`: senders need a certificate of this authority."""
    zone: str = "UTC"
    """Time zone of times that name none."""
    anonymize_users: bool | None = None
    """Users become pseudonyms before anything is kept. Default: that of `discovery`."""
    anonymize_devices: bool | None = None
    """Devices become pseudonyms. Default: that of `discovery`."""
    comment: str = ""
    """For people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorShape:
    """The log collector, `casb collect`."""

    name: str = "collector"
    """Name shown in the portal."""
    url: str | None = None
    """Address of the sidecar. Default: that of this deployment."""
    token: str | None = None
    """Upload token, `env:NAME` or `file:PATH`. Default: this deployment's own."""
    ca: str | None = None
    """PEM file that alone is trusted for the sidecar."""
    spool: str | None = None
    """Folder for what waits to be sent. Default: `collector` in the data folder."""
    spool_limit: str | None = None
    """What waits at most; beyond it new data is dropped and counted. Default `10GB`."""
    free_space: str | None = None
    """What is left free on the disk. Default `512MB`."""
    hourly_limit: str | None = None
    """Received in an hour at most; beyond it data is dropped and counted. Default `50GB`."""
    flush_bytes: str | None = None
    """A syslog file is sent from this size on. Default `40KB`."""
    flush_after: str | None = None
    """Or from this age on. Default `30s`."""
    keep: int = 20
    """Sent files kept of each source that does not pseudonymise."""
    ftp: str | None = None
    """`address:port` of the FTP listener."""
    ftp_passive: tuple[int, int] = (20000, 20099)
    """First and last port of passive FTP."""
    ftp_certificate: str | None = None
    """PEM file with certificate and key for FTPS."""
    health: str | None = None
    """`address:port` of the collector's `/healthz` and `/metrics`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointsShape:
    """Endpoint agents (Microsoft Defender for Endpoint)."""

    enforce: bool = False
    """Unsanctioned apps are blocked, monitored ones warned of on devices."""
    severity: Literal["informational", "low", "medium", "high"] = "medium"
    """Of all alerts about blocked apps."""
    blocked_url: str | None = None
    """Where the notice of a blocked app sends people."""
    warned_url: str | None = None
    """Where the notice of a monitored app sends people."""
    bypass_hours: int = 24
    """Hours that a warning which somebody went past stays silent, 1 to 720."""
    hunting_days: int = 30
    """Days that single events are kept for hunting, 0 to 180."""
    hunting_limit: str | None = None
    """Size of kept events; the oldest days go first. Default `10GB`."""
    directory: str | None = None
    """Folder that exports are dropped into."""
    api: str | None = None
    """Address of the indicator API. Default `https://api.security.microsoft.com`."""
    authority: str | None = None
    """`https://login.microsoftonline.com/<tenant>`; without it nothing is pushed."""
    client_id: str | None = None
    """Application that may write indicators (`Ti.ReadWrite.All`)."""
    client_secret: str | None = None
    """Its secret, `env:NAME` or `file:PATH`."""
    scope: str | None = None
    """What the token is asked for. Default `https://api.securitycenter.microsoft.com/.default`."""
    ca: str | None = None
    """PEM file that alone is trusted for both addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryShape:
    """Shadow IT: what is kept of egress logs, and where they come from."""

    retention_days: int = 90
    """Days that usage is kept; older lines are counted and not used."""
    anonymize_users: bool = False
    """Default of sources and uploads."""
    anonymize_devices: bool = False
    """Default of sources and uploads."""
    directory: str | None = None
    """CSV (`name,upn,groups,display`) or YAML: names in logs to people and groups."""
    database: str | None = None
    """PostgreSQL connection string, `env:NAME` or `file:PATH`. Default: files in the data folder."""
    detections: tuple[DetectionWord, ...] = (
        "exfiltration-to-unsanctioned-app",
        "breached-app",
        "new-popular-app",
        "generative-ai-app",
        "unblocked-cloud-app",
    )
    """Built-in detections that are on. Default: all."""
    proxy_stream: bool = True
    """Count the proxy's own tunnelled and controlled traffic."""
    sources: tuple[LogSourceShape, ...] = ()
    """Sources of logs."""
    collector: CollectorShape | None = None
    """The log collector."""
    endpoints: EndpointsShape | None = None
    """Endpoint agents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectionShape:
    """Looking for sensitive information in files and texts."""

    last_four: bool = False
    """Masked findings show the last four characters of what was found."""
    exact_match_key: str | None = None
    """The key of exact data match, `env:NAME` or `file:PATH`: 32 random bytes or more, as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineShape:
    """Refused uploads that a policy keeps (`action: {type: block, quarantine: true}`)."""

    keep: str | None = None
    """How long the files stay. What is known of them stays as long as activities. Default `30d`."""
    limit: str | None = None
    """All files together. A file that would go beyond is refused and not kept, with an alert. Default `20GB`."""
    folder: str | None = None
    """Folder of the encrypted files. Default: `quarantine` in the data folder."""
    two_people: bool = False
    """A release takes two admins: one asks, another one allows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CasbFile:
    """`casb.yaml`: the deployment."""

    version: Literal[1] = 1
    """Version of this format."""
    suffix: str
    """Apps appear as `<their name>.<suffix>`."""
    host_names: Literal["dotted", "flat"] = "dotted"
    """`flat`: `app.example` appears as `app-example--x.<suffix>`, so that a certificate for `*.<suffix>` covers all."""
    public_port: int | None = None
    """The port that browsers use, when a load balancer changes it. Default: that of `listeners.reverse`."""
    data: str = "var"
    """Folder for sessions, spool and database."""
    authority: str = "certs"
    """Folder of our certificate authority."""
    listeners: ListenersShape | None = None
    """Where we listen."""
    providers: tuple[ProviderShape, ...] = ()
    """Identity providers; the first is the default."""
    session: SessionShape | None = None
    """How long things live."""
    store: StoreShape | None = None
    """Where sessions are kept."""
    limits: LimitsShape | None = None
    """Ceilings."""
    inspection: InspectionShape | None = None
    """Looking for sensitive information."""
    sidecar: SidecarShape | None = None
    """The sidecar."""
    discovery: DiscoveryShape | None = None
    """Shadow IT."""
    malware: MalwareShape | None = None
    """Engines that look for malware in files, where a policy asks for it."""
    quarantine: QuarantineShape | None = None
    """Refused uploads that are kept."""
    alerts: AlertsShape | None = None
    """Whom alerts are told, besides the portal."""
    enforcement: EnforcementShape | None = None
    """What unsanctioned and monitored apps meet with."""
    security_events: tuple[TransmitterShape, ...] = ()
    """Who may tell us that sessions, accounts or devices have changed."""
    choose_provider: Literal["first", "ask"] = "first"
    """For apps that name no provider: the first of the list, or a page that asks where several fit."""
    client_certificates: ClientCertificatesShape | None = None
    """Device certificates."""
    device_inventory: str | None = None
    """CSV (`device,tags,owner`) or YAML file of managed devices by id."""
    groups_file: str | None = None
    """CSV (`group,member`) or YAML file of groups and their members."""
    scope: ScopeShape | None = None
    """Whose activities are recorded. Default: everybody's."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and ranges of your load balancers: what they say of a client's address is believed."""
    address_header: Literal["x-forwarded-for", "forwarded", "none"] = "x-forwarded-for"
    """The one field in which they say it. They must set or extend it; any other is ignored."""
    on_failure: FailureWord = "block"
    """What an activity gets that cannot be judged because something of ours failed."""
    geo_database: str | None = None
    """A GeoIP database (`.mmdb`) for countries and providers. Default: what `casb geo update` fetched, if anything."""
    geo_asn_database: str | None = None
    """A second one (`.mmdb`) for the providers of networks, e.g. GeoLite2-ASN."""
    recovery_recipient: str | None = None
    """age recipient that can open every protected file."""
    recovery_certificate: str | None = None
    """PEM file: the certificate whose key opens every file made with `using: cms`."""
    labels: tuple[LabelShape, ...] = ()
    """Sensitivity labels of the organisation."""
    recipients: tuple[RecipientShape, ...] = ()
    """Certificates that files can be encrypted to."""
    record_flows: str | None = None
    """Scrubbed flows for `casb replay` are appended to this file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamShape:
    """Where an app really is, when that differs from its name."""

    connect: str | None = None
    """`host:port`, `https://host:port` or `http://host:port`."""
    ca: str | None = None
    """PEM file that alone is trusted for it."""
    hosts: Mapping[str, str] | None = None
    """Single names of the app that are elsewhere, each as in `connect`: `{api.example.com: "10.0.0.7:8443"}`."""
    scheme: Literal["http", "https"] | None = None
    """What the app takes itself to be on, and says in its own addresses. Default: `http` when we connect so."""
    forwarded: Literal["none", "x-forwarded", "forwarded"] = "none"
    """Tell the app the browser's address, its own name and scheme: `X-Forwarded-*` or `Forwarded` (RFC 7239)."""
    pool: bool = True
    """Connections to the app may serve one browser after another. `false` where it takes a connection for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectShape:
    """Where a request names a file, folder or person."""

    type: str
    """`file`, `folder`, `user`, `group`, `message`, or the app's own word."""
    id: str
    """Text with `{places}` of the path, a JSON pointer into the body, or `?parameter` of the query."""
    name: str = ""
    """The same for its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransfersShape:
    """How the app takes and gives files, where that is not plain."""

    partial: Literal["remove", "refuse"] = "remove"
    """A form with several files of which a policy refuses some: they are taken out of the form, or all are refused."""
    inline: Literal["download", "view"] = "download"
    """What opening a PDF or picture in the browser counts as; saving it is a download in any case. The browser has all
    of the file then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureShape:
    """Names an activity of an app by its request. The first that fits counts."""

    activity: ActivityWord
    """What it is; `none` for traffic that looks like an up- or download and is neither."""
    id: str = ""
    """What the app calls it, e.g. `item.invite`; it is in the log as `operation`."""
    methods: tuple[str, ...] = ()
    """HTTP methods; none: any. `MESSAGE` is a WebSocket message of the browser, a JSON text."""
    path: str = "*"
    """Pattern of the path: `*` is any text, `?` any character. With `{places}` in it: `{item}` is one segment,
    `{path*}` any number of them, `*` any text."""
    content_types: tuple[str, ...] = ()
    """Content types of the request; none: any."""
    query: tuple[str, ...] = ()
    """Query parameters that must all be there: `name`, or `name=value`."""
    body: Mapping[str, str | tuple[str, ...]] | None = None
    """What the body must say, a JSON object, list of objects or form: JSON pointers (`/operationName`, `/items/*/id`)
    and the patterns of which one fits."""
    objects: tuple[ObjectShape, ...] = ()
    """What the activity is about."""
    admin: bool = False
    """It is an administrator's operation."""
    status: tuple[int, ...] = ()
    """Views and downloads: statuses of the response; none: any success."""
    name_field: str = ""
    """Uploads: field of the JSON request body that holds the file name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriteShape:
    """Quirks of rewriting."""

    exclude: tuple[str, ...] = ()
    """Patterns of paths whose bodies stay byte-exact."""
    inject_guard: bool = True
    """Put the guard script into pages."""
    view: ViewWord = "suffix"
    """Under which names scripts see their own hosts. `origin` for apps that compute their own name, compare it with
    `location` or store it where it cannot be mapped back: scripts are parsed and see the real names."""
    messages: bool = True
    """Map host names in WebSocket text messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlsShape:
    """How copying, cutting, pasting and printing are controlled in the app's pages."""

    clipboard: ClipboardWord = "system"
    """`inside`: what policies do not let out of the app can still be pasted in it, and in other apps with `inside`."""
    watermark: WatermarkWord = "never"
    """The person's name and the time across the page, also when printed. `controlled`: only on pages where a policy
    concerns copying, cutting, pasting or printing."""
    on_tamper: TamperWord = "record"
    """What follows when the guard of a controlled page did not report: a record, or no further page for 10 minutes."""
    without_script: ScriptWord = "allow"
    """`refuse`: a browser that runs no script is shown a refusal in place of controlled pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NameIdShape:
    """What an app is told as the name of a person."""

    format: Literal["email", "persistent", "unspecified"] | None = None
    """How it is to be read: an e-mail address, an opaque name, or neither. Default: as the provider said."""
    source: str = "name_id"
    """`name_id` keeps what a SAML provider gave (`user.name` for others); or `user.name`, `user.id`, or an attribute of
    the identity provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlAppShape:
    """An app that is signed in to by SAML, with this proxy as its identity provider."""

    metadata: str | None = None
    """File with the app's own metadata (XML)."""
    entity_id: str = ""
    """In place of `metadata`: its entity id."""
    acs: tuple[str, ...] = ()
    """In place of `metadata`: its addresses for answers (ACS), the default first."""
    slo_url: str = ""
    """In place of `metadata`: its sign-out address."""
    certificates: tuple[str, ...] = ()
    """PEM files of the certificates that it signs its requests with."""
    requests: Literal["as-metadata", "signed", "any"] = "as-metadata"
    """`signed`: its requests must be signed. A signature that is there must be right in any case."""
    name_id: NameIdShape | None = None
    """What it is told as the name of a person. Default: the NameID that the identity provider gave."""
    attributes: Mapping[str, str] | None = None
    """Its name of an attribute to where the value comes from: `{mail: user.name, groups: user.groups}`; others are
    attributes of the identity provider. What is not listed is not told."""
    idp_initiated: bool = False
    """A sign-in may begin at the identity provider, or on our page of applications."""
    pass_through: bool = False
    """The identity provider answers the app itself, at its suffixed address: the structure of each answer is checked
    on its way, and a bad one is blocked. Prefer the bridge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceShape:
    """How requests for one tenant, workspace or organisation are told. All that is said must hold; `*` and `?` are
    wildcards."""

    host: str | tuple[str, ...] = ()
    """The app's host, e.g. `contoso-my.sharepoint.com`."""
    header: Mapping[str, str | tuple[str, ...]] | None = None
    """Request headers: name to value."""
    cookie: Mapping[str, str | tuple[str, ...]] | None = None
    """Cookies: name to value."""
    token: Mapping[str, str | tuple[str, ...]] | None = None
    """Claims of the bearer token that the request carries: name to value, e.g. `tid`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppShape:
    """One app: `apps/<id>.yaml`."""

    id: str
    """Short name that policies use: lower-case letters, digits, hyphens."""
    name: str
    """Name that people read."""
    domains: tuple[str, ...]
    """Host names, with a port where it is not 443: `app.example.com:8444`. `*.example.com` covers every name below, not
    `example.com` itself."""
    category: str = ""
    """As in the catalog, e.g. `Cloud storage`."""
    tag: TagWord = "sanctioned"
    """The sanctioning tag."""
    risk_score: int | None = None
    """0 (worst) to 10 (best)."""
    controlled: bool | None = None
    """Session control is on. Default: yes, unless unsanctioned."""
    upstream: UpstreamShape | None = None
    """Where the app really is."""
    product: str | None = None
    """The known application that it is (`nextcloud`, `gitlab`, `copyparty`): its activities are recognised as shipped.
    Default: found by the domains. `none`: by nothing but `signatures`."""
    signatures: tuple[SignatureShape, ...] = ()
    """What its requests mean, where that is not plain. They come before those of the `product`."""
    transfers: TransfersShape | None = None
    """How it takes and gives files, where that is not plain."""
    rewrite: RewriteShape | None = None
    """Quirks of rewriting."""
    controls: ControlsShape | None = None
    """Copying, cutting, pasting and printing in its pages."""
    instances: Mapping[str, InstanceShape] | None = None
    """Tenants, workspaces or organisations of the app, by a name of your own: `app: {instance: …}` in policies. The
    first that fits counts."""
    start: str = "/"
    """Path that a person opens first."""
    logout: tuple[str, ...] = ()
    """Patterns of paths that end the app's own session; ours ends with it."""
    provider: str | None = None
    """Id of its identity provider. Default: the first."""
    saml: SamlAppShape | None = None
    """Signed in to by SAML."""
    always_proxied: bool = True
    """`false`: users whom no session policy could concern are sent to the real host."""
    unknown_hosts: UnknownHostsWord = "pass"
    """Hosts that its pages ask for and that no app owns: `pass` lets them be, `learn` lists them (`casb catalog
    learned`), `deny` lists them and has the browser refuse them."""
    on_failure: FailureWord | None = None
    """Default: that of `casb.yaml`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppsFile:
    """Several apps in one file of `apps/`."""

    apps: tuple[AppShape, ...]
    """The apps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeShape:
    """A named range of addresses."""

    name: str
    """For people; activities carry category and tags."""
    ranges: tuple[str, ...]
    """Addresses and CIDR ranges, IPv4 and IPv6. No address may be in two entries."""
    category: CategoryWord = "other"
    """What kind of network it is."""
    tags: tuple[str, ...] = ()
    """Free words for policies."""
    country: str | None = None
    """Two letters (ISO 3166-1) instead of what the GeoIP database says."""
    isp: str | None = None
    """Provider instead of what the GeoIP database says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangesFile:
    """`ranges.yaml`: what the organisation knows of addresses."""

    version: Literal[1] = 1
    """Version of this format."""
    ranges: tuple[RangeShape, ...] = ()
    """The named ranges."""


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schemas for editors: `casb`, `app` and `ranges`."""
    return {
        "casb": _schema(CasbFile, "casb.yaml"),
        "app": _either(_schema(AppShape, "An app"), _schema(AppsFile, "Apps")),
        "ranges": _schema(RangesFile, "ranges.yaml"),
    }


def _schema(shape: Any, title: str) -> dict[str, Any]:
    # A list around the shape, as in `yamlfile`: only then does the configuration reach plain dataclasses below it.
    config = pydantic.ConfigDict(extra="forbid", use_attribute_docstrings=True)
    whole = pydantic.TypeAdapter(list[shape], config=config).json_schema()
    definitions = whole.pop("$defs")
    for definition in definitions.values():
        if definition.get("type") == "object":
            definition.setdefault("additionalProperties", False)
        for each in definition.get("properties", {}).values():
            each.pop("title", None)
    name = whole["items"]["$ref"].rpartition("/")[2]
    root = definitions.pop(name)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **root,
        "title": title,
        "$defs": definitions,
    }


def _either(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A file that is `one`, or `other`; told apart by the keys that the other requires."""
    definitions = {**one.pop("$defs"), **other.pop("$defs"), "_One": one, "_Other": other}
    draft = one.pop("$schema")
    other.pop("$schema")
    return {
        "$schema": draft,
        "if": {"required": other["required"]},
        "then": {"$ref": "#/$defs/_Other"},
        "else": {"$ref": "#/$defs/_One"},
        "$defs": definitions,
    }
