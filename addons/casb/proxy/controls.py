"""Copying, pasting and printing at the rim: what goes into a page, what its guard asks, and whether it reports.

Each controlled page gets a secret of its own. Its guard tells it back as soon as it runs; a page that was delivered and
stays silent had no guard, or one that was taken out. That is recorded, and where the app says so the session gets no
further controlled page for a while.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import orjson
from cachetools import TTLCache
from mitmproxy import http

from casb.catalog.filenames import clean_name, extension_of
from casb.control import in_page
from casb.control.exchange import Exchange, Party
from casb.control.pages import Page, Refusal, html, json_page, message_of, notice, refusal_page
from casb.errors import ContentError, Where
from casb.model.activity import IN_PAGE, Activity, ActivityType, RequestFacts, RequestMode, Source, TextFacts
from casb.model.app import App, Watermark
from casb.model.decision import Action, Decision, Hold, Pass, Protect, Reason, Redact
from casb.model.file import FileFacts
from casb.model.identity import Session
from casb.model.record import Record
from casb.proxy import translate
from casb.proxy.faults import log_fault
from casb.proxy.ids import ulid
from casb.proxy.runtime import Runtime, now
from casb.proxy.sealed import sealed
from casb.proxy.translate import State
from casb.proxy.uploads import read_file

logger = logging.getLogger(__name__)

GRACE = 20.0
"""Seconds that a delivered page has to report."""
PENALTY = 600.0
"""Seconds without controlled pages after one that did not, where the app says `on_tamper: block`."""
MOST_A_MINUTE = 60
"""Records of one activity by one session in one app within a minute; what lies beyond is decided, not recorded."""
KEPT = 600.0
"""Seconds that text copied inside is kept for pasting."""
LONGEST_BODY = 2_000_000
_TITLES = {"copy": "Copying", "cut": "Cutting", "paste": "Pasting", "print": "Printing", "download": "Saving the file"}
_VIA = frozenset(("event", "api", "drag", "drop", "menu", "keyboard", "print()", "inside"))
_PREFETCH = (b"sec-purpose", b"purpose")


def party_of(state: State, session: Session) -> Party:
    """Who asks, as the other hooks see it."""
    agent = state.fields.get(b"user-agent", b"").decode("utf-8", "replace")[:1024]
    client, device = state.snapshot.client(state.ip, agent, session.device)
    return Party.of(session, client, device)


def table(state: State, session: Session | None) -> dict[str, Any] | None:
    """What the guard of a page must know, without the page's secret; None where nothing is controlled."""
    app = state.route.app
    if app is None or session is None:
        return None
    always = app.controls.watermark is Watermark.ALWAYS
    if not always and not in_page.concerned(state.snapshot, app):
        return None
    party = party_of(state, session)
    do = in_page.rules(state.snapshot, app, party, clock=now, new_id=ulid)
    if not do and not always:
        return None
    told: dict[str, Any] = {"app": app.name, "do": do}
    if app.controls.clipboard == "inside" and do.get("copy", "").startswith(("block", "ask")):
        told["inside"] = True
    if always or (app.controls.watermark is Watermark.CONTROLLED and do):
        name = party.user.name if party.user else ""
        told["mark"] = f"{name} · {now():%Y-%m-%d %H:%M} UTC · {session.id[:8]}"
    return told


def for_page(state: State) -> bytes:
    """The value of the attribute that brings rules and secret to the guard; empty: the page is not controlled."""
    told = table(state, state.session)
    if told is None:
        return b""
    if not told["do"].keys() - {ActivityType.DOWNLOAD.value} and "mark" not in told:
        # Files are judged on their way, too: such a page need not report.
        return base64.urlsafe_b64encode(orjson.dumps(told))
    state.page_secret = secrets.token_hex(16)
    return base64.urlsafe_b64encode(orjson.dumps({**told, "page": state.page_secret}))


