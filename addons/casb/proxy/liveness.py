"""Whether what the provider said of a session still counts: its age, and from where and with what it is used now.

Asked for every request, so the common answer costs one look into a dict.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from enum import Enum

from cachetools import LRUCache

from casb.control.snapshot import Snapshot
from casb.identity.sessions import agent_digest
from casb.model.identity import Session


class Due(Enum):
    """NOT_YET: go on. SOON: at the next navigation. NOW: nothing passes before it."""

    NOT_YET = 0
    SOON = 1
    NOW = 2


class Liveness:
    """Looks at sessions. One per worker."""

    def __init__(self) -> None:
        self._known: LRUCache[tuple[str, str, bytes, str], tuple[Session, bool]] = LRUCache(20_000)

    def due(self, session: Session, ip: str, agent: bytes, snapshot: Snapshot, present: datetime) -> Due:
        """When the provider must be asked again."""
        if not self._same(session, ip, agent, snapshot):
            return Due.NOW
        limits = snapshot.settings.session
        if session.recheck is not None and present > session.recheck:
            over = (present - session.recheck).total_seconds()
            return Due.SOON if over <= limits.grace else Due.NOW
        if not limits.reevaluate:
            return Due.NOT_YET
        age = (present - (session.evaluated or session.started)).total_seconds()
        if age <= limits.reevaluate:
            return Due.NOT_YET
        return Due.SOON if age <= limits.reevaluate + limits.grace else Due.NOW

    def _same(self, session: Session, ip: str, agent: bytes, snapshot: Snapshot) -> bool:
        """Whether address and program are those that the provider saw."""
        key = (session.id, ip, agent, snapshot.version)
        found = self._known.get(key)
        if found is not None and (found[0] is session or found[0] == session):
            return found[1]
        limits = snapshot.settings.session
        same = not limits.watch_agent or not session.agents or _digest(agent) in session.agents
        if same and limits.watch_address != "off" and session.addresses:
            same = any(
                each == ip or (limits.watch_address == "network" and self._neighbours(each, ip, snapshot))
                for each in session.addresses
            )
        self._known[key] = session, same
        return same

    @staticmethod
    def _neighbours(one: str, other: str, snapshot: Snapshot) -> bool:
        """Whether two addresses are of one network: of one provider where that is known, else of one /24 or /48."""
        providers = {snapshot.ranges.lookup(each).isp for each in (one, other)}
        if None not in providers:
            return len(providers) == 1
        try:
            first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
        except ValueError:
            return False
        size = 24 if first.version == 4 else 48
        network = ipaddress.ip_network(f"{first}/{size}", strict=False)
        return first.version == second.version and second in network


def _digest(agent: bytes) -> str:
    return agent_digest(agent.decode("utf-8", "replace"))
