"""Who may open a protected file again. Pure: the facts of the file and the person asking give a yes or a no.

Asked at every opening, with what is true then: the person's groups, the device, the time, and what an administrator has
said about the file since it was handed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from casb.model.identity import Device, User
from casb.protection.encrypt import HandOver


class Answer(NamedTuple):
    """`code` is stable; `reason` is a sentence for the person asking. `error` is the code of a refusal's error."""

    allowed: bool
    code: str
    reason: str
    error: str = "F007"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What an administrator has said since. `expires` replaces that of the hand-over; None: nothing was said."""

    revoked: bool = False
    expires: datetime | None = None


def may_open(
    facts: HandOver,
    user: User | None,
    device: Device | None = None,
    *,
    now: datetime | None = None,
    standing: Standing | None = None,
) -> Answer:
    """Yes for the person the file was handed to and for the groups named then, while nothing else stands against it.

    The comparison is by `User.id`, exactly: names and addresses change hands, ids do not. `now` is aware UTC; without
    it, a file that expires does not open.
    """
    if user is None or not user.id:
        return Answer(False, "open.not-signed-in", "Sign in to open this file.")
    standing = standing or Standing()
    if standing.revoked:
        return Answer(False, "open.revoked", "This file was revoked by an administrator.", "F016")
    own = bool(facts.user) and facts.user == user.id
    groups = {each for each in facts.groups.split("\n") if each}
    if not own and not (user.groups_known and groups & user.groups):
        return Answer(False, "open.other-person", "This file was handed over to somebody else; only they can open it.")
    if (facts.expires or standing.expires) and _over(standing.expires or _moment(facts.expires), now):
        return Answer(False, "open.expired", "The time in which this file could be opened is over.", "F016")
    if facts.device not in ("", "any") and (device is None or not device.managed):
        return Answer(False, "open.unmanaged", "This file opens on managed devices only.", "F017")
    if own:
        return Answer(True, "open.same-person", "This file was handed over to you.")
    return Answer(True, "open.group", "This file was handed over to a group of yours.")


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _over(end: datetime | None, now: datetime | None) -> bool:
    """An end that cannot be read, or a clock that is not given, counts as over."""
    return end is None or now is None or now >= end
