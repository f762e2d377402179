"""Handing a download over protected: labelled, under a password of its own format, or streaming into a container."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from mitmproxy import http

from casb.control.pages import attachment
from casb.control.protecting import Plan, order_of, plan_of
from casb.errors import ContentError
from casb.inspection.labelling import LabelOrder
from casb.ports import Protecting
from casb.protection import cms, secret, zip_aes
from casb.protection.container import recipient_key
from casb.protection.encrypt import recovery_copy, wrap_secret
from casb.proxy import notices, translate
from casb.proxy.bodies import Spooling
from casb.proxy.convert_worker import UNSUPPORTED
from casb.proxy.notices import Notices
from casb.proxy.runtime import Runtime, now
from casb.proxy.translate import State
from casb.rewrite import codings
from casb.settings import Settings
from casb.store.held import HeldBody
from casb.store.protected_sqlite import line_of

_DROPPED = frozenset(
    b"content-length content-encoding content-disposition content-type etag last-modified content-md5 digest "
    b"repr-digest content-digest accept-ranges content-range transfer-encoding".split()
)


class Sealing:
    """Undo the content coding, then encrypt: what a stream callable needs."""

    def __init__(self, decoder: translate.Stream | None, protecting: Protecting) -> None:
        self._decoder = decoder
        self._protecting = protecting
        self.over = False

    def feed(self, chunk: bytes) -> bytes:
        plain = self._decoder.feed(chunk) if self._decoder else chunk
        return self._protecting.update(plain) if plain else b""

    def finish(self) -> bytes:
        self.over = True
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


def planned(state: State) -> Plan:
    """The plan for the decision just made. Raises `LookupError` when there is none: then nothing may leave."""
    exchange, facts = state.exchange, state.response
    if exchange is None or facts is None or not exchange.records:
        raise LookupError("nothing to protect")
    record = exchange.records[-1]
    order = order_of(record.decision, state.snapshot.policies, state.snapshot.settings.labels, record.activity.time)
    return plan_of(record, order, os.urandom(16).hex(), facts.content_type)


def unlabelled(plan: Plan) -> Plan:
    """The same without what the file cannot take. Raises `ContentError` F015 where the policy says `block`."""
    if plan.order.otherwise == "block":
        raise ContentError("F015", "this file cannot be labelled or encrypted in its own format")
    using = plan.order.using if plan.order.using in ("cms", "zip_aes") else "age"
    return replace(plan, order=replace(plan.order, using=using), whole=False)


async def hand_over_whole(
    runtime: Runtime, flow: http.HTTPFlow, state: State, plan: Plan, body: bytes | HeldBody, left: Notices
) -> None:
    """Label and encrypt a body that is here, in a worker, and answer with the result.

    Raises `ContentError` when that cannot be done: nothing has been changed then, and nothing may leave.
    """
    order, settings = plan.order, state.snapshot.settings
    native = order.using in ("auto", "office", "pdf")
    password = secret.password(os.urandom(16)) if native else None
    label = _label_order(plan, settings)
    if password is None and label is None:
        raise LookupError("nothing to do")
    only = order.using if order.using in ("office", "pdf") else ""
    try:
        done = await runtime.converter.convert(body, password, label, only, _room(runtime, body))
    except ContentError as error:
        if error.code not in UNSUPPORTED:
            raise
        begin(runtime, flow, state, unlabelled(plan), left, body)
        return
    plan = replace(plan, facts=replace(plan.facts, label=done.label or plan.facts.label))
    if order.using in ("age", "cms", "zip_aes"):
        begin(runtime, flow, state, plan, left, done.data)
        return
    form = "label" if password is None else "pdf" if done.head[:5] == b"%PDF-" else "office"
    if password is not None:
        _tell(runtime, settings, plan, form, password, done.sha256)
    _noted(state, plan, form, written=done.written)
    facts = state.response
    kind = facts.content_type if facts and facts.content_type else "application/octet-stream"
    kept = _head(flow, state, plan.facts.name, kind)
    if password is not None:
        kept += _notice(state, plan, form, plan.facts.name, left)
    _answer(flow, state, kept, done.data)


def _room(runtime: Runtime, body: bytes | HeldBody) -> Callable[[], HeldBody] | None:
    """Where a converted file is kept: as the file itself."""
    if not isinstance(body, HeldBody):
        return None
    if runtime.bodies is None:
        raise LookupError("nothing holds bodies")
    return runtime.bodies.held.begin


def begin(
    runtime: Runtime,
    flow: http.HTTPFlow,
    state: State,
    plan: Plan,
    left: Notices,
    body: bytes | HeldBody | None = None,
) -> None:
    """Encrypt as it streams, or `body` (decoded; at once when it is in memory).

    Raises `ContentError` or `StoreError` before anything has been changed.
    """
    response, facts = flow.response, state.response
    if response is None or facts is None:
        raise LookupError("nothing to protect")
    encoded = body is None and facts.content_encoding not in ("", "identity")
    length = _length(body) if body is not None else None if encoded else facts.content_length
    protecting, form = _protecting(runtime, state, plan, facts.content_type, length)
    sealing = Sealing(codings.decoder_for(facts.content_encoding) if encoded else None, protecting)
    _noted(state, plan, form)
    kept = _head(flow, state, protecting.name, protecting.media_type)
    kept += _notice(state, plan, form, protecting.name, left)
    if isinstance(body, HeldBody):
        _put(state, body)
    held = response.raw_content if body is None or isinstance(body, HeldBody) else body
    if held is not None and (held or isinstance(body, bytes)):
        _answer(flow, state, kept, sealing.feed(held) + sealing.finish())
        return
    state.protected, state.sealing = True, sealing
    if protecting.length is not None:
        kept.append((b"content-length", str(protecting.length).encode()))
    elif not flow.request.is_http2:
        kept.append((b"transfer-encoding", b"chunked"))
    translate.set_response_fields(flow, kept)
    translate.stream_through(flow, sealing)


def _length(body: bytes | HeldBody) -> int:
    return body.size if isinstance(body, HeldBody) else len(body)


def _put(state: State, body: HeldBody) -> None:
    """In the place of what was held."""
    if not isinstance(state.taking, Spooling):
        raise LookupError("the body was not held")
    state.taking.replace(body)


def finish_empty(flow: http.HTTPFlow, state: State) -> None:
    """A response that ended with its head never streams: what stands around an empty file is given at once."""
    sealing = state.sealing
    if not isinstance(sealing, Sealing) or sealing.over or flow.response is None or flow.response.raw_content:
        return
    kept = [each for each in flow.response.headers.fields if each[0].lower() not in _FRAMING]
    flow.response.stream = False
    _answer(flow, state, kept, sealing.feed(b"") + sealing.finish())


_FRAMING = frozenset((b"content-length", b"transfer-encoding"))


def _protecting(
    runtime: Runtime, state: State, plan: Plan, content_type: str, length: int | None
) -> tuple[Protecting, str]:
    """The protector of a streaming format, its file made known to the sidecar; and the format's name."""
    facts, settings = plan.facts, state.snapshot.settings
    match plan.order.using:
        case "cms":
            kek = os.urandom(32)
            recipients = _certificates(plan, settings)
            cms_file = cms.CmsProtecting(facts.name + cms.EXTENSION, facts.file, kek, recipients, os.urandom)
            _tell(runtime, settings, plan, "cms", kek.hex())
            return cms_file, "cms"
        case "zip_aes":
            password = secret.password(os.urandom(16))
            zip_file = zip_aes.ZipProtecting(facts.name + zip_aes.EXTENSION, facts.name, facts.file, password)
            _tell(runtime, settings, plan, "zip_aes", password)
            return zip_file, "zip_aes"
    order = {name: getattr(facts, name) for name in facts.__dataclass_fields__}
    age_file = runtime.protector.start(facts.name, content_type, length, order)
    runtime.tell(line_of(facts, "age", now()))
    return age_file, "age"


