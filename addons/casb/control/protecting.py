"""What a decision to protect orders: the format, the label, and who may open the file until when.

All matching policies that protect have their say, so that one more never loosens: the strictest label, the earliest
end, managed devices if any asks for them, encryption if any encrypts. Format and groups are the winner's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from casb.model.decision import Action, Decision
from casb.model.record import Record
from casb.policy.compile import Policies, Policy
from casb.policy.document import Protect, Using
from casb.policy.rollout import duration
from casb.protection.encrypt import HandOver
from casb.protection.opening import plain_name
from casb.settings import SensitivityLabel


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectOrder:
    """One file's order. `expires` is aware UTC; None: never."""

    using: Using = "auto"
    label: SensitivityLabel | None = None
    otherwise: str = "age"
    groups: tuple[str, ...] = ()
    device: str = "any"
    expires: datetime | None = None
    recipients: tuple[str, ...] = ()

    @property
    def encrypts(self) -> bool:
        return self.using != "label"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one file leaves: the order, the facts of the hand-over, and whether all of it is needed at once."""

    order: ProtectOrder
    facts: HandOver
    whole: bool  # a label or a password of its own format is to be written


def plan_of(record: Record, order: ProtectOrder, file: str, content_type: str) -> Plan:
    """The plan for the download of a record. `file` is the id of the protected file. Raises `LookupError` without a
    person or a file."""
    activity = record.activity
    if activity.user is None or activity.file is None:
        raise LookupError("nobody, or nothing, to protect it for")
    facts = HandOver(
        file=file,
        user=activity.user.id,
        user_name=activity.user.name,
        name=plain_name(activity.file.name),
        app=activity.app.id if activity.app else "",
        policy=record.decision.policy or "",
        activity=activity.id,
        label=order.label.name if order.label else activity.file.label or "",
        time=_second(activity.time),
        groups="\n".join(order.groups),
        device=order.device,
        expires=_second(order.expires) if order.expires else "",
    )
    insists = order.using in ("office", "pdf", "label")
    native = insists or order.using == "auto" or order.label is not None
    types = {content_type, activity.file.detected_type}
    fits = activity.file.extension in _EXTENSIONS or any(each and each.startswith(_TYPES) for each in types)
    return Plan(order=order, facts=facts, whole=insists or (native and fits))


def _second(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_EXTENSIONS = frozenset(
    "docx docm dotx dotm xlsx xlsm xltx xltm xlsb xlam pptx pptm potx potm ppsx ppsm ppam pdf".split()
)
_TYPES = (
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.ms-word.",
    "application/vnd.ms-excel.",
    "application/vnd.ms-powerpoint.",
    "application/pdf",
)


def order_of(decision: Decision, policies: Policies, labels: Iterable[SensitivityLabel], now: datetime) -> ProtectOrder:
    """The order of a decision whose action is protect. Raises `LookupError` when no policy gives one, or a label that
    is named is not known: then nothing may be handed out."""
    matched = [each for each in policies.all if each.id in decision.matched and each.protect is not None]
    orders = [(each, each.protect) for each in matched if each.protect and each.strictest >= Action.PROTECT]
    winner = next((order for policy, order in orders if policy.id == decision.policy), None)
    if winner is None:
        raise LookupError("no policy says how to protect")
    others = [order for policy, order in orders if _protects(policy)]
    every = [winner, *others]
    encrypting = next((order for order in every if order.using != "label"), winner)
    ends = [now + duration(order.expires) for order in every if order.expires]
    return ProtectOrder(
        using=encrypting.using,
        label=_strictest(every, {each.name: each for each in labels}),
        otherwise="block" if any(order.otherwise == "block" for order in every) else "age",
        groups=_tuple(encrypting.groups),
        device="managed" if any(order.device == "managed" for order in every) else "any",
        expires=min(ends) if ends else None,
        recipients=_tuple(encrypting.recipients),
    )


def _protects(policy: Policy) -> bool:
    return policy.action is Action.PROTECT


def _strictest(orders: Iterable[Protect], known: dict[str, SensitivityLabel]) -> SensitivityLabel | None:
    found = [known[order.label] for order in orders if order.label]  # KeyError is a LookupError
    return max(found, key=lambda label: label.priority) if found else None


def _tuple(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
