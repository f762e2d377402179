"""When a download may be judged while it passes, and what its judge does.

Only where the policies that wait for content can do nothing but let it pass, audit or block: whoever encrypts, asks for
more or changes the content needs it whole. And only where a clean file would pass: what is not found does not decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from email.message import Message

from casb.control.exchange import Exchange
from casb.model.decision import Action, Effect, Pass
from casb.model.file import FileFacts, Verdict, VerdictStatus
from casb.proxy.streaming import Judge, Seen
from casb.proxy.translate import State

_PASSING = frozenset({Action.ALLOW, Action.AUDIT})
_STREAMABLE = _PASSING | {Action.BLOCK}


def may_pass(exchange: Exchange, state: State) -> bool:
    """Whether a held download may pass while it is judged."""
    if state.facts.method == "HEAD" or exchange.activity is None:
        return False
    if exchange.asks_engines():
        return False  # They judge whole files.
    known = exchange.activity.file or FileFacts(name="")
    clean = replace(known, inspected=True, detected_type="text/plain", verdict=Verdict(status=VerdictStatus.CLEAN))
    return exchange.outcomes() <= _STREAMABLE and exchange.foresee(clean) in _PASSING


def judge(exchange: Exchange, state: State, apply: Callable[[Effect], None], unjudged: Callable[[str], bool]) -> Judge:
    """The judge of a passing download. `apply` carries out an effect, at once."""
    known = exchange.activity.file if exchange.activity and exchange.activity.file else FileFacts(name="")
    before: list[Seen] = []

    def blocks(seen: Seen) -> bool:
        if before and before[0].findings == seen.findings and before[0].detected_type == seen.detected_type:
            return False
        before[:] = [seen]
        facts = seen.facts(known)
        if exchange.foresee(facts) in _PASSING:
            return False
        apply(exchange.inspected(facts))
        return True

    def final(seen: Seen) -> bool:
        effect = exchange.inspected(seen.facts(known))
        apply(effect)
        return isinstance(effect, Pass)

    def may() -> bool:
        # What is rewritten for the browser is text of the application, not a file: it is held whole. So is what
        # somebody waits for with a page.
        return state.rewriter is None and (state.ticket is None or not state.ticket.shown)

    return Judge(blocks=blocks, final=final, may=may, unjudged=unjudged)


def charset_of(content_type: str) -> str:
    """The character set that a Content-Type declares; empty when it does not."""
    message = Message()
    message["content-type"] = content_type
    try:
        return (message.get_content_charset() or "")[:40]
    except (LookupError, ValueError, TypeError):
        return ""
