"""The words an admin can use under `when`: one table, from which loader, engine, schema and manual are made.

Knows where in an activity each fact stands. Does not know YAML, nor how facts are compared (`conditions.py`).
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from casb.model import countries
from casb.model.activity import Activity, ActivityType, Source
from casb.model.app import AppTag
from casb.model.decision import Action
from casb.model.file import FileFacts, VerdictStatus
from casb.model.identity import UNMANAGED, AgentTag, ClientApp, DeviceTag, DeviceType
from casb.model.signs import MEANING, Sign
from casb.policy import filetypes
from casb.policy.found import Found, in_file


class Unread:
    """The fact is not known yet: it is in a file's content, or a look-up failed."""

    def __repr__(self) -> str:
        return "UNREAD"


UNREAD: Final = Unread()
UNMANAGED_ONLY: Final = frozenset({UNMANAGED})


class Kind(StrEnum):
    """How a fact is compared, and hence which operators it has."""

    WORD = "word"
    PATTERN = "pattern"
    ADDRESS = "address"
    NUMBER = "number"
    SIZE = "size"
    FLAG = "true or false"
    MEDIA = "file type"
    FINDINGS = "types and counts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One fact that a condition can ask for. `group` and `name` spell it: `device: {tag: …}`.

    `get` gives the fact: None when absent, UNREAD when not known yet, a frozenset where `many`. `words` are all there
    are, or empty when any may be written. `content` says that reading the file can make the fact known. `examples`
    are YAML of a whole `when`.
    """

    group: str
    name: str
    kind: Kind
    doc: str
    examples: tuple[str, ...]
    get: Callable[[Activity], Any]
    words: tuple[str, ...] = ()
    many: bool = False
    content: bool = False
    partial: Callable[[Activity], bool] | None = None  # of a set: True when it may lack members

    @property
    def code(self) -> str:
        """As reasons name it: `device.tag`."""
        return f"{self.group}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One way to compare. `expects` names the value's shape for the manual."""

    name: str
    doc: str
    example: str


OPERATORS: Mapping[str, Operator] = {
    each.name: each
    for each in (
        Operator(name="any_of", doc="One of the values. The same as writing the value or list alone.",
                 example="client: {country: {any_of: [DE, AT]}}"),
        Operator(name="not", doc="None of the values. An absent fact satisfies it.",
                 example="device: {not: compliant}"),
        Operator(name="other_than", doc="The fact is there and is none of the values. An absent fact does not "
                 "satisfy it.",
                 example="client: {country: {other_than: [DE, AT]}}"),
        Operator(name="equals", doc="One of the values apart from case: `*` and `?` are no wildcards.",
                 example="file: {name: {equals: 'notes*.txt'}}"),
        Operator(name="does_not_equal", doc="The opposite of `equals`. As in Microsoft Defender for Cloud Apps, an "
                 "absent fact satisfies it.",
                 example="user: {name: {does_not_equal: root@contoso.example}}"),
        Operator(name="is_set", doc="`true`: the fact is there; `false`: it is absent.",
                 example="file: {label: {is_set: false}}"),
        Operator(name="contains", doc="Has one of the texts in it, in any case.",
                 example="client: {user_agent: {contains: curl}}"),
        Operator(name="does_not_contain", doc="Has none of the texts in it. An absent fact satisfies it.",
                 example="client: {user_agent: {does_not_contain: Edg/}}"),
        Operator(name="contains_words", doc="Has one of the words in it, whole: between the characters `.`, `,`, `_`, "
                 "`-`, spaces and the ends, as `contains` does in Microsoft Defender for Cloud Apps. In double quotes: "
                 "the exact phrase.",
                 example="file: {name: {contains_words: [salary, '\"top secret\"']}}"),
        Operator(name="starts_with", doc="Begins with one of the texts, in any case.",
                 example="user: {name: {starts_with: svc-}}"),
        Operator(name="ends_with", doc="Ends with one of the texts, in any case.",
                 example="file: {name: {ends_with: .bak}}"),
        Operator(name="does_not_start_with", doc="Begins with none of the texts. An absent fact satisfies it.",
                 example="client: {ip: {does_not_start_with: '10.'}}"),
        Operator(name="does_not_end_with", doc="Ends with none of the texts. An absent fact satisfies it.",
                 example="file: {name: {does_not_end_with: .pdf}}"),
        Operator(name="regex", doc="One of the regular expressions (RE2: linear time) is found in it, in any case.",
                 example="file: {name: {regex: '^invoice-[0-9]{4}'}}"),
        Operator(name="at_least", doc="This or more.", example="file: {size: {at_least: 10MB}}"),
        Operator(name="at_most", doc="This or less.", example="app: {risk_score: {at_most: 3}}"),
        Operator(name="more_than", doc="More than this.", example="file: {size: {more_than: 1GB}}"),
        Operator(name="less_than", doc="Less than this.", example="app: {risk_score: {less_than: 4}}"),
    )
}  # fmt: skip

