"""Activity policies over the log as it arrives: each record is looked at once, across restarts; matches become alerts.

Where it stands is kept in the data folder. What happened lately is told to the counting again after a restart.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from casb.errors import StoreError
from casb.model.logged import from_json
from casb.policy.afterwards import Counted, Match, observe, reach
from casb.policy.compile import Policies, compile_policies
from casb.policy.document import Kind
from casb.sidecar.deployment import View
from casb.sidecar.services import Services
from casb.store.alerts_sqlite import DAILY_LIMIT, NewAlert
from casb.store.atomic import replace_private

logger = logging.getLogger(__name__)

FILE = "activity-policies.json"
BATCH = 1000


@dataclass(slots=True)
class Watcher:
    """Where the looking stands: the last record seen, what was counted, and the policies as they were compiled last."""

    services: Services
    seq: int | None = None
    counted: Counted = field(default_factory=Counted)
    view: View | None = None
    policies: Policies | None = None

    def look(self) -> int:
        """Look at what arrived since the last look; the number of matches. Raises `StoreError`."""
        records = self.services.records
        policies = self._policies()
        if self.seq is None:
            self.seq = self._resume(policies)
            self._keep()
        matches = 0
        while rows := records.after(self.seq, limit=BATCH):
            if not policies.afterwards:
                self.seq = records.arrived()
                self._keep()
                break
            found = [match for _, record in rows for match in _matches(self.counted, record, policies)]
            self.services.alerts.raise_all([_alert(each) for each in found])
            matches += len(found)
            self.seq = rows[-1][0]
            self._keep()
        return matches

    def _policies(self) -> Policies:
        view = self.services.deployment.view()
        # While a file is broken, what was valid before stays.
        if self.policies is None or (view is not self.view and not view.errors):
            mine = [each for each in view.loaded if each.document.kind is Kind.ACTIVITY]
            self.view, self.policies = view, compile_policies(mine)
        return self.policies

    def _resume(self, policies: Policies) -> int:
        """Go on where it was left; a first start begins with what arrives from now on."""
        records, last = self.services.records, self.services.records.arrived()
        try:
            shared = records.place()
            seq = min(int(json.loads(self._file.read_bytes())["seq"]) if shared is None else shared, last)
        except FileNotFoundError:
            seq = last
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.error("activity policies begin with what arrives now: %s (%s)", self._file, type(error).__name__)
            seq = last
        back = reach(policies.afterwards)
        at = min(records.arrived(self.services.clock() - back), seq) if back else seq
        while at < seq and (rows := records.after(at, limit=min(BATCH, seq - at))):
            for number, record in rows:
                if number <= seq:
                    _matches(self.counted, record, policies)
            at = rows[-1][0]
        return seq

    @property
    def _file(self) -> Path:
        return Path(self.services.settings.data) / FILE

    def _keep(self) -> None:
        replace_private(self._file, json.dumps({"seq": self.seq}).encode())
        self.services.records.keep_place(self.seq or 0)


def _matches(counted: Counted, record: dict[str, object], policies: Policies) -> list[Match]:
    try:
        activity = from_json(record)
    except ValueError:
        return []  # Not about an activity: a report of ours, or a record of an older kind.
    return list(observe(counted, activity, policies))


def _alert(match: Match) -> NewAlert:
    policy, activity, details = match.policy, match.activity, match.policy.alert
    user = activity.user
    return NewAlert(
        time=activity.time,
        kind="policy",
        policy=policy.id,
        severity=(details and details.severity) or policy.severity,
        title=(details and details.title) or policy.name,
        key=user.id if user else activity.client.ip,
        activity=activity.id,
        app=activity.app.id if activity.app else "",
        user=user.name if user else "",
        ip=activity.client.ip,
        detail={"activities": list(match.activities[-100:]), "times": len(match.activities)},
        daily_limit=details.daily_limit if details else DAILY_LIMIT,
        email=details.email if details else (),
    )


def watch(services: Services, over: threading.Event, every: timedelta = timedelta(seconds=2)) -> None:
    """Look again and again, until `over`."""
    watcher = Watcher(services)
    while not over.is_set():
        try:
            if services.records.leads():  # several sidecars may share the log: one of them follows it
                watcher.look()
            else:
                watcher = Watcher(services)
        except StoreError as error:
            logger.error("activity policies cannot be looked at error=%r", str(error))
        over.wait(every.total_seconds())
