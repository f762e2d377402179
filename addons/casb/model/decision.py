"""What was decided on an activity and why, and what that means for the traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, IntEnum, StrEnum

from casb.errors import Where


class Truth(Enum):
    """Kleene's three values. A condition on content is UNKNOWN until the content has been read."""

    NO = 0
    UNKNOWN = 1
    YES = 2


class Action(IntEnum):
    """The order is the order of restrictiveness (decision 0020). ALLOW: no policy matched."""

    ALLOW = 0
    AUDIT = 1
    NOTIFY = 2
    COACH = 3
    REDACT = 4
    PROTECT = 5
    STEP_UP = 6
    BLOCK = 7

    @property
    def word(self) -> str:
        return self.name.lower()

    @property
    def passes(self) -> bool:
        """Whether the activity happens, at once and as it was meant."""
        return self <= Action.NOTIFY

    @property
    def halts(self) -> bool:
        """Whether the activity does not happen, for now or for good: justify, prove more, or give up."""
        return self in (Action.COACH, Action.STEP_UP, Action.BLOCK)


class Severity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Need(StrEnum):
    """What must be known before the decision is final."""

    CONTENT = "content"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One condition of one matching policy, the value it asked for and the fact that answered it."""

    code: str  # stable, e.g. "device.tags", "file.extension", "file.unscannable", "failure"
    policy: str
    where: Where
    condition: str = ""  # as written, e.g. "device: unmanaged"
    fact: str = ""  # the actual value, e.g. "no device tags"
    truth: Truth = Truth.YES


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """To be raised because a policy with an alert matched."""

    policy: str
    severity: Severity
    title: str
    daily_limit: int = 5
    email: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowed:
    """What a policy in shadow would have done, and why."""

    policy: str
    action: Action
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exempted:
    """What a policy would have done if there were no exception for this person and thing, and why."""

    policy: str
    action: Action
    exception: str  # the id of the exception
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """What is to be masked: findings of these sensitive information types (empty: of every type that is looked for).

    `otherwise` is what happens to content that cannot be masked.
    """

    types: frozenset[str]
    otherwise: Action
    using: str = ""  # of `otherwise`, as in `Decision.using`


@dataclass(frozen=True, slots=True, kw_only=True)
class Coaching:
    """What is asked before it goes on. A justification counts for `lasts` seconds; empty `reasons`: free text alone."""

    policies: tuple[str, ...]  # all that ask: one answer is for all of them
    reasons: tuple[str, ...] = ()
    text: str = "optional"  # optional, required or no
    lasts: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`policy` is the one whose action won; `matched` are all that matched, in id order.

    `shadow` are policies that matched and are only watched: they have no part in anything else here. So are
    `exempted`, but for this: what an exception lets through is recorded (`audit`).
    """

    action: Action
    policy: str | None = None
    matched: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()
    needs: frozenset[Need] = frozenset()
    alerts: tuple[Alert, ...] = ()
    severity: Severity | None = None
    message: str = ""
    messages: Mapping[str, str] = field(default_factory=dict)  # by language (BCP 47), where there are several
    using: str = ""  # protect: which protector; step_up: which authentication context
    redaction: Redaction | None = None
    coaching: Coaching | None = None
    fresh_for: timedelta | None = None  # step_up: how long the proof counts; None: as long as the session
    shadow: tuple[Shadowed, ...] = ()
    exempted: tuple[Exempted, ...] = ()
    on_failure: str = ""  # what the policies say when it cannot be carried out: allow, block, or the app decides
    default_behaviour: bool = False  # True: our own failure decided, not a policy (S22)


ALLOWED = Decision(action=Action.ALLOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Let it through untouched. `notice`: and tell the person about it."""

    notice: Decision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Buffer the body (at most `limit` bytes), read it, then ask again."""

    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Protect:
    """Hand the file over encrypted."""

    using: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Answer with a page of ours instead. `kind` is `block`, `step_up`, `coach` or `error`."""

    kind: str
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Redact:
    """Hand it over with its findings masked."""

    order: Redaction


type Effect = Pass | Hold | Protect | Redact | Answer