_SETS = ("any_of", "not", "other_than", "equals", "does_not_equal", "is_set")
_TEXTS = (
    "contains",
    "does_not_contain",
    "contains_words",
    "starts_with",
    "does_not_start_with",
    "ends_with",
    "does_not_end_with",
)
_RANGES = ("at_least", "at_most", "more_than", "less_than", "is_set")

OPERATORS_OF: Mapping[Kind, tuple[str, ...]] = {
    Kind.WORD: _SETS,
    Kind.PATTERN: (*_SETS, *_TEXTS, "regex"),
    Kind.ADDRESS: (*_SETS, "starts_with", "does_not_start_with"),
    Kind.NUMBER: ("any_of", *_RANGES),
    Kind.SIZE: _RANGES,
    Kind.FLAG: (),
    Kind.MEDIA: _SETS,
    Kind.FINDINGS: (),
}
"""The operators of each kind; none means that only a bare value can be written."""

OPPOSITES: Mapping[str, str] = {
    "not": "any_of",
    "does_not_equal": "equals",
    "does_not_contain": "contains",
    "does_not_start_with": "starts_with",
    "does_not_end_with": "ends_with",
}
"""Operators that hold where another does not, and where the fact is absent."""


# --- the facts


def plain_name(text: str) -> str:
    """A name as it is compared: case, width, composition and invisible characters make no difference."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = "".join(_visible(char) for char in text)
    return text.strip().casefold()


def _visible(char: str) -> str:
    """Formatting characters vanish; half of a surrogate pair, which is no character at all, shows as such."""
    category = unicodedata.category(char)
    return "" if category == "Cf" else "\N{REPLACEMENT CHARACTER}" if category == "Cs" else char


@functools.lru_cache(maxsize=4096)
def folded(words: frozenset[str]) -> frozenset[str]:
    """Words in one case. Cached: a session's groups are the same set for each of its exchanges."""
    return frozenset(word.casefold() for word in words)


def _user_name(activity: Activity) -> str | None:
    return plain_name(activity.user.name) or None if activity.user else None


def _user_domain(activity: Activity) -> str | None:
    return activity.user.domain.casefold() or None if activity.user else None


def _user_group(activity: Activity) -> frozenset[str]:
    return folded(activity.user.groups) if activity.user else frozenset()


def _groups_partial(activity: Activity) -> bool:
    return activity.user is not None and not activity.user.groups_known


def _user_guest(activity: Activity) -> bool | None:
    return activity.user.is_guest if activity.user else None


def _user_tenant(activity: Activity) -> str | None:
    return activity.user.tenant.casefold() or None if activity.user else None


def _user_organization(activity: Activity) -> str | None:
    return plain_name(activity.user.organization) or None if activity.user else None


def _app_instance(activity: Activity) -> str | None:
    return activity.instance.casefold() if activity.instance else None


def _object_name(activity: Activity) -> frozenset[str]:
    return frozenset(plain_name(each.name) for each in activity.objects if each.name)


def _object_id(activity: Activity) -> frozenset[str]:
    return frozenset(each.id.casefold() for each in activity.objects if each.id)


def _object_type(activity: Activity) -> frozenset[str]:
    return frozenset(each.type.casefold() for each in activity.objects)


def _object_user(activity: Activity) -> frozenset[str]:
    return frozenset(plain_name(each.name) for each in activity.objects if each.type in _PEOPLE and each.name)


_PEOPLE = frozenset({"user", "recipient", "account"})


def _request_host(activity: Activity) -> str | None:
    return activity.request.host if activity.request else None


