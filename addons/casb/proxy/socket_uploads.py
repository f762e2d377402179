"""What browsers send over WebSockets: files in messages, and what an app's signatures say of messages (`MESSAGE`).

A refused text is dropped, and the connection goes on; a refused file ends the connection, for what follows it would be
the rest of the file.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mitmproxy import http

from casb.catalog import chat
from casb.catalog.embedded import files_in, files_in_text, may_hold_files
from casb.catalog.filenames import extension_of
from casb.catalog.signatures import MESSAGE
from casb.control.exchange import Exchange
from casb.model.activity import ActivityType
from casb.model.decision import Answer, Effect, Hold
from casb.model.file import FileFacts
from casb.proxy import prompts
from casb.proxy.runtime import Runtime
from casb.proxy.transfers import firm
from casb.proxy.translate import State
from casb.proxy.uploads import Uploads, looks_like_file

logger = logging.getLogger(__name__)

LONGEST_FILE = 16 * 1024 * 1024
"""Bytes of a file in several messages that are looked at together."""
_SPOKEN = (ActivityType.SEND_ITEM, ActivityType.SHARE, ActivityType.UNSHARE, ActivityType.EDIT, ActivityType.CREATE,
           ActivityType.DELETE)  # fmt: skip


class SocketUploads:
    """Judges each message of a browser, where a policy looks at what is in it."""

    def __init__(self, runtime: Runtime, uploads: Callable[[], Uploads]) -> None:
        self.runtime = runtime
        self.uploads = uploads

    def wants(self, state: State, content: bytes, *, is_text: bool) -> bool:
        """Whether a message must be looked into: a cheap answer for all others."""
        exchange = state.exchange
        if exchange is None:
            return False
        if is_text and any(MESSAGE in each.methods for each in exchange.app.signatures):
            return any(exchange.concerns(each) for each in (*_SPOKEN, ActivityType.UPLOAD))
        found = may_hold_files(content) if is_text else bool(state.socket_file) or looks_like_file(content)
        return found and exchange.concerns(ActivityType.UPLOAD)

    async def judge(self, flow: http.HTTPFlow, state: State, content: bytes, *, is_text: bool) -> bool:
        """Whether the message may go on. Raises `StoreError` when a decision cannot be written down."""
        main = state.exchange
        if main is None:
            raise LookupError("a message outside of any exchange")
        effects: list[Effect] = []
        document = _json(content) if is_text else None
        if isinstance(document, dict | list):
            single = main.sibling()
            facts = replace(state.facts, method=MESSAGE, document=document, content_type="", upload_name="")
            effects.append(await self._settled(state, single, single.request(facts), content))
        for name, kind, body in self._files(state, document, content, is_text=is_text):
            single = main.sibling()
            known = FileFacts(name=name, extension=extension_of(name), size=len(body), declared_type=kind or None)
            effects.append(await self._settled(state, single, single.upload(known, state.facts), body))
        refused = any(isinstance(each, Answer) for each in effects)
        if refused:
            self.runtime.counters["messages_refused"] += 1
        return not refused

    def _files(self, state: State, document: Any, content: bytes, *, is_text: bool) -> list[tuple[str, str, bytes]]:
        if is_text:
            if not may_hold_files(content):
                return []
            if document is None:
                found = files_in_text(content.decode("utf-8", "replace"), looks_like_file)
            else:
                found = files_in(document, looks_like_file)
            return [(each.name, each.content_type, each.content) for each in found]
        if looks_like_file(content):
            state.socket_file = content
        elif state.socket_file and len(state.socket_file) + len(content) <= LONGEST_FILE:
            state.socket_file += content
        else:
            state.socket_file = b""
            return []
        return [("", "", state.socket_file)]

    async def _settled(self, state: State, exchange: Exchange, effect: Effect, body: bytes) -> Effect:
        if isinstance(effect, Hold) and exchange.activity is not None and exchange.activity.text is not None:
            effect = exchange.told(prompts.facts(exchange.snapshot, chat.text_of(body)))
        elif isinstance(effect, Hold):
            known = exchange.activity.file if exchange.activity and exchange.activity.file else FileFacts(name="")
            effect = exchange.inspected(await self.uploads().read(exchange, known, body))
        effect = firm(exchange, effect)
        keeping = self.uploads().keeping
        if keeping.wants(state, effect):
            await keeping.keep(state, exchange.records[-1], body)
        for record in exchange.records:
            self.runtime.log(replace(record, extra={**record.extra, "via": "websocket"}))
        return effect


def _json(content: bytes) -> Any:
    """A message as JSON, also behind the digits of a framing (socket.io: `42["message",…]`). None: it is none."""
    try:
        return json.loads(content.lstrip(b"0123456789-"))
    except (ValueError, RecursionError):
        return None
