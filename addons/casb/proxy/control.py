"""The decision at each hook: facts to the exchange, its effect to the flow. Knows no policy and no page of its own."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from dataclasses import replace
from datetime import datetime

from mitmproxy import http

from casb.catalog.bodies import name_source
from casb.control.exchange import Exchange, Party, Stage, access
from casb.control.pages import Refusal, notice, refusal_page
from casb.control.routes import Kind
from casb.errors import ContentError, StoreError
from casb.inspection.spec import Recipe
from casb.model.activity import ActivityType
from casb.model.decision import Action, Answer, Effect, Hold, Pass, Protect
from casb.model.file import FileFacts
from casb.model.identity import Session
from casb.model.record import Record
from casb.policy.truths import NO
from casb.proxy import forms, protect, taking, translate
from casb.proxy.bodies import Bodies, Spooling
from casb.proxy.engines import pieces_of
from casb.proxy.faults import log_fault
from casb.proxy.ids import ulid
from casb.proxy.notices import Notices, cookie
from casb.proxy.passing import charset_of, judge, may_pass
from casb.proxy.runtime import Runtime, Visitor, now
from casb.proxy.sealed import sealed
from casb.proxy.stepup import StepUp, ask_of
from casb.proxy.streaming import Inspecting
from casb.proxy.translate import State
from casb.proxy.waiting import Waiting
from casb.rewrite import codings
from casb.store.held import SMALL, HeldBody

logger = logging.getLogger(__name__)


class Control:
    """Access, then uploads and activities at the request, then downloads at the response's head."""

    def __init__(self, runtime: Runtime, notices: Notices, waiting: Waiting) -> None:
        self.runtime = runtime
        self.notices = notices
        self.step_up = StepUp(runtime)
        self.waiting = waiting

    # ------------------------------------------------------------ request

    @sealed
    def requestheaders(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Access policies first; then what the request's head alone shows."""
        state = translate.state_of(flow)
        if state is None:
            raise LookupError("exchange without a route")
        if state.ours or state.route.kind is not Kind.APP:
            return None
        if state.preflight:
            translate.send_to(flow, state.route)
            return None
        session = state.session
        if session is None or state.route.app is None:
            raise LookupError("a controlled exchange without a session")
        visitor = self.visitor(session, state)
        state.party = visitor.party
        if state.route.app.instances:
            state.facts = replace(
                state.facts, instance=translate.instance(state.route.app, state.facts.host, state.fields)
            )
        if visitor.access.decision.action >= Action.STEP_UP:
            self._refuse_access(flow, state, visitor)
            return state.keeping
        exchange = Exchange(
            snapshot=state.snapshot,
            app=state.route.app,
            party=visitor.party,
            clock=now,
            new_id=ulid,
            mode=state.route.mode,
        )
        state.exchange = exchange
        if b"range" in state.fields and exchange.needs_whole(ActivityType.DOWNLOAD):
            translate.whole(flow)
        if not self._must_name(state, exchange):
            self._apply_to_request(flow, state, exchange.request(state.facts))
        elif (state.facts.content_length or 0) > state.snapshot.settings.limits.hold:
            self._apply_to_request(flow, state, self._unnamed(state, exchange, "the form is too large to be read"))
        else:
            # The form's head does not tell what it holds: it is held until its parts have.
            state.naming = True
            self._hold(flow, state, state.snapshot.settings.limits.hold, state.facts.content_length, "requestheaders")
        if not translate.is_refused(flow) and state.ask is None:
            translate.send_to(flow, state.route)
        return state.keeping

    def visitor(self, session: Session, state: State) -> Visitor:
        """The party and its access decision, kept while session, address, program and policies stay the same."""
        snapshot, route = state.snapshot, state.route
        ip = state.ip
        agent = state.fields.get(b"user-agent", b"")
        key = (session.id, ip, f"{route.host}|{snapshot.version}", agent)
        found = self.runtime.visitors.get(key)
        if found is not None and found.session is not session and found.session != session:
            found = None  # The same login, renewed: what it proved may have changed.
        if found is None:
            client, device = snapshot.client(ip, agent.decode("utf-8", "replace")[:1024], session.device)
            party = Party.of(session, client, device)
            self.runtime.met(ip, session.user)
            if route.app is None:
                raise LookupError("no app")
            record = access(snapshot, route.app, party, now=now(), new_id=ulid, mode=route.mode)
            if record.decision.action is not Action.ALLOW:
                self.runtime.log(record)
            found = self.runtime.visitors[key] = Visitor(session=session, party=party, access=record)
        return found

    def _refuse_access(self, flow: http.HTTPFlow, state: State, visitor: Visitor) -> None:
        record = visitor.access
        refusal = Refusal(
            activity_id=record.activity.id,
            decision=record.decision,
            facts=state.facts,
            app_name=state.route.app.name if state.route.app else "",
            user_name=visitor.party.user.name if visitor.party.user else "",
            is_logon=True,
        )
        translate.annotate(flow, record, state.route, visitor.party)
        ask = ask_of(record.decision, record.activity.id)
        if record.decision.action is Action.STEP_UP and self.step_up.send(flow, state, ask, "requestheaders"):
            return
        self.runtime.counters["access_blocked"] += 1
        translate.refuse(flow, "requestheaders", refusal_page(refusal))

    def _apply_to_request(self, flow: http.HTTPFlow, state: State, effect: Effect) -> None:
        self._write(flow, state)
        match effect:
            case Pass():
                length = state.facts.content_length
                # HTTP/2 needs no header to say that a body follows.
                has_body = length is not None or b"transfer-encoding" in state.fields or flow.request.is_http2
                if has_body and (length is None or length > 65_536) and not state.map_body and state.resumed is None:
                    rewriter, state.body_rewriter = state.body_rewriter, None
                    translate.stream_request(flow, rewriter)
            case Hold(limit=limit):
                self._hold(flow, state, limit, state.facts.content_length, "requestheaders")
            case Answer():
                self._refuse(flow, state, effect, "requestheaders")
            case Protect():
                raise ValueError("an upload cannot be protected")

    def _must_name(self, state: State, exchange: Exchange) -> bool:
        """Whether the names of the files in a form must be read first: only where a policy concerns uploads."""
        return name_source(exchange.app, state.facts) is not None and exchange.concerns(ActivityType.UPLOAD)

    def _unnamed(self, state: State, exchange: Exchange, why: str) -> Effect:
        """A form that does not tell us its file names might tell them to the app.

        Then the default behaviour holds wherever a policy for this person and device could have said more than audit.
        """
        effect = exchange.request(replace(state.facts, upload_name=None))
        if exchange.stage is Stage.HOLDING_UPLOAD:
            effect = exchange.unscannable(why)
        activity = exchange.activity
        if not isinstance(effect, Pass) or activity is None:
            return effect
        concerning = state.snapshot.policies.concerning(activity)
        if not any(each.strictest > Action.AUDIT and each.session_check(activity) is not NO for each in concerning):
            return effect
        return exchange.fall_back("upload.unnamed", "the names of the files in a form can be read", why)

    async def _judge_form(self, flow: http.HTTPFlow, state: State) -> None:
        """Each file of a form by itself; one that is refused refuses the form."""
        main = state.exchange
        if main is None:
            raise LookupError("no exchange")
        state.naming = state.held = False
        body = flow.request.raw_content or b""
        try:
            files = forms.files(main.app, state.facts, state.fields.get(b"content-type", b""), body)
        except ContentError as error:
            self._apply_to_request(flow, state, self._unnamed(state, main, error.message))
            if translate.is_refused(flow):
                translate.hold_refusal(flow, "request")
            return
        main.request(replace(state.facts, upload_name=""))
        for file in files:
            facts = replace(state.facts, upload_name=file.name, content_length=len(file.content))
            if file.content_type:
                facts = replace(facts, content_type=file.content_type)
            single = main.sibling()
            effect = single.request(facts)
            if isinstance(effect, Hold) and single.activity and single.activity.file:
                effect = single.inspected(await self._read(single, single.activity.file, file.content))
            main.records += single.records
            if isinstance(effect, Answer):
                main.activity = single.activity
                self._write(flow, state)
                self._refuse(flow, state, effect, "request")
                if state.keeping is not None:
                    await state.keeping
                return
        self._write(flow, state)

    async def _decoded(self, state: State, body: bytes | HeldBody, coding: str) -> bytes | HeldBody:
        if isinstance(body, bytes):
            return codings.decoded(body, coding, limit=state.snapshot.settings.limits.hold)
        if self.runtime.bodies is None:
            raise LookupError("nothing holds bodies")
        return await self.runtime.bodies.decoded(body, coding)

    async def _read(self, exchange: Exchange, known: FileFacts, body: bytes | HeldBody) -> FileFacts:
        held = body.sealed() if isinstance(body, HeldBody) else None
        if held is not None:
            readable: bytes | Recipe = Recipe(factory="casb.store.held:open_told", data=held.told())
        else:
            readable = body.content() if isinstance(body, HeldBody) else body
        engines = self.runtime.engines if exchange.asks_engines() else None
        seen = await self.runtime.scanner.scan(
            readable,
            known.name,
            known.declared_type,
            matcher=exchange.snapshot.recipe,
            rules=engines.rules if engines else None,
            size=held.size if held else None,
        )
        if engines is not None:
            seen = await engines.judge(seen, lambda: pieces_of(body))
        return replace(
            known,
            size=seen.size,
            inspected=seen.inspected,
            detected_type=seen.detected_type,
            sha256=seen.sha256,
            label=seen.label,
            label_id=seen.label_id,
            verdict=seen.verdict,
            engines=seen.engines,
            signs=known.signs | seen.signs,
            properties=seen.properties,
        )

    @sealed
    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """A held upload has arrived: read it, then decide for good."""
        state = translate.state_of(flow)
        if state is None or not state.held:
            return None
        if state.naming:
            return self._judge_form(flow, state)
        coding = state.fields.get(b"content-encoding", b"").decode("latin-1")
        return self._inspect(flow, state, _body(state, flow.request), coding, "request")

    # ------------------------------------------------------------ response

    @sealed
    def responseheaders(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Downloads and views, by the response's head."""
        state = translate.state_of(flow)
        if state is None:
            raise LookupError("exchange without a route")
        if state.exchange is None or state.ours or flow.response is None:
            if flow.response is not None and state.route.kind is Kind.TUNNEL:
                flow.response.stream = True
            return None
        state.held, state.limit, state.on_overflow = False, None, None
        facts = translate.response_facts(flow.response)
        state.response = facts
        self._apply_to_response(flow, state, state.exchange.response(facts), "responseheaders")
        return state.keeping

    def _apply_to_response(self, flow: http.HTTPFlow, state: State, effect: Effect, phase: str) -> None:
        exchange = state.exchange
        if exchange is None:
            raise LookupError("no exchange")
        match effect:
            case Pass():
                self._write(flow, state)
            case Hold(limit=limit):
                self._hold(flow, state, limit, state.response.content_length if state.response else None, phase)
            case Protect(using=using):
                self._protect(flow, state, using, phase)
            case Answer():
                self._write(flow, state)
                self._refuse(flow, state, effect, phase)

    def _protect(self, flow: http.HTTPFlow, state: State, using: str, phase: str) -> None:
        exchange, response = state.exchange, flow.response
        if exchange is None or exchange.activity is None or response is None:
            raise LookupError("nothing to protect")
        why = protect.cannot(flow, state)
        if why:
            effect = exchange.fall_back("protect.impossible", f"action: protect using {using}", why)
            self._write(flow, state)
            if isinstance(effect, Answer):
                self._refuse(flow, state, effect, phase)
            return
        self._write(flow, state)
        protect.begin(flow, state, self.runtime.protector, self.notices)
        self.runtime.counters["protected"] += 1

    @sealed
    def response(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """A held download has arrived: read it, then decide for good."""
        state = translate.state_of(flow)
        if state is None or not state.held or flow.response is None:
            return None
        coding = state.response.content_encoding if state.response else ""
        return self._inspect(flow, state, _body(state, flow.response), coding, "response")

    @sealed
    def casb_pass(self, flow: http.HTTPFlow) -> None:
        """A download begins to pass before its verdict: the page learns where to ask how it ended."""
        state = translate.state_of(flow)
        if state is None or flow.response is None or not isinstance(state.taking, Inspecting) or not state.held:
            return
        activity = state.exchange.activity if state.exchange else None
        if activity is not None and state.party is not None and state.party.session_id:
            self.notices.expect(state.party.session_id, activity.id)
            flow.response.headers.add("set-cookie", cookie(activity.id))

    # ------------------------------------------------------------ both

    def _hold(self, flow: http.HTTPFlow, state: State, limit: int, length: int | None, phase: str) -> None:
        """Take the body in: small ones and forms into memory, all others where `bodies` keeps them."""
        outgoing = phase == "requestheaders"
        if not outgoing and state.response is not None and state.response.status == 206:
            self._decided(flow, state, "a part of a file", phase)
            return
        bodies = self.runtime.bodies
        bodiless = not outgoing and state.facts.method == "HEAD"
        if bodies is None or not taking.wanted() or state.naming or (outgoing and state.map_body):
            bodies = None
        largest = bodies.file if bodies is not None else limit
        passing = not outgoing and bodies is not None and self._may_pass(state)
        if passing and length is not None and length > largest:
            largest = length  # It may not be held whole; whether it must be, its beginning tells.
        if length is not None and length > largest and not bodiless:
            self._decided(flow, state, f"larger than {largest} bytes", phase)
            return
        state.held = True
        if outgoing:
            flow.request.stream = False
        elif flow.response is not None:
            flow.response.stream = False
        if bodies is None or bodiless or (length is not None and length <= SMALL):
            state.limit = limit
            state.on_overflow = lambda: self._overflow(flow, state, f"larger than {limit} bytes", phase)
            return
        state.limit, state.on_overflow = None, None
        if not outgoing:
            state.waiting, state.ticket = self.waiting, self.waiting.open(state, length)
        if passing:
            state.taking = self._inspecting(flow, state, bodies, length)
        else:
            state.taking = Spooling(bodies, lambda why: self._overflow(flow, state, why, phase))

    def _may_pass(self, state: State) -> bool:
        return self.runtime.streams is not None and state.exchange is not None and may_pass(state.exchange, state)

    def _inspecting(self, flow: http.HTTPFlow, state: State, bodies: Bodies, length: int | None) -> Spooling:
        """For a download that may be judged while it passes."""
        exchange, response = state.exchange, flow.response
        if exchange is None or response is None or self.runtime.streams is None:
            raise LookupError("nothing to judge")

        def phase() -> str:
            return "response" if response.stream else "responseheaders"

        def apply(effect: Effect) -> None:
            state.held = False
            self._apply_to_response(flow, state, effect, phase())
            if isinstance(effect, Pass) and exchange.activity is not None and exchange.party.session_id:
                self.notices.ended(exchange.party.session_id, exchange.activity.id)

        return Inspecting(
            bodies,
            self.runtime.streams,
            judge(exchange, state, apply, lambda why: self._overflow(flow, state, why, phase())),
            matcher=exchange.snapshot.recipe,
            hold=state.snapshot.settings.limits.hold,
            known=length,
            charset=charset_of(response.headers.get("content-type", "")),
            coding=state.response.content_encoding if state.response else "",
            name=exchange.activity.file.name if exchange.activity and exchange.activity.file else "",
        )

    def _overflow(self, flow: http.HTTPFlow, state: State, why: str, phase: str) -> bool:
        """A held body cannot be held any longer. True: policy lets it pass unread."""
        try:
            state.held = False
            if state.naming and state.exchange is not None:
                state.naming = False
                self._apply_to_request(flow, state, self._unnamed(state, state.exchange, why))
            else:
                self._decided(flow, state, why, phase)
        except Exception:
            log_fault(logger, "overflow failed, exchange refused", flow=flow.id)
            translate.refuse(flow, phase)
        return not translate.is_refused(flow)

    def _decided(self, flow: http.HTTPFlow, state: State, why: str, phase: str) -> None:
        if state.exchange is None:
            raise LookupError("no exchange")
        effect = state.exchange.unscannable(why)
        if phase == "requestheaders":
            self._apply_to_request(flow, state, effect)
        else:
            self._apply_to_response(flow, state, effect, phase)

    async def _inspect(
        self, flow: http.HTTPFlow, state: State, body: bytes | HeldBody, coding: str, phase: str
    ) -> None:
        exchange = state.exchange
        if exchange is None or exchange.activity is None:
            raise LookupError("no exchange")
        state.held = False
        known = exchange.activity.file or FileFacts(name="")
        try:
            plain = await self._decoded(state, body, coding)
        except (ContentError, StoreError) as error:
            effect = exchange.unscannable(error.message)
        else:
            effect = exchange.inspected(await self._read(exchange, known, plain))
        if phase == "request":
            self._apply_to_request(flow, state, effect)
            if translate.is_refused(flow):
                translate.hold_refusal(flow, "request")
        else:
            self._apply_to_response(flow, state, effect, phase)
        if state.keeping is not None:
            await state.keeping

    def _refuse(self, flow: http.HTTPFlow, state: State, effect: Answer, phase: str) -> None:
        activity = state.exchange.activity if state.exchange else None
        record = state.exchange.records[-1] if state.exchange else None
        if effect.kind == "step_up" and record is not None:
            saved = activity is not None and activity.type is ActivityType.DOWNLOAD
            if self.step_up.send(flow, state, ask_of(effect.decision, record.activity.id, saved=saved), phase):
                return
        refusal = Refusal(
            activity_id=record.activity.id if record else ulid(),
            decision=effect.decision,
            facts=state.facts,
            app_name=state.route.app.name if state.route.app else "",
            user_name=state.party.user.name if state.party and state.party.user else "",
            file_name=activity.file.name if activity and activity.file else "",
            is_download=activity is not None and activity.type is ActivityType.DOWNLOAD,
        )
        waited = state.ticket is not None and state.ticket.shown
        page = refusal_page(refusal, shown=waited)
        if state.party and state.party.session_id and not waited:
            page = self.notices.leave(page, state.party.session_id, notice(refusal))
        self.runtime.counters["refused"] += 1
        translate.refuse(flow, phase, page)

    def _write(self, flow: http.HTTPFlow, state: State) -> None:
        """Hand new records to the log before the effect takes place: what is seen is what was recorded."""
        exchange = state.exchange
        if exchange is None:
            return
        for record in exchange.records[state.written :]:
            try:
                self.runtime.log(record)
            except StoreError:
                # Whoever prefers availability says so for the app; otherwise what cannot be recorded is refused.
                if exchange.app.on_failure != "allow":
                    raise
                self.runtime.counters["unrecorded"] += 1
                log_fault(logger, "record not kept, on_failure is allow", activity=record.activity.id)
            translate.annotate(flow, record, state.route, state.party)
            self.runtime.counters[f"action_{record.decision.action.word}"] += 1
        state.written = len(exchange.records)

    def failure(self, flow: http.HTTPFlow, state: State, when: datetime) -> Record | None:
        """The record of an exchange that our own failure refused (S22)."""
        exchange = state.exchange
        if exchange is None:
            return None
        exchange.activity = None
        identifier = state.failure_id
        exchange.new_id = lambda: identifier
        exchange.refuse("failure", "on_failure: block", f"session control failed in {state.failure}")
        return exchange.records[-1]


def _body(state: State, message: http.Message) -> bytes | HeldBody:
    """What was held of a message."""
    return state.taking.body if isinstance(state.taking, Spooling) else message.raw_content or b""
