"""What somebody says to a chat application, at the rim: read from a request or a WebSocket message, then decided on."""

from __future__ import annotations

import logging

from mitmproxy import http

from casb.catalog import chat
from casb.catalog.recognise import signature_of
from casb.control.snapshot import Snapshot
from casb.errors import ContentError
from casb.inspection.info_types import compile_spec, search
from casb.model.activity import ActivityType, TextFacts
from casb.model.decision import Answer, Pass, Redact
from casb.proxy import redaction
from casb.proxy.runtime import Runtime
from casb.proxy.translate import State

logger = logging.getLogger(__name__)


def facts(snapshot: Snapshot, text: str | None) -> TextFacts:
    """A text as a decision sees it; None: it cannot be read."""
    if text is None:
        return TextFacts()
    found = search(compile_spec(snapshot.sought), text) if snapshot.sought.types else None
    return TextFacts(content=text, length=len(text), findings=found)


def takes_prompts(state: State) -> bool:
    """Whether a connection is one on which somebody talks to a chat application, and a policy is about that."""
    exchange = state.exchange
    if exchange is None:
        return False
    signature = signature_of(exchange.app, state.facts)
    said = signature.activity == ActivityType.SEND_ITEM.value if signature is not None else chat.is_prompt(state.facts)
    return said and exchange.concerns(ActivityType.SEND_ITEM)


def outgoing(runtime: Runtime, flow: http.HTTPFlow, state: State, content: bytes) -> bytes | None:
    """A message of the browser, as it may go on; None: it must not."""
    exchange = state.exchange
    if exchange is None:
        raise LookupError("a message outside of any exchange")
    text = chat.text_of(content)
    if text == "":
        return content
    single = exchange.sibling()
    single.facts = state.facts
    effect = single.message(facts(state.snapshot, text))
    masked = content
    if isinstance(effect, Redact):
        order = effect.order
        try:
            kind = "application/json" if content.lstrip()[:1] in (b"{", b"[") else "text/plain"
            masking = redaction.Masking(redaction.matcher_of(state.snapshot, order), kind, redaction.unnoted)
            masked = masking.feed(content) + masking.finish()
            effect = Pass()
        except ContentError as error:
            effect = single.instead(order, error.message)
    for record in single.records:
        runtime.log(record)
        runtime.counters[f"action_{record.decision.action.word}"] += 1
    if isinstance(effect, Pass):
        return masked
    if not isinstance(effect, Answer):
        raise ValueError("a message can only be passed, masked or stopped")
    runtime.counters["messages_stopped"] += 1
    return None


def incoming(state: State, content: bytes) -> bytes:
    """A message of the application, masked where a policy on viewing says so."""
    order = redaction.standing(state)
    if order is None:
        return content
    kind = "application/json" if content.lstrip()[:1] in (b"{", b"[") else "text/plain"
    masking = redaction.Masking(redaction.matcher_of(state.snapshot, order), kind, redaction.unnoted)
    return masking.feed(content) + masking.finish()
