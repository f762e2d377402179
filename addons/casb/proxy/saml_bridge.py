"""The SAML pages of the sign-in host: service provider towards identity providers, identity provider towards apps.

Towards a provider:   acs (an answer comes in, from a foreign page), return (the same, from ours, with our cookies),
                      metadata, slo.
Towards an app:       /saml/{app}/metadata, sso (its request), continue (after a sign-in), start (nobody asked), slo.

An app's answer never passes through the browser: it is kept here, and put in place of an empty form of ours when the
browser posts that to the app's own address under the suffix. Nobody can carry it to the app past session control.
"""

from __future__ import annotations

import base64
import hashlib
import html as markup
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import orjson
from mitmproxy import http

from casb.connectors.saml import SamlProvider
from casb.connectors.signin import LoginResult
from casb.control.exchange import Party, access
from casb.control.pages import Page, Refusal, html, redirect, refusal_page
from casb.control.routes import Kind
from casb.control.saml_trust import app_metadata
from casb.errors import TokenError
from casb.identity.saml import NameId, check_structure
from casb.identity.saml_claims import name_of
from casb.identity.saml_issue import NO_CONTEXT, Statement, issue, refuse
from casb.identity.saml_messages import (
    AuthnRequest,
    Received,
    from_form,
    from_query,
    read_authn_request,
    read_logout_request,
)
from casb.identity.saml_metadata import EMAIL, SpMetadata
from casb.identity.saml_own import app_document, own_document
from casb.identity.saml_xml import SAML, read_xml, text_of
from casb.identity.sessions import (
    FLOW_COOKIE,
    LOGIN_COOKIE,
    LoginRecord,
    PendingRequest,
    clear_cookie,
    cookie,
    is_id,
    is_safe_path,
    key_of,
    set_cookie,
)
from casb.model.app import App, SamlApp
from casb.model.decision import Action
from casb.model.identity import User
from casb.policy.engine import may_concern
from casb.proxy.ids import ulid
from casb.proxy.runtime import Runtime, now
from casb.proxy.saml import DELIVER, LARGEST, OWN, Endpoint, key_list
from casb.proxy.sessions import with_resume
from casb.proxy.translate import State

SUBMIT = "document.forms[0].submit()"
AGAIN = "casb_again"
"""A field of our own forms: they come back only once."""
REQUESTER = "urn:oasis:names:tc:SAML:2.0:status:Requester"
RESPONDER = "urn:oasis:names:tc:SAML:2.0:status:Responder"
NO_PASSIVE = "urn:oasis:names:tc:SAML:2.0:status:NoPassive"
NO_AUTHN_CONTEXT = "urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext"
_CLASSES = "urn:oasis:names:tc:SAML:2.0:ac:classes:"
WEAK = frozenset(f"{_CLASSES}{each}" for each in ("unspecified", "Password", "PasswordProtectedTransport"))
"""Contexts that every sign-in over TLS meets."""
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an app waits for: its request, or '' for both when nobody asked. `acs` is the app's own address."""

    acs: str
    request: str = ""
    relay_state: str = ""
    contexts: tuple[str, ...] = ()
    force: bool = False
    passive: bool = False
    since: float = 0.0


