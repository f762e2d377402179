"""A bug refuses: the decorator on every hook that may touch an exchange (house.md rule 4).

mitmproxy logs an exception in a hook and lets the flow go on. Sealed hooks refuse the exchange instead, at the latest
point where that is still honoured, and every later hook of a refused exchange does nothing.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from mitmproxy import http

from casb.proxy import translate
from casb.proxy.faults import log_fault

logger = logging.getLogger(__name__)

type Hook[A] = Callable[[A, http.HTTPFlow], Awaitable[None] | None]


def sealed[A](hook: Hook[A]) -> Hook[A]:
    """Refuse the exchange when our own code fails.

    The wrapped hook stays synchronous unless it returns an awaitable, so that the common case costs no task.
    """
    phase = hook.__name__

    @functools.wraps(hook)
    def guarded(self: A, flow: http.HTTPFlow) -> Awaitable[None] | None:
        try:
            if translate.is_refused(flow):
                translate.hold_refusal(flow, phase)
                return None
            result = hook(self, flow)
        except Exception:
            log_fault(logger, "hook failed, exchange refused", phase=phase, flow=flow.id)
            translate.refuse(flow, phase)
            return None
        if result is not None and inspect.isawaitable(result):
            return _finish(result, flow, phase)
        return None

    guarded.__sealed__ = True  # type: ignore[attr-defined]
    return guarded


async def _finish(result: Awaitable[Any], flow: http.HTTPFlow, phase: str) -> None:
    try:
        await result
    except Exception:
        log_fault(logger, "hook failed, exchange refused", phase=phase, flow=flow.id)
        translate.refuse(flow, phase)
