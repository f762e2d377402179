"""The way to prove more in the middle of a session, and what was interrupted by it.

A policy asks for an authentication context (step-up), or what the provider said is too old (re-evaluation). Either way
the request is kept, the browser goes by `/.casb/step-up` to the sign-in host and to the provider, and comes back to
what it was doing: an address, a form with its body, a file. A script of the page is told where to send the person, and
asks again itself.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Collection
from dataclasses import dataclass, replace
from html import escape
from typing import Final

from cachetools import TTLCache
from mitmproxy import http

from casb.control.pages import Page, error_page, facts_list, html, json_page, redirect
from casb.errors import CasbError
from casb.identity.sessions import agent_digest, is_safe_path
from casb.model.activity import RequestMode
from casb.model.decision import Decision
from casb.proxy import translate
from casb.proxy.bodies import Spooling
from casb.proxy.faults import log_fault
from casb.proxy.incidents import incident
from casb.proxy.runtime import Runtime, now
from casb.proxy.translate import State

logger = logging.getLogger(__name__)

PATH: Final = "/.casb/step-up"
DONE: Final = "/.casb/done"  # where a window of its own ends
SHARED: Final = 60.0  # seconds during which requests of one page are sent the same way


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a request must wait for. `contexts` empty: the provider is to say anew who is there and on which device."""

    contexts: tuple[str, ...] = ()
    fresh: int | None = None
    activity: str = ""  # id of the record that says why
    message: str = ""
    policy: str = ""
    saved: bool = False

    @property
    def word(self) -> str:
        """As scripts are told it."""
        return "step-up" if self.contexts else "re-evaluate"


def ask_of(decision: Decision, activity: str, *, saved: bool = False) -> Ask:
    """What a decision asks for."""
    fresh = None if decision.fresh_for is None else int(decision.fresh_for.total_seconds())
    return Ask(
        contexts=(decision.using,),
        fresh=fresh,
        activity=activity,
        message=decision.message,
        policy=decision.policy or "",
        saved=saved,
    )


