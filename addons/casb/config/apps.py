"""One app of `apps/*.yaml` to `App`."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from publicsuffix2 import PublicSuffixList  # type: ignore[import-untyped]  # ships no types

from casb.config.deployment import check_id, check_provider, endpoint
from casb.config.notes import Notes
from casb.config.saml import read_saml_app
from casb.config.shape import AppShape, SignatureShape
from casb.hostname import authority_pattern
from casb.model.app import (
    App,
    AppTag,
    Controls,
    Instance,
    ObjectRule,
    Rewrite,
    Signature,
    Transfers,
    Upstream,
    View,
    Watermark,
)
from casb.settings import Settings
from casb.spelling import fits, reserved
from casb.yamlfile import Path

RESERVED = frozenset({"login", "device"})
"""Names that would appear as hosts of ours under the suffix (contracts: `login.<suffix>`, `device.<suffix>`)."""

_SUFFIXES = PublicSuffixList()
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}\Z")  # a token of RFC 9110 section 5.6.2
_METHOD = re.compile(r"[A-Z]{1,20}\Z")


def read_app(shape: AppShape, path: Path, settings: Settings | None, notes: Notes) -> App:
    """The app at `path` of its file. What is wrong is in `notes.errors`.

    `settings` is None while `casb.yaml` itself is wrong: then nothing is compared with it.
    """
    check_id(shape.id, (*path, "id"), notes)
    if not shape.domains:
        notes.wrong("C112", "an app needs a domain", (*path, "domains"))
    if shape.risk_score is not None and not 0 <= shape.risk_score <= 10:
        notes.wrong("C120", "a risk score is 0 to 10", (*path, "risk_score"))
    if not shape.start.startswith("/"):
        notes.wrong("C124", f"{shape.start!r} is not a path", (*path, "start"), "start it with /")
    _globs(shape.logout, (*path, "logout"), notes)
    rewrite = Rewrite()
    if shape.rewrite is not None:
        _globs(shape.rewrite.exclude, (*path, "rewrite", "exclude"), notes)
        given = shape.rewrite
        rewrite = Rewrite(
            exclude=given.exclude, inject_guard=given.inject_guard, view=View(given.view), messages=given.messages
        )
    controls = Controls()
    if shape.controls is not None:
        wanted = shape.controls
        controls = Controls(
            clipboard=wanted.clipboard,
            watermark=Watermark(wanted.watermark),
            on_tamper=wanted.on_tamper,
            without_script=wanted.without_script,
        )
    if settings is not None:
        check_provider(shape.provider, settings.providers, (*path, "provider"), notes)
    listed = [_domain(text, (*path, "domains", at), settings, notes) for at, text in enumerate(shape.domains)]
    names = [each for each in listed if each]
    domains = tuple(dict.fromkeys(domain for domain, _ in names))
    bare = frozenset(domain for domain, port in names if not port)
    unsanctioned = shape.tag == "unsanctioned"
    return App(
        id=shape.id,
        name=shape.name,
        domains=domains,
        ports=tuple(dict.fromkeys(_authority(domain, port) for domain, port in names if port)),
        bare=None if len(bare) == len(domains) else bare,
        category=shape.category,
        tag=AppTag(shape.tag),
        risk_score=shape.risk_score,
        controlled=not unsanctioned if shape.controlled is None else shape.controlled,
        upstream=_upstream(shape, path, notes),
        product=shape.product or "",
        transfers=Transfers(partial=shape.transfers.partial, inline=shape.transfers.inline)
        if shape.transfers is not None
        else Transfers(),
        signatures=tuple(
            read_signature(each, (*path, "signatures", at), notes) for at, each in enumerate(shape.signatures)
        ),
        rewrite=rewrite,
        controls=controls,
        instances=_instances(shape, (*path, "instances"), notes),
        start=shape.start,
        logout=shape.logout,
        provider=shape.provider,
        saml=read_saml_app(shape.saml, (*path, "saml"), notes),
        always_proxied=shape.always_proxied,
        unknown_hosts=shape.unknown_hosts,
        on_failure=shape.on_failure or (settings.on_failure if settings else "block"),
    )


def _instances(shape: AppShape, path: Path, notes: Notes) -> tuple[Instance, ...]:
    found = []
    for name, each in (shape.instances or {}).items():
        instance = Instance(
            name=name,
            hosts=_texts(each.host),
            headers={key.lower(): _texts(value) for key, value in (each.header or {}).items()},
            cookies={key: _texts(value) for key, value in (each.cookie or {}).items()},
            claims={key: _texts(value) for key, value in (each.token or {}).items()},
        )
        for key in (*instance.headers, *instance.cookies):
            if not _NAME.match(key):
                notes.wrong("C124", f"{key!r} cannot be the name of a header or cookie", (*path, name))
        if not (instance.hosts or instance.headers or instance.cookies or instance.claims):
            notes.wrong(
                "C124", f"nothing tells the instance {name!r}", (*path, name), "give host, header, cookie or token"
            )
        wanted = [value for told in (instance.headers, instance.cookies, instance.claims) for value in told.values()]
        if any(not values or "" in values for values in wanted):
            notes.wrong(
                "C124", f"an empty value tells the instance {name!r}", (*path, name), "write a value, or * for any"
            )
        found.append(instance)
    return tuple(found)


def _texts(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _authority(domain: str, port: str) -> str:
    return f"[{domain}]:{port}" if ":" in domain else f"{domain}:{port}"


def _domain(text: str, path: Path, settings: Settings | None, notes: Notes) -> tuple[str, str] | None:
    hint = "write app.example.com, app.example.com:8444 or *.example.com"
    found = notes.parsed("C112", authority_pattern, text, path, hint)
    if found is None:
        return None
    domain, port = found
    suffix = settings.suffix if settings else ""
    host = domain.removeprefix("*.")
    canonical = f"[{host}]" if ":" in host else host
    if domain != host and _SUFFIXES.get_tld(host, strict=True) == host:
        hint = "everybody can have a name there: list the app's own names"
        notes.wrong("C112", f"{text!r} covers the whole public suffix {host!r}", path, hint)
    elif domain in RESERVED:
        notes.wrong("C123", f"{text!r}: {domain}.{suffix or '<suffix>'} is a host of ours", path)
    elif reserved(host):
        notes.wrong("C123", f"{text!r} ends like a spelling of ours (--p<digits>, --v6, --x)", path)
    elif suffix and (host == suffix or host.endswith(f".{suffix}")):
        notes.wrong("C108", f"{text!r} lies under the suffix {suffix!r}", path, "name the app as it is without us")
    elif suffix and domain != host and suffix.endswith(f".{host}"):
        hint = "list the app's names one by one, or choose another suffix"
        notes.wrong("C108", f"{text!r} covers the suffix {suffix!r}", path, hint)
    elif settings and suffix and not fits(canonical, port, suffix, flat=settings.host_names == "flat"):
        notes.wrong("C123", f"{text!r} is too long for the suffix {suffix!r}", path)
    return domain, port


def _upstream(shape: AppShape, path: Path, notes: Notes) -> Upstream:
    if shape.upstream is None:
        return Upstream()
    connect = shape.upstream.connect
    hosts = {}
    for name, text in (shape.upstream.hosts or {}).items():
        here = (*path, "upstream", "hosts", name)
        found, there = (
            notes.parsed("C112", authority_pattern, name, here),
            notes.parsed("C114", parse_connect, text, here),
        )
        if found and there:
            hosts[_authority(*found) if found[1] else found[0]] = there
    return Upstream(
        connect=connect and notes.parsed("C114", parse_connect, connect, (*path, "upstream", "connect")),
        ca=notes.file(shape.upstream.ca, (*path, "upstream", "ca")),
        hosts=hosts,
        scheme=shape.upstream.scheme or "",
        forwarded=shape.upstream.forwarded,
        pool=shape.upstream.pool,
    )


def parse_connect(text: str) -> str:
    """`host:port`, `https://host:port` or `http://host:port`, in one form: `https://` and the last slash left out.

    Raises `ValueError` with a sentence. The port may be left out after a scheme.
    """
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest = "https", text
    elif scheme not in ("http", "https"):
        raise ValueError(f"{text!r} is neither http nor https")
    rest = rest.removesuffix("/")
    parts = urlsplit(f"//{rest}")
    if parts.path or parts.query or parts.fragment or "@" in rest:
        raise ValueError(f"{text!r} is more than a host and port: requests keep their own path")
    if found and not re.search(r":[0-9]+\Z", rest):
        rest = f"{rest}:{443 if scheme == 'https' else 80}"
    host, port = endpoint(rest)
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return authority if scheme == "https" else f"http://{authority}"


_PLACE = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)\*?\}")


def _check_places(shape: SignatureShape, path: Path, notes: Notes) -> None:
    places = _PLACE.findall(shape.path)
    if len(set(places)) != len(places):
        notes.wrong("C124", f"a place stands twice in {shape.path!r}", (*path, "path"))
    for at, rule in enumerate(shape.objects):
        for key, text in (("id", rule.id), ("name", rule.name)):
            missing = set(_PLACE.findall(text)) - set(places) if not text.startswith(("/", "?")) else set()
            if missing:
                hint = f"the path has {', '.join(places) or 'none'}"
                notes.wrong("C124", f"no place {{{min(missing)}}} in the path", (*path, "objects", at, key), hint)
    for pointer in shape.body or {}:
        if not pointer.startswith("/"):
            notes.wrong("C124", f"{pointer!r} is no JSON pointer", (*path, "body", pointer), "it starts with /")
    if shape.status and shape.activity not in ("view", "download"):
        notes.wrong("C124", "'status' is for views and downloads", (*path, "status"), "others are decided before")


def read_signature(shape: SignatureShape, path: Path, notes: Notes) -> Signature:
    """The signature at `path` of its file. What is wrong is in `notes.errors`."""
    _check_places(shape, path, notes)
    for at, method in enumerate(shape.methods):
        if not _METHOD.match(method):
            notes.wrong("C124", f"{method!r} is not a method", (*path, "methods", at), "write it in capitals")
    for at, each in enumerate(shape.content_types):
        if not re.match(r"[a-z0-9.+-]+/[a-z0-9.+-]+\Z", each):
            hint = "lower case, without parameters, such as application/json"
            notes.wrong("C124", f"{each!r} is not a content type", (*path, "content_types", at), hint)
    if not shape.path.startswith(("/", "*")):
        notes.wrong("C124", f"{shape.path!r} cannot match: paths start with /", (*path, "path"))
    if shape.name_field and shape.activity != "upload":
        notes.wrong("C124", "'name_field' is for uploads", (*path, "name_field"))
    return Signature(
        activity=shape.activity,
        methods=frozenset(shape.methods),
        path=shape.path,
        content_types=frozenset(shape.content_types),
        query=frozenset(shape.query),
        name_field=shape.name_field,
        id=shape.id,
        body=tuple(
            (pointer, () if wanted in ("*", ("*",)) else (wanted,) if isinstance(wanted, str) else tuple(wanted))
            for pointer, wanted in (shape.body or {}).items()
        ),
        objects=tuple(ObjectRule(type=each.type, id=each.id, name=each.name) for each in shape.objects),
        admin=shape.admin,
        status=frozenset(shape.status),
    )


def _globs(patterns: tuple[str, ...], path: Path, notes: Notes) -> None:
    for at, each in enumerate(patterns):
        if not each.startswith(("/", "*")):
            notes.wrong("C124", f"{each!r} cannot match: paths start with /", (*path, at))
