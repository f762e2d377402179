"""What the guard reports: an app was asked for by its real name, past the suffix.

Nothing of the session went along, for the app's cookies live under the suffix; the record says where mapping is
incomplete. One for each app, kind and host within an hour: any page could report as often as it likes.
"""

from __future__ import annotations

import orjson
from cachetools import TTLCache

from casb.control.exchange import Party
from casb.errors import Where
from casb.model.activity import Activity, ActivityType, Source
from casb.model.decision import Action, Decision, Reason
from casb.model.identity import Session
from casb.model.record import Record
from casb.proxy import rewriting
from casb.proxy.ids import ulid
from casb.proxy.runtime import Runtime, now
from casb.proxy.translate import State
from casb.rewrite.hosts import split_port

KINDS = frozenset({"request", "violation", "navigation", "element"})
"""A request was seen; a policy of the page stopped one; a navigation, or a link about to be followed, was put right."""
MOST = 100
"""Records for one app within an hour: below a wildcard there are as many hosts as a page cares to make up."""
_LONGEST = 4096


class Escapes:
    """Turns reports into records."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._told: TTLCache[tuple[str, str, str], bool] = TTLCache(10_000, 3600)
        self._counts: TTLCache[str, int] = TTLCache(10_000, 3600)

    def note(self, state: State, session: Session, body: bytes) -> bool:
        """Record a report; False when it is none, or nothing new. Raises `StoreError` when it cannot be written."""
        found = _read(body)
        app = state.route.app
        if found is None or app is None:
            return False
        kind, host = found
        if rewriting.hosts_of(state).to_suffix(host) is None or (app.id, kind, host) in self._told:
            return False
        if (count := self._counts.get(app.id, 0)) >= MOST:
            return False
        self._counts[app.id] = count + 1
        self._told[app.id, kind, host] = True
        self.runtime.counters["escapes"] += 1
        agent = state.fields.get(b"user-agent", b"").decode("utf-8", "replace")[:1024]
        client, device = state.snapshot.client(state.ip, agent, session.device)
        party = Party.of(session, client, device)
        reason = Reason(
            code=f"escape.{kind}",
            policy="",
            where=Where(file=state.snapshot.settings.folder),
            condition="the page asks for the app under the suffix",
            fact=f"it asked for {host}",
        )
        activity = Activity(
            id=ulid(),
            time=now(),
            type=ActivityType.VIEW,
            app=app,
            user=party.user,
            device=party.device,
            client=party.client,
            session_id=party.session_id,
            request=state.facts,
            source=Source.SESSION_CONTROL,
        )
        decision = Decision(action=Action.AUDIT, reasons=(reason,), default_behaviour=True)
        self.runtime.log(
            Record(activity=activity, decision=decision, policy_version=state.snapshot.version, mode=state.route.mode)
        )
        return True


def _read(body: bytes) -> tuple[str, str] | None:
    if len(body) > _LONGEST:
        return None
    try:
        told = orjson.loads(body)
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    kind, host = told.get("kind"), told.get("host")
    if not isinstance(kind, str) or not isinstance(host, str) or kind not in KINDS or not 0 < len(host) <= 300:
        return None
    name, port = split_port(host)
    return kind, f"{name.lower()}:{port}" if port else name.lower()