def _tell(runtime: Runtime, settings: Settings, plan: Plan, form: str, password: str, sha256: str = "") -> None:
    """Make a password known to the sidecar, wrapped. Raises `StoreError`: then the file must not leave."""
    key_id, blob = wrap_secret(plan.facts.file, password, runtime.keyring.wrap)
    recipient = settings.recovery_recipient
    recovery = recovery_copy(password, recipient_key(recipient), os.urandom) if recipient else b""
    runtime.tell(line_of(plan.facts, form, now(), sha256=sha256, key_id=key_id, secret=blob, recovery=recovery))


def _certificates(plan: Plan, settings: Settings) -> Sequence[x509.Certificate]:
    named = {each.name: each.certificate for each in settings.recipients}
    paths = [named[name] for name in plan.order.recipients if name in named]
    if len(paths) != len(plan.order.recipients):
        raise ContentError("F014", "a recipient that the policy names is not in casb.yaml")
    if settings.recovery_certificate:
        paths.append(settings.recovery_certificate)
    try:
        return [cms.certificate(Path(path).read_bytes()) for path in paths]
    except OSError as error:
        raise ContentError("F014", f"a recipient's certificate cannot be read ({error.strerror})") from None


def _label_order(plan: Plan, settings: Settings) -> LabelOrder | None:
    label = plan.order.label
    if label is None:
        return None
    return LabelOrder(
        id=label.id,
        name=label.name,
        tenant=label.tenant,
        time=plan.facts.time,
        encrypted=plan.order.using in ("auto", "office", "pdf"),
        ranks={each.id: each.priority for each in settings.labels},
    )


