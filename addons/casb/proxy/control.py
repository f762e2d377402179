"""The decision at each hook: facts to the exchange, its effect to the flow. Knows no policy and no page of its own."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from dataclasses import replace
from datetime import datetime

from mitmproxy import http

from casb.catalog import chat
from casb.control.exchange import Exchange, Party, access
from casb.control.pages import Refusal, notice, refusal_page
from casb.control.protecting import Plan
from casb.control.routes import Kind
from casb.errors import ContentError, StoreError
from casb.model.activity import Activity, ActivityType, RequestMode
from casb.model.app import App
from casb.model.decision import Action, Answer, Decision, Effect, Hold, Pass, Protect, Redact, Redaction
from casb.model.file import FileFacts
from casb.model.identity import Session
from casb.model.record import Record
from casb.proxy import prompts, protect, redaction, taking, translate
from casb.proxy.bodies import Bodies, Spooling
from casb.proxy.coaching import Coaching, page_for
from casb.proxy.faults import log_fault
from casb.proxy.ids import ulid
from casb.proxy.notices import Notices, cookie
from casb.proxy.passing import charset_of, judge, may_pass
from casb.proxy.runtime import Runtime, Visitor, now
from casb.proxy.sealed import sealed
from casb.proxy.stepup import StepUp, ask_of
from casb.proxy.streaming import Inspecting
from casb.proxy.transfers import ANSWER
from casb.proxy.translate import State
from casb.proxy.uploads import Uploads
from casb.proxy.waiting import Waiting
from casb.rewrite import codings
from casb.store.held import SMALL, HeldBody

logger = logging.getLogger(__name__)


class Control:
    """Access, then uploads and activities at the request, then downloads at the response's head."""

    def __init__(self, runtime: Runtime, notices: Notices, waiting: Waiting, coaching: Coaching) -> None:
        self.runtime = runtime
        self.notices = notices
        self.step_up = StepUp(runtime)
        self.uploads = Uploads(runtime, notices)
        self.waiting = waiting
        self.coaching = coaching
        self.keeping = self.uploads.keeping

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
        if state.snapshot.policies.coaches(state.route.app.id):
            return self._enter_informed(flow, state, session, state.route.app)
        return self._enter(flow, state, session, state.route.app)

    async def _enter_informed(self, flow: http.HTTPFlow, state: State, session: Session, app: App) -> None:
        """Where a policy may ask for a justification, what was said already is looked up first."""
        state.given = await self.coaching.given(session, app)
        keeping = self._enter(flow, state, session, app)
        if keeping is not None:
            await keeping

    def _enter(self, flow: http.HTTPFlow, state: State, session: Session, app: App) -> Awaitable[None] | None:
        visitor = self.visitor(session, state)
        state.party = visitor.party
        if app.instances:
            state.facts = replace(state.facts, instance=translate.instance(app, state.facts.host, state.fields))
        if visitor.access.decision.action.halts:
            self._refuse_access(flow, state, visitor)
            return state.keeping
        exchange = Exchange(
            snapshot=state.snapshot,
            app=app,
            party=visitor.party,
            clock=now,
            new_id=ulid,
            mode=state.route.mode,
            given=state.given,
        )
        state.exchange = exchange
        partial = b"range" in state.fields and state.facts.mode is not RequestMode.SUBRESOURCE  # players seek
        if partial and exchange.needs_whole(ActivityType.DOWNLOAD):
            translate.whole(flow)
        if not self.uploads.wants(flow, state, exchange):
            self._apply_to_request(flow, state, exchange.request(state.facts))
        elif (state.facts.content_length or 0) > state.snapshot.settings.limits.hold:
            self._apply_to_request(
                flow, state, self.uploads.unread(state, exchange, "the form is too large to be read")
            )
        else:
            # The form's head does not tell what it holds: it is held until its parts have.
            state.naming = True
            self._hold(flow, state, state.snapshot.settings.limits.hold, state.facts.content_length, "requestheaders")
        if not translate.is_refused(flow) and state.coached is None and state.ask is None:
            translate.send_to(flow, state.route)
        return state.keeping

    def visitor(self, session: Session, state: State) -> Visitor:
        """The party and its access decision, kept while session, address, program and policies stay the same."""
        snapshot, route = state.snapshot, state.route
        ip = state.ip
        agent = state.fields.get(b"user-agent", b"")
        key = (session.id, ip, f"{route.host}|{snapshot.version}", agent)
        if state.given:
            key = (*key[:2], f"{key[2]}|{hash(state.given)}", agent)
        found = self.runtime.visitors.get(key)
        if found is not None and found.session is not session and found.session != session:
            found = None  # The same login, renewed: what it proved may have changed.
        if found is None:
            client, device = snapshot.client(ip, agent.decode("utf-8", "replace")[:1024], session.device)
            party = Party.of(session, client, device)
            self.runtime.met(ip, session.user)
            if route.app is None:
                raise LookupError("no app")
            record = access(snapshot, route.app, party, now=now(), new_id=ulid, mode=route.mode, given=state.given)
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
        refusal = self.coaching.stop(state, refusal, record.activity)
        self.runtime.counters["access_blocked"] += 1
        translate.refuse(flow, "requestheaders", page_for(refusal))

    def _apply_to_request(
        self, flow: http.HTTPFlow, state: State, effect: Effect, phase: str = "requestheaders"
    ) -> None:
        """`phase` says whether a body is still to come, and can be waited for: in `request` none is."""
        if isinstance(effect, Redact):
            masked = self._mask_request(flow, state, effect.order, phase)
            if masked is None:
                return
            effect = masked
        self._write(flow, state)
        match effect:
            case Pass(notice=told):
                self._tell(state, told)
                length = state.facts.content_length
                # HTTP/2 needs no header to say that a body follows.
                has_body = length is not None or b"transfer-encoding" in state.fields or flow.request.is_http2
                if has_body and (length is None or length > 65_536) and not state.map_body and state.resumed is None:
                    rewriter, state.body_rewriter = state.body_rewriter, None
                    translate.stream_request(flow, rewriter)
            case Hold(limit=limit) if phase == "requestheaders":
                self._hold(flow, state, limit, state.facts.content_length, phase)
            case Hold():
                raise ValueError("nothing more will come of the body")
            case Answer(kind="coach") if phase == "requestheaders" and self._keeps_form(flow, state):
                state.coached, state.ours = effect, True
                state.limit, state.on_overflow = state.snapshot.settings.session.resume_body, lambda: False
            case Answer() if phase == "requestheaders" and self._keeps_refused(flow, state, effect):
                pass
            case Answer():
                self._refuse(flow, state, effect, phase)
            case Protect():
                raise ValueError("an upload cannot be protected")

    def _keeps_refused(self, flow: http.HTTPFlow, state: State, effect: Answer) -> bool:
        """Whether an upload that is refused by its head is taken in first, because it is to be kept."""
        if not self.keeping.wants(state, effect) or flow.request.raw_content is not None or state.taking is not None:
            return False
        length = state.facts.content_length
        if not (length or b"transfer-encoding" in state.fields or (length is None and flow.request.is_http2)):
            return False
        bodies, limit = self.runtime.bodies, state.snapshot.settings.limits.hold

        def give_up(why: str) -> bool:
            state.held, state.refused = False, None
            state.kept = self.keeping.failed(state, self._last(state), why)
            self._refuse(flow, state, effect, "requestheaders")
            return False

        largest = bodies.file if bodies is not None else limit
        if length is not None and length > largest:
            give_up(f"larger than {largest} bytes")
            return True
        state.held, state.refused = True, effect
        flow.request.stream = False
        if bodies is None or not taking.wanted() or (length is not None and length <= SMALL):
            state.limit, state.on_overflow = limit, lambda: give_up(f"larger than {limit} bytes")
        else:
            state.limit, state.on_overflow, state.taking = None, None, Spooling(bodies, give_up)
        return True

    @staticmethod
    def _last(state: State) -> Record:
        if state.exchange is None or not state.exchange.records:
            raise LookupError("nothing was refused")
        return state.exchange.records[-1]

    async def _keep_refused(self, flow: http.HTTPFlow, state: State, effect: Answer) -> None:
        """An upload that was refused by its head has come."""
        state.held, state.refused = False, None
        body = _body(state, flow.request)
        try:
            body = await self._decoded(state, body, state.fields.get(b"content-encoding", b"").decode("latin-1"))
        except (ContentError, StoreError):
            logger.info("a refused upload is kept in its content coding")
        state.kept = await self.keeping.keep(state, self._last(state), body)
        self._refuse(flow, state, effect, "request")
        translate.hold_refusal(flow, "request")

    def _mask_request(self, flow: http.HTTPFlow, state: State, order: Redaction, phase: str) -> Effect | None:
        """What becomes of a request whose findings are to be masked; None: it is held until it is there."""
        limit = state.snapshot.settings.limits.hold
        if isinstance(state.taking, Spooling):
            return self._unmaskable(state, order, "it is not in memory")
        if flow.request.raw_content is None:
            if phase != "requestheaders" or (state.facts.content_length or 0) > limit:
                return self._unmaskable(state, order, f"larger than {limit} bytes")
            state.mask_request = order
            self._hold(flow, state, limit, state.facts.content_length, "requestheaders")
            return None
        state.mask_request = None
        why = redaction.of_request(flow, state, order)
        if why:
            return self._unmaskable(state, order, why)
        self.runtime.counters["redacted"] += 1
        return Pass()

    @staticmethod
    def _keeps_form(flow: http.HTTPFlow, state: State) -> bool:
        """Whether a form is on its way, to be sent again once the person has said why: then it is waited for."""
        on_the_way = flow.request.raw_content is None and not state.held and not state.naming
        return on_the_way and state.facts.mode is RequestMode.NAVIGATION and flow.request.method == "POST"

    async def _judge(self, flow: http.HTTPFlow, state: State) -> None:
        """The body that had to be read first has come."""
        effect = await self.uploads.judge(flow, state)
        if self.keeping.wants(state, effect):
            record = self._last(state)
            if state.piece is None:
                state.kept = await self.keeping.keep(state, record, flow.request.raw_content or b"")
            else:
                state.kept = self.keeping.failed(state, record, "it was refused before all of its pieces had come")
        self._apply_to_request(flow, state, effect, "request")
        if translate.is_refused(flow):
            translate.hold_refusal(flow, "request")
        if state.keeping is not None:
            await state.keeping

    async def _decoded(self, state: State, body: bytes | HeldBody, coding: str) -> bytes | HeldBody:
        if isinstance(body, bytes):
            return codings.decoded(body, coding, limit=state.snapshot.settings.limits.hold)
        if self.runtime.bodies is None:
            raise LookupError("nothing holds bodies")
        return await self.runtime.bodies.decoded(body, coding)

    @sealed
    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """A held upload has arrived: read it, then decide for good."""
        state = translate.state_of(flow)
        if state is not None and state.coached is not None:
            self._refuse(flow, state, state.coached, "request")
            return None
        if state is None or not state.held:
            return None
        if state.mask_request is not None:
            state.held = False
            self._apply_to_request(flow, state, Redact(order=state.mask_request), "request")
            if translate.is_refused(flow):
                translate.hold_refusal(flow, "request")
            return None
        if state.naming:
            return self._judge(flow, state)
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
        before = state.exchange.activity
        self._apply_to_response(flow, state, state.exchange.response(facts), "responseheaders")
        if state.exchange.activity is before and not translate.is_refused(flow):
            redaction.passing(self.runtime, flow, state)
        if state.expected is not None and not translate.is_refused(flow):
            self._expect(flow, state)
        return state.keeping

    def _expect(self, flow: http.HTTPFlow, state: State) -> None:
        """The answer to the beginning of a transfer is kept until it has said where the pieces go."""
        if flow.response is None or state.held or not self.uploads.transfers.head(flow, state):
            return
        state.held, state.limit, state.on_overflow = True, ANSWER, lambda: True
        flow.response.stream = False

    def _apply_to_response(self, flow: http.HTTPFlow, state: State, effect: Effect, phase: str) -> None:
        exchange = state.exchange
        if exchange is None:
            raise LookupError("no exchange")
        match effect:
            case Pass(notice=told):
                self._write(flow, state)
                self._tell(state, told, flow, phase)
            case Hold(limit=limit):
                self._hold(flow, state, limit, state.response.content_length if state.response else None, phase)
            case Protect():
                self._protect(flow, state, phase)
            case Redact(order=order):
                done: redaction.Done = redaction.unnoted
                if exchange.activity is not None and not (exchange.activity.file and exchange.activity.file.inspected):
                    seen = exchange.activity
                    done = redaction.noting(self.runtime, state, seen, order, of=seen.id)
                why = redaction.begin(flow, state, order, phase, done)
                if why:
                    self._apply_to_response(flow, state, self._unmaskable(state, order, why), phase)
                    return
                self._write(flow, state)
                self.runtime.counters["redacted"] += 1
            case Answer():
                self._write(flow, state)
                self._refuse(flow, state, effect, phase)

    def _tell(
        self, state: State, decision: Decision | None, flow: http.HTTPFlow | None = None, phase: str = ""
    ) -> None:
        """`notify`: it passes, and the page that the person sees says so; at the latest the next one."""
        exchange = state.exchange
        state.notice = decision or state.notice
        if flow is None or flow.response is None or state.notice is None or exchange is None or not exchange.records:
            return
        record = next((each for each in reversed(exchange.records) if each.decision is state.notice), None)
        if record is None or state.party is None or state.party.session_id is None:
            return
        told = notice(replace(self._refusal(state, record.decision, record.activity), activity_id=record.activity.id))
        self.notices.keep(state.party.session_id, told)
        left = cookie(record.activity.id)
        if phase == "responseheaders":
            state.notice_cookie = left.encode()  # The head is mapped after this.
        else:
            flow.response.headers.add("set-cookie", left)
        self.runtime.counters["notified"] += 1

    def _unmaskable(self, state: State, order: Redaction, why: str) -> Effect:
        if state.exchange is None:
            raise LookupError("no exchange")
        return state.exchange.instead(order, why)

    def _protect(self, flow: http.HTTPFlow, state: State, phase: str) -> None:
        """Hand over protected, now or once all of the file is here. What cannot be protected is refused."""
        why = protect.cannot(flow, state)
        if why:
            self._unprotected(flow, state, why, phase)
            return
        try:
            plan = protect.planned(state)
            if plan.whole:
                length = state.response.content_length if state.response else None
                if isinstance(state.taking, Spooling) and phase == "response":
                    length = state.taking.body.size
                if length is None or length <= state.snapshot.settings.limits.hold:
                    state.plan = plan
                    if phase == "responseheaders":
                        self._hold_to_convert(flow, state, plan, length)
                    return  # otherwise it has been inspected, and is here: `_inspect` goes on with it
                plan = protect.unlabelled(plan)
            protect.begin(self.runtime, flow, state, plan, self.notices)
        except ContentError as error:
            self._unprotected(flow, state, error.message, phase)
            return
        self._write(flow, state)
        self.runtime.counters["protected"] += 1

    def _hold_to_convert(self, flow: http.HTTPFlow, state: State, plan: Plan, length: int | None) -> None:
        """Take in all of a file that is to be labelled or to get a password of its own format."""
        limit, phase = state.snapshot.settings.limits.hold, "responseheaders"
        state.held = True
        if flow.response is not None:
            flow.response.stream = False
        bodies = self.runtime.bodies if taking.wanted() and state.facts.method != "HEAD" else None
        if bodies is None or (length is not None and length <= SMALL):
            state.limit, state.on_overflow = limit, lambda: self._outgrown(flow, state, plan, phase)
        else:
            state.limit, state.on_overflow = None, None
            state.taking = Spooling(bodies, lambda why: self._outgrown(flow, state, plan, phase), most=limit)

    def _unprotected(self, flow: http.HTTPFlow, state: State, why: str, phase: str) -> None:
        if state.exchange is None:
            raise LookupError("no exchange")
        effect = state.exchange.refuse("protect.impossible", "action: protect", why)
        self._write(flow, state)
        self._refuse(flow, state, effect, phase)

    def _outgrown(self, flow: http.HTTPFlow, state: State, plan: Plan, phase: str) -> bool:
        """A file that was to be converted outgrew the limit: it goes on as a stream, or not at all."""
        try:
            state.held, state.plan = False, None
            protect.begin(self.runtime, flow, state, protect.unlabelled(plan), self.notices)
            self._write(flow, state)
            self.runtime.counters["protected"] += 1
        except ContentError as error:
            self._unprotected(flow, state, error.message, phase)
        except Exception:
            log_fault(logger, "overflow failed, exchange refused", flow=flow.id)
            translate.refuse(flow, phase)
        return not translate.is_refused(flow)

    async def _convert(self, flow: http.HTTPFlow, state: State, plan: Plan) -> None:
        """All of a file is here that is to be labelled or get a password of its own format."""
        state.held, state.plan = False, None
        coding = state.response.content_encoding if state.response else ""
        try:
            limit = state.snapshot.settings.limits.hold
            plain: bytes | HeldBody
            if isinstance(state.taking, Spooling):
                plain = await self._decoded(state, state.taking.body, coding)
                if isinstance(plain, HeldBody) and plain.size > limit:
                    raise ContentError("F102", f"larger than {limit} bytes")
            else:
                body = flow.response.raw_content if flow.response is not None else None
                plain = codings.decoded(body or b"", coding, limit=limit)
            await protect.hand_over_whole(self.runtime, flow, state, plan, plain, self.notices)
        except (ContentError, StoreError) as error:
            self._unprotected(flow, state, error.message, "response")
            return
        self._write(flow, state)
        self.runtime.counters["protected"] += 1

    @sealed
    def response(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """A held download has arrived: read it, then decide for good."""
        state = translate.state_of(flow)
        if state is not None and state.expected is not None and flow.response is not None:
            state.held = False
            return self.uploads.transfers.answered(flow, state)
        if state is None or flow.response is None:
            return None
        if not state.held:
            protect.finish_empty(flow, state)
            return None
        if state.plan is not None:
            return self._convert(flow, state, state.plan)
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
        """Take the body in: small ones into memory, all others where `bodies` keeps them."""
        outgoing = phase == "requestheaders"
        if not outgoing and state.response is not None and state.response.status == 206:
            self._decided(flow, state, "a part of a file", phase)
            return
        bodies = None if self._in_memory(state) else self.runtime.bodies
        bodiless = not outgoing and state.facts.method == "HEAD"
        if bodies is None or not taking.wanted() or (outgoing and state.map_body):
            bodies = None
        largest = bodies.file if bodies is not None and not state.naming else limit
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
            most = limit if state.naming else None
            state.taking = Spooling(bodies, lambda why: self._overflow(flow, state, why, phase), most=most)

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

    @staticmethod
    def _in_memory(state: State) -> bool:
        """Whether the body may have to be changed, or sent again after a question: then it is not put on disk."""
        exchange = state.exchange
        if state.resumed is not None:
            return True  # what comes is the reference to a body that was kept, which takes its place
        if exchange is not None and state.naming:
            policies, app = state.snapshot.policies, exchange.app.id
            return policies.coaches(app) or any(policies.redacts(app, each) for each in ActivityType)
        if state.mask_request is not None or exchange is None or exchange.activity is None:
            return True
        changing = {Action.REDACT, Action.COACH}
        return exchange.activity.text is not None or not changing.isdisjoint(exchange.outcomes())

    def _overflow(self, flow: http.HTTPFlow, state: State, why: str, phase: str) -> bool:
        """A held body cannot be held any longer. True: policy lets it pass unread."""
        try:
            state.held = False
            if phase == "requestheaders":  # What came of the body is a part, and no more of it is waited for.
                phase, state.cut = "request", True
            if state.mask_request is not None:
                order, state.mask_request = state.mask_request, None
                self._apply_to_request(flow, state, self._unmaskable(state, order, why), phase)
            elif state.naming and state.exchange is not None:
                state.naming = False
                effect = self.uploads.unread(state, state.exchange, why)
                self._apply_to_request(flow, state, effect, phase)
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
        if phase in ("requestheaders", "request"):
            if self.keeping.wants(state, effect):
                state.kept = self.keeping.failed(state, self._last(state), why)
            self._apply_to_request(flow, state, effect, phase)
        else:
            self._apply_to_response(flow, state, effect, phase)

    async def _inspect(
        self, flow: http.HTTPFlow, state: State, body: bytes | HeldBody, coding: str, phase: str
    ) -> None:
        exchange = state.exchange
        if exchange is None or exchange.activity is None:
            raise LookupError("no exchange")
        state.held = False
        if phase == "request" and exchange.activity.text is not None and isinstance(body, bytes):
            self._read_prompt(flow, state, exchange, body, coding)
            return
        known = exchange.activity.file or FileFacts(name="")
        try:
            plain = await self._decoded(state, body, coding)
        except (ContentError, StoreError) as error:
            plain, effect = body, exchange.unscannable(error.message)
        else:
            effect = exchange.inspected(await self.uploads.read(exchange, known, plain))
        if phase == "request" and self.keeping.wants(state, effect):
            state.kept = await self.keeping.keep(state, self._last(state), plain)
        if phase == "request":
            self._apply_to_request(flow, state, effect, "request")
            if translate.is_refused(flow):
                translate.hold_refusal(flow, "request")
        else:
            self._apply_to_response(flow, state, effect, phase)
            if state.plan is not None:
                await self._convert(flow, state, state.plan)
        if state.keeping is not None:
            await state.keeping

    def _read_prompt(self, flow: http.HTTPFlow, state: State, exchange: Exchange, body: bytes, coding: str) -> None:
        """What was to be sent is there: its text is looked at here, which takes no longer than handing it over."""
        try:
            plain = codings.decoded(body, coding, limit=state.snapshot.settings.limits.hold)
        except ContentError:
            text = None
        else:
            text = chat.text_of(plain, state.facts.content_type)
        self._apply_to_request(flow, state, exchange.told(prompts.facts(state.snapshot, text)), "request")
        if translate.is_refused(flow):
            translate.hold_refusal(flow, "request")

    def _refuse(self, flow: http.HTTPFlow, state: State, effect: Answer, phase: str) -> None:
        activity = state.exchange.activity if state.exchange else None
        record = state.exchange.records[-1] if state.exchange else None
        if effect.kind == "step_up" and record is not None:
            saved = activity is not None and activity.type is ActivityType.DOWNLOAD
            if self.step_up.send(flow, state, ask_of(effect.decision, record.activity.id, saved=saved), phase):
                return
        refusal = self._refusal(state, effect.decision, activity)
        if record is not None:
            refusal = replace(refusal, activity_id=record.activity.id)
        body = flow.request.raw_content if phase == "request" and not state.cut else None
        refusal = self.coaching.stop(state, refusal, activity, body=body)
        waited = state.ticket is not None and state.ticket.shown and not refusal.coach
        page = refusal_page(refusal, shown=True) if waited else page_for(refusal)
        shown = waited or (refusal.coach and state.facts.mode is RequestMode.NAVIGATION and not state.facts.save_as)
        if state.party and state.party.session_id and not shown:
            page = self.notices.leave(page, state.party.session_id, notice(refusal))
        self.runtime.counters["refused"] += 1
        translate.refuse(flow, phase, page)

    def _refusal(self, state: State, decision: Decision, activity: Activity | None) -> Refusal:
        return Refusal(
            activity_id=ulid(),
            decision=decision,
            facts=state.facts,
            app_name=state.route.app.name if state.route.app else "",
            user_name=state.party.user.name if state.party and state.party.user else "",
            file_name=activity.file.name if activity and activity.file else "",
            is_download=activity is not None and activity.type is ActivityType.DOWNLOAD,
            languages=state.fields.get(b"accept-language", b"").decode("latin-1")[:1000],
            kept=state.kept,
            kept_at=self.keeping.address(state),
        )

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
                if (record.decision.on_failure or exchange.app.on_failure) != "allow":
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
