"""What people have said to go on (`coach`): for how long it counts, and for what.

A justification counts for one person, policy, app and thing. The thing is the file where there is one, by its name, and
otherwise the host: whoever said why they need `q3.xlsx` has said nothing of `payroll.xlsx`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from casb.model.activity import Activity


@dataclass(frozen=True, slots=True, kw_only=True)
class Justification:
    """One answer, of one person in one app. `activity` is the id of what was stopped."""

    policies: tuple[str, ...]
    thing: str
    until: datetime
    reason: str = ""
    text: str = ""
    activity: str = ""


def thing_of(activity: Activity) -> str:
    """What a justification of this activity is about."""
    if activity.file is not None and activity.file.name:
        return f"file:{activity.file.name}"
    if activity.request is not None:
        return f"host:{activity.request.host}"
    return f"app:{activity.app.id}" if activity.app else ""


def holding(given: Iterable[Justification], activity: Activity) -> tuple[Justification, ...]:
    """Those that count for the activity."""
    thing = thing_of(activity)
    return tuple(each for each in given if each.thing == thing and activity.time < each.until)


def to_json(each: Justification) -> dict[str, Any]:
    """As it is kept."""
    return {
        "policies": list(each.policies),
        "thing": each.thing,
        "until": each.until.isoformat(),
        "reason": each.reason,
        "text": each.text,
        "activity": each.activity,
    }


def from_json(data: dict[str, Any]) -> Justification:
    """The reverse; KeyError, TypeError or ValueError for anything else."""
    return Justification(
        policies=tuple(data["policies"]),
        thing=data["thing"],
        until=datetime.fromisoformat(data["until"]),
        reason=data["reason"],
        text=data["text"],
        activity=data["activity"],
    )