class SamlBridge:
    """The endpoints. `endpoints` is the table they belong to, whose ways of going on they share."""

    def __init__(self, runtime: Runtime, endpoints: Any) -> None:
        self.runtime = runtime
        self.endpoints = endpoints
        self._known: dict[str, tuple[SamlApp, SpMetadata]] = {}
        self._own: dict[tuple[str, str], Endpoint] = {
            ("POST", f"{OWN}acs"): self.posted,
            ("POST", f"{OWN}return"): self.returned,
            ("GET", f"{OWN}metadata"): self.own_metadata,
            ("GET", f"{OWN}slo"): self.provider_logout,
        }

    def own_endpoint(self, method: str, path: str) -> Endpoint | None:
        """Towards identity providers."""
        return self._own.get((method, path))

    def bridge_endpoint(self, method: str, app_id: str, what: str) -> Endpoint | None:
        """Towards an app."""
        table: dict[tuple[str, str], Callable[[http.HTTPFlow, State, App], Any]] = {
            ("GET", "metadata"): self.app_metadata,
            ("GET", "sso"): self.asked,
            ("POST", "sso"): self.asked,
            ("GET", "continue"): self.go_on,
            ("GET", "start"): self.start,
            ("GET", "slo"): self.app_logout,
        }
        work = table.get((method, what))
        if work is None:
            return None

        async def endpoint(flow: http.HTTPFlow, state: State) -> Page:
            app = next((each for each in state.snapshot.catalog.apps if each.id == app_id), None)
            if app is None or app.saml is None or not app.saml.bridged or not app.controlled:
                raise TokenError("T061", "there is no SAML application of this name")
            page: Page = await work(flow, state, app)
            return page

        return endpoint

    # ------------------------------------------------------------ names

    def _login(self, state: State) -> str:
        settings = state.snapshot.settings
        return settings.address_of(settings.login_host)

    def entity(self, state: State, app: App) -> str:
        """Our entity id towards an app."""
        return f"{self._login(state)}/saml/{app.id}"

    def _trust(self, app: App) -> SpMetadata:
        saml = app.saml
        if saml is None:
            raise TokenError("T061", "there is no SAML application of this name")
        found = self._known.get(app.id)
        if found is None or found[0] is not saml:
            found = self._known[app.id] = (saml, app_metadata(saml))
        return found[1]

    # ------------------------------------------------------------ towards identity providers

    async def own_metadata(self, flow: http.HTTPFlow, state: State) -> Page:
        """What an identity provider must know of us."""
        return _xml(own_document(self._login(state), state.snapshot.settings, key_list(state.snapshot)))

    async def posted(self, flow: http.HTTPFlow, state: State) -> Page:
        """An answer comes cross-site, without our cookies: a form of ours brings it back with them."""
        return _form_page(f"{OWN}return", _fields(flow, state))

    async def returned(self, flow: http.HTTPFlow, state: State) -> Page:
        """A provider's answer to a sign-in of this browser, or one that nobody asked for."""
        fields = _fields(flow, state)
        response, relay = fields.get("SAMLResponse", ""), fields.get("RelayState", "")
        if not is_id(relay):
            return await self._unsolicited(state, response, relay)
        page: Page = await self.endpoints.came_back(state, {"state": relay, "SAMLResponse": response})
        return page

    async def _unsolicited(self, state: State, response: str, relay: str) -> Page:
        """A sign-in begun at the provider: for an app that allows it, which the RelayState names if there are more."""
        provider = await self._issuer_of(response)
        app, path = self._wanted(state, provider.settings.id, relay)
        claims = await provider.unsolicited(response)
        header = state.fields.get(b"cookie", b"").decode("latin-1")
        agent = state.fields.get(b"user-agent", b"").decode("utf-8", "replace")
        result: LoginResult = await self.runtime.sign_in.admit(
            provider.settings, claims, login_cookie=cookie(header, LOGIN_COOKIE), ip=state.ip, user_agent=agent
        )
        cookies = (("set-cookie", set_cookie(LOGIN_COOKIE, result.cookie)),)
        if app.saml is not None and app.saml.bridged:
            query = f"?{urlencode({'RelayState': relay})}" if path else ""
            return redirect(f"/saml/{app.id}/start{query}", headers=cookies)
        host = next((each for each in app.domains if not each.startswith("*")), "")
        if not host:
            raise TokenError("T061", "the application has no name of its own that a sign-in could end at")
        mapped = state.snapshot.hosts.to_suffix(host)
        return redirect(f"https://{mapped or host}{path or app.start}", headers=cookies)

    async def _issuer_of(self, response: str) -> SamlProvider:
        """The provider that an answer claims to come from; nothing else of it is believed here."""
        return await self._named(check_structure(response.encode("ascii", "replace")).assertion)

    async def _sender(self, received: Received) -> SamlProvider:
        return await self._named(read_xml(received.document))

    async def _named(self, element: Any) -> SamlProvider:
        issuer = element.find(f"{{{SAML}}}Issuer")
        name = "" if issuer is None else text_of(issuer, "T050", "the issuer")
        for each in self.runtime.sign_in.providers.values():
            if isinstance(each, SamlProvider) and await each.is_known_as(name):
                return each
        raise TokenError("T050", "the message comes from an identity provider that is not configured")

    def _wanted(self, state: State, provider_id: str, relay: str) -> tuple[App, str]:
        """The app that a sign-in begun elsewhere is for, and the path in it; raises `TokenError` T052."""
        default = next((each.id for each in state.snapshot.settings.providers), "")
        allowed = [
            app
            for app in state.snapshot.catalog.apps
            if app.controlled and app.saml and app.saml.idp_initiated and (app.provider or default) == provider_id
        ]
        if not relay and len(allowed) == 1:
            return allowed[0], ""
        for app in allowed:
            if relay == app.id:
                return app, ""
        origin = state.snapshot.hosts.url_to_origin(relay) if "://" in relay else ""
        parts = urlsplit(origin) if origin.startswith("https://") else None
        owner = state.snapshot.catalog.match(parts.hostname or "") if parts is not None else None
        for app in allowed:
            if parts is not None and owner is not None and owner.id == app.id:
                path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
                return app, path if is_safe_path(path) else ""
        raise TokenError("T052", "nobody asked for the response, and sign-in begun at the provider is not allowed here")

    async def provider_logout(self, flow: http.HTTPFlow, state: State) -> Page:
        """The provider ends a session, or answers that it did."""
        received = from_query(flow.request.path.partition("?")[2])
        provider = await self._sender(received)
        if received.is_response:
            await provider.logged_out(received)
            return redirect("/.casb/signed-out", headers=(("set-cookie", clear_cookie(LOGIN_COOKIE)),))
        request, url = await provider.logout(received)
        sign_in, provider_id = self.runtime.sign_in, provider.settings.id
        if request.session_indexes:
            for each in request.session_indexes:
                await sign_in.revoke_sid(provider_id, each)
        else:
            await sign_in.revoke_subject(provider_id, request.issuer, request.subject.value)
        self.runtime.counters["log_offs"] += 1
        cookies = (("set-cookie", clear_cookie(LOGIN_COOKIE)),)
        return redirect(url or "/.casb/signed-out", headers=cookies)

    # ------------------------------------------------------------ towards apps

    async def app_metadata(self, flow: http.HTTPFlow, state: State, app: App) -> Page:
        """What an app must know of us: every key of a rollover is in it."""
        return _xml(app_document(self._login(state), app, key_list(state.snapshot)))

    async def asked(self, flow: http.HTTPFlow, state: State, app: App) -> Page:
        """An app asks to have somebody signed in."""
        posted = flow.request.method == "POST"
        fields = _fields(flow, state) if posted else {}
        if posted and AGAIN not in fields:
            return _form_page(f"/saml/{app.id}/sso", {**fields, AGAIN: "1"})
        received = from_form(fields) if posted else from_query(flow.request.path.partition("?")[2])
        trust = self._trust(app)
        requests = app.saml.requests if app.saml else "signed"
        request = read_authn_request(
            received,
            now(),
            destination=f"{self.entity(state, app)}/sso",
            issuer=trust.entity_id,
            certificates=trust.certificates,
            must_sign=requests == "signed" or (requests == "as-metadata" and trust.signs_requests),
        )
        asked = Asked(
            acs=_acs(trust, request),
            request=request.id,
            relay_state=request.relay_state,
            contexts=request.contexts,
            force=request.force,
            passive=request.passive,
            since=now().timestamp(),
        )
        self._place(state, app, asked.acs)
        return await self._answer(state, app, asked)

    async def start(self, flow: http.HTTPFlow, state: State, app: App) -> Page:
        """A sign-in to the app that begins here, where the app allows it."""
        if app.saml is None or not app.saml.idp_initiated:
            raise TokenError("T052", "a sign-in to this application begins at the application")
        relay = parse_qs(flow.request.path.partition("?")[2]).get("RelayState", [""])[0]
        if len(relay) > 2048 or not (relay or " ").isprintable():
            raise TokenError("T057", "the RelayState is too long or holds control characters")
        relay = state.snapshot.hosts.url_to_origin(relay) if "://" in relay else relay
        return await self._answer(state, app, Asked(acs=self._trust(app).default_acs, relay_state=relay))

    async def go_on(self, flow: http.HTTPFlow, state: State, app: App) -> Page:
        """Back from a sign-in: what the app waits for."""
        identifier = parse_qs(flow.request.path.partition("?")[2]).get("r", [""])[0]
        data = await self.runtime.sessions.take("samlreq", key_of(identifier)) if is_id(identifier) else None
        if data is None:
            raise TokenError("I011", "the request that led here has been forgotten; open the app again")
        members = orjson.loads(data)
        if members.pop("app") != app.id:
            raise TokenError("I011", "the request that led here has been forgotten; open the app again")
        asked = Asked(**{**members, "contexts": tuple(members["contexts"])})
        return await self._answer(state, app, asked)

    async def _answer(self, state: State, app: App, asked: Asked) -> Page:
        """The app's answer for whoever is signed in, once that suffices; before, the way to sign in."""
        header = state.fields.get(b"cookie", b"").decode("latin-1")
        login = await self.runtime.sign_in.login_for(cookie(header, LOGIN_COOKIE))
        record = login.record if login is not None else None
        if record is not None and app.provider not in (None, record.provider):
            record = None
        if record is None and asked.passive:
            return self._no(state, app, asked, RESPONDER, NO_PASSIVE)
        if record is None:
            return await self._sign_in(state, app, asked)
        if asked.force and (record.auth_time is None or record.auth_time.timestamp() < asked.since - 60):
            return await self._sign_in(state, app, asked, force=True)
        if asked.contexts and WEAK.isdisjoint(asked.contexts) and record.contexts.isdisjoint(asked.contexts):
            return await self._more(state, app, asked, record, asked.contexts)
        return await self._told(state, app, asked, record)

    async def _more(self, state: State, app: App, asked: Asked, record: LoginRecord, contexts: tuple[str, ...]) -> Page:
        """The app wants a stronger sign-in than there was: providers of SAML can be asked for it in its own words."""
        provider = self.runtime.sign_in.providers.get(record.provider)
        if asked.passive or not isinstance(provider, SamlProvider):
            return self._no(state, app, asked, REQUESTER, NO_AUTHN_CONTEXT)
        return await self._sign_in(state, app, asked, contexts=contexts)

    async def _sign_in(
        self, state: State, app: App, asked: Asked, *, force: bool = False, contexts: tuple[str, ...] = ()
    ) -> Page:
        """Keep what the app waits for and send the browser to sign in."""
        identifier = secrets.token_urlsafe(32)
        members = {name: getattr(asked, name) for name in Asked.__slots__} | {"app": app.id}
        limit = state.snapshot.settings.session.pending
        await self.runtime.sessions.put("samlreq", key_of(identifier), orjson.dumps(members), ttl=limit)
        started = await self.runtime.sign_in.start_pending(
            host=state.route.authority,
            path=f"/saml/{app.id}/continue?r={identifier}",
            app=app.id,
            provider=app.provider or "",
            contexts=contexts,
        )
        if not force:
            return redirect(f"/.casb/login?p={started.id}")
        header = state.fields.get(b"cookie", b"").decode("latin-1")
        begun = await self.runtime.sign_in.begin(
            started.id, flow_cookie=cookie(header, FLOW_COOKIE), prompt="login", max_age=0
        )
        return redirect(begun.url, headers=(("set-cookie", set_cookie(FLOW_COOKIE, begun.cookie, max_age=limit)),))

    async def _told(self, state: State, app: App, asked: Asked, login: LoginRecord) -> Page:
        """Access policies first; then the answer, by way of the app's own address under the suffix."""
        session = login.session()
        agent = state.fields.get(b"user-agent", b"").decode("utf-8", "replace")[:1024]
        client, device = state.snapshot.client(state.ip, agent, session.device)
        record = access(state.snapshot, app, Party.of(session, client, device), now=now(), new_id=ulid, mode="suffix")
        decision = record.decision
        if decision.action is Action.STEP_UP and decision.using and not asked.passive:
            self.runtime.log(record)
            return await self._sign_in(state, app, asked, contexts=(decision.using,))
        if decision.action >= Action.STEP_UP:
            self.runtime.log(record)
            self.runtime.counters["access_blocked"] += 1
            return refusal_page(
                Refusal(
                    activity_id=record.activity.id,
                    decision=decision,
                    facts=state.facts,
                    app_name=app.name,
                    user_name=session.user.name,
                    is_logon=True,
                )
            )
        steered = app.always_proxied or may_concern(record.activity, state.snapshot.policies)
        statement = self._statement(state, app, asked, login)
        facts = {
            "provider": login.provider,
            "issuer": login.issuer,
            "entity": statement.audience,
            "name_id_format": statement.subject.format,
            "attributes": sorted(statement.attributes),
            "asked": bool(asked.request),
        }
        self.runtime.log(replace(record, extra={"saml": facts, **({} if steered else {"steered": False})}))
        self.runtime.counters["saml_answers"] += 1
        body = {"SAMLResponse": _packed(issue(statement, key_list(state.snapshot)[0]))}
        if asked.relay_state:
            body["RelayState"] = asked.relay_state
        if not steered:
            return _form_page(asked.acs, body)
        authority, path = self._place(state, app, asked.acs)
        pending = PendingRequest(
            host=authority,
            path=path,
            bind="",
            app=app.id,
            method="POST",
            body=urlencode(body).encode("ascii"),
            content_type=FORM,
        )
        token = await self.runtime.sign_in.keep_body(session, pending)
        return redirect(f"https://{authority}{DELIVER}?{urlencode({'t': token or '', 'to': path})}")

    async def deliver(self, flow: http.HTTPFlow, state: State) -> Page:
        """On the app's host: a form of ours, empty but for a token that the answer is put in place of."""
        query = parse_qs(flow.request.path.partition("?")[2])
        token, path = query.get("t", [""])[0], query.get("to", [""])[0]
        if not is_id(token) or not is_safe_path(path) or path.startswith("/.casb/"):
            raise TokenError("I016", "what was to be sent has been forgotten; send it again")
        value = self.endpoints.sessions.cookie(state)
        session = value and await self.runtime.sign_in.session_for(state.route.authority, value)
        if not session:
            page: Page = await self.endpoints.sessions.to_sign_in(state, flow.request.path)
            return page
        return _form_page(with_resume(path, token), {}, title="Signed in", text="You are being signed in.")

    def _place(self, state: State, app: App, acs: str) -> tuple[str, str]:
        """Where the browser reaches an address of the app under session control: authority and path.

        Raises `TokenError` T062 when it is not on a host of the app.
        """
        refused = TokenError("T062", "the application wants its answer at an address that is not its own")
        parts = urlsplit(state.snapshot.hosts.url_to_suffix(acs))
        origin = urlsplit(acs)
        owner = state.snapshot.catalog.match(origin.hostname or "")
        port = parts.port or 443
        found = self.runtime.route((parts.hostname or "").lower(), port, forward=False)
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        if owner is None or owner.id != app.id or found.kind is not Kind.APP or not is_safe_path(path):
            raise refused
        if found.app is None or found.app.id != app.id:
            raise refused
        return found.authority, path

    def _statement(self, state: State, app: App, asked: Asked, login: LoginRecord) -> Statement:
        saml = app.saml
        if saml is None:
            raise TokenError("T061", "there is no SAML application of this name")
        present = now()
        trust = self._trust(app)
        met = [each for each in asked.contexts if each in login.contexts or each in WEAK]
        said = sorted(each for each in login.contexts if each.startswith(("urn:", "http")))
        attributes = {name: values for name, source in saml.attributes.items() if (values := value_of(login, source))}
        return Statement(
            response_id=f"_{secrets.token_hex(20)}",
            assertion_id=f"_{secrets.token_hex(20)}",
            issuer=self.entity(state, app),
            audience=trust.entity_id,
            destination=asked.acs,
            subject=subject_of(login, saml),
            issued=present,
            authenticated=login.auth_time or login.started,
            session_index=f"_{hashlib.sha256(f'{login.id}|{app.id}'.encode()).hexdigest()[:40]}",
            session_ends=login.expires,
            in_response_to=asked.request,
            context=next(iter([*met, *said]), NO_CONTEXT),
            attributes=attributes,
        )

    def _no(self, state: State, app: App, asked: Asked, status: str, detail: str) -> Page:
        """A signed no to the app, by the browser: it holds nothing that anybody could use."""
        self._place(state, app, asked.acs)
        present = datetime.now(UTC)
        statement = Statement(
            response_id=f"_{secrets.token_hex(20)}",
            assertion_id="",
            issuer=self.entity(state, app),
            audience="",
            destination=asked.acs,
            subject=NameId(value=""),
            issued=present,
            authenticated=present,
            session_index="",
            in_response_to=asked.request,
        )
        body = {"SAMLResponse": _packed(refuse(statement, key_list(state.snapshot)[0], status=status, detail=detail))}
        if asked.relay_state:
            body["RelayState"] = asked.relay_state
        return _form_page(state.snapshot.hosts.url_to_suffix(asked.acs), body)

    async def app_logout(self, flow: http.HTTPFlow, state: State, app: App) -> Page:
        """The app signs somebody out: everywhere, then at the provider. Unsigned, the person is asked."""
        received = from_query(flow.request.path.partition("?")[2])
        trust = self._trust(app)
        if received.is_response:
            return redirect("/.casb/signed-out")
        if not trust.certificates:
            return redirect("/.casb/sign-out")
        read_logout_request(
            received,
            now(),
            destination=f"{self.entity(state, app)}/slo",
            issuer=trust.entity_id,
            certificates=trust.certificates,
        )
        header = state.fields.get(b"cookie", b"").decode("latin-1")
        record = await self.runtime.sign_in.sign_out(state.route.authority, cookie(header, LOGIN_COOKIE))
        back = f"{self._login(state)}/.casb/signed-out"
        url = await self.runtime.sign_in.end_session_url(record, back) if record is not None else None
        self.runtime.counters["log_offs"] += 1
        return redirect(url or back, headers=(("set-cookie", clear_cookie(LOGIN_COOKIE)),))