def _request_path(activity: Activity) -> str | None:
    return plain_name(activity.request.path) if activity.request else None


def _request_method(activity: Activity) -> str | None:
    return activity.request.method.casefold() if activity.request else None


def _activity_type(activity: Activity) -> str:
    return activity.type.value


def _activity_source(activity: Activity) -> str:
    return activity.source.value


def _activity_admin(activity: Activity) -> bool:
    return activity.admin


def _activity_impersonated(activity: Activity) -> bool:
    return activity.impersonated


def _activity_action(activity: Activity) -> str | None:
    return activity.outcome.action if activity.outcome else None


def _activity_policy(activity: Activity) -> frozenset[str]:
    return activity.outcome.policies if activity.outcome else frozenset()


def _activity_alert(activity: Activity) -> frozenset[str]:
    return activity.outcome.alerts if activity.outcome else frozenset()


def _device_tag(activity: Activity) -> frozenset[str]:
    return activity.device.tags or UNMANAGED_ONLY


def _device_type(activity: Activity) -> str:
    return activity.device.type


def _device_os(activity: Activity) -> str | None:
    return plain_name(activity.device.os) or None if activity.device.os else None


def _client_ip(activity: Activity) -> str:
    return activity.client.ip


def _client_ip_tag(activity: Activity) -> frozenset[str]:
    return folded(activity.client.ip_tags)


def _client_ip_category(activity: Activity) -> str | None:
    category = activity.client.ip_category
    return category.casefold() if category else None


def _client_country(activity: Activity) -> str | None:
    country = activity.client.country
    return country.casefold() if country else None


def _client_isp(activity: Activity) -> str | None:
    isp = activity.client.isp
    return plain_name(isp) or None if isp else None


def _client_app(activity: Activity) -> str:
    return activity.client.app


def _client_agent(activity: Activity) -> str | None:
    return plain_name(activity.client.user_agent) or None


def _client_agent_tag(activity: Activity) -> frozenset[str]:
    return activity.client.agent_tags


def _app_id(activity: Activity) -> str | None:
    return activity.app.id.casefold() if activity.app else None


def _app_tag(activity: Activity) -> str | None:
    return activity.app.tag if activity.app else None


def _app_category(activity: Activity) -> str | None:
    return plain_name(activity.app.category) or None if activity.app else None


def _app_risk(activity: Activity) -> int | None:
    return activity.app.risk_score if activity.app else None


def _file_name(activity: Activity) -> str | None:
    return plain_name(activity.file.name) or None if activity.file else None


def _file_extension(activity: Activity) -> str | None:
    return plain_name(activity.file.extension).removeprefix(".") or None if activity.file else None


def _file_size(activity: Activity) -> int | Unread | None:
    file = activity.file
    if file is None:
        return None
    return UNREAD if file.size is None and not file.inspected else file.size


def _file_declared(activity: Activity) -> str | None:
    declared = activity.file.declared_type if activity.file else None
    return declared.casefold() if declared else None


def _file_detected(activity: Activity) -> str | Unread | None:
    file = activity.file
    if file is None:
        return None
    if file.detected_type:
        return file.detected_type.casefold()
    return None if _was_read(file) else UNREAD


def _file_label(activity: Activity) -> str | Unread | None:
    file = activity.file
    if file is None:
        return None
    label = file.label or (file.verdict.label if file.verdict else None)
    if label:
        return plain_name(label)
    return None if _was_read(file) else UNREAD


def _file_sign(activity: Activity) -> frozenset[str]:
    return activity.file.signs if activity.file else frozenset()


def _signs_partial(activity: Activity) -> bool:
    return activity.file is not None and not _was_read(activity.file)


def _file_property(activity: Activity) -> str | Unread | None:
    file = activity.file
    if file is None:
        return None
    if file.properties is None:
        return UNREAD
    if file.properties:
        return plain_name("\n".join(f"{name}: {value}" if name else value for name, value in file.properties))
    return None if _was_read(file) else UNREAD


def _file_findings(activity: Activity) -> Found | Unread | None:
    return None if activity.file is None else in_file(activity.file) or UNREAD


def _text_findings(activity: Activity) -> Found | Unread | None:
    text = activity.text
    if text is None:
        return None
    return UNREAD if text.findings is None else Found(text.findings)


