"""Records of what never became an exchange: failed sign-ins, misdirected requests. The user sees the same id."""

from __future__ import annotations

import logging

from casb.errors import CasbError, Where
from casb.model.activity import Activity, ActivityType, RequestFacts, Source
from casb.model.app import App
from casb.model.decision import Action, Decision, Reason
from casb.model.identity import Client, Device, User
from casb.model.record import Record
from casb.proxy.ids import ulid
from casb.proxy.runtime import Runtime, now

logger = logging.getLogger(__name__)


def incident(
    runtime: Runtime,
    *,
    code: str,
    fact: str,
    ip: str,
    app: App | None = None,
    user: User | None = None,
    facts: RequestFacts | None = None,
    agent: str = "",
    kind: ActivityType = ActivityType.VIEW,
) -> str:
    """Write a refusal of ours into the activity log; its id. A log that cannot be written stops nothing here, for the
    request is refused in any case."""
    identifier = ulid()
    reason = Reason(code=code, policy="", where=Where(file=runtime.snapshot.settings.folder), fact=fact[:300])
    activity = Activity(
        id=identifier,
        time=now(),
        type=kind,
        app=app,
        user=user,
        device=Device(),
        client=Client(ip=ip, user_agent=agent[:1024]),
        request=facts,
        source=Source.ACCESS_CONTROL,
    )
    decision = Decision(action=Action.BLOCK, reasons=(reason,), default_behaviour=True)
    try:
        runtime.log(Record(activity=activity, decision=decision, policy_version=runtime.snapshot.version))
    except CasbError:
        logger.exception("incident not recorded activity=%s", identifier)
    runtime.counters[f"incident_{code}"] += 1
    logger.warning("refused code=%s activity=%s reason=%r", code, identifier, fact[:300])
    return identifier
