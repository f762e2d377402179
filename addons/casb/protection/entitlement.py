"""Who may open a protected file again. Pure: the facts in the file and the person asking give a yes or a no."""

from __future__ import annotations

from typing import NamedTuple

from casb.model.identity import Device, User
from casb.protection.encrypt import HandOver


class Answer(NamedTuple):
    """`code` is stable; `reason` is a sentence for the person asking."""

    allowed: bool
    code: str
    reason: str


def may_open(facts: HandOver, user: User | None, device: Device | None = None) -> Answer:
    """Yes for the person the file was handed to, on whatever device; no for everybody else.

    The comparison is by `User.id`, exactly: names and addresses change hands, ids do not. `device` is looked at by no
    rule yet.
    """
    if user is None or not user.id:
        return Answer(False, "open.not-signed-in", "Sign in to open this file.")
    if not facts.user or facts.user != user.id:
        return Answer(False, "open.other-person", "This file was handed over to somebody else; only they can open it.")
    return Answer(True, "open.same-person", "This file was handed over to you.")