def _noted(state: State, plan: Plan, form: str, *, written: bool | None = None) -> None:
    """Put into the record what was made of the file."""
    exchange = state.exchange
    if exchange is None:
        raise LookupError("no exchange")
    made: dict[str, str | bool] = {"format": form, "file": plan.facts.file}
    if plan.order.label is not None:
        made |= {"label": plan.facts.label, "label_written": bool(written)}
    record = exchange.records[-1]
    exchange.records[-1] = replace(record, extra={**record.extra, "protect": made})


def _head(flow: http.HTTPFlow, state: State, name: str, media_type: str) -> list[tuple[bytes, bytes]]:
    if flow.response is None or state.exchange is None:
        raise LookupError("nothing to protect")
    kept = [(key, value) for key, value in flow.response.headers.fields if key.lower() not in _DROPPED]
    return [
        *kept,
        (b"content-type", media_type.encode("latin-1", "replace")),
        (b"content-disposition", attachment(name).encode()),
        (b"cache-control", b"no-store"),
        (b"x-casb-activity", state.exchange.records[-1].activity.id.encode()),
    ]


def _answer(flow: http.HTTPFlow, state: State, kept: list[tuple[bytes, bytes]], body: bytes | HeldBody) -> None:
    if flow.response is None:
        raise LookupError("nothing to protect")
    state.protected = True
    translate.set_response_fields(flow, [*kept, (b"content-length", str(_length(body)).encode())])
    if isinstance(body, HeldBody):
        _put(state, body)
    elif isinstance(state.taking, Spooling):
        state.taking.replace(body)
    else:
        flow.response.data.content = body


_MESSAGES = {
    "office": "Your organisation hands this file over with a password. Follow the link to see it; you will be asked to "
    "sign in.",
    "age": "Your organisation hands this file over encrypted. Open it with the link below; you will be asked to sign "
    "in.",
}


def _notice(state: State, plan: Plan, form: str, name: str, left: Notices) -> list[tuple[bytes, bytes]]:
    """What the dialog in the page says, and the cookie that leads to it."""
    exchange, party = state.exchange, state.party
    if exchange is None or party is None or not party.session_id:
        return []
    record, settings = exchange.records[-1], state.snapshot.settings
    address = settings.address_of(settings.login_host) + "/.casb/open"
    left.keep(
        party.session_id,
        {
            "kind": "protect",
            "title": "This file was encrypted for you",
            "message": record.decision.message or _MESSAGES["age" if form == "age" else "office"],
            "file": name,
            "app": exchange.app.name,
            "policy": record.decision.policy or "",
            "activity": record.activity.id,
            "help_text": "Open a protected file" if form == "age" else "Show the password",
            "help_url": address if form == "age" else f"{address}?file={plan.facts.file}",
        },
    )
    return [(b"set-cookie", notices.cookie(record.activity.id).encode())]
