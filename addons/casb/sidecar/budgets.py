"""Watches the budgets of policies: one that refuses more than it was believed to goes back to shadow, audited."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from casb.errors import StoreError
from casb.policy.budget import overdrawn
from casb.policy.compile import digest_of
from casb.policy.loader import LoadedPolicy
from casb.policy.rollout import duration
from casb.sidecar.services import Services
from casb.store import withdrawals
from casb.store.withdrawals import Withdrawal

logger = logging.getLogger(__name__)

WHO = "casb (budget)"


def look(services: Services) -> list[Withdrawal]:
    """Withdraw what is beyond its budget now; what was withdrawn by this look. Raises `StoreError`."""
    data = Path(services.settings.data)
    before = withdrawals.read(data)
    now = services.clock()
    fresh: list[Withdrawal] = []
    for loaded in services.deployment.view().loaded:
        digest = digest_of(loaded)
        if not loaded.document.enabled or any(each.digest == digest for each in before):
            continue
        why = _overdrawn(services, loaded, now)
        if why:
            fresh.append(Withdrawal(policy=loaded.document.id, digest=digest, since=now, why=why))
    if fresh:
        for each in fresh:
            services.portal.note(WHO, "", "policy put into shadow", now, policy=each.policy, why=each.why)
            logger.warning("policy put into shadow policy=%s why=%r", each.policy, each.why)
        withdrawals.write(data, [*before, *fresh])
    return fresh


def _overdrawn(services: Services, loaded: LoadedPolicy, now: datetime) -> str | None:
    budget = loaded.document.budget
    if budget is None:
        return None
    since = max(now - duration(budget.window), _reinstated(services, loaded.document.id) or now - timedelta(days=400))
    spent = services.records.spent(loaded.document.id, loaded.apps, [str(each) for each in loaded.activities], since)
    return overdrawn(budget, spent)


def _reinstated(services: Services, policy: str) -> datetime | None:
    """When an admin last put it back in force: what was refused before counts no more."""
    return services.portal.last_noted("policy put back in force", "policy", policy)


def reinstate(services: Services, policy: str) -> Withdrawal | None:
    """Put a withdrawn policy back in force; what it was, or None when it was not withdrawn. The caller audits it."""
    data = Path(services.settings.data)
    before = withdrawals.read(data)
    gone = next((each for each in before if each.policy == policy), None)
    if gone is not None:
        withdrawals.write(data, [each for each in before if each.policy != policy])
    return gone


def withdrawn(services: Services) -> Sequence[Withdrawal]:
    """What is withdrawn and still says what it said then."""
    known = {digest_of(loaded) for loaded in services.deployment.view().loaded}
    return [each for each in withdrawals.read(Path(services.settings.data)) if each.digest in known]


def watch(services: Services, over: threading.Event, every: timedelta = timedelta(seconds=15)) -> None:
    """Look again and again, until `over`."""
    while not over.is_set():
        try:
            look(services)
        except StoreError as error:
            logger.error("budgets cannot be watched error=%r", str(error))
        over.wait(every.total_seconds())
