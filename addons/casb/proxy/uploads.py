"""Uploads whose body must be read first: each file of a form by itself, files inside of text, requests in batches.

What is refused is taken out of a form where nothing else speaks of it; the user is told which files and why. Wherever
that is not possible one refused file refuses the request.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

import orjson
from mitmproxy import http

from casb.catalog import chat
from casb.catalog.bodies import Contents, Inner, UploadedFile, must_read, read_body
from casb.catalog.filenames import extension_of
from casb.catalog.recognise import signature_of
from casb.catalog.signatures import index_of
from casb.catalog.transfers import Piece, Step, chunk_of, handshake
from casb.control.exchange import PASS, Exchange, Stage
from casb.control.pages import Refusal, kept_of, message_of
from casb.errors import ContentError
from casb.inspection.filetype import HEAD, detect_head
from casb.inspection.spec import Recipe
from casb.model.activity import ActivityType
from casb.model.decision import Action, Answer, Effect, Hold, Pass
from casb.model.file import FileFacts
from casb.policy.truths import NO
from casb.proxy import prompts, translate
from casb.proxy.bodies import Spooling
from casb.proxy.engines import pieces_of
from casb.proxy.notices import Notices
from casb.proxy.quarantine import Keeping
from casb.proxy.runtime import Runtime
from casb.proxy.transfers import Transfers, firm
from casb.proxy.translate import State
from casb.rewrite import codings
from casb.store.held import HeldBody

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""Files of one form that are inspected side by side."""
LARGE_AT_ONCE = 2
"""Bodies held on disk that are read into memory side by side; the others wait where they are."""
_LARGE = 512 * 1024
_PLAIN = frozenset(("", "text/plain", "application/octet-stream", "application/x-empty", "application/json",
                    "text/csv", "application/xml", "text/html", "inode/x-empty"))  # fmt: skip
_CHECKED = (b"content-md5", b"digest", b"content-digest", b"repr-digest", b"x-amz-content-sha256", b"x-goog-hash")
_TOLD = 10


@dataclass(slots=True)
class _Judged:
    """A file of the body, its exchange, and what became of it."""

    file: UploadedFile
    exchange: Exchange
    effect: Effect
    kept: str = ""  # in quarantine: `kept` or `failed`


