"""What `control/siblings.py` says, on the wire: preflights, static parts, and anonymous requests of scripts."""

from __future__ import annotations

import logging

from mitmproxy import http

from casb.control import siblings
from casb.control.pages import json_page
from casb.proxy import translate
from casb.proxy.rewriting import context_of
from casb.proxy.runtime import Runtime
from casb.proxy.sealed import sealed
from casb.rewrite.headers import response_headers

logger = logging.getLogger(__name__)


class Before:
    """Stands before the decision."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    @sealed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """A static part, and an anonymous request of the guard's, are asked for without the application's cookies."""
        state = translate.state_of(flow)
        if state is None or state.ours:
            return
        fields = flow.request.headers.fields
        if state.part:
            translate.set_request_fields(flow, siblings.bare(fields))
        elif siblings.ANONYMOUS in state.fields:
            kept = [pair for pair in fields if pair[0].lower() not in (b"cookie", siblings.ANONYMOUS)]
            translate.set_request_fields(flow, kept)

    @sealed
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """The answer to a preflight, bare; a static part that is none is refused."""
        state, response = translate.state_of(flow), flow.response
        if state is None or response is None or state.ours:
            return
        if state.preflight:
            fields = response_headers(siblings.answer(response.headers.fields), context_of(state))
            if siblings.asks_anonymous(state.fields):
                fields = siblings.opened(fields, state.fields[b"origin"], asked=state.fields)
            translate.set_response_fields(flow, [*fields, (b"content-length", b"0")])
            return
        if state.part:
            facts = translate.response_facts(response)
            path = state.facts.path
            if not siblings.is_of_kind(
                state.part, response.status_code, facts.content_type, path, attachment=facts.attachment
            ):
                url = f"https://{state.route.authority}/.casb/sign-in"
                translate.refuse(flow, "responseheaders", json_page(401, {"casb": "sign-in", "url": url}))

    @sealed
    def response(self, flow: http.HTTPFlow) -> None:
        """A preflight's answer has no body."""
        state = translate.state_of(flow)
        if state is not None and state.preflight and flow.response is not None and not state.ours:
            flow.response.data.content = b""


class After:
    """Stands after rewriting."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    @sealed
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """The answer to an anonymous request, for a browser that has sent it with credentials."""
        state, response = translate.state_of(flow), flow.response
        if state is None or response is None or state.ours or state.preflight:
            return
        if siblings.ANONYMOUS in state.fields and b"origin" in state.fields:
            fields = siblings.opened(response.headers.fields, state.fields[b"origin"])
            translate.set_response_fields(flow, fields)
