"""The section `discovery:` of `casb.yaml` to `settings.Discovery`."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from casb.config.notes import Notes
from casb.config.shape import CollectorShape, DiscoveryShape, EndpointsShape, LogSourceShape
from casb.settings import Collector, Discovery, Endpoints, LogSource
from casb.yamlfile import Path

_AT = ("discovery",)
_SYSLOG = ("syslog-udp", "syslog-tcp", "syslog-tls")
_FTP = ("ftp", "ftps")

type Address = Callable[[str], tuple[str, int]]
type Url = Callable[[str, Path, Notes], None]


def read_discovery(shape: DiscoveryShape, notes: Notes, *, address: Address, url: Url) -> Discovery:
    """The section. `address` reads a listener's address, `url` checks the sidecar's; both are the deployment's."""
    if not 1 <= shape.retention_days <= 3650:
        notes.wrong("C120", "usage is kept for 1 to 3650 days", (*_AT, "retention_days"))
    collector = _collector(shape.collector or CollectorShape(), notes, address, url)
    sources = tuple(
        _source(each, (*_AT, "sources", at), shape, notes, address) for at, each in enumerate(shape.sources)
    )
    _distinct(sources, notes)
    for at, source in enumerate(sources):
        if source.receiver in _FTP and collector.ftp is None:
            hint = "set discovery.collector.ftp to its address and port"
            notes.wrong("C130", "an FTP source needs the collector's FTP listener", (*_AT, "sources", at), hint)
        if source.receiver == "ftps" and collector.ftp_certificate is None:
            hint = "set discovery.collector.ftp_certificate"
            notes.wrong("C130", "an FTPS source needs the collector's certificate", (*_AT, "sources", at), hint)
    return Discovery(
        retention_days=shape.retention_days,
        anonymize_users=shape.anonymize_users,
        anonymize_devices=shape.anonymize_devices,
        directory=notes.file(shape.directory, (*_AT, "directory")),
        database=notes.secret(shape.database, (*_AT, "database")),
        detections=shape.detections,
        proxy_stream=shape.proxy_stream,
        sources=sources,
        collector=collector,
        endpoints=_endpoints(shape.endpoints or EndpointsShape(), notes),
    )


def _endpoints(shape: EndpointsShape, notes: Notes) -> Endpoints:
    at = (*_AT, "endpoints")
    default = Endpoints()
    for key in ("api", "authority", "blocked_url", "warned_url"):
        text = getattr(shape, key)
        if text is not None and not _https(text):
            notes.wrong("C132", f"{key} is not an https address", (*at, key))
    for key, least, most in (("bypass_hours", 1, 720), ("hunting_days", 0, 180)):
        if not least <= getattr(shape, key) <= most:
            notes.wrong("C120", f"{key} is a number from {least} to {most}", (*at, key))
    if shape.authority is not None and (shape.client_id is None or shape.client_secret is None):
        notes.wrong("C132", "pushing indicators needs 'client_id' and 'client_secret'", at)
    return Endpoints(
        enforce=shape.enforce,
        severity=shape.severity,
        blocked_url=shape.blocked_url,
        warned_url=shape.warned_url,
        bypass_hours=shape.bypass_hours,
        hunting_days=shape.hunting_days,
        hunting_limit=notes.byte_count(shape.hunting_limit, default.hunting_limit, (*at, "hunting_limit")),
        directory=shape.directory and notes.path(shape.directory),
        api=(shape.api or default.api).rstrip("/"),
        authority=shape.authority and shape.authority.rstrip("/"),
        client_id=shape.client_id,
        client_secret=notes.secret(shape.client_secret, (*at, "client_secret")),
        scope=shape.scope or default.scope,
        ca=notes.file(shape.ca, (*at, "ca")),
    )


