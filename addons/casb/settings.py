"""The deployment as values: what `casb.yaml` says. Read by `casb.config`; nothing here touches a file.

Durations are seconds, sizes bytes, ports as in TCP. Paths are absolute once loaded (relative ones count from the
configuration folder).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from casb.errors import Where

RECORD_FLOWS = "CASB_RECORD_FLOWS"
"""Environment variable: record flows there, whatever `record_flows` of casb.yaml says."""


TENANT_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
"""An Entra tenant id, in lower case."""


def tenants_named(authority: str, tenants: tuple[str, ...]) -> tuple[str, ...]:
    """The Entra tenants whose users may sign in: those listed, or the one that the authority names; () for none."""
    if tenants:
        return tenants
    segment = urlsplit(authority).path.strip("/").split("/")[0].lower()
    return (segment,) if TENANT_ID.fullmatch(segment) else ()


class Secret(str):
    """A string that never prints itself; `str.__str__(secret)` or `.reveal()` gives it on purpose."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(…)"

    def __str__(self) -> str:
        return "…"

    def __format__(self, spec: str) -> str:
        return "…"

    def reveal(self) -> str:
        """The secret itself."""
        return self[:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Where we listen, `address:port`. `forward: null` switches the forward proxy off."""

    reverse: str = "127.0.0.1:8443"
    forward: str | None = "127.0.0.1:8080"
    sidecar: str = "127.0.0.1:8090"
    health: str | None = "127.0.0.1:8091"  # /healthz, /readyz and /metrics of the proxy
    proxy_protocol: tuple[Literal["reverse", "forward"], ...] = ()  # those where connections begin with PROXY protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRules:
    """Which proof gives which device tag (reference/identity.md section 4).

    `compliant` and `hybrid_joined` name authentication contexts (`c1`); `claims` maps a tag to claim values,
    e.g. `{compliant: {device_compliant: [true]}}`; `signin_state` accepts Entra's undocumented flags as well.
    """

    compliant: tuple[str, ...] = ()
    hybrid_joined: tuple[str, ...] = ()
    signin_state: bool = False
    adfs: bool = False  # AD FS device-context attributes (SAML)
    claims: Mapping[str, Mapping[str, tuple[str | bool, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlSource:
    """Where a SAML identity provider is, and what its assertions call things.

    Either `metadata` (an https address, or the `document` read from a file), or entity id, address and certificates.
    Certificates are PEM texts. Attribute names are tried in their order; none: the well-known ones.
    """

    metadata: str = ""  # https address that is read again every hour
    document: bytes | None = field(default=None, repr=False)  # metadata out of a file
    trust: tuple[str, ...] = ()  # the metadata must be signed by one of these
    entity_id: str = ""
    sso_url: str = ""
    slo_url: str = ""
    certificates: tuple[str, ...] = ()
    sign_requests: bool = True
    name_id_format: str = ""
    subject: str = ""  # attribute that names a person for good; none: the NameID
    username: tuple[str, ...] = ()
    display_name: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    origin: Where | None = None  # its place, for errors


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextRule:
    """What stands for an authentication context at a provider without `acrs`: at least one of the two."""

    acr: tuple[str, ...] = ()  # accepted values of `acr`; asked for as `acr_values`
    max_age: int | None = None  # seconds since the person proved themself actively


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimNames:
    """What a provider calls things. A name with dots is a path into objects unless a claim has that very name."""

    username: tuple[str, ...] = ("preferred_username", "upn", "email")  # the first that is there
    display_name: tuple[str, ...] = ("name",)
    organization: str = ""  # `User.organization`
    tenant: str = ""  # `User.tenant`; Entra's is `tid` always


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Microsoft Graph as an application of its own: groups beyond a token, devices, what guards a context."""

    client_id: str
    client_secret: Secret | None = None
    client_certificate: str | None = None  # PEM with key and certificate; preferred over a secret
    url: str = "https://graph.microsoft.com"  # of the national cloud
    ca: str | None = None  # PEM that alone is trusted for Graph; None: the system's roots
    groups: bool = True  # look up groups when the token leaves them out
    group_ids: Mapping[str, str] = field(default_factory=dict)  # names that policies use, to object ids
    devices: bool = False  # look up devices by their id
    contexts: bool = True  # believe an authentication context only while a policy guards it
    fresh: int = 600  # seconds that what was looked up is used without asking
    usable: int = 3600  # seconds that it is used while Graph is away


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRule:
    """Which certificates count: all parts that are given must fit. Texts may have `*`; names are as in RFC 4514."""

    issuer: str = ""
    subject: str = ""
    san: str = ""
    oid: str = ""  # an extension, extended key usage or certificate policy that it must have


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificates:
    """Device certificates, asked for on `device.<suffix>`. Paths are absolute."""

    anchors: tuple[str, ...]  # PEM files; roots or intermediates
    intermediates: tuple[str, ...] = ()
    crls: tuple[str, ...] = ()  # files, http or https addresses
    ocsp: str | None = None  # address of the responder
    revocation: Literal["require", "prefer", "ignore"] = "require"  # prefer: what nobody can tell counts as not revoked
    rules: tuple[CertificateRule, ...] = ()  # any of them must fit; none: every certificate of the anchors counts
    device_id: Literal["san_uri", "san_dns", "san_email", "common_name"] = "common_name"
    device_id_pattern: str = ""  # the device id is its one group, or all that it fits
    valid_for: int = 8 * 3600  # seconds; then it is asked for again
    header: Literal["x-ssl-client-cert", "x-forwarded-client-cert"] | None = None  # of trusted proxies
    ask: Literal["needed", "always"] = "needed"  # needed: a policy is about devices


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeRule:
    """People by group or name, for all apps or some."""

    groups: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()  # apps or suites; none: all


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose activities are recorded (MDCA scoped deployment). Exclusion wins; policies hold for everybody."""

    include: tuple[ScopeRule, ...] = ()
    exclude: tuple[ScopeRule, ...] = ()
    suites: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # name to apps


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One identity provider. `authority` for Entra: `https://login.microsoftonline.com/{tenant}` and a tenant list."""

    id: str
    kind: Literal["entra", "oidc", "saml"] = "oidc"
    authority: str = ""  # OIDC issuer; for Entra the authority with the tenant or `organizations`, ending in /v2.0
    client_id: str = ""
    client_secret: Secret | None = None
    client_certificate: str | None = None  # PEM with key and certificate; preferred over a secret
    tenants: tuple[str, ...] = ()  # allow-list of tenant ids (Entra)
    scopes: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ("RS256",)
    ca: str | None = None  # PEM that alone is trusted for the provider; None: the system's roots
    hosts: tuple[str, ...] = ()  # further hosts of the provider (keys, token endpoint); its authority's is always one
    domains: tuple[str, ...] = ()  # the organisation's own mail domains; others are guests
    groups_claim: str = "groups"
    name: str = ""  # what people know it by, on our page that asks where to sign in
    claims: ClaimNames = field(default_factory=ClaimNames)
    require: Mapping[str, tuple[str | bool, ...]] = field(default_factory=dict)  # claims that must have such a value
    contexts: Mapping[str, ContextRule] = field(default_factory=dict)  # empty: the provider knows `acrs` (Entra)
    device: DeviceRules = field(default_factory=DeviceRules)
    graph: Graph | None = None
    saml: SamlSource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """Lifetimes in seconds (reference/identity.md section 5)."""

    idle: int = 3600
    absolute: int = 36000
    pending: int = 600
    code: int = 60
    resume_body: int = 1024 * 1024  # largest POST body kept across a sign-in, bytes
    step_up_body: int = 32 * 1024 * 1024  # the same across a step-up: of people who are signed in
    reevaluate: int = 900  # what the provider said is asked anew at the next navigation after it; 0: never
    grace: int = 300  # scripts of an open page go on for so much longer
    watch_address: Literal["any", "network", "off"] = "network"  # which change is a reason to ask at once
    watch_agent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmitter:
    """Who may tell us of security events (OpenID Shared Signals), and of whose sessions."""

    issuer: str
    jwks: str  # https address of its keys
    audience: str
    provider: str  # id of the identity provider whose sessions its events are about
    token: Secret | None = None  # bearer token that it sends
    ca: str | None = None  # PEM that alone is trusted for `jwks`; None: the system's roots
    algorithms: tuple[str, ...] = ("RS256",)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStoreSettings:
    """What nodes share. Without `sessions` and `records` in files of the data folder: one machine."""

    records: Secret | None = None  # libpq connection string of the activity log; None: SQLite in the data folder
    configuration: Literal["follow", "publish"] | None = None  # through the server of `sessions`; None: own folder
    sessions: Secret | None = None  # redis:// or rediss:// address of a server that all nodes share
    password: Secret | None = None  # for the address's user
    ca: str | None = None  # PEM that alone is trusted for rediss://; None: the system's roots
    keys: str | None = None  # key ring shared by all nodes; None: `sessions.keys` in the data folder
    prefix: str = "casb"  # of every key and the channel, for servers that others use, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Ceilings. Up to `hold` bytes a file is judged whole before any of it goes on; a larger download of text is judged
    while it streams. What is held is encrypted on disk (`spool_folder`); beyond `spool_file` or `spool_total` it takes
    `unscannable`."""

    hold: int = 50 * 1024 * 1024
    spool_file: int = 5 * 1024**3
    spool_total: int = 20 * 1024**3  # of all workers together
    spool_free: int = 1024**3  # what stays free on the disk
    spool_folder: str | None = None  # None: `held` in the data folder
    rewrite: int = 16 * 1024 * 1024  # text larger than this streams through the rewriter, never buffered
    request_body: int = 5 * 1024 * 1024 * 1024
    head: int = 256 * 1024  # one request's or one response's header section, as received
    upstream_idle: int = 120
    client_head: int = 20  # seconds for a handshake, and for the head of a request
    client_rate: int = 100  # bytes a second that a client sends or takes at least
    upstream_pool: int = 4  # seconds an idle connection to an app is kept for the next browser; 0: none


@dataclass(frozen=True, slots=True, kw_only=True)
class Admins:
    """Who may sign in to the portal. `local` allows the first-run admin; `group` names an IdP group."""

    local: bool = True
    provider: str | None = None
    group: str | None = None
    client_id: str | None = None
    client_secret: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """The proxy's way to the sidecar, and the sidecar's own settings. `token` is made in the data folder if absent."""

    url: str | None = None  # default: http://<listeners.sidecar>
    public_url: str | None = None  # as admins' browsers see the portal
    token: Secret | None = None
    database: str = "sqlite"
    retention_days: int = 180
    admins: Admins = field(default_factory=Admins)


type SeverityWord = Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail server and whom alerts go to. `tls` is `starttls`, `tls` (from the first byte) or `none`."""

    server: str  # host:port
    sender: str
    to: tuple[str, ...] = ()
    tls: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: Secret | None = None
    ca: str | None = None
    least: SeverityWord = "low"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address that gets alerts as JSON; `secret` signs them."""

    url: str
    secret: Secret | None = None
    ca: str | None = None
    least: SeverityWord = "low"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforcement:
    """What unsanctioned and monitored apps meet with, in the proxy and in the alerts."""

    severity: SeverityWord = "medium"  # of alerts about connections to unsanctioned apps
    bypass: int = 24 * 3600  # seconds that a monitored app stays open to whoever went on past the warning
    blocked_help: str | None = None  # address that the page of a blocked app links to
    warned_help: str | None = None  # the same for a monitored one


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """Whom alerts are told, besides the portal."""

    mail: Mail | None = None
    webhooks: tuple[Webhook, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Malware:
    """Who looks for malware. Paths are absolute, times in seconds."""

    clamd: str | None = None  # unix:/path or host:port
    icap: tuple[str, ...] = ()  # icap://host[:port]/service
    yara: tuple[str, ...] = ()  # files or folders of rules
    hashes: tuple[str, ...] = ()  # files or folders of SHA-256 digests
    timeout: int = 60  # for one file and engine
    at_once: int = 8  # files that are with the engines at a time, for each worker


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSource:
    """One appliance or system whose logs the collector receives; its stream has the same name."""

    name: str
    type: str | None = None  # log parser by name, alias or number; None: found by itself
    receiver: str = "upload"  # syslog-udp | syslog-tcp | syslog-tls | directory | ftp | ftps | upload
    listen: str | None = None  # syslog receivers: address:port
    path: str | None = None  # directory receivers: the folder that files are put into
    user: str | None = None  # FTP receivers: the account that belongs to this source
    password: Secret | None = None
    certificate: str | None = None  # syslog-tls: PEM of our certificate, its key and whom senders must be signed by
    key: str | None = None
    client_ca: str | None = None
    zone: str = "UTC"
    anonymize_users: bool = False
    anonymize_devices: bool = False
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """The log collector. Sizes in bytes, times in seconds."""

    name: str = "collector"
    url: str | None = None  # the sidecar's; None: this deployment's own
    token: Secret | None = None  # an upload token; None: this deployment's own
    ca: str | None = None  # PEM that alone is trusted for an https sidecar
    spool: str | None = None  # folder; None: `collector` in the data folder
    spool_limit: int = 10 * 1024**3  # what waits at most; beyond it new data is dropped and counted
    free_space: int = 512 * 1024**2  # what is left free on the disk
    hourly_limit: int = 50 * 1024**3  # bytes received in an hour; beyond it data is dropped and counted
    flush_bytes: int = 40 * 1024  # a syslog file is sent from this size on
    flush_seconds: int = 30  # or from this age on
    keep: int = 20  # sent files kept of each source that does not pseudonymise
    ftp: str | None = None  # address:port of the FTP listener
    ftp_passive: tuple[int, int] = (20000, 20099)
    ftp_certificate: str | None = None  # PEM with certificate and key: FTPS
    health: str | None = None  # address:port of /healthz and /metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Endpoint agents (Defender for Endpoint): what is kept of their events, and blocking on devices."""

    enforce: bool = False  # unsanctioned and monitored apps become indicators
    severity: Literal["informational", "low", "medium", "high"] = "medium"
    blocked_url: str | None = None  # where block notices send people
    warned_url: str | None = None
    bypass_hours: int = 24
    hunting_days: int = 30
    hunting_limit: int = 10 * 1024**3  # bytes of kept events; the oldest days go first
    directory: str | None = None  # folder that exports are dropped into
    api: str = "https://api.security.microsoft.com"
    authority: str | None = None  # https://login.microsoftonline.com/<tenant>; None: nothing is pushed
    client_id: str | None = None
    client_secret: Secret | None = None
    scope: str = "https://api.securitycenter.microsoft.com/.default"
    ca: str | None = None  # PEM that alone is trusted for both


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """Shadow IT: retention, privacy, and where logs come from."""

    retention_days: int = 90
    anonymize_users: bool = False  # default of new sources and uploads
    anonymize_devices: bool = False
    directory: str | None = None  # CSV or YAML: log name to UPN and groups
    database: Secret | None = None  # libpq connection string; None: files in the data folder
    detections: tuple[str, ...] = (
        "exfiltration-to-unsanctioned-app",
        "breached-app",
        "new-popular-app",
        "generative-ai-app",
        "unblocked-cloud-app",
    )  # built-in ones that are on
    proxy_stream: bool = True  # the proxy's own tunnelled and controlled traffic counts
    sources: tuple[LogSource, ...] = ()
    collector: Collector = field(default_factory=Collector)
    endpoints: Endpoints = field(default_factory=Endpoints)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Looking for sensitive information. `last_four`: masked findings show the last four characters."""

    last_four: bool = False
    exact_match_key: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityLabel:
    """A label of the organisation. `id` and `tenant` are GUIDs in lower case; a higher `priority` is stricter."""

    id: str
    name: str
    tenant: str
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Whom files can be encrypted to. `certificate` is a PEM file."""

    name: str
    certificate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """Refused uploads that are kept. What would go beyond `limit` is not kept; what is there never makes room."""

    keep: int = 30 * 86400  # seconds
    limit: int = 20 * 1024**3  # bytes, of all files together
    folder: str | None = None  # None: `quarantine` in the data folder
    two_people: bool = False  # who asks for a release cannot be who allows it


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One deployment."""

    suffix: str
    version: int = 1
    host_names: Literal["dotted", "flat"] = "dotted"  # how an app's name is spelt under the suffix
    public_port: int | None = None  # the port browsers use; default: the reverse listener's
    data: str = "var"
    authority: str = "certs"  # folder of our certificate authority
    listeners: Listeners = field(default_factory=Listeners)
    providers: tuple[Provider, ...] = ()
    session: SessionLimits = field(default_factory=SessionLimits)
    store: SessionStoreSettings = field(default_factory=SessionStoreSettings)
    limits: Limits = field(default_factory=Limits)
    inspection: Inspection = field(default_factory=Inspection)
    sidecar: Sidecar = field(default_factory=Sidecar)
    discovery: Discovery = field(default_factory=Discovery)
    alerts: Alerts = field(default_factory=Alerts)
    malware: Malware | None = None
    quarantine: Quarantine = field(default_factory=Quarantine)
    enforcement: Enforcement = field(default_factory=Enforcement)
    security_events: tuple[Transmitter, ...] = ()
    choose_provider: Literal["first", "ask"] = "first"  # where apps name none and no hint tells
    client_certificates: ClientCertificates | None = None
    device_inventory: str | None = None  # CSV or YAML: device id to tags and owner
    groups_file: str | None = None  # CSV or YAML: group to members
    scope: Scope = field(default_factory=Scope)
    trusted_proxies: tuple[str, ...] = ()
    address_header: Literal["x-forwarded-for", "forwarded", "none"] = "x-forwarded-for"  # in which they tell the client
    on_failure: Literal["block", "allow"] = "block"  # the default behaviour (S22)
    geo_database: str | None = None  # operator's .mmdb (extra `casb[geo]`); None: what `casb geo update` fetched
    geo_asn_database: str | None = None  # a second one, for network providers
    recovery_recipient: str | None = None  # age recipient added to every protected file
    recovery_certificate: str | None = None  # PEM added to every CMS file
    labels: tuple[SensitivityLabel, ...] = ()
    recipients: tuple[Recipient, ...] = ()
    record_flows: str | None = None  # scrubbed flows for `casb replay` are appended here
    folder: str = ""  # the configuration folder itself; set by the loader

    @property
    def port(self) -> int:
        """The port that browsers see on suffixed hosts."""
        return self.public_port or int(self.listeners.reverse.rpartition(":")[2])

    @property
    def login_host(self) -> str:
        return f"login.{self.suffix}"

    @property
    def device_host(self) -> str:
        return f"device.{self.suffix}"

    @property
    def sidecar_url(self) -> str:
        return self.sidecar.url or f"http://{self.listeners.sidecar}"

    def address_of(self, host: str) -> str:
        """`https://host[:port]` as a browser writes it."""
        return f"https://{host}" if self.port == 443 else f"https://{host}:{self.port}"