def _acs(trust: SpMetadata, request: AuthnRequest) -> str:
    """The address that an answer goes to: one of the app's, or none at all (Core section 3.4.1)."""
    if request.acs_url:
        if request.acs_url not in trust.acs.values():
            raise TokenError("T062", "the application wants its answer at an address that is not its own")
        return request.acs_url
    if request.acs_index is not None:
        if request.acs_index not in trust.acs:
            raise TokenError("T062", "the application wants its answer at an address that is not its own")
        return trust.acs[request.acs_index]
    return trust.default_acs


def value_of(login: LoginRecord, source: str) -> tuple[str, ...]:
    """The values of a source for a person; none when there are none."""
    user: User = login.user
    own: Mapping[str, tuple[str, ...]] = {
        "user.name": (user.name,),
        "user.id": (user.id,),
        "user.display_name": (user.display_name,),
        "user.domain": (user.domain,),
        "user.groups": tuple(sorted(user.groups)),
        "name_id": (kept.value,) if (kept := name_of(login.logout_hint)) else (user.name,),
    }
    found = own.get(source) if source in own else login.attributes.get(source)
    return tuple(each for each in found or () if each)


def subject_of(login: LoginRecord, saml: SamlApp) -> NameId:
    """What an app is told as the name of a person; raises `TokenError` T063 when there is nothing."""
    kept = name_of(login.logout_hint)
    if saml.name_id_source == "name_id" and kept is not None:
        return NameId(value=kept.value, format=saml.name_id_format or kept.format)
    values = value_of(login, saml.name_id_source)
    if len(values) != 1:
        raise TokenError("T063", "there is nothing that the application could be told as your name")
    return NameId(value=values[0], format=saml.name_id_format or EMAIL)