def _https(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and text.isprintable()
    except ValueError:
        return False


def _source(shape: LogSourceShape, at: Path, whole: DiscoveryShape, notes: Notes, address: Address) -> LogSource:
    name = shape.name.strip()
    if not 0 < len(name) <= 64 or not name.isprintable() or "/" in name:
        notes.wrong("C130", "a source's name has 1 to 64 characters and no slash", (*at, "name"))
    needed = []
    if shape.receiver in _SYSLOG:
        needed = ["listen"] + (["certificate", "key", "client_ca"] if shape.receiver == "syslog-tls" else [])
    elif shape.receiver == "directory":
        needed = ["path"]
    elif shape.receiver in _FTP:
        needed = ["user", "password"]
    for key in needed:
        if getattr(shape, key) is None:
            notes.wrong("C130", f"a {shape.receiver} source needs '{key}'", at)
    if shape.listen is not None:
        notes.parsed("C105", address, shape.listen, (*at, "listen"))
    try:
        ZoneInfo(shape.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        notes.wrong("C131", f"{shape.zone!r} is no time zone", (*at, "zone"), "write it as Europe/Berlin or UTC")
    return LogSource(
        name=name,
        type=shape.type,
        receiver=shape.receiver,
        listen=shape.listen,
        path=shape.path and notes.path(shape.path),
        user=shape.user,
        password=notes.secret(shape.password, (*at, "password")),
        certificate=notes.file(shape.certificate, (*at, "certificate")),
        key=notes.file(shape.key, (*at, "key")),
        client_ca=notes.file(shape.client_ca, (*at, "client_ca")),
        zone=shape.zone,
        anonymize_users=whole.anonymize_users if shape.anonymize_users is None else shape.anonymize_users,
        anonymize_devices=whole.anonymize_devices if shape.anonymize_devices is None else shape.anonymize_devices,
        comment=shape.comment,
    )


def _collector(shape: CollectorShape, notes: Notes, address: Address, url: Url) -> Collector:
    at = (*_AT, "collector")
    default = Collector()
    for key in ("ftp", "health"):
        text = getattr(shape, key)
        if text is not None:
            notes.parsed("C105", address, text, (*at, key))
    if shape.url is not None:
        url(shape.url, (*at, "url"), notes)
    first, last = shape.ftp_passive
    if not 0 < first <= last < 65536:
        notes.wrong("C120", "passive FTP needs a first and a last port", (*at, "ftp_passive"))
    if not 0 <= shape.keep <= 1000:
        notes.wrong("C120", "between 0 and 1000 sent files are kept", (*at, "keep"))
    return Collector(
        name=shape.name,
        url=shape.url,
        token=notes.secret(shape.token, (*at, "token")),
        ca=notes.file(shape.ca, (*at, "ca")),
        spool=shape.spool and notes.path(shape.spool),
        spool_limit=notes.byte_count(shape.spool_limit, default.spool_limit, (*at, "spool_limit")),
        free_space=notes.byte_count(shape.free_space, default.free_space, (*at, "free_space")),
        hourly_limit=notes.byte_count(shape.hourly_limit, default.hourly_limit, (*at, "hourly_limit")),
        flush_bytes=notes.byte_count(shape.flush_bytes, default.flush_bytes, (*at, "flush_bytes")),
        flush_seconds=notes.seconds(shape.flush_after, default.flush_seconds, (*at, "flush_after")),
        keep=shape.keep,
        ftp=shape.ftp,
        ftp_passive=shape.ftp_passive,
        ftp_certificate=notes.file(shape.ftp_certificate, (*at, "ftp_certificate")),
        health=shape.health,
    )


def _distinct(sources: tuple[LogSource, ...], notes: Notes) -> None:
    for what in ("name", "path", "user"):
        seen: set[str] = set()
        for at, source in enumerate(sources):
            value = getattr(source, what)
            if value is not None and value in seen:
                notes.wrong("C109", f"two sources have the {what} '{value}'", (*_AT, "sources", at, what))
            seen.add(value or "")
    listening: set[tuple[str, bool]] = set()
    for at, source in enumerate(sources):
        if source.listen is not None:
            place = (source.listen, source.receiver == "syslog-udp")  # UDP and TCP have ports of their own
            if place in listening:
                notes.wrong("C106", f"two sources listen on {source.listen}", (*_AT, "sources", at, "listen"))
            listening.add(place)