def _file_malware(activity: Activity) -> bool | Unread | None:
    file = activity.file
    if file is None:
        return None
    if any(each.status is VerdictStatus.MALICIOUS for each in file.engines):
        return True
    clean = bool(file.engines) and all(each.status is VerdictStatus.CLEAN for each in file.engines)
    return False if clean else UNREAD


def _file_threat(activity: Activity) -> str | Unread | None:
    file = activity.file
    if file is None:
        return None
    found = next((each.threat for each in file.engines if each.status is VerdictStatus.MALICIOUS), None)
    if found is not None:
        return plain_name(found) or None
    return None if _file_malware(activity) is False else UNREAD


def _text_content(activity: Activity) -> str | Unread | None:
    text = activity.text
    if text is None:
        return None
    return UNREAD if text.content is None else plain_name(text.content) or None


def _text_length(activity: Activity) -> int | Unread | None:
    text = activity.text
    if text is None:
        return None
    return UNREAD if text.length is None else text.length


def _was_read(file: FileFacts) -> bool:
    return file.inspected and not (file.verdict and file.verdict.status is VerdictStatus.UNSCANNABLE)


FIELDS: tuple[Field, ...] = (
    Field(group="user", name="name", kind=Kind.PATTERN, get=_user_name,
          doc="What the person signs in with. `*` and `?` stand for any characters and one character.",
          examples=("user: ada@contoso.example", "user: {name: '*@partner.example'}")),
    Field(group="user", name="domain", kind=Kind.WORD, get=_user_domain,
          doc="The part of the sign-in name behind the @.",
          examples=("user: {domain: contoso.example}", "user: {domain: {not: [contoso.example, contoso.test]}}")),
    Field(group="user", name="group", kind=Kind.WORD, get=_user_group, many=True, partial=_groups_partial,
          doc="A group of the identity provider, by the name or id that its claim carries. When the groups of a person "
              "could not be found out, the condition is unknown and `unscannable` applies.",
          examples=("user: {group: finance}", "user: {group: {not: [admins, operators]}}")),
    Field(group="user", name="is_guest", kind=Kind.FLAG, get=_user_guest,
          doc="Whether the person is a guest: from outside the organisation's own domains.",
          examples=("user: {is_guest: true}",)),
    Field(group="user", name="tenant", kind=Kind.WORD, get=_user_tenant,
          doc="The tenant id that signed the person in.",
          examples=("user: {tenant: {not: 72f988bf-86f1-41af-91ab-2d7cd011db47}}",)),
    Field(group="user", name="organization", kind=Kind.PATTERN, get=_user_organization,
          doc="The organisational unit, where the identity provider tells it. `*` and `?` are wildcards.",
          examples=("user: {organization: Research*}",)),
    Field(group="device", name="tag", kind=Kind.WORD, get=_device_tag, many=True, words=(*DeviceTag, UNMANAGED),
          doc="What the device has proven. `unmanaged` means that it has proven nothing.",
          examples=("device: unmanaged", "device: {tag: [compliant, hybrid-joined]}", "device: {not: compliant}")),
    Field(group="device", name="type", kind=Kind.WORD, get=_device_type, words=tuple(DeviceType),
          doc="The kind of device, read off the user agent: a claim, not a proof.",
          examples=("device: {type: [mobile, tablet]}",)),
    Field(group="device", name="os", kind=Kind.PATTERN, get=_device_os,
          doc="The operating system, read off the user agent: a claim, not a proof.",
          examples=("device: {os: Windows*}",)),
    Field(group="client", name="ip", kind=Kind.ADDRESS, get=_client_ip,
          doc="The address the exchange comes from: single addresses or CIDR ranges, IPv4 and IPv6 alike.",
          examples=("client: {ip: [192.0.2.0/24, '2001:db8::/32']}", "client: {ip: {not: 10.0.0.0/8}}")),
    Field(group="client", name="ip_tag", kind=Kind.WORD, get=_client_ip_tag, many=True,
          doc="A tag of the address range, from `ranges.yaml`.",
          examples=("client: {ip_tag: [tor, anonymous-proxy]}",)),
    Field(group="client", name="ip_category", kind=Kind.WORD, get=_client_ip_category,
          words=("administrative", "cloud-provider", "corporate", "risky", "vpn", "other"),
          doc="The category of the address range, from `ranges.yaml`.",
          examples=("client: {ip_category: risky}", "client: {ip_category: {not: [corporate, vpn]}}")),
    Field(group="client", name="country", kind=Kind.WORD, get=_client_country, words=countries.CODES,
          doc="The country of the address, as two letters (ISO 3166-1). Quote 'NO': plain NO means false in YAML.",
          examples=("client: {country: [DE, AT, 'NO']}", "client: {country: {is_set: false}}")),
    Field(group="client", name="isp", kind=Kind.PATTERN, get=_client_isp,
          doc="Who the address is registered to. `*` and `?` are wildcards.",
          examples=("client: {isp: '*hosting*'}",)),
    Field(group="client", name="app", kind=Kind.WORD, get=_client_app, words=tuple(ClientApp),
          doc="What kind of program asks.",
          examples=("client: {app: native}",)),
    Field(group="client", name="user_agent", kind=Kind.PATTERN, get=_client_agent,
          doc="The user agent string: a claim, not a proof.",
          examples=("client: {user_agent: {contains: [curl, python-requests]}}",)),
    Field(group="client", name="agent_tag", kind=Kind.WORD, get=_client_agent_tag, many=True, words=tuple(AgentTag),
          doc="What the user agent string was found to be.",
          examples=("client: {agent_tag: outdated-browser}",)),
    Field(group="app", name="id", kind=Kind.WORD, get=_app_id,
          doc="The app's id in the catalog. To limit a whole policy to some apps, `apps:` is shorter and faster.",
          examples=("app: files", "app: {not: [files, flows]}")),
    Field(group="app", name="tag", kind=Kind.WORD, get=_app_tag, words=tuple(AppTag),
          doc="The catalog's tag of the app.",
          examples=("app: {tag: monitored}",)),
    Field(group="app", name="category", kind=Kind.PATTERN, get=_app_category,
          doc="The catalog's category of the app. `*` and `?` are wildcards.",
          examples=("app: {category: cloud storage}",)),
    Field(group="app", name="risk_score", kind=Kind.NUMBER, get=_app_risk,
          doc="The app's score in the catalog: 0 (high risk) to 10 (low risk).",
          examples=("app: {risk_score: {at_most: 3}}", "app: {risk_score: {is_set: false}}")),
    Field(group="app", name="instance", kind=Kind.WORD, get=_app_instance,
          doc="The instance of the app (tenant, workspace, organisation) that the request is for, by the names under "
              "`instances` of the app; absent where none of them fits.",
          examples=("app: {instance: personal}", "app: {instance: {other_than: corporate}}")),
    Field(group="activity", name="type", kind=Kind.WORD, get=_activity_type, words=tuple(ActivityType),
          doc="The activity's type. To limit a whole policy to some types, `activities:` is shorter and faster.",
          examples=("activity: [print, download]", "activity: {type: {not: view}}")),
    Field(group="activity", name="source", kind=Kind.WORD, get=_activity_source, words=tuple(Source),
          doc="Who saw the activity.",
          examples=("activity: {source: app connector}",)),
    Field(group="activity", name="admin", kind=Kind.FLAG, get=_activity_admin,
          doc="Whether it is an administrator's operation, as far as the app's signatures or its connector tell.",
          examples=("activity: {admin: true}",)),
    Field(group="activity", name="impersonated", kind=Kind.FLAG, get=_activity_impersonated,
          doc="Whether somebody did it in somebody else's name, as far as the app's connector tells.",
          examples=("activity: {impersonated: true}",)),
    Field(group="activity", name="action", kind=Kind.WORD, get=_activity_action,
          words=tuple(each.word for each in Action),
          doc="What was done to it. Activity policies only.",
          examples=("activity: {action: [block, step_up]}",)),
    Field(group="activity", name="policy", kind=Kind.WORD, get=_activity_policy, many=True,
          doc="A policy that matched it, by its id. Activity policies only.",
          examples=("activity: {policy: block-payroll-downloads}",)),
    Field(group="activity", name="alert", kind=Kind.WORD, get=_activity_alert, many=True,
          doc="A policy that raised an alert for it as it happened, by its id. Activity policies only.",
          examples=("activity: {alert: block-payroll-downloads}", "activity: {alert: {is_set: true}}")),
    Field(group="object", name="name", kind=Kind.PATTERN, get=_object_name, many=True,
          doc="The name of a file, folder, person or other thing that the activity is about. `*` and `?` are "
              "wildcards.",
          examples=("object: {name: 'Board*'}",)),
    Field(group="object", name="type", kind=Kind.WORD, get=_object_type, many=True,
          doc="What kind of thing it is about: file, folder, user, recipient, …, as the app's signatures name it.",
          examples=("object: {type: folder}",)),
    Field(group="object", name="id", kind=Kind.WORD, get=_object_id, many=True,
          doc="The id that the app gives the thing.",
          examples=("object: {id: 01AZJL5PN6Y2GOVW7725BZO354PWSELRRZ}",)),
    Field(group="object", name="user", kind=Kind.PATTERN, get=_object_user, many=True,
          doc="A person whom the activity is about, such as one something is shared with or sent to. Who does it is "
              "`user`; for either of the two, write both under `any`.",
          examples=("object: {user: '*@partner.example'}",)),
    Field(group="request", name="host", kind=Kind.PATTERN, get=_request_host,
          doc="The app's host that is asked. `*` and `?` are wildcards.",
          examples=("request: admin.files.example", "request: {host: '*-my.sharepoint.example'}")),
    Field(group="request", name="path", kind=Kind.PATTERN, get=_request_path,
          doc="The path that is asked for, without its query. `*` and `?` are wildcards, and `*` goes across slashes.",
          examples=("request: {path: /admin/*}",)),
    Field(group="request", name="method", kind=Kind.WORD, get=_request_method,
          doc="The request's method.",
          examples=("request: {method: [PUT, DELETE]}",)),
    Field(group="file", name="name", kind=Kind.PATTERN, get=_file_name,
          doc="The file's name. `*` and `?` are wildcards. Case, width and invisible characters make no difference.",
          examples=("file: payroll*", "file: {name: ['*salary*', '*.pst']}", "file: {name: {contains: secret}}")),
    Field(group="file", name="extension", kind=Kind.WORD, get=_file_extension,
          doc="What is behind the last dot of the name: a claim, which renaming changes; see `detected_type`.",
          examples=("file: {extension: [docx, xlsx, pptx]}", "file: {extension: {not: pdf}}")),
    Field(group="file", name="size", kind=Kind.SIZE, get=_file_size, content=True,
          doc="The file's size: a number of bytes, or with KB, MB or GB (1 KB is 1024 bytes).",
          examples=("file: {size: {at_least: 10MB}}", "file: {size: {more_than: 1KB, at_most: 2GB}}")),
    Field(group="file", name="detected_type", kind=Kind.MEDIA, get=_file_detected, content=True,
          words=filetypes.NAMES,
          doc="What the file is by its content: one of the groups, a media type, or one with `*`. The file is held "
              "and read for it.",
          examples=("file: {detected_type: [document, spreadsheet]}", "file: {detected_type: application/pdf}",
                    "file: {detected_type: {not: image/*}}")),
    Field(group="file", name="declared_type", kind=Kind.MEDIA, get=_file_declared, words=filetypes.NAMES,
          doc="What app or browser say the file is (`Content-Type`): a claim. Values as for `detected_type`.",
          examples=("file: {declared_type: executable}",)),
    Field(group="file", name="label", kind=Kind.PATTERN, get=_file_label, content=True,
          doc="The sensitivity label in the file, by name or id. `*` and `?` are wildcards. The file is held and read.",
          examples=("file: {label: Confidential*}", "file: {label: {is_set: false}}")),
    Field(group="file", name="sign", kind=Kind.WORD, get=_file_sign, many=True, content=True, words=tuple(Sign),
          partial=_signs_partial,
          doc="What is odd about the file. "
              + "; ".join(f"`{sign}`: {MEANING[sign]}" for sign in Sign) + ". The file is "
              "held and read.",
          examples=("file: {sign: [type_mismatch, double_extension, rtlo]}", "file: {sign: {not: macro}}")),
    Field(group="file", name="property", kind=Kind.PATTERN, get=_file_property, content=True,
          doc="The document properties, as one text with a line `name: value` for each: `author`, `title`, `company`, "
              "`keywords`, `last_modified_by` and whatever else the file has. The file is held and read.",
          examples=("file: {property: {contains: ['company: contoso', internal]}}",
                    "file: {property: '*project: apollo*'}")),
    Field(group="file", name="findings", kind=Kind.FINDINGS, get=_file_findings, content=True,
          doc="Sensitive information types that its text holds, or categories of them (`casb inspect --types` lists "
              "them), and how many different values: a type alone means at least one; a list one of any of them; "
              "several types with counts must all be met. `confidence` is `low`, `medium` (when left out) or `high`. "
              "The file is held and read.",
          examples=("file: {findings: credit-card}", "file: {findings: [secret, financial]}",
                    "file: {findings: {credit-card: {at_least: 3, confidence: high}, iban: 1}}")),
    Field(group="text", name="findings", kind=Kind.FINDINGS, get=_text_findings, content=True,
          doc="Sensitive information types that it holds, written as for files.",
          examples=("text: {findings: secret}", "text: {findings: {email-address: {more_than: 20}}}")),
    Field(group="file", name="malware", kind=Kind.FLAG, get=_file_malware, content=True,
          doc="Whether an engine calls the file malware: those under `malware` of casb.yaml. While one of them cannot "
              "answer and none finds anything, the condition is unknown and `unscannable` applies.",
          examples=("file: {malware: true}",)),
    Field(group="file", name="threat", kind=Kind.PATTERN, get=_file_threat, content=True,
          doc="What the engine calls the malware. `*` and `?` are wildcards.",
          examples=("file: {threat: '*Ransom*'}",)),
    Field(group="text", name="content", kind=Kind.PATTERN, get=_text_content, content=True,
          doc="The text itself. The page sends it to the proxy only where a policy asks for it; it is never logged. "
              "Case, width and invisible characters make no difference.",
          examples=("text: {contains: [confidential, internal only]}",
                    "text: {content: {contains: secret}}")),
    Field(group="text", name="length", kind=Kind.NUMBER, get=_text_length, content=True,
          doc="How many characters it has.",
          examples=("text: {length: {at_least: 500}}", "text: {length: {less_than: 20}}")),
)  # fmt: skip
"""Every condition there is. The first field of a group is meant when a group has a bare value: `device: unmanaged`."""

