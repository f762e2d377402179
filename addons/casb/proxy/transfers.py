"""Uploads in pieces, judged as the files that they are.

Name and size decide at the first request that tells them. Where policy asks for the content, pieces are kept
(encrypted, on disk), put together and inspected: a piece that completes a finding is refused at once, and so is the one
that would make the file whole while it may not be. So an origin never has a refused file, only pieces of one.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from cachetools import TTLCache
from mitmproxy import http

from casb.catalog.filenames import extension_of
from casb.catalog.transfers import Piece, Step, chunk_of, keys_told, piece_of, told_in
from casb.control.exchange import PASS, Exchange
from casb.control.replay import file_from, file_json
from casb.errors import ContentError
from casb.model.activity import ActivityType
from casb.model.decision import Answer, Effect, Hold, Pass, Redact
from casb.model.file import FileFacts, VerdictStatus
from casb.proxy.faults import log_fault
from casb.proxy.quarantine import Keeping
from casb.proxy.runtime import Runtime
from casb.proxy.translate import State
from casb.rewrite import codings
from casb.store.pieces import Joined, Pieces, join

logger = logging.getLogger(__name__)

LIFETIME = 24 * 3600.0
"""Seconds between two requests of one transfer."""
ANSWER = 1024 * 1024
"""Longest answer that is read for the address where pieces go."""
_PURPOSE = "upload in pieces"
_TEXTUAL = ("text/", "application/json", "application/xml", "message/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A file under way, as its first request told of it."""

    id: str
    key: bytes  # of its pieces
    name: str = ""
    size: int | None = None
    media_type: str = ""
    order: tuple[str, ...] = ()
    deferred: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A beginning that waits for the answer, which says where its pieces go. `fields` are the answer's headers."""

    piece: Piece
    transfer: Transfer
    fields: Mapping[str, str] = field(default_factory=dict)


type Read = Callable[[Exchange, FileFacts, bytes], Awaitable[FileFacts]]
"""How a file's content is read: `Uploads.read`."""


