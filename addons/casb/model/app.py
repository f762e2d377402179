"""The applications: which hosts they have, how far they are trusted, how their traffic is recognised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from casb.errors import Where


class AppTag(StrEnum):
    """The catalog's sanctioning tag."""

    SANCTIONED = "sanctioned"
    UNSANCTIONED = "unsanctioned"
    MONITORED = "monitored"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """Where an app really is when that differs from its name. `ca` is a PEM path that alone is trusted for it."""

    connect: str | None = None  # "host:port" or "http://host:port"
    ca: str | None = None
    hosts: Mapping[str, str] = field(default_factory=dict)  # the app's name, with or without port, to its own `connect`
    scheme: Literal["http", "https", ""] = ""  # what the app takes itself to be on; "": what we connect with says it
    forwarded: Literal["none", "x-forwarded", "forwarded"] = "none"  # how it is told of the browser's address
    pool: bool = True  # connections to it may serve one browser after another


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRule:
    """Where a request names what an activity is about.

    `id` and `name` are texts with `{places}` of the path in them, JSON pointers into the body (`/items/*/id`), or
    `?parameter` of the query. Without a `name` the id is it.
    """

    type: str
    id: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Names an activity of an app by its request: `POST /api/items/{item}/share` is a `share`.

    `activity` is an activity type, or `none` for traffic that looks like an up- or download and is neither. A path
    is a glob (`*` any text), or a template when it has `{places}` in it: `{item}` is one segment, `{path*}` the rest.
    """

    activity: str
    id: str = ""  # what the app calls it: `drive.item.invite`
    methods: frozenset[str] = frozenset()  # empty: any; MESSAGE: a WebSocket message of the browser
    path: str = "*"  # over the path alone, never the query
    content_types: frozenset[str] = frozenset()  # request content types; empty: any
    query: frozenset[str] = frozenset()  # query parameters that must all be there: `name`, or `name=value`
    body: tuple[tuple[str, tuple[str, ...]], ...] = ()  # JSON pointers and the globs of which one fits; none: any value
    objects: tuple[ObjectRule, ...] = ()
    name_field: str = ""  # uploads: top-level field of the JSON request body that holds the file name
    admin: bool = False  # an administrator's operation
    status: frozenset[int] = frozenset()  # views and downloads: of which responses; empty: any success

    @property
    def reads(self) -> bool:
        """Whether the body must be read to know that it fits, or what it is about."""
        pointed = any(rule.id.startswith("/") or rule.name.startswith("/") for rule in self.objects)
        return bool(self.body) or pointed


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfers:
    """How an app takes files, where that is not plain."""

    partial: Literal["remove", "refuse"] = "remove"  # a form with files of which some are refused
    inline: Literal["download", "view"] = "download"  # a PDF or picture that the browser opens to show it


class View(StrEnum):
    """Under which names an app's scripts see their own hosts (decision 0011)."""

    SUFFIX = "suffix"  # as the browser does: names in scripts and data are mapped on their way out
    ORIGIN = "origin"  # as at home: scripts get their real names, and what they ask for is mapped in the page


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """Per-app quirks of the rewriting engine."""

    exclude: tuple[str, ...] = ()  # path globs whose bodies are left byte-exact
    inject_guard: bool = True
    view: View = View.SUFFIX
    messages: bool = True  # WebSocket text messages are mapped


class Watermark(StrEnum):
    """On which pages of an app the person's name stands across the screen."""

    NEVER = "never"
    CONTROLLED = "controlled"  # where a policy concerns copying, cutting, pasting or printing, for this person
    ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """How copying, cutting, pasting and printing are controlled in the pages of an app."""

    clipboard: Literal["system", "inside"] = "system"  # inside: what may not be copied out can still be pasted inside
    watermark: Watermark = Watermark.NEVER
    on_tamper: Literal["record", "block"] = "record"  # when a page's guard did not report
    without_script: Literal["allow", "refuse"] = "allow"  # browsers that run no script, on controlled pages


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlApp:
    """How an app is signed in to by SAML: the bridge is its identity provider, or its answers are only looked at.

    `document` is the app's own metadata; without it, `entity_id`, `acs` and the rest say the same. Certificates are PEM
    texts. Sources of attributes are `user.name` and its like, or attributes of the identity provider.
    """

    document: bytes | None = field(default=None, repr=False)
    entity_id: str = ""
    acs: tuple[str, ...] = ()  # the default first
    slo_url: str = ""
    certificates: tuple[str, ...] = ()
    requests: Literal["as-metadata", "signed", "any"] = "as-metadata"
    name_id_format: str = ""  # empty: as the provider said; an e-mail address where it said none
    name_id_source: str = "name_id"
    attributes: Mapping[str, str] = field(default_factory=dict)  # the app's name for it to its source
    idp_initiated: bool = False  # a sign-in may begin at the identity provider, or here
    pass_through: bool = False  # the provider answers the app itself: only the structure is checked
    origin: Where | None = None  # its place, for errors

    @property
    def bridged(self) -> bool:
        """Whether we are the app's identity provider."""
        return not self.pass_through and (self.document is not None or bool(self.entity_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One tenant, workspace or organisation of an app, and how its requests are told: all that is said must hold.

    Values are globs, in any case; of several one must fit. `claims` are those of the request's bearer token.
    """

    name: str
    hosts: tuple[str, ...] = ()
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # names in lower case
    cookies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One application. `domains` are lower-case A-labels or addresses.

    `*.example.com` covers every name below, not itself.
    """

    id: str
    name: str
    domains: tuple[str, ...]
    ports: tuple[str, ...] = ()  # domains on a port of their own, as `app.example:8444`; their host is in `domains` too
    bare: frozenset[str] | None = None  # the domains that are the app's on the default ports; None: all of them
    category: str = ""
    tag: AppTag = AppTag.SANCTIONED
    risk_score: int | None = None
    controlled: bool = True
    upstream: Upstream = field(default_factory=Upstream)
    signatures: tuple[Signature, ...] = ()
    product: str = ""  # the known application whose signatures come behind the app's own
    transfers: Transfers = field(default_factory=Transfers)
    rewrite: Rewrite = field(default_factory=Rewrite)
    controls: Controls = field(default_factory=Controls)
    instances: tuple[Instance, ...] = ()  # the first that fits counts
    start: str = "/"  # path a person opens first; shown on the sign-out and portal pages
    logout: tuple[str, ...] = ()  # path globs that end the app's own session; ours ends with it (S49)
    provider: str | None = None  # identity provider id; None: the deployment's first
    always_proxied: bool = True  # False: a user whom no session policy could concern goes to the real host (S30)
    unknown_hosts: str = "pass"  # pass | learn | deny: hosts that its pages ask for and that no app owns (S43)
    saml: SamlApp | None = None
    on_failure: str = "block"  # block | allow: what an activity that cannot be judged gets (S22)