GROUPS: Mapping[str, Mapping[str, Field]] = {
    group: {field.name: field for field in FIELDS if field.group == group}
    for group in dict.fromkeys(field.group for field in FIELDS)
}

KNOWN_AT_SIGN_IN: frozenset[str] = frozenset(
    each.code for each in FIELDS if each.group in ("user", "device", "app") and each.code != "app.instance"
)
"""Facts that stay what they are for a whole session in an app."""

MALWARE: frozenset[str] = frozenset({"file.malware", "file.threat"})
"""Facts that malware engines tell."""

AFTERWARDS: frozenset[str] = frozenset({"activity.action", "activity.policy", "activity.alert"})
"""Facts that only the log has: for activity policies."""

GROUP_DOCS: Mapping[str, str] = {
    "user": "The signed-in person. A bare value is the `name`.",
    "device": "The device. A bare value is the `tag`.",
    "client": "Address and program, looked at anew for every exchange. A bare value is the `ip`.",
    "app": "The app. A bare value is the `id`.",
    "activity": "The activity itself. A bare value is the `type`.",
    "object": "What the activity is about, where signatures or connectors tell. A bare value is the `name`.",
    "request": "The request. A bare value is the `host`.",
    "file": "The file that is downloaded or uploaded. A bare value is the `name`.",
    "text": "The text that is copied, cut, pasted or printed in a page. A bare value is the whole `content`.",
}

TREE_DOCS: Mapping[str, str] = {
    "all": "A list of conditions that must all hold.",
    "any": "A list of conditions of which one must hold.",
    "not": "Conditions that must not hold (of a list: none of them).",
}

DEFAULT_FIELD: Mapping[str, str] = {
    "user": "name",
    "device": "tag",
    "client": "ip",
    "app": "id",
    "activity": "type",
    "object": "name",
    "request": "host",
    "file": "name",
    "text": "content",
}
