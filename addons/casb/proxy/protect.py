"""Handing a download over encrypted: the body streams through a protector, the head follows suit."""

from __future__ import annotations

from mitmproxy import http

from casb.control.pages import attachment
from casb.errors import ContentError
from casb.ports import Protecting
from casb.protection.encrypt import AgeProtector
from casb.proxy import notices, translate
from casb.proxy.notices import Notices
from casb.proxy.translate import State
from casb.rewrite import codings

_DROPPED = frozenset(
    b"content-length content-encoding content-disposition content-type etag last-modified content-md5 digest "
    b"repr-digest content-digest accept-ranges content-range transfer-encoding".split()
)


class Sealing:
    """Undo the content coding, then encrypt: what a stream callable needs."""

    def __init__(self, decoder: translate.Stream | None, protecting: Protecting) -> None:
        self._decoder = decoder
        self._protecting = protecting

    def feed(self, chunk: bytes) -> bytes:
        plain = self._decoder.feed(chunk) if self._decoder else chunk
        return self._protecting.update(plain) if plain else b""

    def finish(self) -> bytes:
        rest = self._decoder.finish() if self._decoder else b""
        out = self._protecting.update(rest) if rest else b""
        return out + self._protecting.finish()


def cannot(flow: http.HTTPFlow, state: State) -> str:
    """Why this response cannot be protected; empty when it can."""
    response, facts = flow.response, state.response
    if response is None or facts is None:
        return "there is no response"
    if facts.status == 206:
        return "a part of a file cannot be encrypted on its own"
    if facts.status != 200:
        return f"the application answered {facts.status}"
    if facts.content_encoding not in ("", "identity") and not _decodable(facts.content_encoding):
        return f"its content coding {facts.content_encoding!r} cannot be undone"
    if state.party is None or state.party.user is None:
        return "nobody is signed in to hand it over to"
    return ""


def _decodable(coding: str) -> bool:
    try:
        return codings.decoder_for(coding) is not None
    except ContentError:
        return False


def begin(flow: http.HTTPFlow, state: State, protector: AgeProtector, left: Notices) -> None:
    """Encrypt for the person who asked; `cannot` has said that it can be done."""
    response, facts, exchange, party = flow.response, state.response, state.exchange, state.party
    if response is None or facts is None or exchange is None or exchange.activity is None:
        raise LookupError("nothing to protect")
    if party is None or party.user is None or exchange.activity.file is None:
        raise LookupError("nobody to protect it for")
    record = exchange.records[-1]
    encoded = facts.content_encoding not in ("", "identity")
    protecting = protector.start(
        exchange.activity.file.name,
        facts.content_type,
        None if encoded else facts.content_length,
        {
            "user": party.user.id,
            "user_name": party.user.name,
            "app": exchange.app.id,
            "policy": record.decision.policy or "",
            "activity": record.activity.id,
            "label": exchange.activity.file.label or "",
            "time": record.activity.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    )
    decoder = codings.decoder_for(facts.content_encoding) if encoded else None
    sealing = Sealing(decoder, protecting)
    kept = [(name, value) for name, value in response.headers.fields if name.lower() not in _DROPPED]
    kept += [
        (b"content-type", protecting.media_type.encode()),
        (b"content-disposition", attachment(protecting.name).encode()),
        (b"cache-control", b"no-store"),
        (b"x-casb-activity", record.activity.id.encode()),
    ]
    if party.session_id:
        left.keep(
            party.session_id,
            {
                "kind": "protect",
                "title": "This file was encrypted for you",
                "message": record.decision.message
                or "Your organisation hands this file over encrypted. Open it with the link below; you will be asked "
                "to sign in.",
                "file": protecting.name,
                "app": exchange.app.name,
                "policy": record.decision.policy or "",
                "activity": record.activity.id,
                "help_text": "Open a protected file",
                "help_url": state.snapshot.settings.address_of(state.snapshot.settings.login_host) + "/.casb/open",
            },
        )
        kept.append((b"set-cookie", notices.cookie(record.activity.id).encode()))
    state.protected = True
    held = response.raw_content
    if held:
        body = sealing.feed(held) + sealing.finish()
        kept.append((b"content-length", str(len(body)).encode()))
        translate.set_response_fields(flow, kept)
        response.data.content = body
        return
    if protecting.length is not None:
        kept.append((b"content-length", str(protecting.length).encode()))
    elif not flow.request.is_http2:
        kept.append((b"transfer-encoding", b"chunked"))
    translate.set_response_fields(flow, kept)
    translate.stream_through(flow, sealing)
