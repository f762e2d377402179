"""What we answer ourselves: `/.casb/` on controlled hosts, and the whole sign-in host.

No page here shows claims or tokens: controlled hosts run the app's scripts. Changes need a POST from our own page.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from html import escape
from urllib.parse import parse_qs, urlsplit

from mitmproxy import http

from casb.connectors.events import ERRORS
from casb.connectors.live import Login
from casb.connectors.signin import Declined, parse_answer
from casb.control.exchange import Party, access
from casb.control.pages import (
    ASK_PATH,
    COACH_PATH,
    REQUESTS_PATH,
    Page,
    error_page,
    facts_list,
    html,
    json_page,
    redirect,
)
from casb.control.routes import Kind
from casb.control.session_page import Shown, session_page, sign_out_form
from casb.control.siblings import JOIN_PATH, joined_hosts, page_app
from casb.control.unknown import REPORT_PATH
from casb.errors import CasbError, ConnectorError, StoreError, TokenError
from casb.identity.home_realm import REALM_COOKIE, REMEMBERED, by_issuer, fitting, hints_of, mark_of, remembered_by
from casb.identity.sessions import (
    FLOW_COOKIE,
    LOGIN_COOKIE,
    PENDING_COOKIE,
    SESSION_COOKIE,
    PendingRequest,
    clear_cookie,
    cookie,
    is_safe_path,
    set_cookie,
)
from casb.model.activity import ActivityType, RequestMode
from casb.model.app import View
from casb.model.identity import Session
from casb.policy.engine import may_concern
from casb.proxy import opening, quarantine, rewriting, translate
from casb.proxy.coaching import Coaching
from casb.proxy.controls import Controls
from casb.proxy.device import DEVICE_PATH, DeviceHop
from casb.proxy.escapes import Escapes
from casb.proxy.ids import ulid
from casb.proxy.incidents import incident
from casb.proxy.learning import Learning
from casb.proxy.notices import FINE, PASSING, Notices
from casb.proxy.realm import away_page, choose_page
from casb.proxy.runtime import Runtime, now
from casb.proxy.saml import LARGEST, SamlRoutes
from casb.proxy.sealed import sealed
from casb.proxy.sessions import Sessions, with_resume
from casb.proxy.stepup import DONE, PATH, done_page, saving_page
from casb.proxy.translate import State
from casb.proxy.waiting import PATH as WAIT_PATH
from casb.proxy.waiting import Waiting
from casb.rewrite.context import guard_version

logger = logging.getLogger(__name__)

EVENTS = "/.casb/events"

type Endpoint = Callable[[http.HTTPFlow, State], Awaitable[Page]]
type OfSession = Callable[[http.HTTPFlow, State, Session], Awaitable[Page]]

SUBMIT = "document.forms[0].submit()"
KEEP_FRAGMENT = (
    'const on=document.getElementById("on");try{if(location.hash)'
    'sessionStorage.setItem("casb."+on.dataset.for,location.hash)}catch{}'
    "location.replace(on.href)"
)
RESTORE_FRAGMENT = (
    'const on=document.getElementById("on"),key="casb."+on.dataset.for;let part="";'
    'try{part=sessionStorage.getItem(key)||"";sessionStorage.removeItem(key)}catch{}location.replace(on.href+(part||location.hash))'
)
# Synchronous, so that the browser takes this page for no page of its own: it has gone on before it is loaded.
JOIN = (
    'const on=document.getElementById("on");for(const e of document.querySelectorAll("[data-at]"))try{'
    'const x=new XMLHttpRequest();x.open("POST",e.dataset.at,false);x.withCredentials=true;'
    "x.send(e.dataset.code)}catch{}"
    'location.replace(on.href+(on.hash?"":location.hash))'
)


class Endpoints:
    """One table of paths; everything else under the reserved path does not exist."""

    def __init__(
        self,
        runtime: Runtime,
        sessions: Sessions,
        notices: Notices,
        waiting: Waiting,
        learning: Learning,
        controls: Controls,
        coaching: Coaching,
    ) -> None:
        self.runtime = runtime
        self.controls = controls
        self.sessions = sessions
        self.notices = notices
        self.coaching = coaching
        self.waiting = waiting
        self.escapes = Escapes(runtime)
        self.saml = SamlRoutes(runtime, self)
        self.on_app: dict[tuple[str, str], Endpoint] = {
            ("GET", "/.casb/guard.js"): self.guard,
            ("POST", "/.casb/report"): self.report,
            ("POST", "/.casb/activity"): self.in_page,
            ("POST", "/.casb/save"): self.in_page,
            ("POST", "/.casb/alive"): self.in_page,
            ("POST", "/.casb/clipboard"): self.in_page,
            ("POST", "/.casb/paste"): self.in_page,
            ("GET", "/.casb/scripts-off"): self.scripts_off,
            ("GET", "/.casb/session"): self.session,
            ("GET", "/.casb/sign-in"): self.sign_in,
            ("GET", PATH): self.prove,
            ("GET", DONE): self.thanks,
            ("GET", "/.casb/sign-out"): self.ask_sign_out,
            ("POST", "/.casb/sign-out"): self.sign_out,
            ("GET", COACH_PATH): self.of_session(coaching.ask),
            ("POST", COACH_PATH): self.of_session(coaching.answer),
            ("GET", ASK_PATH): self.of_session(coaching.ask_form),
            ("POST", ASK_PATH): self.of_session(coaching.ask_sent),
            ("GET", REQUESTS_PATH): self.of_session(coaching.requests),
            ("POST", REPORT_PATH): learning.report,
            ("POST", JOIN_PATH): self.join,
        }
        self.device = DeviceHop(runtime, sessions)
        self.on_device: dict[tuple[str, str], Endpoint] = {("GET", DEVICE_PATH): self.device.presented}
        self.on_login: dict[tuple[str, str], Endpoint] = {
            ("GET", "/"): self.apps,
            ("GET", "/.casb/login"): self.login,
            ("GET", DEVICE_PATH): self.device_known,
            ("GET", "/.casb/session"): self.whoami,
            ("GET", "/.casb/oidc/callback"): self.callback,
            ("POST", "/.casb/oidc/callback"): self.posted_callback,
            ("POST", "/.casb/oidc/return"): self.callback,
            ("POST", "/.casb/oidc/backchannel-logout"): self.backchannel,
            ("POST", EVENTS): self.events,
            ("GET", "/.casb/oidc/frontchannel-logout"): self.frontchannel,
            ("GET", "/.casb/sign-out"): self.ask_sign_out,
            ("POST", "/.casb/sign-out"): self.sign_out,
            ("GET", "/.casb/signed-out"): self.signed_out,
            ("GET", "/.casb/open"): self.open_form,
            ("POST", "/.casb/open"): self.open_file,
            ("POST", "/.casb/open/key"): self.open_key,
            ("POST", "/.casb/open/secret"): self.open_secret,
            ("GET", quarantine.PATH): self.quarantined,
        }

    @sealed
    def requestheaders(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Files to be opened or saved are larger than any other body of ours."""
        state = translate.state_of(flow)
        if state is None or not state.ours or flow.request.method != "POST":
            return None
        if state.route.kind is Kind.LOGIN and state.facts.path == "/.casb/open":
            state.limit = state.snapshot.settings.limits.hold * 2
        elif self.saml.is_posted(state.facts.path):
            state.limit = LARGEST
        elif state.route.kind is Kind.APP and state.facts.path == "/.casb/save":
            return self._for_file(state)
        return None

    async def _for_file(self, state: State) -> None:
        """Room for a file, for a live session only."""
        if await self._session(state) is not None:
            state.limit = state.snapshot.settings.limits.hold

    @sealed
    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Answer what is ours."""
        state = translate.state_of(flow)
        if state is None or not state.ours or flow.response is not None or state.stranger or state.coached:
            return None
        if state.route.kind in (Kind.LOGIN, Kind.APP, Kind.DEVICE):
            return self._serve(flow, state)
        return None

    async def _serve(self, flow: http.HTTPFlow, state: State) -> None:
        table = {Kind.LOGIN: self.on_login, Kind.DEVICE: self.on_device}.get(state.route.kind, self.on_app)
        path = state.facts.path
        method = "GET" if flow.request.method == "HEAD" else flow.request.method
        endpoint = table.get((method, path))
        if (method, path) == ("POST", quarantine.PATH) and state.route.kind is Kind.LOGIN and same_origin(state):
            await self._release(flow, state)
            return
        if endpoint is None and state.route.kind is Kind.APP and path.startswith("/.casb/notice/") and method == "GET":
            endpoint = self.notice
        if endpoint is None and state.route.kind is Kind.APP and path.startswith(WAIT_PATH) and method == "GET":
            found = await self._session(state)
            waited = await self.waiting.answer(flow, state, found[0].id) if found else _signed_out(state)
            if waited is not None:
                translate.answer(flow, waited)
            return
        if endpoint is None:
            endpoint = self._saml_endpoint(state, method, path)
        if endpoint is None:
            page = error_page(404, "Not here", "There is nothing under this address.", "", facts=state.facts)
        elif method == "POST" and not self._from_elsewhere(path) and not same_origin(state):
            page = self._refused(state, "I020", "this must be asked from our own page", 403, "Not allowed")
        else:
            page = await self._answered(endpoint, flow, state)
        translate.answer(flow, page)

    def _saml_endpoint(self, state: State, method: str, path: str) -> Endpoint | None:
        if state.route.kind is Kind.LOGIN:
            return self.saml.on_login(method, path, state.snapshot)
        return self.saml.on_app(method, path)

    def _from_elsewhere(self, path: str) -> bool:
        return path in _FROM_ELSEWHERE or self.saml.from_elsewhere(path)

    async def _answered[T: Page | None](
        self, endpoint: Callable[[http.HTTPFlow, State], Awaitable[T]], flow: http.HTTPFlow, state: State
    ) -> T | Page:
        try:
            return await endpoint(flow, state)
        except TokenError as error:
            return self._refused(state, error.code, error.message, 400, "This sign-in cannot be used", retry=True)
        except ConnectorError as error:
            return self._refused(state, error.code, error.message, 502, "Signing in did not work", retry=True)
        except StoreError as error:
            return self._refused(state, error.code, error.message, 503, "Sessions cannot be checked")
        except CasbError as error:
            return self._refused(state, error.code, error.message, 500, "Something is not set up")

    def _noted(self, state: State, code: str, text: str) -> str:
        return incident(
            self.runtime,
            code=code,
            fact=text,
            ip=state.ip,
            app=state.route.app,
            facts=state.facts,
            agent=state.fields.get(b"user-agent", b"").decode("utf-8", "replace"),
            kind=ActivityType.LOGON,
        )

    def _refused(self, state: State, code: str, text: str, status: int, title: str, *, retry: bool = False) -> Page:
        identifier = self._noted(state, code, text)
        if state.facts.mode.value != "navigation":
            return error_page(status, title, sentence(text), identifier, facts=state.facts, code=code)
        home = state.snapshot.settings.address_of(state.snapshot.settings.login_host)
        again = f'<p class="row"><a class="button" href="{escape(home)}/">Start again</a></p>' if retry else ""
        return html(
            status,
            title,
            f"<p>{escape(sentence(text))}</p>{again}" + facts_list((("Activity", identifier), ("Code", code))),
            headers=(("x-casb-activity", identifier),),
            bad=True,
            mark="!",
        )

    # ------------------------------------------------------------ on a controlled host

    async def guard(self, flow: http.HTTPFlow, state: State) -> Page:
        """The script in the page."""
        view = state.route.app.rewrite.view if state.route.app else View.SUFFIX
        hosts = rewriting.hosts_of(state)
        guard = rewriting.guard_of(hosts, view)
        version = parse_qs(flow.request.path.partition("?")[2]).get("v", [""])[0]
        if version and version != guard_version(guard.digest):
            controlled = rewriting.guard_of(hosts, view, controls=True)
            guard = controlled if version == guard_version(controlled.digest) else guard
        current = version == guard_version(guard.digest)
        headers = (
            ("content-type", "text/javascript; charset=utf-8"),
            ("cache-control", "private, max-age=31536000, immutable" if current else "private, no-cache"),
            ("etag", f'"{guard_version(guard.digest)}"'),
            ("x-content-type-options", "nosniff"),
            # Sandboxed frames and data: documents have an opaque origin, and may ask for CORP (COEP) and CORS (SRI).
            ("cross-origin-resource-policy", "cross-origin"),
            ("access-control-allow-origin", "*"),
        )
        return Page(status=200, headers=headers, body=guard.script)

    async def report(self, flow: http.HTTPFlow, state: State) -> Page:
        """The guard saw the app asked for by its real name."""
        found = await self._session(state)
        if found is None:
            return json_page(401, {"casb": "sign-in", "url": f"https://{state.route.authority}/.casb/sign-in"})
        self.escapes.note(state, found[0], flow.request.raw_content or b"")
        return Page(status=204, headers=(("cache-control", "no-store"),), body=b"")

    async def in_page(self, flow: http.HTTPFlow, state: State) -> Page:
        """What the guard of a controlled page asks and tells: answered for a live session only."""
        found = await self._session(state)
        if found is None:
            return json_page(401, {"casb": "sign-in", "url": f"https://{state.route.authority}/.casb/sign-in"})
        session, body = found[0], flow.request.raw_content or b""
        match state.facts.path:
            case "/.casb/activity":
                app = state.route.app
                if app is not None and state.snapshot.policies.coaches(app.id):
                    state.given = await self.coaching.given(session, app)
                state.session = session
                return self.controls.attempt(state, session, body, self.coaching)
            case "/.casb/save":
                app = state.route.app
                if app is not None and state.snapshot.policies.coaches(app.id):
                    state.given = await self.coaching.given(session, app)
                return await self.controls.save(state, session, body, self.coaching)
            case "/.casb/alive":
                return await self.controls.alive(state, session, body)
            case "/.casb/clipboard":
                return await self.controls.keep(state, session, body)
        return await self.controls.kept(state, session, body)

    def of_session(self, endpoint: OfSession) -> Endpoint:
        """An endpoint for whoever is signed in on this host; a person who is not is sent to sign in."""

        async def answered(flow: http.HTTPFlow, state: State) -> Page:
            found = await self._session(state)
            if found is not None:
                state.session = found[0]
                return await endpoint(flow, state, found[0])
            if state.facts.mode is RequestMode.NAVIGATION and flow.request.method == "GET":
                return await self.sessions.to_sign_in(state, flow.request.path)
            return json_page(401, {"casb": "sign-in", "url": f"https://{state.route.authority}/.casb/sign-in"})

        return answered

    async def scripts_off(self, flow: http.HTTPFlow, state: State) -> Page:
        """For browsers that run no script, where the app refuses them."""
        return self.controls.scripts_off()

    async def _session(self, state: State) -> tuple[Session, str] | None:
        value = self.sessions.cookie(state)
        if value is None:
            return None
        session = await self.runtime.sign_in.session_for(state.route.authority, value)
        return (session, value) if session else None

    async def notice(self, flow: http.HTTPFlow, state: State) -> Page:
        """What the dialog shows."""
        found = await self._session(state)
        if found is None:
            return _signed_out(state)
        activity = state.facts.path.removeprefix("/.casb/notice/")
        value = await self.notices.fetch(found[0].id, activity)
        until = time.monotonic() + _NOTICE_PATIENCE
        while value == PASSING and time.monotonic() < until:
            await asyncio.sleep(0.5)
            value = await self.notices.fetch(found[0].id, activity)
        if value == PASSING:
            return json_page(202, {"casb": "passing"})
        if value == FINE:
            return json_page(202, {"casb": "fine"})
        if value is None:
            return json_page(404, {"casb": "none"})
        return Page(
            status=200, headers=(("content-type", "application/json"), ("cache-control", "no-store")), body=value
        )

    async def sign_in(self, flow: http.HTTPFlow, state: State) -> Page:
        """For scripts that were told to sign in: the top window comes here and returns to the app."""
        path = "/"
        referer = state.fields.get(b"referer", b"").decode("latin-1")
        prefix = f"https://{state.route.authority}"
        if referer.startswith(prefix + "/") and is_safe_path(referer.removeprefix(prefix)):
            path = referer.removeprefix(prefix)
        if path.startswith("/.casb/"):
            path = "/"
        return await self.sessions.to_sign_in(state, path)

    async def prove(self, flow: http.HTTPFlow, state: State) -> Page:
        """On the way to a step-up or a re-evaluation: what waits is bound to this browser, if it is its session's."""
        found = await self._session(state)
        if found is None:
            return await self.sessions.to_sign_in(state, "/")
        pending_id = parse_qs(flow.request.path.partition("?")[2]).get("p", [""])[0]
        header = state.fields.get(b"cookie", b"").decode("latin-1")
        started = await self.runtime.sign_in.claim_pending(pending_id, found[0], cookie(header, PENDING_COOKIE))
        settings = state.snapshot.settings
        kept = set_cookie(PENDING_COOKIE, started.bind, max_age=settings.session.pending)
        url = f"{settings.address_of(settings.login_host)}/.casb/login?p={started.id}"
        return redirect(url, headers=(("set-cookie", kept),))

    async def thanks(self, flow: http.HTTPFlow, state: State) -> Page:
        """Where a window ends that was opened to prove more."""
        return done_page("", opened=True)

    async def session(self, flow: http.HTTPFlow, state: State) -> Page:
        """The way back from sign-in (`?code=`), or who I am."""
        code = parse_qs(flow.request.path.partition("?")[2]).get("code", [""])[0]
        if not code:
            # Not here: the app's scripts could read it.
            settings = state.snapshot.settings
            return redirect(f"{settings.address_of(settings.login_host)}/.casb/session")
        header = state.fields.get(b"cookie", b"").decode("latin-1")
        authority = state.route.authority
        done = await self.runtime.sign_in.redeem(
            authority, code, cookie(header, PENDING_COOKIE), previous=cookie(header, SESSION_COOKIE)
        )
        steered = self._log_on(state, done.session)
        if not steered:
            return redirect(f"https://{state.route.origin_authority}{done.pending.target}")
        cookies = (("set-cookie", set_cookie(SESSION_COOKIE, done.cookie)),)
        if done.pending.window:
            page = done_page(done.pending.back, opened=True)
            return replace(page, headers=(*page.headers, *cookies))
        token = await self.runtime.sign_in.keep_body(done.session, done.pending, done.pending_id)
        if token is None and done.pending.method not in ("GET", "HEAD"):
            return html(
                200,
                "Signed in, but please send it again",
                "<p>You are signed in now. What you had sent was too large to be kept in the meantime, or empty: "
                "it has not reached the application. Go back and send it again.</p>"
                f'<p class="row"><a class="button plain" href="{escape(done.pending.target)}">Open the page</a></p>',
                headers=cookies,
            )
        if token is None and done.pending.saved:
            return saving_page(done.pending.target, done.pending.back, cookies=cookies)
        if token is None:
            return await self._join_others(state, done.cookie, done.pending.target, cookies)
        action = escape(with_resume(done.pending.path, token))
        return html(
            200,
            "Signed in",
            "<p>Your request is being sent on.</p>"
            f'<form method="post" action="{action}"><p class="row"><button class="button">Continue</button></p></form>',
            headers=cookies,
            form_action="'self' https:",  # the answer may redirect anywhere, and form-action would block that
            script=SUBMIT,
        )

    async def _join_others(self, state: State, value: str, target: str, cookies: tuple[tuple[str, str], ...]) -> Page:
        """Go on to what was asked for; first the browser gets a session on the app's other hosts, so that what its
        pages ask of them is let in."""
        app = state.route.app
        hosts = joined_hosts(app, state.snapshot, state.route.authority) if app and state.route.mode == "suffix" else []
        if not hosts or b"sec-fetch-mode" not in state.fields:
            return redirect(target, headers=cookies)
        codes = await self.runtime.sign_in.invite(state.route.authority, value, hosts)
        links = "".join(
            f'<i data-at="https://{escape(host)}{JOIN_PATH}" data-code="{code}"></i>' for host, code in codes.items()
        )
        return html(
            200,
            "Signing in",
            f'<p>You are being signed in.</p><p class="row"><a class="button" id="on" href="{escape(target)}">'
            f"Continue</a></p>{links}",
            headers=cookies,
            script=JOIN,
            connect=" ".join(f"https://{host}{JOIN_PATH}" for host in codes),
        )

    async def join(self, flow: http.HTTPFlow, state: State) -> Page:
        """A page of ours on another host of the app brings a code: the browser itself says which host, in `Origin`."""
        origin = state.fields.get(b"origin", b"").decode("latin-1")
        app = state.route.app
        if app is None or page_app(state.fields, state.snapshot) is not app or state.route.mode != "suffix":
            raise TokenError("I020", "this must be asked from our own page")
        header = state.fields.get(b"cookie", b"").decode("latin-1")
        value = await self.runtime.sign_in.join(
            state.route.authority,
            (flow.request.raw_content or b"").decode("latin-1"),
            origin.removeprefix("https://"),
            app.id,
            previous=cookie(header, SESSION_COOKIE),
        )
        headers = (
            ("set-cookie", set_cookie(SESSION_COOKIE, value)),
            ("access-control-allow-origin", origin),
            ("access-control-allow-credentials", "true"),
            ("cache-control", "no-store"),
        )
        return Page(status=204, headers=headers, body=b"")

    def _log_on(self, state: State, session: Session) -> bool:
        """Write the log-on down; the access decision it holds is made again, and enforced, at the first request.

        False: no session policy could concern this person here, and the app is proxied only for those it could (S30).
        """
        app = state.route.app
        if app is None:
            raise LookupError("no app")
        agent = state.fields.get(b"user-agent", b"").decode("utf-8", "replace")[:1024]
        client, device = state.snapshot.client(state.ip, agent, session.device)
        party = Party.of(session, client, device)
        record = access(state.snapshot, app, party, now=now(), new_id=ulid, mode=state.route.mode)
        free = not app.always_proxied and state.route.mode == "suffix" and not record.decision.action.halts
        steered = not free or may_concern(record.activity, state.snapshot.policies)
        extra = {"provider": session.provider} | ({} if steered else {"steered": False})
        self.runtime.log(replace(record, extra=extra))
        self.runtime.counters["log_ons"] += 1
        return steered

    async def whoami(self, flow: http.HTTPFlow, state: State) -> Page:
        """Who I am, on which device, and until when."""
        login = await self.runtime.sign_in.login_for(self._login_cookie(state))
        if login is None:
            return html(200, "Not signed in", '<p class="row"><a class="button" href="/">Applications</a></p>')
        settings, record = state.snapshot.settings, login.record
        shown = Shown(
            provider=record.provider,
            device_id=self.runtime.sign_in.session_of(record).device.id or "",
            idle=settings.session.idle,
            reevaluate=settings.session.reevaluate,
            ip=state.ip,
            token=await self.runtime.sign_in.once(login),
        )
        return session_page(self.runtime.sign_in.session_of(record), shown, now())

    async def ask_sign_out(self, flow: http.HTTPFlow, state: State) -> Page:
        """A page with a button, for a link alone must not sign anybody out."""
        login = await self._login_here(state)
        token = await self.runtime.sign_in.once(login) if login is not None else ""
        content = "<p>This ends your session in every application that you opened through this address.</p>"
        return html(200, "Sign out", content + sign_out_form(token), form_action="'self' https:")

    async def _login_here(self, state: State) -> Login | None:
        on_login = state.route.kind is Kind.LOGIN
        value = cookie(state.fields.get(b"cookie", b"").decode("latin-1"), LOGIN_COOKIE if on_login else SESSION_COOKIE)
        return await self.runtime.sign_in.login_at(state.route.authority, value)

    async def sign_out(self, flow: http.HTTPFlow, state: State) -> Page:
        """End the login on every host, then at the provider. The form counts once: a page that was kept asks anew."""
        login = await self._login_here(state)
        told = (flow.request.raw_content or b"").decode("latin-1").partition("once=")[2].partition("&")[0]
        if login is not None and not await self.runtime.sign_in.used_once(login, told):
            return await self.ask_sign_out(flow, state)
        header = state.fields.get(b"cookie", b"").decode("latin-1")
        on_login = state.route.kind is Kind.LOGIN
        name = LOGIN_COOKIE if on_login else SESSION_COOKIE
        settings = state.snapshot.settings
        host = state.route.authority
        record = await self.runtime.sign_in.sign_out(host, cookie(header, name))
        back = f"{settings.address_of(settings.login_host)}/.casb/signed-out"
        url = await self.runtime.sign_in.end_session_url(record, back) if record is not None else None
        headers = [("set-cookie", clear_cookie(name))]
        if not on_login:
            headers.append(("clear-site-data", '"cookies", "storage"'))
        if record is not None:
            self._log_off(state, record.user.name)
        return redirect(url or back, headers=headers)

    def _log_off(self, state: State, name: str) -> None:
        self.runtime.counters["log_offs"] += 1
        logger.info("signed out user=%s", name)

    # ------------------------------------------------------------ on the sign-in host

    def _login_cookie(self, state: State) -> str | None:
        return cookie(state.fields.get(b"cookie", b"").decode("latin-1"), LOGIN_COOKIE)

    async def apps(self, flow: http.HTTPFlow, state: State) -> Page:
        """The controlled apps, as a start page."""
        settings = state.snapshot.settings
        login = await self.runtime.sign_in.login_for(self._login_cookie(state))
        rows = []
        for app in state.snapshot.catalog.apps:
            host = app.domains[0] if app.domains else ""
            suffixed = state.snapshot.hosts.to_suffix(host) if not host.startswith("*") else None
            if app.controlled and suffixed:
                rows.append(f'<li><a href="https://{escape(suffixed)}{escape(app.start)}">{escape(app.name)}</a></li>')
        who = f"<p>Signed in as {escape(login.record.user.name)}.</p>" if login else ""
        content = f"{who}<ul>{''.join(rows)}</ul>"
        if login:
            content += '<p class="row"><a class="button plain" href="/.casb/sign-out">Sign out everywhere</a></p>'
        return html(200, f"Applications at {settings.suffix}", content)

    async def login(self, flow: http.HTTPFlow, state: State) -> Page:
        """Hand over to the app when somebody is signed in already; otherwise to the provider."""
        query = parse_qs(flow.request.path.partition("?")[2])
        pending_id = query.get("p", [""])[0]
        if "target_link_uri" in query:
            return self._started_elsewhere(state, query["target_link_uri"][0], query.get("iss", [""])[0])
        sign_in = self.runtime.sign_in
        login = await sign_in.login_for(self._login_cookie(state))
        pending = await sign_in.pending(pending_id)
        if login is not None and pending is not None and sign_in.suffices(login, pending):
            if pending.host == state.route.authority:
                return redirect(pending.target)
            if self.device.is_due(state, login, pending):
                return redirect(await self.device.ask(state, login, pending_id))
            code = await sign_in.hand_off(login, pending_id)
            return redirect(f"https://{code.host}/.casb/session?code={code.code}")
        header = state.fields.get(b"cookie", b"").decode("latin-1")
        again = login is not None and pending is not None and bool(pending.session)
        if again and login is not None and pending is not None:
            try:
                await sign_in.try_step_up(login, pending.contexts)
            except TokenError as error:
                return self._not_proven(state, pending, error.code, error.message)
        settings = state.snapshot.settings
        told = {name: values[0] for name, values in query.items() if name in ("provider", "choose")}
        hints = hints_of(flow.request.path.partition("?")[2]) | hints_of(
            pending.path.partition("?")[2] if pending else ""
        )
        known = {each.id: each for each in settings.providers}
        providers = fitting(
            known,
            # What a session lacks is asked of the provider that it came from.
            wanted=(pending.provider if pending else "") or (login.record.provider if again and login else ""),
            chosen=told.get("provider", ""),
            hints=None if "choose" in told else hints,
            remembered="" if "choose" in told else remembered_by(known, cookie(header, REALM_COOKIE)),
            ask=settings.choose_provider == "ask",
        )
        if len(providers) > 1:
            return choose_page([known[each] for each in providers], pending_id, hints.login)
        provider_id = providers[0] if providers else ""
        try:
            begun = await sign_in.begin(
                pending_id,
                provider_id,
                flow_cookie=cookie(header, FLOW_COOKIE),
                prompt="none" if again and pending is not None and not pending.contexts else None,
                login_hint=login.record.user.name if again and login is not None else hints.login or None,
                domain_hint=hints.told or None,
            )
        except ConnectorError as error:
            if error.code != "I001" or provider_id not in known or state.facts.mode.value != "navigation":
                raise
            several = settings.choose_provider == "ask" and len(known) > 1 and not (pending and pending.provider)
            return away_page(
                known[provider_id],
                {"p": pending_id} | ({"provider": provider_id} if several else {}),
                others=several,
                activity=self._noted(state, error.code, error.message),
                code=error.code,
                text=sentence(error.message),
            )
        limit = settings.session.pending
        cookies = [("set-cookie", set_cookie(FLOW_COOKIE, begun.cookie, max_age=limit))]
        if told.get("provider") == provider_id:
            cookies.append(("set-cookie", set_cookie(REALM_COOKIE, mark_of(provider_id), max_age=REMEMBERED)))
        return self._onward(state, begun.url, KEEP_FRAGMENT, pending_id, tuple(cookies))

    def _onward(
        self, state: State, url: str, script: str, pending_id: str, cookies: tuple[tuple[str, str], ...]
    ) -> Page:
        """Send the browser on. The part after `#` never reaches a server, and a sign-in page in between loses it: so a
        browser is sent by a page that keeps it meanwhile, and any other client by a redirect."""
        if b"sec-fetch-mode" not in state.fields or not pending_id:
            return redirect(url, headers=cookies)
        return html(
            200,
            "Signing in",
            f'<p>You are being signed in.</p><p class="row"><a class="button" id="on" data-for="{escape(pending_id)}" '
            f'href="{escape(url)}">Continue</a></p>',
            headers=cookies,
            script=script,
        )

    def _started_elsewhere(self, state: State, target: str, issuer: str) -> Page:
        """A sign-in begun at the provider (OpenID Connect Core section 4): go to the app, which begins it again as
        its own. Only hosts of controlled apps are gone to."""
        came_from = by_issuer(state.snapshot.settings.providers, issuer)
        chosen = (
            (("set-cookie", set_cookie(REALM_COOKIE, mark_of(came_from), max_age=REMEMBERED)),) if came_from else ()
        )
        away = TokenError("I010", "the address cannot be returned to after a sign-in")
        try:
            parts = urlsplit(target)
            port = parts.port or 443
        except ValueError as error:
            raise away from error
        found = self.runtime.route((parts.hostname or "").lower(), port, forward=False)
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        if parts.scheme != "https" or found.kind is not Kind.APP or "@" in parts.netloc or not is_safe_path(path):
            raise away
        if found.mode == "suffix":
            if port != state.snapshot.settings.port:
                raise away
            return redirect(f"https://{found.authority}{path}", headers=chosen)
        mapped = state.snapshot.hosts.to_suffix(found.origin)
        if mapped is None:
            raise away
        return redirect(f"https://{mapped}{path}", headers=chosen)

    async def posted_callback(self, flow: http.HTTPFlow, state: State) -> Page:
        """`response_mode=form_post` comes cross-site, without our Lax cookies: one form of ours brings them back."""
        fields = _form(flow)
        inputs = "".join(
            f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
        )
        return html(
            200,
            "Signing in",
            f'<form method="post" action="/.casb/oidc/return">{inputs}'
            '<p class="row"><button class="button">Continue</button></p></form>',
            form_action="'self' https:",
            script=SUBMIT,
        )

    async def callback(self, flow: http.HTTPFlow, state: State) -> Page:
        """Back from an OpenID provider."""
        params = _form(flow) if flow.request.method == "POST" else parse_answer(flow.request.path.partition("?")[2])
        return await self.came_back(state, params)

    async def came_back(self, state: State, params: Mapping[str, str]) -> Page:
        """Back from the provider, whichever protocol it speaks: a login, then the code for the app that waits."""
        header = state.fields.get(b"cookie", b"").decode("latin-1")
        try:
            result = await self.runtime.sign_in.callback(
                cookie(header, FLOW_COOKIE),
                params,
                login_cookie=self._login_cookie(state),
                ip=state.ip,
                user_agent=state.fields.get(b"user-agent", b"").decode("utf-8", "replace"),
            )
        except Declined as told:
            return await self._declined(state, told)
        cookies = (("set-cookie", set_cookie(LOGIN_COOKIE, result.cookie)),)
        pending = await self.runtime.sign_in.pending(result.pending) if result.pending else None
        if pending is None or pending.host == state.route.authority:
            return redirect(pending.target if pending else "/", headers=cookies)
        if self.device.is_due(state, result.login, pending):
            return redirect(await self.device.ask(state, result.login, result.pending), headers=cookies)
        code = await self.runtime.sign_in.hand_off(result.login, result.pending)
        url = f"https://{code.host}/.casb/session?code={code.code}"
        return self._onward(state, url, RESTORE_FRAGMENT, result.pending, cookies)

    async def device_known(self, flow: http.HTTPFlow, state: State) -> Page:
        """Back from the device host: what was found out is kept with the login, and the app gets its code."""
        login, pending_id = await self.device.take(flow, self._login_cookie(state))
        code = await self.runtime.sign_in.hand_off(login, pending_id)
        url = f"https://{code.host}/.casb/session?code={code.code}"
        return self._onward(state, url, RESTORE_FRAGMENT, pending_id, ())

    async def _declined(self, state: State, told: Declined) -> Page:
        """The provider did not confirm a session: it has ended, and what waits leads to an ordinary sign-in. Or it did
        not give the proof of a step-up: the person is told so, and can go back."""
        if told.ended:
            self.runtime.counters["reevaluations_refused"] += 1
            identifier = self._noted(state, told.code, told.message)
            logger.info("session ended, not confirmed by its provider activity=%s", identifier)
            return redirect(f"/.casb/login?p={told.pending}", headers=(("set-cookie", clear_cookie(LOGIN_COOKIE)),))
        pending = await self.runtime.sign_in.pending(told.pending)
        return self._not_proven(state, pending, told.code, told.message)

    def _not_proven(self, state: State, pending: PendingRequest | None, code: str, why: str) -> Page:
        """A step-up came to nothing; nothing was passed on, and the session goes on as it was."""
        identifier = self._noted(state, code, why)
        host = f"https://{pending.host}" if pending else state.snapshot.settings.address_of(state.route.host)
        back = f"{host}{pending.back or '/' if pending else '/'}"
        return html(
            403,
            "This needs more proof than was given",
            f"<p>{escape(sentence(why))}</p><p>What you wanted to do was not carried out. You are still signed in and "
            'can go on with everything else.</p><p class="row">'
            f'<a class="button plain" href="{escape(back)}">Back to the application</a></p>'
            + facts_list((("Activity", identifier), ("Code", code)))
            + "<p><small>Tell your help desk the activity id: it leads to the reason.</small></p>",
            headers=(("x-casb-activity", identifier),),
            bad=True,
            mark="!",
        )

    async def backchannel(self, flow: http.HTTPFlow, state: State) -> Page:
        """OpenID Connect Back-Channel Logout 1.0: 200 when done, 400 when the token is not what it must be."""
        token = _form(flow).get("logout_token", "")
        await self.runtime.sign_in.backchannel_logout("", token)
        return json_page(200, {"casb": "signed-out"})

    async def events(self, flow: http.HTTPFlow, state: State) -> Page:
        """Security event tokens by push (RFC 8935): 202 when done, 400 and why when not, 503 for another try."""
        receiver, none = self.runtime.events, error_page(404, "Not here", "There is nothing under this address.", "")
        if receiver is None:
            return none
        if state.facts.content_type != "application/secevent+jwt":
            return _event_refused("invalid_request", "the content type must be application/secevent+jwt")
        token = (flow.request.raw_content or b"").decode("latin-1")
        try:
            removed = await receiver.receive(token, state.fields.get(b"authorization", b"").decode("latin-1"))
        except TokenError as error:
            self._noted(state, error.code, error.message)
            return _event_refused(ERRORS.get(error.code, "invalid_request"), error.message)
        except (ConnectorError, StoreError) as error:
            self._noted(state, error.code, error.message)
            return json_page(503, {}, headers=(("retry-after", "5"),))
        self.runtime.counters["security_events"] += 1
        self.runtime.counters["ended_by_events"] += removed
        return Page(status=202, headers=(("cache-control", "no-store"),), body=b"")

    async def frontchannel(self, flow: http.HTTPFlow, state: State) -> Page:
        """OpenID Connect Front-Channel Logout 1.0: by `sid` alone, for the frame brings no cookies."""
        query = parse_qs(flow.request.path.partition("?")[2])
        sid, issuer = query.get("sid", [""])[0], query.get("iss", [""])[0]
        if not self.sessions.may_ask(state.ip):
            return error_page(429, "Too many sign-outs", "Wait a minute, then try again.", "", facts=state.facts)
        for provider in state.snapshot.settings.providers:
            if issuer and urlsplit(issuer).netloc != urlsplit(provider.authority).netloc:
                continue  # Entra leaves `iss` out; who sends it means one provider.
            await self.runtime.sign_in.revoke_sid(provider.id, sid)
        return html(200, "Signed out", "")

    async def signed_out(self, flow: http.HTTPFlow, state: State) -> Page:
        """The end."""
        return html(
            200,
            "You are signed out",
            "<p>Your session has ended in every application.</p>"
            '<p class="row"><a class="button plain" href="/">Applications</a></p>',
            headers=(("set-cookie", clear_cookie(LOGIN_COOKIE)), ("set-cookie", clear_cookie(REALM_COOKIE))),
        )

    # ------------------------------------------------------------ protected files

    async def open_form(self, flow: http.HTTPFlow, state: State) -> Page:
        """Ask for a protected file; signing in first when needed."""
        login = await self.runtime.sign_in.login_for(self._login_cookie(state))
        if login is None:
            return await self.sessions.to_sign_in(state, _opening_path(flow.request.path))
        return opening.open_page(self.runtime, flow, login.record)

    async def _login_and_back(self, state: State) -> Page:
        return await self.sessions.to_sign_in(state, "/.casb/open")

    async def open_file(self, flow: http.HTTPFlow, state: State) -> Page:
        """Give the plain file to the person it was handed to, and to nobody else."""
        login = await self.runtime.sign_in.login_for(self._login_cookie(state))
        if login is None:
            return await self._login_and_back(state)
        return opening.opened(self.runtime, flow, state, login.record)

    async def quarantined(self, flow: http.HTTPFlow, state: State) -> Page:
        """What was kept of a person's uploads."""
        login = await self.runtime.sign_in.login_for(self._login_cookie(state))
        if login is None:
            return await self.sessions.to_sign_in(state, quarantine.PATH)
        return await asyncio.to_thread(quarantine.page_of, self.runtime, state, login.record)

    async def _release(self, flow: http.HTTPFlow, state: State) -> None:
        """Hand a released file over to who uploaded it."""

        async def given(flow: http.HTTPFlow, state: State) -> Page | None:
            login = await self.runtime.sign_in.login_for(self._login_cookie(state))
            if login is None:
                return await self.sessions.to_sign_in(state, quarantine.PATH)
            return await quarantine.give(self.runtime, flow, state, login.record)

        page = await self._answered(given, flow, state)
        if page is not None:
            translate.answer(flow, page)

    async def open_key(self, flow: http.HTTPFlow, state: State) -> Page:
        """The key of an age container, for the page's script."""
        login = await self.runtime.sign_in.login_for(self._login_cookie(state))
        if login is None:
            return json_page(401, {"casb": "sign-in"})
        return opening.key(self.runtime, flow, state, login.record)

    async def open_secret(self, flow: http.HTTPFlow, state: State) -> Page:
        """The password of a file in its own format."""
        login = await self.runtime.sign_in.login_for(self._login_cookie(state))
        if login is None:
            return json_page(401, {"casb": "sign-in"})
        return opening.password(self.runtime, flow, state, login.record)


