"""What was decided on an activity and why, and what that means for the traffic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, IntEnum, StrEnum

from casb.errors import Where


class Truth(Enum):
    """Kleene's three values. A condition on content is UNKNOWN until the content has been read."""

    NO = 0
    UNKNOWN = 1
    YES = 2


class Action(IntEnum):
    """The order is the order of restrictiveness (house.md section 5). ALLOW: no policy matched."""

    ALLOW = 0
    AUDIT = 1
    PROTECT = 2
    STEP_UP = 3
    BLOCK = 4

    @property
    def word(self) -> str:
        return self.name.lower()


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
class Decision:
    """`policy` is the one whose action won; `matched` are all that matched, in id order.

    `shadow` are policies that matched and are only watched: they have no part in anything else here.
    """

    action: Action
    policy: str | None = None
    matched: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()
    needs: frozenset[Need] = frozenset()
    alerts: tuple[Alert, ...] = ()
    severity: Severity | None = None
    message: str = ""
    using: str = ""  # protect: which protector; step_up: which authentication context
    fresh_for: timedelta | None = None  # step_up: how long the proof counts; None: as long as the session
    shadow: tuple[Shadowed, ...] = ()
    default_behaviour: bool = False  # True: our own failure decided, not a policy (S22)


ALLOWED = Decision(action=Action.ALLOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Let it through untouched."""


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
    """Answer with a page of ours instead. `kind` is `block`, `step_up` or `error`."""

    kind: str
    decision: Decision


type Effect = Pass | Hold | Protect | Answer