class Controls:
    """Endpoints of the guard, and the hooks that expect it to report."""

    grace = GRACE

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._counts: TTLCache[tuple[str, str, str], int] = TTLCache(50_000, 60)
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------ what the guard asks

    def attempt(self, state: State, session: Session, body: bytes, coaching: Stopping | None = None) -> Page:
        """`POST /.casb/activity`: somebody copies, cuts, pastes or prints. Raises `StoreError` when it cannot be
        written down: then it does not happen."""
        told = _read(body)
        app = state.route.app
        kind = told.get("activity")
        if app is None or kind not in IN_PAGE:
            return json_page(400, {"casb": "none"})
        text = told.get("text")
        length = told.get("length")
        facts = TextFacts(
            content=text if isinstance(text, str) and told.get("cut") is not True else None,
            length=length if isinstance(length, int) and not isinstance(length, bool) and length >= 0 else None,
        )
        if isinstance(text, str) and facts.content is not None:
            facts = replace(facts, length=len(text))
        via = told.get("via")
        record = in_page.attempt(
            state.snapshot,
            app,
            party_of(state, session),
            ActivityType(kind),
            facts,
            clock=now,
            new_id=ulid,
            mode=state.route.mode,
            via=via if isinstance(via, str) and via in _VIA else "",
            request=_page_facts(state),
            given=state.given,
        )
        decision = record.decision
        if decision.action is not Action.ALLOW or decision.shadow:
            self._write(record, session, app)
        rules = table(state, session) or {"do": {}}
        answer: dict[str, Any] = {"action": decision.action.word, "activity": record.activity.id, "table": rules}
        if decision.action >= Action.NOTIFY:
            answer |= _explained(state, record, app, coaching)
        return json_page(200, answer)

    async def save(self, state: State, session: Session, body: bytes, coaching: Stopping | None = None) -> Page:
        """`POST /.casb/save`: a page is about to save a file that it has made itself. The answer `content` asks for the
        bytes. Raises `StoreError` when it cannot be written down: then it does not happen."""
        app = state.route.app
        told = _saved(state.fields.get(b"casb-save", b""))
        if app is None or told is None:
            return json_page(400, {"casb": "none"})
        name, media_type, size, content = told
        exchange = Exchange(
            snapshot=state.snapshot,
            app=app,
            party=party_of(state, session),
            clock=now,
            new_id=ulid,
            mode=state.route.mode,
            given=state.given,
        )
        known = FileFacts(name=name, extension=extension_of(name), size=size, declared_type=media_type or None)
        effect = exchange.save(known, _page_facts(state))
        if isinstance(effect, Hold) and content is None:
            return json_page(200, {"action": "content", "table": table(state, session) or {"do": {}}})
        if isinstance(effect, Hold) and not content:
            effect = exchange.unscannable("the page could not tell what is in it")
        elif isinstance(effect, Hold):
            effect = exchange.inspected(await read_file(self.runtime, exchange, known, body))
        if isinstance(effect, Redact):
            effect = exchange.instead(effect.order, "the page makes the file itself")
        if isinstance(effect, Protect):
            effect = exchange.fall_back("protect.impossible", "action: protect", "the page makes the file itself")
        for record in exchange.records:
            if record.decision.action is not Action.ALLOW or record.decision.shadow:
                self._write(replace(record, extra={**record.extra, "via": "page"}), session, app)
        record = exchange.records[-1]
        passed = isinstance(effect, Pass)
        rules = table(state, session) or {"do": {}}
        answer: dict[str, Any] = {"activity": record.activity.id, "table": rules}
        answer["action"] = "allow" if passed else record.decision.action.word
        return json_page(200, answer if passed else answer | _explained(state, record, app, coaching))

    def _write(self, record: Record, session: Session, app: App) -> None:
        key = (session.id, app.id, record.activity.type.value)
        count = self._counts.get(key, 0)
        if count >= MOST_A_MINUTE:
            self.runtime.counters["attempts_unrecorded"] += 1
            return
        self._counts[key] = count + 1
        self.runtime.counters["attempts"] += 1
        self.runtime.log(record)

    async def alive(self, state: State, session: Session, body: bytes) -> Page:
        """`POST /.casb/alive`: the guard of a page runs, or has found itself taken apart. Answers with the rules."""
        told = _read(body)
        page, broken = told.get("page"), told.get("broken")
        app = state.route.app
        if app is None or not isinstance(page, str) or not 0 < len(page) <= 64:
            return json_page(400, {"casb": "none"})
        if isinstance(broken, list) and broken:
            words = ", ".join(each for each in broken[:8] if isinstance(each, str) and each in _PARTS)
            await self._tampered(state, session, app, f"the guard found itself changed: {words or 'unknown'}")
        await self.runtime.sessions.put("alive", _key(session.id, page), b"1", ttl=max(60.0, self.grace * 3))
        return json_page(200, {"table": table(state, session) or {"do": {}}})

    async def keep(self, state: State, session: Session, body: bytes) -> Page:
        """`POST /.casb/clipboard`: text copied inside, for pasting inside. Only where it may not leave anyway."""
        told = _read(body)
        name, data = told.get("id"), told.get("data")
        rules = table(state, session)
        if not rules or not rules.get("inside") or not _is_kept(name, data):
            return json_page(403, {"casb": "none"})
        key = _key(session.user.id, str(name))
        key_id, blob = self.runtime.keyring.wrap("inside clipboard", key, orjson.dumps(data))
        value = orjson.dumps([key_id, base64.b64encode(blob).decode()])
        await self.runtime.sessions.put("clipboard", key, value, ttl=KEPT)
        return Page(status=204, headers=(("cache-control", "no-store"),), body=b"")

    async def kept(self, state: State, session: Session, body: bytes) -> Page:
        """`POST /.casb/paste`: the text for a placeholder, for the same person, in an app that does not let it out."""
        name = _read(body).get("id")
        rules = table(state, session)
        if not rules or not rules.get("inside") or not _is_kept(name, {}):
            return json_page(403, {"casb": "none"})
        key = _key(session.user.id, str(name))
        value = await self.runtime.sessions.get("clipboard", key)
        if value is None:
            return json_page(404, {"casb": "none"})
        key_id, blob = orjson.loads(value)
        try:
            data = self.runtime.keyring.unwrap("inside clipboard", key_id, key, base64.b64decode(blob))
        except ContentError:
            return json_page(404, {"casb": "none"})
        return json_page(200, {"data": orjson.loads(data)})

    def scripts_off(self) -> Page:
        """Where `<noscript>` sends a browser that runs no script."""
        text = (
            "<p>This application is under session control, which needs JavaScript: copying and printing could not be "
            "controlled without. Switch JavaScript on for this address and open the page again.</p>"
        )
        return html(403, "JavaScript is needed here", text, bad=True, mark="!")

    # ------------------------------------------------------------ who does not report

    @sealed
    def request(self, flow: http.HTTPFlow) -> Any:
        """No controlled page for a session whose guard was taken out, where the app says so."""
        state = translate.state_of(flow)
        if state is None or state.ours or state.session is None or state.route.app is None:
            return None
        if state.route.app.controls.on_tamper != "block" or state.facts.mode is not RequestMode.NAVIGATION:
            return None
        if not state.page_secret:
            return None
        return self._refuse_tampered(flow, state, state.session, state.route.app)

    async def _refuse_tampered(self, flow: http.HTTPFlow, state: State, session: Session, app: App) -> None:
        if await self.runtime.sessions.get("tampered", _key(session.id, app.id)) is None:
            return
        fact = "a page of this session did not report within the last 10 minutes"
        record = self._tamper_record(state, session, app, Action.BLOCK, fact)
        self.runtime.log(record)
        sentence = (
            "A page of this application was opened without its security controls, by a changed browser, an extension "
            "or without JavaScript. No further page is shown for ten minutes. Switch the change off and come back."
        )
        decision = replace(record.decision, message=sentence)
        refusal = Refusal(
            activity_id=record.activity.id,
            decision=decision,
            facts=state.facts,
            app_name=app.name,
            user_name=session.user.name,
        )
        translate.refuse(flow, "request", refusal_page(refusal))

    @sealed
    def response(self, flow: http.HTTPFlow) -> None:
        """From here on the page is expected to report."""
        state, response = translate.state_of(flow), flow.response
        if state is None or response is None or not state.page_secret or not state.page_sent or state.session is None:
            return
        if any(name in state.fields for name in _PREFETCH) or translate.is_refused(flow):
            return
        task = asyncio.ensure_future(self._expect(state, state.session, state.page_secret))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _expect(self, state: State, session: Session, page: str) -> None:
        try:
            await asyncio.sleep(self.grace)
            app = state.route.app
            if app is None or await self.runtime.sessions.get("alive", _key(session.id, page)) is not None:
                return
            fact = f"a page did not report within {self.grace:g} seconds"
            await self._tampered(state, session, app, fact)
        except Exception:
            log_fault(logger, "page not watched")

    async def _tampered(self, state: State, session: Session, app: App, fact: str) -> None:
        await self.runtime.sessions.put("tampered", _key(session.id, app.id), b"1", ttl=PENALTY)
        self.runtime.counters["tampered"] += 1
        key = (session.id, app.id, "tampered")
        count = self._counts[key] = self._counts.get(key, 0) + 1
        if count <= MOST_A_MINUTE:
            self.runtime.log(self._tamper_record(state, session, app, Action.AUDIT, fact))

    def _tamper_record(self, state: State, session: Session, app: App, action: Action, fact: str) -> Record:
        party = party_of(state, session)
        where = Where(file=state.snapshot.settings.folder)
        condition = f"controls: {{on_tamper: {app.controls.on_tamper}}}"
        reason = Reason(code="controls.tampered", policy="", where=where, condition=condition, fact=fact)
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
        decision = Decision(action=action, reasons=(reason,), default_behaviour=True)
        return Record(
            activity=activity, decision=decision, policy_version=state.snapshot.version, mode=state.route.mode
        )


