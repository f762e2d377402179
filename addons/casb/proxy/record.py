"""The activity log's first step: every record durably in the spool before its effect takes place.

Also the last addon of the chain: it writes down what our own failures refused and what origins failed at.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from mitmproxy import http

from casb.errors import Where
from casb.model.activity import Activity, ActivityType, Source
from casb.model.decision import Action, Decision, Reason
from casb.model.identity import Client, Device
from casb.model.record import Record, to_json
from casb.proxy import translate
from casb.proxy.control import Control
from casb.proxy.faults import log_fault
from casb.proxy.ids import ulid
from casb.proxy.runtime import Runtime, now
from casb.proxy.translate import State
from casb.store.spool import Spool

logger = logging.getLogger(__name__)

_QUOTED = re.compile(r"(?:\bb)?['\"`]")


def spool_log(spool: Spool) -> Callable[[Record], None]:
    """A `runtime.Log` that returns when the spool has the record; raises `StoreError` when it has not."""

    def log(record: Record) -> None:
        spool.append(orjson.dumps(to_json(record), default=_plain))

    return log


def spool_lines(spool: Spool) -> Callable[[Mapping[str, Any]], None]:
    """Puts lines that are no records into the spool; raises `StoreError` when it has not got one."""

    def tell(line: Mapping[str, Any]) -> None:
        spool.append(orjson.dumps(line))

    return tell


def _plain(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


class Recorder:
    """Records failures, and that an exchange is over. Its hooks run for refused exchanges too, and raise nothing."""

    def __init__(self, runtime: Runtime, control: Control) -> None:
        self.runtime = runtime
        self.control = control

    def response(self, flow: http.HTTPFlow) -> None:
        """Write down a failure of ours (S22)."""
        state = translate.state_of(flow)
        if state is None:
            return
        state.over = flow.response is None or flow.response.status_code != 101
        if state.failure:
            self._failure(flow, state)

    def error(self, flow: http.HTTPFlow) -> None:
        """Write down an origin that failed, or a failure of ours that had to kill the connection."""
        state = translate.state_of(flow)
        if state is None:
            return
        state.over = True
        if state.failure:
            self._failure(flow, state)
        elif state.exchange is not None and flow.error is not None and not translate.is_refused(flow):
            self._upstream(flow, state)

    def _failure(self, flow: http.HTTPFlow, state: State) -> None:
        try:
            self.runtime.counters["failures"] += 1
            record = self.control.failure(flow, state, now())
            if record is None:  # It failed outside of any app's exchange: on the sign-in host, or before the session.
                record = fault_record(state, "failure", "on_failure: block", f"the proxy failed in {state.failure}")
            self.runtime.log(record)
        except Exception:
            log_fault(logger, "failure not recorded", flow=flow.id)
        state.failure = ""

    def _upstream(self, flow: http.HTTPFlow, state: State) -> None:
        """Only what the person asked for and did not get: an origin that could not be reached or trusted."""
        try:
            if flow.response is not None or flow.error is None or "disconnect" in flow.error.msg.lower():
                return
            self.runtime.counters["upstream_errors"] += 1
            state.failure_id = ulid()
            self.runtime.log(upstream_record(state, flow.error.msg))
        except Exception:
            log_fault(logger, "origin failure not recorded", flow=flow.id)


def upstream_record(state: State, message: str) -> Record:
    """An exchange that ended because the origin failed. `message` is mitmproxy's, which quotes what it could not read:
    from the first quotation mark on it may be the origin's content, or a cookie of it."""
    if state.silent:
        return fault_record(
            state, "upstream", "the application answers", "nothing came in the time of limits.upstream_idle"
        )
    told = _QUOTED.split(message, maxsplit=1)[0].rstrip(" (:,")
    return fault_record(state, "upstream", "the application answers", told or "the answer cannot be read")


def fault_record(state: State, code: str, condition: str, fact: str) -> Record:
    """An exchange that no policy refused, under `state.failure_id`."""
    party = state.party
    where = Where(file=state.snapshot.settings.folder)
    reason = Reason(code=code, policy="", where=where, condition=condition, fact=fact[:200])
    activity = Activity(
        id=state.failure_id,
        time=now(),
        type=ActivityType.VIEW,
        app=state.route.app,
        user=party.user if party else None,
        device=party.device if party else Device(),
        client=party.client if party else Client(ip=state.ip),
        session_id=party.session_id if party else None,
        request=state.facts,
        source=Source.SESSION_CONTROL,
    )
    decision = Decision(action=Action.BLOCK, reasons=(reason,), default_behaviour=True)
    return Record(activity=activity, decision=decision, policy_version=state.snapshot.version, mode=state.route.mode)