def _packed(document: bytes) -> str:
    return base64.b64encode(document).decode("ascii")


def _fields(flow: http.HTTPFlow, state: State) -> dict[str, str]:
    """A posted form with a SAML message; raises `TokenError` when it is malformed or too large."""
    body = flow.request.raw_content or b""
    if state.cut or len(body) > LARGEST:
        raise TokenError("T040", "the SAML document is too large")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=10, errors="strict")
    except ValueError as error:
        raise TokenError("T057", "the form is malformed") from error
    fields = dict(pairs)
    if len(fields) != len(pairs) or not fields:
        raise TokenError("T057", "the form is malformed")
    return fields


def _form_page(action: str, fields: Mapping[str, str], *, title: str = "Signing in", text: str = "") -> Page:
    """A form that sends itself."""
    inputs = "".join(
        f'<input type="hidden" name="{markup.escape(name)}" value="{markup.escape(value)}">'
        for name, value in fields.items()
    )
    words = f"<p>{markup.escape(text)}</p>" if text else ""
    return html(
        200,
        title,
        f'{words}<form method="post" action="{markup.escape(action)}">{inputs}'
        '<p class="row"><button class="button">Continue</button></p></form>',
        form_action="'self' https:",  # the answer may redirect anywhere, and form-action would block that
        script=SUBMIT,
    )


def _xml(document: bytes) -> Page:
    headers = (
        ("content-type", "application/samlmetadata+xml"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    )
    return Page(status=200, headers=headers, body=document)