def _page_facts(state: State) -> RequestFacts:
    """The page that asks, as far as it tells (`Referer`)."""
    referer = state.fields.get(b"referer", b"").decode("latin-1")
    prefix = f"https://{state.route.authority}/"
    path = f"/{referer.removeprefix(prefix)}".partition("?")[0].partition("#")[0] if referer.startswith(prefix) else ""
    return replace(state.facts, method="GET", path=path or state.facts.path, content_type="", content_length=None)


_PARTS = frozenset(("copy", "cut", "paste", "print", "drag", "watermark"))


class Stopping(Protocol):
    """Keeps what a page on a refusal will need."""

    def stop(self, state: State, refusal: Refusal, activity: Activity | None) -> Refusal: ...


def _explained(state: State, record: Record, app: App, coaching: Stopping | None) -> dict[str, Any]:
    """What the dialog says."""
    what = _TITLES[record.activity.type.value]
    refusal = Refusal(activity_id=record.activity.id, decision=record.decision, facts=None, app_name=app.name)
    if coaching is not None:
        refusal = coaching.stop(state, refusal, record.activity)
    if record.decision.action is Action.COACH:
        return notice(refusal)
    sentence = message_of(refusal)
    if not record.decision.message and record.decision.action is Action.STEP_UP:
        sentence = f"{what} in {app.name} needs a stronger sign-in."
    elif not record.decision.message and record.decision.action is Action.NOTIFY:
        sentence = f"{what} in {app.name} is recorded under your organisation's policy."
    elif not record.decision.message:
        sentence = f"{what} in {app.name} is not allowed by your organisation's policy."
    title = f"{what} is recorded" if record.decision.action is Action.NOTIFY else f"{what} is blocked"
    return notice(refusal) | {"title": title, "message": sentence, "policy": record.decision.policy or ""}


