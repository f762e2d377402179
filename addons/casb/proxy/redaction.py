"""Masking at the rim: which bodies can be masked, and the way of a body through the masks.

A body that was held is masked in one piece; any other while it streams. Pages and answers that are no activity of their
own are masked as they pass where a `redact` policy is about viewing; a record is written when something was masked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from mitmproxy import http

from casb.catalog.filenames import extension_of, name_in_path
from casb.control.exchange import informed
from casb.control.snapshot import Snapshot
from casb.errors import ContentError
from casb.inspection.info_types import Spec, compile_spec
from casb.inspection.redact import EventsFirst, Redactor, lexer_for
from casb.inspection.spec import TextMatcher
from casb.model.activity import Activity, ActivityType
from casb.model.decision import Action, Redaction
from casb.model.file import FileFacts, Finding, Verdict, VerdictStatus
from casb.model.record import Record
from casb.policy.engine import decide, masking
from casb.proxy.faults import log_fault
from casb.proxy.ids import ulid
from casb.proxy.runtime import Runtime
from casb.proxy.translate import State, Stream

logger = logging.getLogger(__name__)


type Done = Callable[[tuple[Finding, ...]], None]
"""Told what was found once a body is over."""


def matcher_of(snapshot: Snapshot, order: Redaction) -> TextMatcher:
    """What finds what is to be masked, among all that policies ask for; compiled once."""
    types = tuple(each for each in snapshot.sought.types if each.id in order.types)
    return compile_spec(Spec(types=types, last_four=snapshot.sought.last_four))


class Masking:
    """One body on its way; `done` is told what was found once it is over."""

    def __init__(self, matcher: TextMatcher, content_type: str, done: Callable[[tuple[Finding, ...]], None]) -> None:
        media, _, parameters = content_type.partition(";")
        charset = next((each.partition("=")[2] for each in parameters.split(";") if "charset=" in each.lower()), "")
        lexer = lexer_for(media.strip().lower(), charset)
        if lexer is None:
            raise ContentError("F301", "its content is no text that can be masked")
        self._stages: list[Redactor | EventsFirst] = [Redactor(matcher, lexer)]
        if media.strip().lower() == "text/event-stream":
            self._stages.insert(0, EventsFirst(matcher))
        self._done = done

    def feed(self, chunk: bytes) -> bytes:
        """The bytes that are certain, masked."""
        for stage in self._stages:
            chunk = stage.feed(chunk)
        return chunk

    def finish(self) -> bytes:
        """The rest."""
        rest = b""
        for stage in self._stages:
            rest = stage.feed(rest) + stage.finish() if rest else stage.finish()
        found: dict[str, Finding] = {}
        for stage in self._stages:
            found |= {each.info_type: each for each in stage.found}
        self._done(tuple(found[name] for name in sorted(found)))
        return rest


class Chain:
    """Two streams, one after the other."""

    def __init__(self, first: Stream, second: Stream) -> None:
        self._first, self._second = first, second

    def feed(self, chunk: bytes) -> bytes:
        """Through both."""
        return self._second.feed(self._first.feed(chunk))

    def finish(self) -> bytes:
        """The rest of both."""
        rest = self._first.finish()
        return (self._second.feed(rest) if rest else b"") + self._second.finish()


def begin(flow: http.HTTPFlow, state: State, order: Redaction, phase: str, done: Callable[..., None]) -> str:
    """Put a response on its way through the masks; why that is impossible, or ""."""
    response = flow.response
    if response is None:
        raise LookupError("no response")
    if response.status_code == 206:
        return "a part of a file cannot be masked"
    try:
        masking = Masking(matcher_of(state.snapshot, order), response.headers.get("content-type", ""), done)
    except ContentError as error:
        return error.message
    if phase == "responseheaders":
        state.masking = masking
    else:
        state.rewriter = Chain(masking, state.rewriter) if state.rewriter is not None else masking
    return ""


def of_request(flow: http.HTTPFlow, state: State, order: Redaction) -> str:
    """Mask the body of a request that is there in one piece; why that is impossible, or ""."""
    body = flow.request.raw_content
    if body is None or state.fields.get(b"content-encoding", b"identity") not in (b"", b"identity"):
        return "the request cannot be masked on its way"
    try:
        masking = Masking(
            matcher_of(state.snapshot, order), flow.request.headers.get("content-type", ""), lambda found: None
        )
    except ContentError as error:
        return error.message
    flow.request.raw_content = masking.feed(body) + masking.finish()
    flow.request.headers["content-length"] = str(len(flow.request.raw_content))
    flow.request.headers.pop("content-md5", None)
    flow.request.headers.pop("digest", None)
    flow.request.headers.pop("content-digest", None)
    return ""


def passing(runtime: Runtime, flow: http.HTTPFlow, state: State) -> None:
    """A page or an answer that is no activity of its own: masked where a policy on viewing says so."""
    exchange, response, app = state.exchange, flow.response, state.route.app
    if exchange is None or response is None or app is None:
        return
    if not state.snapshot.policies.redacts(app.id, ActivityType.VIEW) or flow.request.method == "HEAD":
        return
    if state.response is None or state.response.status in (204, 205, 304) or state.response.status < 200:
        return
    activity = _viewed(state)
    order = masking(activity, state.snapshot.policies) if activity is not None else None
    if activity is None or order is None:
        return

    begin(flow, state, order, "responseheaders", noting(runtime, state, activity, order))


def standing(state: State) -> Redaction | None:
    """What is to be masked in whatever the application sends on this connection."""
    app = state.route.app
    if app is None or not state.snapshot.policies.redacts(app.id, ActivityType.VIEW):
        return None
    activity = _viewed(state)
    return masking(activity, state.snapshot.policies) if activity is not None else None


def _viewed(state: State) -> Activity | None:
    exchange = state.exchange
    if exchange is None:
        return None
    name = name_in_path(state.facts.path)
    declared = state.response.content_type if state.response else None
    file = FileFacts(name=name, extension=extension_of(name), declared_type=declared or None)
    return informed(state.snapshot, exchange.activity_of(ActivityType.VIEW, file), state.given)


def noting(
    runtime: Runtime, state: State, activity: Activity, order: Redaction, *, of: str = ""
) -> Callable[[tuple[Finding, ...]], None]:
    """Writes down what was masked in a body that was not read before; nothing where nothing was found.

    `of` is the id of the record that the decision stands in, where there is one.
    """

    def done(found: tuple[Finding, ...]) -> None:
        if not found:
            return
        try:
            verdict = Verdict(status=VerdictStatus.SENSITIVE, findings=found, inspector="masking")
            file = replace(activity.file or FileFacts(name=""), inspected=True, verdict=verdict)
            seen = replace(activity, id=ulid(), file=file)
            decision = decide(seen, state.snapshot.policies, final=True)
            if decision.action < Action.REDACT:
                decision = replace(decision, action=Action.REDACT, redaction=order)
            extra = {"masked": sum(each.total or each.count for each in found), **({"of": of} if of else {})}
            runtime.log(
                Record(
                    activity=seen,
                    decision=decision,
                    policy_version=state.snapshot.version,
                    mode=state.route.mode,
                    extra=extra,
                )
            )
            runtime.counters["bodies_masked"] += 1
        except Exception:
            # The masks are in place already; only their record is missing.
            log_fault(logger, "masking not recorded", activity=activity.id)

    return done


def unnoted(found: tuple[Finding, ...]) -> None:
    """For a body that was read before: what is in it stands in the record already."""