def _event_refused(code: str, text: str) -> Page:
    return json_page(400, {"err": code, "description": text})


def _signed_out(state: State) -> Page:
    return json_page(401, {"casb": "sign-in", "url": f"https://{state.route.authority}/.casb/sign-in"})


_NOTICE_PATIENCE = 25.0
"""Seconds that a page waits for the end of a download before it asks again."""
_FROM_ELSEWHERE = frozenset({EVENTS, "/.casb/oidc/callback", "/.casb/oidc/backchannel-logout", JOIN_PATH})


def _opening_path(path: str) -> str:
    """The opening page, and the file that was asked for, when it is an id."""
    wanted = parse_qs(path.partition("?")[2]).get("file", [""])[0]
    return f"/.casb/open?file={wanted}" if re.fullmatch(r"[0-9a-f]{32}", wanted) else "/.casb/open"


def same_origin(state: State) -> bool:
    """Whether a POST comes from a page of this very host (W3C Fetch Metadata; else `Origin`)."""
    site = state.fields.get(b"sec-fetch-site")
    origin = state.fields.get(b"origin", b"").decode("latin-1")
    if site is not None and site != b"same-origin":
        return False
    return origin == f"https://{state.route.authority}" or (site == b"same-origin" and origin in ("", "null"))


def sentence(text: str) -> str:
    """An error's message as a sentence."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _form(flow: http.HTTPFlow) -> dict[str, str]:
    """The fields that a provider has the browser post, or posts itself; raises `TokenError` when they are malformed."""
    return parse_answer((flow.request.raw_content or b"").decode("utf-8", "replace"))
