"""Sessions that an admin ends, from anywhere that can reach the session store; every node hears of it at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, get_args

from casb.connectors.live import LiveSessions
from casb.errors import TokenError
from casb.ports import Clock, SessionStore

type What = Literal["user", "session", "app"]
WHATS: Final[tuple[str, ...]] = get_args(What.__value__)


async def revoke(store: SessionStore, what: str, value: str, *, providers: Iterable[str], clock: Clock) -> int:
    """End the sessions of a user (id, or the name signed in with), one session by its logged id, or all in an app.

    The number of records removed. Raises `TokenError` I023 when it is not said which, and `StoreError`.
    """
    value = value.strip()
    if what not in WHATS or not 0 < len(value) <= 512:
        raise TokenError("I023", "say which user, session or app")
    live = LiveSessions(store=store, login_host="", clock=clock)
    match what:
        case "session":
            return await live.revoke_session(value)
        case "app":
            return await live.revoke_app(value)
    removed = await live.revoke_user(value)
    return removed + sum([await live.revoke_name(each, value) for each in providers])