class Uploads:
    """Reads bodies for `Control`, and says what is to happen with them."""

    def __init__(self, runtime: Runtime, notices: Notices) -> None:
        self.runtime = runtime
        self.notices = notices
        self.keeping = Keeping(runtime)
        self.transfers = Transfers(runtime, self.read, self.keeping)
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    def wants(self, flow: http.HTTPFlow, state: State, exchange: Exchange) -> bool:
        """Whether the body must be read before anything is decided: only where a policy concerns this person."""
        state.piece = self.transfers.piece(flow, state, exchange)
        return state.piece is not None or must_read(exchange.app, state.facts, exchange.concerns)

    async def judge(self, flow: http.HTTPFlow, state: State) -> Effect:
        """What becomes of a request whose body has come: all of it decided, refused files taken out."""
        main = state.exchange
        if main is None:
            raise LookupError("no exchange")
        state.naming = state.held = False
        if not isinstance(state.taking, Spooling):
            return await self._judged(flow, state, main, flow.request.raw_content or b"")
        held = state.taking
        async with self._large:
            body = await held.bodies.run(lambda: b"".join(held.body.pieces()))
            return await self._judged(flow, state, main, body)

    async def _judged(self, flow: http.HTTPFlow, state: State, main: Exchange, sent: bytes) -> Effect:
        try:
            body = self._plain(flow, state, sent)
            if state.piece is not None:
                return await self.transfers.judge(flow, state, state.piece, body)
            contents = await self._contents(state, main, body)
        except ContentError as error:
            return self.unread(state, main, error.message)
        piece = _chunk(state, contents)
        if piece is not None:
            content = contents.files[0].content if piece.step is Step.PIECE else b""
            return await self.transfers.judge(flow, state, piece, content)
        effect = await self._main(state, main, contents, body)
        if not contents.files and not contents.inner:
            return effect
        effect = firm(main, effect)
        if isinstance(effect, Answer):
            if self.keeping.wants(state, effect):
                state.kept = await self.keeping.keep(state, main.records[-1], body)
            return effect
        for each in contents.inner:
            effect = self._inner(state, main, each)
            if isinstance(effect, Answer):
                if self.keeping.wants(state, effect):
                    state.kept = await self.keeping.keep(state, main.records[-1], each.body)
                return effect
        return await self._files(flow, state, main, contents)

    def unread(self, state: State, exchange: Exchange, why: str) -> Effect:
        """A body that we cannot read might tell the app more than us.

        Then the default behaviour holds wherever a policy for this person and device could have said more than audit.
        """
        facts = replace(state.facts, upload_name=None) if state.facts.upload_name == "" else state.facts
        effect = exchange.request(facts)
        if exchange.stage is Stage.HOLDING_UPLOAD:
            effect = exchange.unscannable(why)
        if not isinstance(effect, Pass):
            return effect
        kinds = {exchange.activity.type} if exchange.activity else {ActivityType.UPLOAD}
        if exchange.app.signatures:
            kinds |= {ActivityType(each) for each in index_of(exchange.app).asks_for(facts) if each in ActivityType}
        for kind in sorted(kinds):
            activity = exchange.activity if exchange.activity and exchange.activity.type is kind else None
            activity = activity or exchange.sibling().blank(kind)
            concerning = state.snapshot.policies.concerning(activity)
            if any(each.strictest > Action.NOTIFY and each.session_check(activity) is not NO for each in concerning):
                exchange.activity = exchange.activity or exchange.blank(kind)
                return exchange.fall_back("upload.unnamed", "the names of the files in a form can be read", why)
        return effect

    async def read(self, exchange: Exchange, known: FileFacts, body: bytes | HeldBody) -> FileFacts:
        """What is known of a file, with what its content says."""
        return await read_file(self.runtime, exchange, known, body)

    # ------------------------------------------------------------

    def _plain(self, flow: http.HTTPFlow, state: State, body: bytes) -> bytes:
        """The body without its content coding. Raises `ContentError`."""
        if len(flow.request.headers.get_all("content-type")) > 1:
            raise ContentError("U002", "the request has two content types")
        coding = state.fields.get(b"content-encoding", b"").decode("latin-1").strip().lower()
        if coding.startswith("aws-chunked"):
            body, coding = aws_plain(body), coding.removeprefix("aws-chunked").lstrip(", ")
        if coding in ("", "identity"):
            return body
        if state.facts.content_type.startswith("multipart/"):
            raise ContentError("U002", "the form is compressed")
        return codings.decoded(body, coding, limit=state.snapshot.settings.limits.hold)

    async def _contents(self, state: State, main: Exchange, body: bytes) -> Contents:
        header = state.fields.get(b"content-type", b"")
        arguments = (main.app, state.facts, header, body, looks_like_file)
        if len(body) > _LARGE:
            return await asyncio.to_thread(read_body, *arguments)
        return read_body(*arguments)

    async def _main(self, state: State, main: Exchange, contents: Contents, body: bytes) -> Effect:
        """What the request is besides the files in it: an activity that the app's signatures name."""
        facts = replace(state.facts, document=contents.document)
        signature = signature_of(main.app, facts)
        is_upload = signature is not None and signature.activity == ActivityType.UPLOAD
        if state.facts.content_type.startswith("multipart/") or (contents.files and is_upload):
            facts = replace(facts, upload_name="")
        effect = main.request(facts)
        if isinstance(effect, Hold) and main.activity is not None and main.activity.text is not None:
            return main.told(prompts.facts(state.snapshot, _said(state, contents, body)))
        if isinstance(effect, Hold):
            known = main.activity.file if main.activity and main.activity.file else FileFacts(name="")
            effect = main.inspected(await self.read(main, known, body))
        return effect

    def _inner(self, state: State, main: Exchange, inner: Inner) -> Effect:
        """One request of a batch, as if it had come by itself."""
        path = inner.path if inner.path.startswith("/") else "/" + inner.path.partition("://")[2].partition("/")[2]
        if "://" not in inner.path and not inner.path.startswith("/"):
            path = "/" + inner.path
        prefix = state.facts.path.rpartition("/")[0]  # Graph: relative to the version that the batch is sent to
        single = main.sibling()
        effect: Effect = PASS
        for each in dict.fromkeys((path, prefix + path)):
            facts = replace(
                state.facts,
                method=inner.method,
                override="",
                path=each.partition("?")[0],
                query_names=translate.query_names(each),
                content_type=inner.content_type.partition(";")[0].strip().lower(),
                content_length=len(inner.body),
                upload_name=None,
                document=inner.document,
            )
            single = main.sibling()
            effect = single.request(facts)
            if isinstance(effect, Hold):
                effect = self._held_in_batch(state, single, inner)
            effect = firm(single, effect)
            if single.records:
                break
        main.records += single.records
        if isinstance(effect, Answer):
            main.activity = single.activity
        return effect

    @staticmethod
    def _held_in_batch(state: State, single: Exchange, inner: Inner) -> Effect:
        """What is said in one of several requests can be read; a file in it is not."""
        if single.activity is None or single.activity.text is None:
            return single.unscannable("a file inside of a batch")
        body = inner.body or orjson.dumps(inner.document)
        return single.told(prompts.facts(state.snapshot, chat.text_of(body, inner.content_type)))

    async def _files(self, flow: http.HTTPFlow, state: State, main: Exchange, contents: Contents) -> Effect:
        judged = [self._one(state, main, file) for file in contents.files]
        slots = asyncio.Semaphore(AT_ONCE)

        async def settle(each: _Judged) -> None:
            activity = each.exchange.activity
            if isinstance(each.effect, Hold) and activity is not None and activity.file is not None:
                async with slots:
                    each.effect = each.exchange.inspected(
                        await self.read(each.exchange, activity.file, each.file.content)
                    )
            each.effect = firm(each.exchange, each.effect)

        await asyncio.gather(*(settle(each) for each in judged))
        for each in judged:
            main.records += each.exchange.records
        refused = [each for each in judged if isinstance(each.effect, Answer)]
        if not refused:
            return PASS
        first = next((each for each in refused if _asks(each.effect)), refused[0])
        main.activity = first.exchange.activity
        for each in refused:
            if self.keeping.wants(state, each.effect):
                each.kept = await self._keep(state, each)
        state.kept = first.kept
        if _asks(first.effect) or len(refused) == len(judged) or not self._can_remove(state, contents, refused):
            self._last(main, first)
            return first.effect
        self._remove(flow, state, contents, refused)
        self._tell(flow, state, main, refused, len(judged))
        return PASS

    async def _keep(self, state: State, each: _Judged) -> str:
        record = each.exchange.records[-1]
        if each.file.announced:
            return self.keeping.failed(state, record, "it was refused before it was sent")
        return await self.keeping.keep(state, record, each.file.content)

    def _one(self, state: State, main: Exchange, file: UploadedFile) -> _Judged:
        facts = replace(state.facts, upload_name=file.name, content_length=len(file.content))
        if file.content_type:
            facts = replace(facts, content_type=file.content_type)
        single = main.sibling()
        known = FileFacts(
            name=file.name,
            extension=extension_of(file.name),
            size=None if file.announced else len(file.content),
            declared_type=file.content_type or None,
        )
        effect = single.upload(known, facts)
        if isinstance(effect, Hold) and file.announced:
            effect = PASS  # Its content comes in requests of its own, and is judged there.
            single.records.clear()
        return _Judged(file, single, effect)

    @staticmethod
    def _last(main: Exchange, first: _Judged) -> None:
        """The refusal that is shown stands last in the log's order."""
        for record in first.exchange.records:
            main.records.remove(record)
            main.records.append(record)

    def _can_remove(self, state: State, contents: Contents, refused: list[_Judged]) -> bool:
        """Whether a form is as good without these parts: nothing else in the request counts or signs them."""
        app = state.route.app
        return (
            contents.form is not None
            and app is not None
            and app.transfers.partial == "remove"
            and all(each.file.part is not None for each in refused)
            and not any(name in state.fields for name in _CHECKED)
            and not state.fields.get(b"authorization", b"").startswith(b"AWS4-")
        )

    def _remove(self, flow: http.HTTPFlow, state: State, contents: Contents, refused: list[_Judged]) -> None:
        if contents.form is None:
            raise LookupError("no form")
        body = contents.form.without([each.file.part for each in refused if each.file.part is not None])
        if isinstance(state.taking, Spooling):
            state.taking.replace(body)
            translate.tell_request_length(flow, len(body))
        else:
            translate.replace_request_body(flow, body)
        self.runtime.counters["files_removed"] += len(refused)

    def _tell(self, flow: http.HTTPFlow, state: State, main: Exchange, refused: list[_Judged], of: int) -> None:
        """The dialog: which files did not go with the others, and why."""
        first = refused[0]
        record = first.exchange.records[-1]
        if state.party is None or state.party.session_id is None:
            return
        names = [each.file.name or "a file without a name" for each in refused]
        more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
        refusal = Refusal(
            activity_id=record.activity.id,
            decision=record.decision,
            facts=state.facts,
            app_name=main.app.name,
            file_name=first.file.name,
            kept=first.kept,
        )
        count = len(refused)
        self.notices.keep(
            state.party.session_id,
            {
                "kind": "block",
                "title": f"{count} of {of} files {'was' if count == 1 else 'were'} not uploaded",
                "message": " ".join(filter(None, (message_of(refusal), kept_of(refusal)))),
                "file": ", ".join(names[:_TOLD]) + more,
                "app": main.app.name,
                "policy": record.decision.policy or "",
                "activity": record.activity.id,
            },
        )
        state.told = record.activity.id