def _read(body: bytes) -> Mapping[str, Any]:
    """A JSON object of the guard; anything else is an empty one."""
    if len(body) > LONGEST_BODY:
        return {}
    try:
        told = orjson.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _saved(header: bytes) -> tuple[str, str, int | None, bool | None] | None:
    """Name, type, size, and whether the content comes with it: None is not said yet. None for what is no such thing."""
    try:
        told = orjson.loads(base64.b64decode(header, validate=True)) if len(header) <= 16_384 else None
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    name, kind, size, content = (told.get(each) for each in ("name", "type", "size", "content"))
    if not isinstance(name, str) or not isinstance(kind, str) or content not in (None, "told", "none"):
        return None
    whole = size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None
    media_type = kind.partition(";")[0].strip().lower()[:200]
    return clean_name(name), media_type, whole, None if content is None else content == "told"


def _is_kept(name: Any, data: Any) -> bool:
    named = isinstance(name, str) and len(name) == 32 and name.isascii() and name.isalnum()
    texts = isinstance(data, dict) and all(isinstance(each, str) for each in data.values())
    return named and texts and len(data) <= 8 and sum(map(len, data.values())) <= 5 * in_page.LONGEST


def _key(owner: str, name: str) -> bytes:
    return hashlib.sha256(f"{owner}|{name}".encode()).digest()