class StepUp:
    """Sends exchanges of a session to prove more. One per worker."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._windows: TTLCache[tuple[str, str, tuple[str, ...]], str] = TTLCache(10_000, SHARED)

    def send(self, flow: http.HTTPFlow, state: State, ask: Ask, phase: str) -> bool:
        """Answer the exchange with the way to prove more; False: it has no session to prove it for.

        A body that is still to come is awaited first, so that it is sent on afterwards: `waiting` answers then.
        """
        if state.session is None:
            return False
        self.runtime.counters[f"asked_{ask.word}"] += 1
        mode, request = state.facts.mode, flow.request
        plain = request.method in ("GET", "HEAD")
        if mode is not RequestMode.NAVIGATION:
            translate.refuse(flow, phase, self._told(flow, state, ask, phase))
        elif state.facts.frame:
            translate.refuse(flow, phase, self._framed(flow, state, ask, phase))
        elif phase == "requestheaders" and not plain and state.facts.content_length != 0:
            state.ours, state.ask = True, ask
            state.limit, state.on_overflow = state.snapshot.settings.session.step_up_body, lambda: False
            request.stream = False
        else:
            body = None if plain or state.resumed is not None else _held(state, request)
            lost = not plain and body is None and state.resumed is None and state.facts.content_length != 0
            kept = state.resumed if state.resumed is not None else body
            translate.refuse(flow, phase, self._sent(flow, state, ask, kept, phase, lost=lost))
        return True

    async def waiting(self, flow: http.HTTPFlow, state: State) -> None:
        """The body that was awaited is there, or as much of it as is kept."""
        ask = state.ask
        if ask is None:
            raise LookupError("nothing was asked for")
        body = None if state.cut else flow.request.raw_content or None
        translate.refuse(flow, "request", self._sent(flow, state, ask, body, "request", lost=state.cut))
        if state.keeping is not None:
            await state.keeping

    # ------------------------------------------------------------ answers

    def _sent(self, flow: http.HTTPFlow, state: State, ask: Ask, body: bytes | None, phase: str, *, lost: bool) -> Page:
        path = flow.request.path
        identifier = self._start(
            flow,
            state,
            ask,
            phase,
            path=path if is_safe_path(path) else "/",
            method=flow.request.method,
            body=body,
            content_type=state.fields.get(b"content-type", b"").decode("latin-1"),
            body_lost=lost,
        )
        return redirect(f"{PATH}?p={identifier}", headers=_with(ask))

    def _told(self, flow: http.HTTPFlow, state: State, ask: Ask, phase: str) -> Page:
        """For scripts: where to send the person. Requests of one page lead to one window."""
        if state.session is None:
            raise LookupError("no session")
        key = (state.session.id, f"{state.route.authority} {state.session.evaluated}", ask.contexts)
        identifier = self._windows.get(key)
        if identifier is None:
            identifier = self._windows[key] = self._start(flow, state, ask, phase, path=DONE, window=True)
        value = {
            "casb": ask.word,
            "url": f"https://{state.route.authority}{PATH}?p={identifier}",
            "activity": ask.activity,
            "policy": ask.policy,
            "message": ask.message,
        }
        return json_page(401, {name: each for name, each in value.items() if each}, headers=_with(ask))

    def _framed(self, flow: http.HTTPFlow, state: State, ask: Ask, phase: str) -> Page:
        """Sign-in pages are not shown in frames: a link leads out of this one."""
        identifier = self._start(flow, state, ask, phase, path=DONE, window=True)
        what = ask.message or "Your organisation asks you to confirm who you are before this part is shown."
        return html(
            401,
            "One more check is needed",
            f'<p>{escape(what)}</p><p class="row"><a class="button" target="_blank" rel="opener" '
            f'href="{PATH}?p={identifier}">Continue</a></p><p><small>Then reload this page.</small></p>'
            + facts_list((("Policy", ask.policy), ("Activity", ask.activity))),
            headers=_with(ask),
            ancestors="'self'",
        )

    def _start(
        self,
        flow: http.HTTPFlow,
        state: State,
        ask: Ask,
        phase: str,
        *,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        content_type: str = "",
        body_lost: bool = False,
        window: bool = False,
    ) -> str:
        """Keep what waits, under an id drawn here; `state.keeping` is done once it is in the store.

        Whoever calls this returns or awaits that, so that the answer does not leave before.
        """
        session, app = state.session, state.route.app
        if session is None:
            raise LookupError("no session")
        identifier = secrets.token_urlsafe(32)
        keeping = self.runtime.sign_in.start_pending(
            host=state.route.authority,
            path=path,
            app=app.id if app else "",
            method=method,
            body=body,
            content_type=content_type,
            contexts=ask.contexts,
            more_id=identifier,
            session=session.id,
            fresh=ask.fresh,
            since=0.0 if ask.contexts else now().timestamp(),
            window=window,
            back=_page_before(state),
            saved=ask.saved,
            ip=state.ip,
            agent=agent_digest(state.fields.get(b"user-agent", b"").decode("utf-8", "replace")),
            body_lost=body_lost,
        )
        state.keeping = asyncio.ensure_future(self._kept(keeping, flow, state, phase))
        return identifier

    async def _kept(self, keeping: Awaitable[object], flow: http.HTTPFlow, state: State, phase: str) -> None:
        try:
            await keeping
        except CasbError as error:
            identifier = incident(
                self.runtime, code=error.code, fact=error.message, ip=state.ip, app=state.route.app, facts=state.facts
            )
            text = (
                "What you wanted to do cannot be kept until you have confirmed who you are, so nothing was passed on."
            )
            page = error_page(503, "Not possible now", text, identifier, facts=state.facts, code="unavailable")
            translate.refuse(flow, phase, page)
        except Exception:
            log_fault(logger, "what waits for a step-up was not kept")
            translate.refuse(flow, phase)


def _held(state: State, request: http.Request) -> bytes | None:
    """The request's body, in memory or on disk; None when it is too large to be kept, or has been passed on."""
    if not isinstance(state.taking, Spooling):
        return request.raw_content
    most = state.snapshot.settings.session.step_up_body
    with state.taking.body.source() as held:
        body = held.read(most + 1)
    return body if len(body) <= most else None


def _with(ask: Ask) -> Collection[tuple[str, str]]:
    return (("x-casb-activity", ask.activity),) if ask.activity else ()


def _page_before(state: State) -> str:
    """The page of this host that the request comes from, as a path; '' when it comes from elsewhere."""
    referer = state.fields.get(b"referer", b"").decode("latin-1")
    prefix = f"https://{state.route.authority}"
    path = referer.removeprefix(prefix) if referer.startswith(f"{prefix}/") else ""
    return path if path and is_safe_path(path) and not path.startswith("/.casb/") else ""


def done_page(back: str, *, opened: bool) -> Page:
    """The end of a window of its own: the page that waits is told, and the window closes."""
    link = f'<p class="row"><a class="button plain" href="{escape(back or "/")}">Back to the application</a></p>'
    text = "<p>You have confirmed who you are. You can close this window and go on.</p>" if opened else ""
    return html(200, "Thank you", text + link, script=TELL)


TELL: Final = (
    'try{new BroadcastChannel("casb.step-up").postMessage("done")}catch{}'
    "if(window.opener||history.length<2||window.name)window.close()"
)


def saving_page(target: str, back: str, *, cookies: Collection[tuple[str, str]] = ()) -> Page:
    """A file is on its way: the browser stays where it is while it is saved, so it must be somewhere sensible."""
    return replace(
        html(
            200,
            "Your download is starting",
            "<p>You have confirmed who you are. If the download does not start by itself, use the button.</p>"
            f'<p class="row"><a class="button" id="on" href="{escape(target)}">Download</a>'
            f'<a class="button plain" href="{escape(back or "/")}">Back to the application</a></p>',
            headers=cookies,
            script='location.assign(document.getElementById("on").href)',
        )
    )
