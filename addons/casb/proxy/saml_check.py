"""SAML answers on their way to an app: those whose structure is not what it must be go no further.

Where the identity provider answers an app itself, at its address under the suffix, the app validates what it gets. It
may do that badly (signature wrapping), and it is we who let the document through: so the structure rules are ours, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import parse_qsl

from mitmproxy import http

from casb.control.pages import error_page, facts_list, html
from casb.control.routes import Kind
from casb.control.saml_trust import room
from casb.errors import TokenError
from casb.model.activity import ActivityType
from casb.proxy import translate
from casb.proxy.incidents import incident
from casb.proxy.runtime import Runtime
from casb.proxy.saml import LARGEST
from casb.proxy.sealed import sealed
from casb.proxy.translate import State

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
FIELD = "SAMLResponse"


class SamlCheck:
    """Holds forms to apps of SAML and looks at the answers in them."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    @sealed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """A form is read whole before any of it goes on; an answer cannot be larger than it may be."""
        state = translate.state_of(flow)
        if state is None or not _concerned(flow, state):
            return
        length = state.facts.content_length
        if state.facts.content_type == FORM and state.resumed is None and (length is None or length > LARGEST):
            self._refuse(flow, state, TokenError("T040", "the form is too large for a SAML answer"), "requestheaders")
        elif length is not None and length <= LARGEST:
            state.map_body = True  # held until it is whole

    @sealed
    def request(self, flow: http.HTTPFlow) -> None:
        """Refuse what breaks a rule."""
        state = translate.state_of(flow)
        if state is None or not _concerned(flow, state) or translate.is_refused(flow):
            return
        try:
            response = answer_in(state.facts.content_type or "", state.fields, flow.request.raw_content or b"")
            if response is not None:
                check_answer(response)
                self.runtime.counters["saml_answers_checked"] += 1
        except TokenError as error:
            self._refuse(flow, state, error, "request")

    def _refuse(self, flow: http.HTTPFlow, state: State, error: TokenError, phase: str) -> None:
        identifier = incident(
            self.runtime,
            code=error.code,
            fact=error.message,
            ip=state.ip,
            app=state.route.app,
            user=state.session.user if state.session else None,
            facts=state.facts,
            kind=ActivityType.LOGON,
        )
        text = f"The identity provider's answer was not passed on to the application: {error.message}."
        if state.facts.mode.value == "navigation":
            rows = facts_list((("Activity", identifier), ("Code", error.code)))
            headers = (("x-casb-activity", identifier),)
            page = html(
                403, "This sign-in was blocked", f"<p>{escape(text)}</p>{rows}", headers=headers, bad=True, mark="!"
            )
        else:
            page = error_page(403, "This sign-in was blocked", text, identifier, facts=state.facts, code=error.code)
        translate.refuse(flow, phase, page)


def _concerned(flow: http.HTTPFlow, state: State) -> bool:
    app = state.route.app
    if state.ours or state.route.kind is not Kind.APP or app is None or app.saml is None:
        return False
    return flow.request.method == "POST" and state.facts.content_type in (FORM, MULTIPART)


def answer_in(content_type: str, fields: Mapping[bytes, bytes], body: bytes) -> bytes | None:
    """The SAML answer in a form, as base64; None when there is none. Raises `TokenError` T057 for one that hides."""
    if content_type == MULTIPART:
        if FIELD.encode() in body:
            raise TokenError("T057", "a SAML answer came in a form of another kind than the binding says")
        return None
    if b"content-encoding" in fields:
        raise TokenError("T057", "the form is encoded")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=2000, errors="strict")
    except ValueError:
        if FIELD.encode() in body or b"%" in body:
            raise TokenError("T057", "the form is malformed") from None
        return None
    found = [value for name, value in pairs if name.strip().lower() == FIELD.lower()]
    if len(found) > 1:
        raise TokenError("T057", "the form has more than one SAML answer")
    return found[0].encode("ascii", "replace") if found else None


def check_answer(response: bytes) -> None:
    """Raises `TokenError` unless the structure is that of an answer to a sign-in, or of one to a sign-out."""
    saml: Any = room("casb.identity.saml")
    xml: Any = room("casb.identity.saml_xml")
    root = xml.read_xml(xml.strict_base64(response))
    if root.tag == f"{{{xml.SAMLP}}}LogoutResponse":
        if any(xml.local(each.tag) in ("Response", "Assertion", "EncryptedAssertion") for each in root.iter()):
            raise TokenError("T042", "an answer to a sign-out holds an assertion")
        return
    saml.check_structure(response, allow_encrypted=True)
