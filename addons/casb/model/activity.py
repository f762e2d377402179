"""What somebody does in an app: the facts a decision rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from casb.model.app import App
from casb.model.file import FileFacts, Finding
from casb.model.identity import Client, Device, User


class ActivityType(StrEnum):
    """Microsoft activity types in OCSF spelling (house.md section 13)."""

    LOGON = "logon"
    LOGOFF = "logoff"
    VIEW = "view"
    DOWNLOAD = "download"
    UPLOAD = "upload"
    COPY = "copy"
    CUT = "cut"
    PASTE = "paste"
    PRINT = "print"
    SEND_ITEM = "send_item"
    SHARE = "share"
    UNSHARE = "unshare"
    EDIT = "edit"
    CREATE = "create"
    DELETE = "delete"


class RequestMode(StrEnum):
    """How the browser asks, from Fetch Metadata (W3C `Sec-Fetch-*`) or, where absent, from `Accept`/`Upgrade`."""

    NAVIGATION = "navigation"  # a page the person sees
    FETCH = "fetch"  # fetch() or XMLHttpRequest
    SUBRESOURCE = "subresource"  # script, style, image, font, media, frame asset
    WEBSOCKET = "websocket"
    OTHER = "other"  # not a browser, or one that does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """A request as the origin is meant to see it: `host` is the app's own, never the suffixed one."""

    method: str
    scheme: str
    host: str
    port: int
    path: str  # without the query
    mode: RequestMode = RequestMode.OTHER
    save_as: bool = False  # `Sec-Fetch-Dest: empty` on a navigation: the browser is going to save it
    frame: bool = False  # a navigation inside a frame
    content_type: str = ""  # media type, lower case, no parameters
    content_length: int | None = None
    upload_name: str | None = None  # file name told by headers or body; "" when the body was read and holds no file
    query_names: frozenset[str] = frozenset()  # the query's parameters, `name` and `name=value` each; never logged
    override: str = ""  # the method that a POST asks to be taken for (`X-HTTP-Method-Override`)
    document: Any = field(default=None, repr=False, compare=False)  # the body as JSON, once it was read; never logged
    instance: str | None = None  # which instance of the app it is for, by the app's `instances`

    @property
    def url(self) -> str:
        """Scheme, host and path. The query is left out on purpose: it may carry secrets."""
        default = 443 if self.scheme == "https" else 80
        port = "" if self.port == default else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFacts:
    """A response by its head alone."""

    status: int
    content_type: str = ""  # media type, lower case, no parameters
    content_length: int | None = None
    content_encoding: str = ""
    attachment: bool = False  # `Content-Disposition: attachment` (RFC 6266)
    filename: str | None = None  # from Content-Disposition, decoded
    nosniff: bool = False


class Source(StrEnum):
    """MDCA activity sources that we can have."""

    ACCESS_CONTROL = "access control"
    SESSION_CONTROL = "session control"
    CONNECTOR = "app connector"
    DISCOVERY = "discovery"
    REQUEST = "access request"  # somebody asks for an exception: nothing was done yet


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityObject:
    """A file, folder or person an activity is about."""

    type: str
    id: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFacts:
    """The text that is copied, cut, pasted or printed. Only its length is ever logged.

    `content` is None as long as the page has not told it; "" when there is no text at all, as with an image.
    """

    content: str | None = field(default=None, repr=False)
    length: int | None = None  # in characters (UTF-16 code units, as the page counts)
    findings: tuple[Finding, ...] | None = None  # None: it has not been searched


IN_PAGE = (ActivityType.COPY, ActivityType.CUT, ActivityType.PASTE, ActivityType.PRINT)
"""What only the page itself can see, and what has a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an activity that is in the log: for policies that look at it afterwards."""

    action: str  # audit, block, …; allow
    policies: frozenset[str] = frozenset()  # ids of those that matched
    alerts: frozenset[str] = frozenset()  # ids of those that raised an alert


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Everything a policy may look at. `id` is a ULID, handed in from the rim."""

    id: str
    time: datetime
    type: ActivityType
    app: App | None
    user: User | None
    device: Device
    client: Client
    session_id: str | None = None
    instance: str | None = None
    objects: tuple[ActivityObject, ...] = ()
    file: FileFacts | None = None
    text: TextFacts | None = None
    request: RequestFacts | None = None
    response: ResponseFacts | None = None
    source: Source = Source.SESSION_CONTROL
    auth_contexts: frozenset[str] = frozenset()
    justified: frozenset[str] = frozenset()  # policies that the person has given a justification for, for this thing
    excepted: Mapping[str, str] = field(default_factory=dict)  # policy -> id of the exception that holds for this
    proven: Mapping[str, datetime] = field(default_factory=dict)  # when each of them was proven last
    admin: bool = False  # an administrator's operation, by the app's signatures or its connector
    impersonated: bool = False  # done in somebody else's name
    outcome: Outcome | None = None  # None while it is being decided on