class Transfers:
    """The transfers of all sessions, as far as a policy looks at them."""

    def __init__(self, runtime: Runtime, read: Read, keeping: Keeping) -> None:
        self.runtime = runtime
        self.keeping = keeping
        self.read = read
        self.pieces = Pieces(Path(runtime.snapshot.settings.data) / "transfers")
        self._locks: TTLCache[str, asyncio.Lock] = TTLCache(10_000, LIFETIME)

    def piece(self, flow: http.HTTPFlow, state: State, exchange: Exchange) -> Piece | None:
        """The piece that a request's head shows, where a policy looks at this person's uploads."""
        if state.facts.method not in ("POST", "PUT", "PATCH"):
            return None
        fields = {
            name.decode("latin-1"): value.decode("utf-8", "surrogateescape") for name, value in state.fields.items()
        }
        found = piece_of(state.facts, fields, flow.request.path)
        if found is None and state.facts.query_names and not state.facts.content_type.startswith("multipart/"):
            found = chunk_of(state.facts, {}, fields, "")
        return found if found is not None and exchange.concerns(ActivityType.UPLOAD) else None

    async def judge(self, flow: http.HTTPFlow, state: State, piece: Piece, body: bytes) -> Effect:
        """What becomes of a request that is a part of a transfer; `body` are the bytes of the file in it."""
        main = state.exchange
        if main is None:
            raise LookupError("no exchange")
        if piece.in_body and piece.step is Step.BEGIN:
            piece = told_in(piece, _json(body))
        if piece.in_body:
            body = b""
        transfer = await self._find(state, piece) if piece.step is not Step.BEGIN else None
        if transfer is None:
            transfer = self._new(piece)
            if piece.key and not await self._first(state, piece.key, transfer):
                transfer = await self._find(state, piece) or transfer
        lock = self._locks.setdefault(transfer.id, asyncio.Lock())
        async with lock:
            effect = await self._decide(state, main, piece, transfer, body)
        if piece.step is Step.BEGIN and piece.told_by and not isinstance(effect, Answer):
            state.expected = Expected(piece=piece, transfer=transfer)
        return effect

    def _new(self, piece: Piece) -> Transfer:
        return Transfer(
            id=secrets.token_hex(16),
            key=os.urandom(32),
            name=piece.name,
            size=piece.total,
            media_type=piece.media_type,
            order=piece.order,
            deferred=piece.deferred,
        )

    async def _decide(self, state: State, main: Exchange, piece: Piece, transfer: Transfer, body: bytes) -> Effect:
        name = piece.name or transfer.name
        total = piece.total if piece.total is not None else transfer.size
        known = FileFacts(
            name=name,
            extension=extension_of(name),
            size=total,
            declared_type=piece.media_type or transfer.media_type or None,
        )
        effect = firm(main, main.upload(known, state.facts))
        if not isinstance(effect, Hold):
            # Decided by what is known without a byte of it: once in the log, whatever the number of pieces.
            if not isinstance(effect, Answer) and self._logged(transfer):
                main.records.clear()
            return effect
        settled = main.settled()
        if settled is not None:
            return settled
        refused = await asyncio.to_thread(self.pieces.marked, transfer.id, "refused")
        if refused is not None:
            return self._again(main, refused)
        if self.pieces.marked(transfer.id, "unread") is not None:
            main.wait()
            return PASS
        if piece.step is Step.BEGIN and not body:
            main.wait()
            return PASS
        limit = state.snapshot.settings.limits.hold
        if (total or 0) > limit or self.pieces.size(transfer.id) + len(body) > limit * 2:
            return self._unread(main, transfer, f"larger than {limit} bytes")
        if body and not await self._add(piece, transfer, body):
            return self._unread(main, transfer, "there is no room for its pieces")
        return await self._inspect(state, main, piece, transfer, known)

    async def _add(self, piece: Piece, transfer: Transfer, body: bytes) -> bool:
        place = piece.place
        if piece.label and piece.label in transfer.order:
            place = transfer.order.index(piece.label)
        return await asyncio.to_thread(self.pieces.add, transfer.id, transfer.key, place, body, time.time())

    async def _inspect(
        self, state: State, main: Exchange, piece: Piece, transfer: Transfer, known: FileFacts
    ) -> Effect:
        joined = await self._joined(state, piece, transfer)
        total = known.size
        complete = piece.last or piece.step is Step.END
        complete = complete or (total is not None and joined.size >= total and not joined.gap)
        complete = complete or (piece.count is not None and joined.count >= piece.count)
        if total is None and piece.count is None and not piece.tells_its_end and not transfer.deferred:
            complete = True
        if joined.conflict:
            return self._final(main, transfer, main.unscannable("its pieces contradict each other"))
        if complete and (joined.gap or (total is not None and joined.size < total)):
            return self._final(main, transfer, main.unscannable("a piece of it is missing"))
        facts = await self.read(main, known, joined.body)
        if complete:
            effect = self._final(main, transfer, main.inspected(facts))
            if self.keeping.wants(state, effect):
                state.kept = await self.keeping.keep(state, main.records[-1], joined.body)
            return effect
        if _conclusive(facts) and not main.foresee(facts).passes:
            return self._final(main, transfer, main.inspected(facts))
        main.wait()
        return PASS

    async def _joined(self, state: State, piece: Piece, transfer: Transfer) -> Joined:
        numbered = piece.numbered or bool(transfer.order) or piece.protocol in ("s3", "azure-block")
        numbered = numbered or (piece.step is Step.PIECE and piece.place is None)  # as they came
        if not piece.joins:
            found = await asyncio.to_thread(self.pieces.read, transfer.id, transfer.key)
            return join(found, numbered=numbered)
        body, gap, conflict = b"", False, False
        for key in piece.joins:
            one = await self._lookup(state, key)
            if one is None:
                gap = True
                continue
            part = join(await asyncio.to_thread(self.pieces.read, one.id, one.key), numbered=False)
            body, gap, conflict = body + part.body, gap or part.gap, conflict or part.conflict
        return Joined(body=body, size=len(body), count=len(piece.joins), gap=gap, conflict=conflict)

    def _final(self, main: Exchange, transfer: Transfer, effect: Effect) -> Effect:
        """Remember a refusal, so that nothing more of this file goes on, by whichever worker."""
        effect = firm(main, effect)
        file = main.activity.file if main.activity else None
        if isinstance(effect, Answer) and file is not None and effect.kind == "block":
            self.pieces.mark(transfer.id, "refused", orjson.dumps(file_json(file)))
            self.pieces.forget(transfer.id)
        elif not isinstance(effect, Answer):
            if self.pieces.marked(transfer.id, "done") is not None:
                main.records.clear()  # Sent once more, or confirmed: it is in the log.
            self.pieces.mark(transfer.id, "done", b"")
        return effect

    def _unread(self, main: Exchange, transfer: Transfer, why: str) -> Effect:
        effect = self._final(main, transfer, main.unscannable(why))
        if not isinstance(effect, Answer):
            self.pieces.mark(transfer.id, "unread", b"")
        return effect

    def _again(self, main: Exchange, refused: bytes) -> Effect:
        """A further piece of a refused file: for the same reason, and never without one."""
        effect = firm(main, main.inspected(file_from(orjson.loads(refused))))
        if isinstance(effect, Answer):
            return effect
        return main.refuse("upload.refused", "all pieces of a file are judged as one", "an earlier piece was refused")

    def _logged(self, transfer: Transfer) -> bool:
        """Whether the decision on a transfer is in the log; from now on it is."""
        if self.pieces.marked(transfer.id, "logged") is not None:
            return True
        self.pieces.mark(transfer.id, "logged", b"")
        return False

    # ------------------------------------------------------------ where the pieces go

    def head(self, flow: http.HTTPFlow, state: State) -> bool:
        """The answer to a beginning. True: its body must be kept, for it says where the pieces go."""
        expected, response = state.expected, flow.response
        if expected is None or response is None or not 200 <= response.status_code < 400:
            state.expected = None
            return False
        # As the origin wrote them: names are mapped next.
        fields = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.fields}
        state.expected = replace(expected, fields=fields)
        return any(not each.startswith("header:") for each in expected.piece.told_by)

    async def answered(self, flow: http.HTTPFlow, state: State) -> None:
        """Remember under which names the pieces of a transfer will come."""
        expected, response = state.expected, flow.response
        state.expected = None
        if expected is None or response is None:
            return
        document = None
        if response.raw_content:
            try:
                plain = codings.decoded(response.raw_content, expected.fields.get("content-encoding", ""), limit=ANSWER)
                document = _json(plain)
            except ContentError:
                log_fault(logger, "answer to a beginning cannot be read", flow=flow.id)
        keys = keys_told(expected.piece, state.facts.host, expected.fields, document)
        await self._keep(state, keys, expected.transfer)

    async def _keep(self, state: State, keys: tuple[str, ...], transfer: Transfer) -> None:
        for key in keys:
            value = self._value(transfer)
            await self.runtime.sessions.put("transfer", _owned(state, key), value, ttl=LIFETIME)

    async def _first(self, state: State, key: str, transfer: Transfer) -> bool:
        """Begin a transfer that nobody announced. False: another piece of it came at the same time and was first."""
        return await self.runtime.sessions.add("transfer", _owned(state, key), self._value(transfer), ttl=LIFETIME)

    def _value(self, transfer: Transfer) -> bytes:
        key_id, blob = self.runtime.keyring.wrap(_PURPOSE, transfer.id.encode(), transfer.key)
        return orjson.dumps(
            {
                "id": transfer.id,
                "key": [key_id, base64.b64encode(blob).decode()],
                "name": transfer.name,
                "size": transfer.size,
                "media_type": transfer.media_type,
                "order": transfer.order,
                "deferred": transfer.deferred,
            }
        )

    async def _find(self, state: State, piece: Piece) -> Transfer | None:
        return await self._lookup(state, piece.key) if piece.key else None

    async def _lookup(self, state: State, key: str) -> Transfer | None:
        value = await self.runtime.sessions.get("transfer", _owned(state, key))
        if value is None:
            return None
        told: Mapping[str, Any] = orjson.loads(value)
        key_id, blob = told["key"]
        identifier = str(told["id"])
        return Transfer(
            id=identifier,
            key=self.runtime.keyring.unwrap(_PURPOSE, key_id, identifier.encode(), base64.b64decode(blob)),
            name=told["name"],
            size=told["size"],
            media_type=told["media_type"],
            order=tuple(told["order"]),
            deferred=told["deferred"],
        )


