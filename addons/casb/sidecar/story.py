"""A record in plain words: what happened, who, where, which conditions, what decided. Pure; takes a record's JSON.

The portal's activity page and `casb explain` tell the same story.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from casb.model.identity import UNMANAGED

WORDS: Mapping[str, tuple[str, str]] = {
    "logon": ("sign in", "to"),
    "logoff": ("sign out", "of"),
    "view": ("open", "in"),
    "download": ("download", "from"),
    "upload": ("upload", "to"),
    "copy": ("copy", "from"),
    "cut": ("cut", "from"),
    "paste": ("paste", "into"),
    "print": ("print", "from"),
    "send_item": ("send", "in"),
    "share": ("share", "in"),
    "unshare": ("stop sharing", "in"),
    "edit": ("edit", "in"),
    "create": ("create", "in"),
    "delete": ("delete", "in"),
}
"""Activity type to a verb and the preposition before the app."""

OUTCOMES: Mapping[str, str] = {
    "allow": "It was allowed",
    "audit": "It was let through and recorded",
    "notify": "It was let through, and the person was told",
    "coach": "A justification was asked for",
    "redact": "It was handed over with its findings masked",
    "protect": "It was handed over protected",
    "step_up": "A stronger sign-in was asked for",
    "block": "It was blocked",
}

NOTHING = "—"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition of a policy: where it stands, as written, what the fact was, and whether that made it true."""

    place: str
    code: str
    written: str
    fact: str
    truth: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStory:
    """A policy that matched."""

    policy: str
    decided: bool
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """`headline` and `outcome` are sentences; `facts` are groups of labelled values, none of them empty."""

    headline: str
    outcome: str
    facts: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    policies: tuple[PolicyStory, ...]


def story_of(record: Mapping[str, Any]) -> Story:
    """Tells a record. Lenient: a field that is missing or odd is left out."""
    return Story(
        headline=_headline(record),
        outcome=_outcome(record),
        facts=tuple((title, lines) for title, lines in _facts(record) if lines),
        policies=_policies(record),
    )


def _headline(record: Mapping[str, Any]) -> str:
    who = _text(record, "user", "name") or "Somebody who was not signed in"
    activity = _text(record, "activity")
    verb, preposition = WORDS.get(activity, (activity or "act", "in"))
    what = f" {name}" if (name := _text(record, "file", "name")) else ""
    app = _text(record, "app", "name") or _text(record, "request", "url") or "an unknown app"
    if not what and activity == "view":
        return f"{who} wanted to open {app}."
    return f"{who} wanted to {verb}{what} {preposition} {app}."


def _outcome(record: Mapping[str, Any]) -> str:
    action = _text(record, "action")
    done = OUTCOMES.get(action, f"The action was {action}")
    if record.get("default_behaviour"):
        return f"{done}, by default: we could not judge it ourselves, and no policy decided."
    if policy := _text(record, "policy"):
        others = len([each for each in _list(record, "matched") if each != policy])
        beside = f"; {others} other{'s' if others > 1 else ''} matched too" if others else ""
        return f"{done} by the policy {policy}{beside}."
    return f"{done}: no policy matched."


def _policies(record: Mapping[str, Any]) -> tuple[PolicyStory, ...]:
    decided = _text(record, "policy")
    conditions: dict[str, list[Condition]] = {decided: []} if decided else {}
    for name in _list(record, "matched"):
        conditions.setdefault(str(name), [])
    for reason in _list(record, "reasons"):
        if isinstance(reason, Mapping):
            conditions.setdefault(_text(reason, "policy"), []).append(_condition(reason))
    return tuple(
        PolicyStory(policy=name, decided=name == decided, conditions=tuple(found)) for name, found in conditions.items()
    )


def _condition(reason: Mapping[str, Any]) -> Condition:
    file, line, column = _text(reason, "file"), reason.get("line") or 0, reason.get("column") or 0
    return Condition(
        place=f"{file}:{line}:{column}" if line else file,
        code=_text(reason, "code"),
        written=_text(reason, "condition"),
        fact=_text(reason, "fact"),
        truth=_text(reason, "truth") or "yes",
    )


def _facts(record: Mapping[str, Any]) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    return [
        (
            "What",
            _lines(
                record,
                ("Activity", "activity"),
                ("Action", "action"),
                ("Severity", "severity"),
                ("Message shown", "message"),
                ("Objects", "objects"),
                ("Source", "source"),
            ),
        ),
        (
            "Who",
            _lines(
                record,
                ("User", "user", "name"),
                ("Name", "user", "display_name"),
                ("User id", "user", "id"),
                ("Groups", "user", "groups"),
                ("Guest", "user", "is_guest"),
                ("Identity provider", "extra", "provider"),
                ("Identity provider", "extra", "saml", "provider"),
                ("Its entity id", "extra", "saml", "issuer"),
                ("Told to the app", "extra", "saml", "attributes"),
                ("Session", "session"),
                ("Authentication contexts", "auth_contexts"),
            ),
        ),
        (
            "Where",
            _lines(
                record,
                ("App", "app", "name"),
                ("Instance", "instance"),
                ("Method", "request", "method"),
                ("Address", "request", "url"),
                ("Asked as", "request", "mode"),
                ("Status", "response", "status"),
                ("Way in", "mode"),
            ),
        ),
        (
            "Device",
            (
                *((("Device tag", ", ".join(_list(record, "device", "tags")) or UNMANAGED),)),
                *_lines(
                    record,
                    ("Proven by", "device", "sources"),
                    ("Type", "device", "type"),
                    ("System", "device", "os"),
                    ("Client app", "client", "app"),
                    ("User agent", "client", "user_agent"),
                    ("User agent tags", "client", "agent_tags"),
                ),
            ),
        ),
        (
            "Network",
            _lines(
                record,
                ("IP address", "client", "ip"),
                ("Category", "client", "ip_category"),
                ("Tags", "client", "ip_tags"),
                ("Country", "client", "country"),
                ("Provider", "client", "isp"),
            ),
        ),
        (
            "File",
            _lines(
                record,
                ("Name", "file", "name"),
                ("Size", "file", "size"),
                ("Declared type", "file", "declared_type"),
                ("Detected type", "file", "detected_type"),
                ("Label", "file", "label"),
                ("Content", "file", "verdict", "status"),
                ("Why unscannable", "file", "verdict", "why"),
                ("Findings", "file", "findings"),
                ("SHA-256", "file", "sha256"),
            ),
        ),
    ]


def _lines(record: Mapping[str, Any], *wanted: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    lines = []
    for label, *path in wanted:
        value = _show(_at(record, *path), path[-1])
        if value:
            lines.append((label, value))
    return tuple(lines)


def _show(value: object, name: str) -> str:
    match value:
        case None | "":
            return ""
        case bool():
            return "yes" if value else "no"
        case int() if name == "size":
            return size(value)
        case Mapping():
            return ", ".join(f"{key}: {each}" for key, each in value.items())
        case list():
            return ", ".join(_text(each, "name") if isinstance(each, Mapping) else str(each) for each in value)
        case _:
            return str(value)


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1024 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def _at(record: Mapping[str, Any], *path: str) -> Any:
    value: Any = record
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _text(record: Mapping[str, Any], *path: str) -> str:
    value = _at(record, *path)
    return value if isinstance(value, str) else ""


def _list(record: Mapping[str, Any], *path: str) -> Sequence[Any]:
    value = _at(record, *path)
    return value if isinstance(value, list) else []
