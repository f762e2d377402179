"""Saying why, and asking for access: what is kept when something is stopped, and the endpoints that answer it.

What is kept lies in the session store under an id that only the page tells, and counts for the session that was stopped
alone. Where it goes on is what was asked for then, never what a form says: so no answer leads anywhere else.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson
from mitmproxy import http

from casb.control import coach_pages
from casb.control.coach_pages import HOURS, LONGEST, Question, Refused, Request
from casb.control.justified import Justification, from_json, thing_of, to_json
from casb.control.pages import ASK_PATH, Page, Refusal, json_page, message_of, refusal_page, title_of
from casb.control.words import Words, said, words_for
from casb.errors import StoreError, Where
from casb.identity.sessions import is_id, is_safe_path
from casb.model.activity import Activity, ActivityType, RequestMode, Source
from casb.model.app import App
from casb.model.decision import Action, Decision, Reason
from casb.model.identity import Session
from casb.model.record import Record
from casb.proxy.controls import party_of
from casb.proxy.ids import ulid
from casb.proxy.runtime import Runtime, now
from casb.proxy.sessions import with_resume
from casb.proxy.translate import State
from casb.store import exceptions

logger = logging.getLogger(__name__)

ASKED = 900.0
"""Seconds that a question waits for its answer."""
REFUSED = 3600.0
"""Seconds after a refusal within which access can be asked for."""
REMEMBERED = 30 * 86400.0
MOST = 50
"""Justifications, and requests, that are remembered of one person in one app."""
SUBMIT = "document.forms[0].submit()"
MARK = "exception-request"
"""In the text of the record, so that the portal finds requests quickly."""


class Coaching:
    """Keeps questions and refusals, and answers `/.casb/justify`, `/.casb/ask` and `/.casb/requests`."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------ before the decision

    async def given(self, session: Session, app: App) -> tuple[Justification, ...]:
        """What the person has said in this app and still counts. Raises `StoreError` when it cannot be known."""
        return _live(await self.runtime.sessions.get("justified", _key(session.user.id, app.id)))

    # ------------------------------------------------------------ when something is stopped

    def stop(self, state: State, refusal: Refusal, activity: Activity | None, *, body: bytes | None = None) -> Refusal:
        """Keep what a page on this refusal will need; the refusal with what leads there."""
        session, app = state.session, state.route.app
        if session is None or app is None or activity is None or refusal.decision.default_behaviour:
            return refusal
        refusal = replace(
            refusal,
            languages=state.fields.get(b"accept-language", b"").decode("latin-1")[:1000],
            origin=f"https://{state.route.authority}",
        )
        if refusal.decision.action is Action.COACH:
            identifier = secrets.token_urlsafe(32)
            self._later(self._keep_question(state, session, app, refusal, activity, identifier, body))
            return replace(refusal, coach=identifier)
        if refusal.decision.action is Action.BLOCK and refusal.decision.policy:
            kept = Refused(
                activity=refusal.activity_id,
                session=session.id,
                user=session.user.id,
                user_name=session.user.name,
                app=app.id,
                app_name=app.name,
                policy=refusal.decision.policy,
                file=activity.file.name if activity.file else "",
                kind=activity.type.value,
            )
            self._later(self._put("refused", _key(session.id, refusal.activity_id), asdict(kept), REFUSED))
            return replace(refusal, ask=f"{ASK_PATH}?a={refusal.activity_id}")
        return refusal

    async def _keep_question(
        self,
        state: State,
        session: Session,
        app: App,
        refusal: Refusal,
        activity: Activity,
        identifier: str,
        body: bytes | None,
    ) -> None:
        coaching = refusal.decision.coaching
        if coaching is None:
            raise LookupError("a question without its terms")
        method = state.facts.method
        path = state.asked_path if is_safe_path(state.asked_path) else ""
        pending = ""
        if path and method not in ("GET", "HEAD"):
            if body is not None and method == "POST":
                started = await self.runtime.sign_in.start_pending(
                    host=state.route.authority,
                    path=path,
                    method=method,
                    body=body,
                    content_type=state.fields.get(b"content-type", b"").decode("latin-1"),
                )
                pending = started.id
            else:
                path = ""
        question = Question(
            id=identifier,
            session=session.id,
            user=session.user.id,
            app=app.id,
            app_name=app.name,
            policies=coaching.policies,
            policy=refusal.decision.policy or "",
            thing=thing_of(activity),
            activity=refusal.activity_id,
            title=title_of(refusal),
            message=message_of(refusal),
            message_tag=said(refusal.decision, refusal.languages)[1],
            reasons=coaching.reasons,
            text=coaching.text,
            lasts=coaching.lasts,
            path=path,
            method=method,
            pending=pending,
            file=refusal.file_name,
            user_name=refusal.user_name,
        )
        await self._put("coach", _key(identifier), asdict(question), ASKED)

    def _later(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # The refusal stands; its page will say that the question has been forgotten.
            logger.error("what was stopped could not be kept: %s", type(task.exception()).__name__)

    async def _put(self, kind: str, key: bytes, value: dict[str, Any], ttl: float) -> None:
        await self.runtime.sessions.put(kind, key, orjson.dumps(value), ttl=ttl)

    # ------------------------------------------------------------ answering a question

    async def ask(self, flow: http.HTTPFlow, state: State, session: Session) -> Page:
        """`GET /.casb/justify?c=`: the question, for whoever was not shown it."""
        words = _words(state)
        question = await self._question(session, _query(flow).get("c", ""))
        return coach_pages.gone_page(words) if question is None else coach_pages.question_page(question, words)

    async def answer(self, flow: http.HTTPFlow, state: State, session: Session) -> Page:
        """`POST /.casb/justify`: from the form of ours, or as JSON from the dialog in the page."""
        words = _words(state)
        scripted = state.facts.content_type == "application/json"
        told = _told(flow, scripted=scripted)
        question = await self._question(session, told.get("c", ""))
        if question is None:
            return json_page(410, {"casb": "gone"}) if scripted else coach_pages.gone_page(words)
        reason, text = told.get("reason", "").strip(), clean(told.get("text", ""))
        if (question.reasons and reason not in question.reasons) or (question.text == "required" and not text):
            if scripted:
                return json_page(422, {"casb": "missing"})
            return coach_pages.question_page(question, words, missing=True, status=422)
        await self._justify(
            session, question, reason if question.reasons else "", text if question.text != "no" else ""
        )
        self.runtime.counters["justified"] += 1
        return await self._onward(state, session, question, words, scripted=scripted)

    async def _question(self, session: Session, identifier: str) -> Question | None:
        value = await self.runtime.sessions.get("coach", _key(identifier)) if is_id(identifier) else None
        if value is None:
            return None
        told = orjson.loads(value)
        question = Question(**{**told, "policies": tuple(told["policies"]), "reasons": tuple(told["reasons"])})
        return question if question.session == session.id else None

    async def _justify(self, session: Session, question: Question, reason: str, text: str) -> None:
        key = _key(session.user.id, question.app)
        fresh = Justification(
            policies=question.policies,
            thing=question.thing,
            until=now() + timedelta(seconds=question.lasts),
            reason=reason,
            text=text,
            activity=question.activity,
        )
        before = [
            each
            for each in _live(await self.runtime.sessions.get("justified", key))
            if (each.policies, each.thing) != (fresh.policies, fresh.thing)
        ]
        kept = [*before[-MOST + 1 :], fresh]
        ttl = max((each.until - now()).total_seconds() for each in kept)
        await self.runtime.sessions.put("justified", key, orjson.dumps([to_json(each) for each in kept]), ttl=ttl)

    async def _onward(
        self, state: State, session: Session, question: Question, words: Words, *, scripted: bool
    ) -> Page:
        if question.pending and not scripted:
            pending = await self.runtime.sign_in.pending(question.pending)
            token = await self.runtime.sign_in.keep_body(session, pending) if pending is not None else None
            if token is not None:
                return coach_pages.resend_page(words, with_resume(question.path, token), SUBMIT)
        path = question.path if question.method in ("GET", "HEAD") else ""
        if scripted:
            return json_page(200, {"casb": "justified", "url": path, "message": words("say.repeat")})
        if path:
            return coach_pages.onward_page(words, path)
        app = state.route.app
        return coach_pages.again_page(words, app.start if app else "/", question.app_name)

    # ------------------------------------------------------------ asking for an exception

    async def ask_form(self, flow: http.HTTPFlow, state: State, session: Session) -> Page:
        """`GET /.casb/ask?a=`: the form on which access is asked for."""
        words = _words(state)
        refused = await self._refused(session, _query(flow).get("a", ""))
        return coach_pages.gone_page(words) if refused is None else coach_pages.ask_page(refused, words)

    async def ask_sent(self, flow: http.HTTPFlow, state: State, session: Session) -> Page:
        """`POST /.casb/ask`: the request becomes a record, which reaches the sidecar as every other does."""
        words = _words(state)
        told = _told(flow, scripted=False)
        refused = await self._refused(session, told.get("a", ""))
        if refused is None:
            return coach_pages.gone_page(words)
        text = clean(told.get("text", ""))
        hours = told.get("hours", "")
        if not text or hours not in {value for value, _ in HOURS}:
            return coach_pages.ask_page(refused, words, missing=True)
        record = self._request_record(state, session, refused, text, int(hours))
        self.runtime.log(record)
        self.runtime.counters["exceptions_asked"] += 1
        key = _key(session.user.id)
        before = await self.runtime.sessions.get("asked", key)
        line = {"id": record.activity.id, "time": record.activity.time.isoformat(), **asdict(refused)}
        kept = [*(orjson.loads(before) if before else []), line][-MOST:]
        await self.runtime.sessions.put("asked", key, orjson.dumps(kept), ttl=REMEMBERED)
        await self.runtime.sessions.drop("refused", _key(session.id, refused.activity))
        return coach_pages.asked_page(words)

    async def _refused(self, session: Session, activity: str) -> Refused | None:
        value = await self.runtime.sessions.get("refused", _key(session.id, activity))
        return None if value is None else Refused(**orjson.loads(value))

    def _request_record(self, state: State, session: Session, refused: Refused, text: str, hours: int) -> Record:
        party = party_of(state, session)
        where = Where(file=state.snapshot.settings.folder)
        reason = Reason(code="exception.requested", policy=refused.policy, where=where, fact=f"for {hours} h")
        activity = Activity(
            id=ulid(),
            time=now(),
            type=ActivityType(refused.kind),
            app=state.route.app,
            user=party.user,
            device=party.device,
            client=party.client,
            session_id=session.id,
            source=Source.REQUEST,
        )
        decision = Decision(action=Action.AUDIT, policy=refused.policy, reasons=(reason,), message=MARK)
        request = {"refused": refused.activity, "file": refused.file, "hours": hours, "text": text}
        return Record(
            activity=activity,
            decision=decision,
            policy_version=state.snapshot.version,
            mode=state.route.mode,
            extra={"request": request},
        )

    async def requests(self, flow: http.HTTPFlow, state: State, session: Session) -> Page:
        """`GET /.casb/requests`: what the person asked for, and what became of it."""
        value = await self.runtime.sessions.get("asked", _key(session.user.id))
        lines = orjson.loads(value) if value else []
        denied = await asyncio.to_thread(exceptions.denials, Path(state.snapshot.settings.data))
        granted = {each.request: each for each in state.snapshot.exceptions.grants if each.request}
        found = []
        for line in reversed(lines):
            grant, denial = granted.get(line["id"]), denied.get(line["id"])
            over = grant is not None and now() >= grant.until
            answer = "over" if over else "approved" if grant else "denied" if denial else "waiting"
            found.append(
                Request(
                    activity=line["id"],
                    asked=datetime.fromisoformat(line["time"]),
                    policy=line["policy"],
                    app_name=line["app_name"],
                    file=line["file"],
                    state=answer,
                    until=grant.until if grant else None,
                    note=denial.note if denial else "",
                )
            )
        return coach_pages.requests_page(found, _words(state))


def page_for(refusal: Refusal) -> Page:
    """The answer to what was stopped. A browser that is about to show a page gets the question itself."""
    facts, coaching = refusal.facts, refusal.decision.coaching
    if not refusal.coach or coaching is None or facts is None:
        return refusal_page(refusal)
    if facts.mode is not RequestMode.NAVIGATION or facts.save_as:
        return refusal_page(refusal)
    question = Question(
        id=refusal.coach,
        session="",
        user="",
        app="",
        app_name=refusal.app_name,
        policies=coaching.policies,
        policy=refusal.decision.policy or "",
        thing="",
        activity=refusal.activity_id,
        title=title_of(refusal),
        message=message_of(refusal),
        message_tag=said(refusal.decision, refusal.languages)[1],
        reasons=coaching.reasons,
        text=coaching.text,
        lasts=coaching.lasts,
        path="",
        file=refusal.file_name,
        user_name=refusal.user_name,
    )
    return coach_pages.question_page(question, refusal.words)


def clean(text: str) -> str:
    """What a person wrote, as it is recorded: cut off, without control characters."""
    kept = "".join(char if char.isprintable() else " " for char in text[: 4 * LONGEST])
    return " ".join(kept.split())[:LONGEST]


def _words(state: State) -> Words:
    return words_for(state.fields.get(b"accept-language", b"").decode("latin-1")[:1000])


def _query(flow: http.HTTPFlow) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(flow.request.path.partition("?")[2]).items()}


def _told(flow: http.HTTPFlow, *, scripted: bool) -> dict[str, str]:
    """The fields of a form of ours or of a JSON object; anything else has none."""
    body = flow.request.raw_content or b""
    if not scripted:
        found = parse_qs(body.decode("utf-8", "replace"), max_num_fields=20)
        return {name: values[0] for name, values in found.items()}
    try:
        value = orjson.loads(body)
    except ValueError:
        return {}
    items = value.items() if isinstance(value, dict) else ()
    return {name: each for name, each in items if isinstance(each, str)}


def _key(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).digest()


def _live(value: bytes | None) -> tuple[Justification, ...]:
    if value is None:
        return ()
    try:
        found = tuple(from_json(each) for each in orjson.loads(value))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError("S052", "what was said to go on cannot be read") from error
    present = now()
    return tuple(each for each in found if each.until > present)