def _owned(state: State, key: str) -> bytes:
    """Transfers of one person in one app are nobody else's."""
    user = state.session.user.id if state.session else ""
    app = state.route.app.id if state.route.app else ""
    return hashlib.sha256(f"{user}|{app}|{key}".encode("utf-8", "surrogatepass")).digest()


def _json(body: bytes) -> Any:
    try:
        return json.loads(body) if len(body) <= ANSWER else None
    except (ValueError, RecursionError):
        return None


def _conclusive(facts: FileFacts) -> bool:
    """Whether what was read of a file's beginning holds for the whole of it: findings in text do, and malware does.

    Half a document has no label yet, and half an archive cannot be read: about them only the whole tells.
    """
    verdict = facts.verdict
    if verdict is None or verdict.status in (VerdictStatus.UNSCANNABLE, VerdictStatus.CLEAN):
        return False
    return verdict.status is VerdictStatus.MALICIOUS or (facts.detected_type or "").startswith(_TEXTUAL)


def firm(exchange: Exchange, effect: Effect) -> Effect:
    """What cannot be done to a file on its way up (protecting it, say) falls back on refusing it."""
    if isinstance(effect, Redact):
        effect = exchange.instead(effect.order, "a file on its way up cannot be masked")
    if isinstance(effect, Pass | Hold | Answer):
        return effect
    return exchange.fall_back("protect.impossible", "what is done to a download", "this is an upload")