def _said(state: State, contents: Contents, body: bytes) -> str | None:
    """What somebody says in a body; None when it cannot be read."""
    form = contents.form
    if form is None:
        return chat.text_of(body, state.facts.content_type)
    files = {each.start for each in form.files()}
    try:
        said = "\n".join(form.content(each).decode() for each in form.parts if each.start not in files)
    except UnicodeDecodeError:
        return None
    return said if len(said) <= chat.LONGEST else None


def _chunk(state: State, contents: Contents) -> Piece | None:
    """Whether the request is about a piece of a file: a form with one, or the beginning of an up2k transfer."""
    begin = handshake(contents.document)
    if begin is not None:
        return begin
    if contents.form is None or len(contents.files) != 1 or not isinstance(contents.document, dict):
        return None
    headers = {
        name.decode("latin-1"): state.fields[name].decode("latin-1")
        for name in (b"content-range", b"content-disposition")
        if name in state.fields
    }
    return chunk_of(state.facts, contents.document, headers, contents.files[0].name)


def aws_plain(body: bytes) -> bytes:
    """The bytes in an `aws-chunked` body (Signature Version 4, streaming). Raises `ContentError` U002."""
    out, at = bytearray(), 0
    while at < len(body):
        end = body.find(b"\r\n", at)
        size = body[at:end].partition(b";")[0] if 0 <= end - at <= 256 else b""
        if not size or len(size) > 8 or not all(each in b"0123456789abcdefABCDEF" for each in size):
            raise ContentError("U002", "the chunks of the body cannot be read")
        length = int(size, 16)
        if length == 0:
            return bytes(out)  # Trailers follow.
        chunk = body[end + 2 : end + 2 + length]
        if len(chunk) != length or body[end + 2 + length : end + 4 + length] != b"\r\n":
            raise ContentError("U002", "the chunks of the body cannot be read")
        out += chunk
        at = end + 4 + length
    raise ContentError("U002", "the chunks of the body have no end")


