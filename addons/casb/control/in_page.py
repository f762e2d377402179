"""Copying, cutting, pasting and printing: what a page's guard must know beforehand, and what is decided each time.

The guard cannot wait for an answer while an event of the browser is handled. So every controlled page gets rules: what
is refused or watched whatever the text is, and what must be asked. The text is sent only where a policy asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from casb.control.exchange import Party, informed, justification
from casb.control.justified import Justification
from casb.control.snapshot import Snapshot
from casb.inspection.info_types import compile_spec, search
from casb.model.activity import IN_PAGE, Activity, ActivityType, RequestFacts, Source, TextFacts
from casb.model.app import App
from casb.model.decision import Action
from casb.model.record import Record
from casb.policy.engine import decide
from casb.policy.truths import NO
from casb.ports import Clock, NewId

LONGEST = 100_000
"""Characters of text that are looked at. A longer one counts as not told: `unscannable` applies."""


def concerned(snapshot: Snapshot, app: App) -> bool:
    """Whether any policy is about what happens inside this app's pages: a look-up, no decision."""
    policies = snapshot.policies
    watched = (*IN_PAGE, ActivityType.DOWNLOAD)
    return any(policies.by_app.get((app.id, kind)) or policies.for_any.get(kind) for kind in watched)


def rules(snapshot: Snapshot, app: App, party: Party, *, clock: Clock, new_id: NewId) -> Mapping[str, str]:
    """For each activity that a policy concerns: `block`, `ask` or `audit`, with ` text` behind it where the text must
    be told. An activity that is not there is nobody's business."""
    found: dict[str, str] = {}
    for kind in IN_PAGE:
        activity = _activity(app, party, kind, TextFacts(), clock, new_id, None)
        if not snapshot.policies.concerning(activity):
            continue
        decision = decide(informed(snapshot, activity, ()), snapshot.policies)
        told = " text" if decision.needs else ""
        if decision.action is Action.COACH:
            found[kind.value] = f"ask{told}"  # It may have been justified meanwhile.
        elif not decision.action.passes:
            found[kind.value] = f"block{told}"
        elif decision.needs:
            found[kind.value] = "ask text"
        elif decision.action is not Action.ALLOW or decision.shadow:
            found[kind.value] = "audit"
    download = _activity(app, party, ActivityType.DOWNLOAD, None, clock, new_id, None)
    if any(each.session_check(download) is not NO for each in snapshot.policies.concerning(download)):
        found[ActivityType.DOWNLOAD.value] = "ask"  # The name and the content of what a script makes tell the rest.
    return found


def attempt(
    snapshot: Snapshot,
    app: App,
    party: Party,
    kind: ActivityType,
    text: TextFacts,
    *,
    clock: Clock,
    new_id: NewId,
    mode: str = "",
    via: str = "",
    request: RequestFacts | None = None,
    given: tuple[Justification, ...] = (),
) -> Record:
    """One attempt, decided for good. Whatever is stricter than `notify` means that it does not happen."""
    if text.content is not None and len(text.content) > LONGEST:
        text = TextFacts(length=text.length)
    if text.content is not None and snapshot.sought.types:
        text = replace(text, findings=search(compile_spec(snapshot.sought), text.content))
    activity = _activity(app, party, kind, text, clock, new_id, request)
    activity = informed(snapshot, activity, given)
    decision = decide(activity, snapshot.policies, final=True)
    extra = {**({"via": via} if via else {}), **justification(activity, given)}
    return Record(activity=activity, decision=decision, policy_version=snapshot.version, mode=mode, extra=extra)


def _activity(
    app: App,
    party: Party,
    kind: ActivityType,
    text: TextFacts | None,
    clock: Clock,
    new_id: NewId,
    request: RequestFacts | None,
) -> Activity:
    return Activity(
        id=new_id(),
        time=clock(),
        type=kind,
        app=app,
        user=party.user,
        device=party.device,
        client=party.client,
        session_id=party.session_id,
        auth_contexts=party.auth_contexts,
        proven=party.proven,
        text=text,
        request=request,
        source=Source.SESSION_CONTROL,
    )
