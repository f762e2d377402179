"""The YAML shape of a policy file: field list, validation, schema and manual at once.

Only the shape: what the conditions under `when` may say is in `vocabulary.py`, what must fit together is checked in
`loader.py`. `doc` and `examples` in a field's metadata go into the schema and the manual.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from casb.model.activity import ActivityType
from casb.model.decision import Severity


def _doc(text: str, *examples: str) -> dict[str, Any]:
    return {"doc": text, "examples": examples}


class Kind(StrEnum):
    """When a policy is asked: at sign-in to an app, or at each activity in it."""

    ACCESS = "access"
    SESSION = "session"
    ACTIVITY = "activity"


class SimpleAction(StrEnum):
    """Actions without details."""

    AUDIT = "audit"
    NOTIFY = "notify"
    COACH = "coach"
    REDACT = "redact"
    PROTECT = "protect"
    STEP_UP = "step_up"
    BLOCK = "block"


class Unscannable(StrEnum):
    """What a policy does when a condition stays unknown."""

    MATCH = "match"
    IGNORE = "ignore"
    AUDIT = "audit"
    NOTIFY = "notify"
    COACH = "coach"
    PROTECT = "protect"
    STEP_UP = "step_up"
    BLOCK = "block"


type Using = Literal["auto", "office", "pdf", "age", "cms", "zip_aes", "label"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protect:
    """Hand the file over encrypted, labelled or both; the copy in the app stays as it is."""

    type: Literal["protect"] = field(metadata=_doc("Always `protect`."))
    using: Using = field(
        default="auto",
        metadata=_doc(
            "`auto`: Office files and PDF with a password in their own format, everything else as an age container. "
            "`office`, `pdf`, `age`, `cms` (for certificates) and `zip_aes` (for 7-Zip) insist on one format. `label` "
            "writes the label and does not encrypt.",
            "auto",
            "label",
        ),
    )
    label: str = field(
        default="",
        metadata=_doc(
            "Sensitivity label, by its name under `labels` in casb.yaml, that is written into Office files and PDF "
            "before they are encrypted. A label that ranks as high or higher stays.",
            "Confidential",
        ),
    )
    otherwise: Literal["age", "block"] = field(
        default="age",
        metadata=_doc(
            "What happens to a file that cannot be labelled or encrypted so: it leaves as an age container, or not.",
            "block",
        ),
    )
    groups: str | tuple[str, ...] = field(
        default=(), metadata=_doc("Groups that may open it besides the person it was handed to.", "[finance]")
    )
    device: Literal["any", "managed"] = field(
        default="any", metadata=_doc("On which devices it may be opened.", "managed")
    )
    expires: str = field(default="", metadata=_doc("How long it may be opened; for ever, when left out.", "30d"))
    recipients: str | tuple[str, ...] = field(
        default=(),
        metadata=_doc("For `cms`: names under `recipients` in casb.yaml whose certificates open it.", "[acme]"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUp:
    """Let the person prove more first; once proven in this session, the policy no longer applies."""

    type: Literal["step_up"] = field(metadata=_doc("Always `step_up`."))
    context: str = field(
        default="c1", metadata=_doc("The authentication context that must have been satisfied: c1 to c99.", "c1")
    )
    fresh_for: str | None = field(
        default=None,
        metadata=_doc(
            "How long the proof counts, at least a minute; asked for again after it. Left out: as long as the session.",
            "15m",
        ),
    )


class Otherwise(StrEnum):
    """What happens to content that cannot be masked."""

    PROTECT = "protect"
    STEP_UP = "step_up"
    BLOCK = "block"


class FreeText(StrEnum):
    """Whether a justification needs a sentence of the person's own."""

    OPTIONAL = "optional"
    REQUIRED = "required"
    NO = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coach:
    """Let the person say why it is needed; then it goes on, recorded with what was said."""

    type: Literal["coach"] = field(metadata=_doc("Always `coach`."))
    reasons: tuple[str, ...] = field(
        default=(), metadata=_doc("Reasons to choose from; free text alone when left out.", "[A customer asked for it]")
    )
    text: FreeText = field(
        default=FreeText.OPTIONAL,
        metadata=_doc("Whether a sentence of one's own is `required`, `optional` or not asked for (`no`).", "required"),
    )
    lasts: str = field(
        default="1h",
        metadata=_doc("How long it counts for the same person, app and file (or host).", "8h", "15m"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Redact:
    """Mask what was found, and hand the rest over."""

    type: Literal["redact"] = field(metadata=_doc("Always `redact`."))
    types: tuple[str, ...] = field(
        default=(),
        metadata=_doc(
            "Sensitive information types that are masked; those of the conditions when left out.", "[credit-card]"
        ),
    )
    otherwise: Otherwise = field(
        default=Otherwise.BLOCK,
        metadata=_doc("What happens to content that cannot be masked: Office files, PDF, anything unknown.", "protect"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Refuse."""

    type: Literal["block"] = field(metadata=_doc("Always `block`."))
    quarantine: bool = field(
        default=False,
        metadata=_doc(
            "Uploads only: the refused file is kept, encrypted, for admins to look at, release or delete.", "true"
        ),
    )


class OnFailure(StrEnum):
    """What a policy wants when we cannot do what it says."""

    ALLOW = "allow"
    BLOCK = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertDetails:
    """An alert whose title or severity differ from the policy's."""

    title: str = field(
        default="", metadata=_doc("One line; the policy's name when left out.", "Payroll left the house")
    )
    severity: Severity | None = field(default=None, metadata=_doc("The policy's severity when left out.", "high"))
    daily_limit: int = field(
        default=5,
        metadata=_doc("New alerts of this policy a day; what lies beyond is counted. Never stops enforcement.", "20"),
    )
    email: tuple[str, ...] = field(
        default=(), metadata=_doc("Told by e-mail, besides those of casb.yaml.", "[soc@contoso.example]")
    )


class Stage(StrEnum):
    """How far a policy is rolled out."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """Enforced for some people, in shadow for all others. The same person always falls on the same side."""

    share: str = field(default="", metadata=_doc("A share of the people, fixed per person and policy.", "10%"))
    groups: str | tuple[str, ...] = field(
        default=(), metadata=_doc("Groups that it is enforced for in any case.", "pilot", "[it, pilot]")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much refusing is believed to be right. Beyond it the policy goes back to shadow by itself, with an alert."""

    block_rate: str = field(
        default="",
        metadata=_doc("Share of the activities it was asked about that it refused, once those are 20.", "5%"),
    )
    blocks: int | None = field(default=None, metadata=_doc("Number of refusals.", "200"))
    appeals: int | None = field(default=None, metadata=_doc("Number of requests for an exception to it.", "10"))
    window: str = field(default="24h", metadata=_doc("The stretch of time that is counted.", "24h"))


type Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a policy counts. Outside of it, it is as if it were not there."""

    begin: str = field(default="", metadata=_doc("First day, or first minute.", "'2026-04-01'"))
    until: str = field(
        default="", metadata=_doc("Last day, or the minute at which it expires.", "'2026-06-30'", "'2026-06-30T18:00'")
    )
    days: tuple[Day, ...] = field(default=(), metadata=_doc("Days of the week.", "[mon, tue, wed, thu, fri]"))
    hours: str = field(
        default="", metadata=_doc("Hours of the day; they may reach past midnight.", "08:00-18:00", "'22:00-06:00'")
    )
    zone: str = field(default="UTC", metadata=_doc("Time zone of all of these.", "Europe/Berlin"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """How often it must happen before an activity policy matches: by one person, within a stretch of time."""

    at_least: int = field(metadata=_doc("How many times.", "50"))
    within: str = field(metadata=_doc("The stretch of time, at most a day.", "5m", "1h"))
    per: Literal["user", "ip"] = field(default="user", metadata=_doc("Whose activities are counted together.", "ip"))
    in_one_app: bool = field(default=False, metadata=_doc("Only activities in the same app count together.", "true"))
    unique_files: bool = field(
        default=False, metadata=_doc("The same file or folder counts once, however often it is touched.", "true")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDocument:
    """One policy: whom and what it concerns, what must hold, and what happens then."""

    id: str = field(
        metadata=_doc(
            "Names the policy in decisions, logs and tests: small letters, digits and hyphens. Unique in the folder.",
            "block-payroll-downloads",
        )
    )
    name: str = field(
        default="", metadata=_doc("For people; the id when left out.", "Payroll stays on managed devices")
    )
    description: str = field(default="", metadata=_doc("Why the policy exists."))
    kind: Kind = field(
        default=Kind.SESSION,
        metadata=_doc(
            "`access`: asked once, before any app content is served. `session`: asked at each activity. `activity`: "
            "looks at the log afterwards, whoever saw the activity, and raises alerts; it refuses nothing."
        ),
    )
    enabled: bool = field(default=True, metadata=_doc("`false` switches the policy off; it is still checked."))
    severity: Severity = field(default=Severity.MEDIUM, metadata=_doc("How bad a match is.", "high"))
    apps: str | tuple[str, ...] = field(
        default=(), metadata=_doc("Ids of the apps it concerns; every app when left out.", "files", "[files, flows]")
    )
    activities: ActivityType | tuple[ActivityType, ...] = field(
        default=(),
        metadata=_doc(
            "Activity types it concerns; when left out, every one (but `logon`, for session policies). Not for access "
            "policies.",
            "download",
            "[copy, cut, print]",
        ),
    )
    when: Any = field(default=None, metadata=_doc("Conditions that must all hold; always, when left out."))
    action: SimpleAction | Block | Coach | Redact | Protect | StepUp = field(
        metadata=_doc(
            "`audit` lets through and records, `notify` tells the person besides, `coach` lets it go on once the "
            "person has said why, `redact` masks what was found, `protect` hands a download over encrypted, `step_up` "
            "asks for a stronger sign-in, `block` refuses. When several policies match, the strictest wins (in this "
            "order).",
            "block",
            "{type: block, quarantine: true}",
            "{type: coach, reasons: [A customer asked for it], lasts: 8h}",
            "{type: redact, types: [credit-card]}",
            "{type: protect, label: Confidential, expires: 30d}",
        )
    )
    unscannable: Unscannable = field(
        default=Unscannable.MATCH,
        metadata=_doc(
            "What happens when a condition stays unknown: a file that cannot be read (encrypted, damaged, too large) "
            "or groups that could not be found out. `match`: as if it held; `ignore`: as if it did not; or an action."
        ),
    )
    message: str | Mapping[str, str] = field(
        default="",
        metadata=_doc(
            "What the person reads who is stopped or told: plain text, or a text for each language. {user}, {app}, "
            "{file}, {policy}, {label}, {findings} and {activity} are filled in; {{ and }} are braces. The browser's "
            "language chooses; `en`, or else the first, is for all others.",
            "'{file} may only be downloaded on a managed device.'",
            "{en: Not on this device., de: Nicht auf diesem Gerät.}",
        ),
    )
    alert: bool | AlertDetails = field(
        default=False, metadata=_doc("Raise an alert at each match.", "true", "{title: Payroll left the house}")
    )
    rollout: Stage | Canary = field(
        default=Stage.ENFORCE,
        metadata=_doc(
            "`enforce`; `shadow`: decided and recorded, but nothing is refused, changed or alerted; or a canary: "
            "enforced for a share of the people or for groups, in shadow for the others.",
            "shadow",
            "{share: 10%}",
            "{groups: [pilot]}",
        ),
    )
    on_failure: OnFailure | None = field(
        default=None,
        metadata=_doc(
            "What happens when its action cannot be carried out by us: `allow` or `block`; what the app says "
            "(`on_failure` in apps/*.yaml) when left out. A download that cannot be protected is always refused.",
            "block",
        ),
    )
    budget: Budget | None = field(
        default=None,
        metadata=_doc(
            "Goes back to shadow by itself, with an alert, when it refuses more than this.", "{block_rate: 5%}"
        ),
    )
    repeated: Repeated | None = field(
        default=None,
        metadata=_doc("Activity policies only: matches when it happens again and again.", "{at_least: 50, within: 1m}"),
    )
    schedule: Schedule | None = field(
        default=None,
        metadata=_doc("When it counts; always, when left out.", "{until: '2026-06-30'}", "{hours: '08:00-18:00'}"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """A file of policies. Any number of them may lie in the folder; their order makes no difference."""

    version: Literal[1] = field(metadata=_doc("The version of this format: 1."))
    policies: tuple[PolicyDocument, ...] = field(metadata=_doc("The policies."))