async def read_file(runtime: Runtime, exchange: Exchange, known: FileFacts, body: bytes | HeldBody) -> FileFacts:
    """A file's facts with what its content says: worker processes look for what the policies in force name, and engines
    are asked where one of them says so."""
    held = body.sealed() if isinstance(body, HeldBody) else None
    if held is not None:
        readable: bytes | Recipe = Recipe(factory="casb.store.held:open_told", data=held.told())
    else:
        readable = body.content() if isinstance(body, HeldBody) else body
    engines = runtime.engines if exchange.asks_engines() else None
    seen = await runtime.scanner.scan(
        readable,
        known.name,
        known.declared_type,
        matcher=exchange.snapshot.recipe,
        rules=engines.rules if engines else None,
        size=held.size if held else None,
    )
    if engines is not None:
        seen = await engines.judge(seen, lambda: pieces_of(body))
    named = {each.id: each.name for each in exchange.snapshot.settings.labels}
    return replace(
        seen,
        label=named.get(seen.label_id or "", seen.label),
        name=known.name,
        extension=known.extension,
        declared_type=known.declared_type,
        signs=known.signs | seen.signs,
    )


def _asks(effect: Effect) -> bool:
    """Whether the user has to do something before the request may be sent again, all of it."""
    return isinstance(effect, Answer) and effect.kind != "block"


def looks_like_file(content: bytes) -> bool:
    """Whether bytes begin as those of a file type do; text and unknown bytes do not."""
    return detect_head(content[:HEAD], whole=len(content) <= HEAD) not in _PLAIN
