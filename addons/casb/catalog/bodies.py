"""What the body of a request holds: files in forms, files inside of text, and what an app's signatures ask it for.

The head of a request does not say. These readers get a whole body and keep nothing of it but what they return. Where a
body could be read in two ways they refuse it (`ContentError`): the app might go by the other one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from casb.catalog.embedded import LooksLikeFile, files_in, files_in_text, may_hold_files
from casb.catalog.filenames import clean_name
from casb.catalog.media import Kind, kind_of
from casb.catalog.multipart import Multipart, Part, read_form, read_multipart
from casb.catalog.recognise import hides_upload, signature_of
from casb.catalog.signatures import find, index_of
from casb.errors import ContentError
from casb.model.activity import ActivityType, RequestFacts
from casb.model.app import App

LONGEST_JSON = 1024 * 1024
"""A body that a signature asks for something is a message about a file, not the file."""

_READABLE = frozenset(
    "application/json text/json application/graphql application/xml text/xml application/x-www-form-urlencoded "
    "text/html application/x-ndjson application/ndjson".split()
)
_SPEAKING = re.compile(rb'"(?:requests|hash)"\s*:\s*\[')  # a batch; the handshake of an upload in chunks
_HTTP = frozenset(("application/http", "message/http"))


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedFile:
    """One file of a body and its bytes. `announced`: only its name has come. `part` is where it is in a form."""

    name: str
    content_type: str
    content: bytes
    announced: bool = False
    part: Part | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a body holds. `document` is what signatures may ask: JSON, or the fields of a form.

    `form` is there when single files can be taken out of the body. `inner` are requests inside of the request.
    """

    files: tuple[UploadedFile, ...] = ()
    document: Any = None
    form: Multipart | None = None
    inner: tuple[Inner, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """One request of a batch (OData, Microsoft Graph, Google)."""

    method: str
    path: str  # with the query
    content_type: str
    body: bytes
    document: Any = None


def must_read(app: App | None, request: RequestFacts, concerned: Callable[[ActivityType], bool]) -> bool:
    """Whether the body has to be read before it is known what the request does.

    `concerned` says whether any policy looks at an activity of that type: where none does, nothing is read.
    """
    if request.content_length == 0 or (request.method in _BODILESS and not request.content_type):
        return False
    if app is not None and app.signatures:
        asked = index_of(app).asks_for(request)
        if any(each in _ACTIVITIES and concerned(ActivityType(each)) for each in asked):
            return True
    return _may_hold_files(app, request) and concerned(ActivityType.UPLOAD)


_ACTIVITIES = frozenset(each.value for each in ActivityType)
_BODILESS = frozenset(("GET", "HEAD", "CONNECT"))


def _may_hold_files(app: App | None, request: RequestFacts) -> bool:
    if request.upload_name is not None and request.content_type.startswith("multipart/"):
        return request.upload_name != ""  # a name in the head says nothing about the parts
    if request.upload_name is not None:
        return False
    kind = request.content_type
    signature = signature_of(app, request)
    if signature is not None and not hides_upload(signature, request):
        if signature.activity != ActivityType.UPLOAD:
            return signature.activity != "none" and (kind.startswith("multipart/") or _is_readable(kind))
        if signature.name_field:
            return True
        # What the signature calls an upload is one, with or without a file in it: unless it speaks of forms.
        return _is_readable(kind) or (kind.startswith("multipart/") and kind in signature.content_types)
    return kind.startswith("multipart/") or _is_readable(kind)


def _is_readable(content_type: str) -> bool:
    return content_type in _READABLE or content_type.endswith(("+json", "+xml")) or kind_of(content_type) is Kind.TEXT


def read_body(
    app: App | None, request: RequestFacts, content_type: bytes, body: bytes, looks_like_file: LooksLikeFile
) -> Contents:
    """What the body holds. `content_type` is the whole header.

    Raises `ContentError`: U001 when it is not what a signature of the app asks for, U002 when it is no form that has
    one meaning.
    """
    if request.content_type == "multipart/form-data":
        return _form(content_type, body, looks_like_file)
    if request.content_type.startswith("multipart/"):
        return _multipart(request, content_type, body, looks_like_file)
    found = find(app, request, unread=True)
    signature = found.signature if found else None
    if signature is not None and signature.name_field:
        name = json_name(app, request, body)
        files = (UploadedFile(name=name, content_type="", content=b"", announced=True),) if name else ()
        return Contents(files=files, document=_asked(body))
    if request.content_type == "application/x-www-form-urlencoded":
        document = _urlencoded(body)
        return Contents(files=_in_document(document, body, looks_like_file), document=document)
    asked = app is not None and bool(app.signatures) and bool(index_of(app).asks_for(request))
    return _text(request, body, looks_like_file, asked=asked)


def json_name(app: App | None, request: RequestFacts, body: bytes) -> str:
    """The file name in the field that the app's signature names; "" when there is none.

    Raises `ContentError` (U001) when the body is too long or not the JSON object that the signature promises.
    """
    signature = signature_of(app, request)
    document = _asked(body)
    if not isinstance(document, dict):
        raise ContentError("U001", "the body with the file name is not a JSON object")
    name = document.get(signature.name_field if signature else "")
    return clean_name(name) if isinstance(name, str) else ""


def _asked(body: bytes) -> Any:
    if len(body) > LONGEST_JSON:
        raise ContentError("U001", f"the body that says what is done is longer than {LONGEST_JSON} bytes")
    try:
        return json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise ContentError("U001", "the body that says what is done is not JSON") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # Which of the two the app goes by, nobody knows.
        raise ContentError("U001", "the body says the same thing twice")
    return found


def _text(request: RequestFacts, body: bytes, looks_like_file: LooksLikeFile, *, asked: bool) -> Contents:
    if asked and body:
        document = _asked(body)
        return Contents(
            files=_in_document(document, body, looks_like_file), document=document, inner=tuple(_batched(document))
        )
    if not body or not (may_hold_files(body) or _SPEAKING.search(body)):
        return Contents()
    try:
        document = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        found = files_in_text(body.decode("utf-8", "replace"), looks_like_file)
        return Contents(files=tuple(UploadedFile(name=e.name, content_type=e.content_type, content=e.content)
                                    for e in found))  # fmt: skip
    return Contents(
        files=_in_document(document, body, looks_like_file), document=document, inner=tuple(_batched(document))
    )


def _in_document(document: Any, body: bytes, looks_like_file: LooksLikeFile) -> tuple[UploadedFile, ...]:
    if not may_hold_files(body):
        return ()
    return tuple(
        UploadedFile(name=each.name, content_type=each.content_type, content=each.content)
        for each in files_in(document, looks_like_file)
    )


def _batched(document: Any) -> Iterator[Inner]:
    """The requests of a JSON batch (OData 4.01 section 19, Microsoft Graph)."""
    requests = document.get("requests") if isinstance(document, dict) else None
    for each in requests[:1000] if isinstance(requests, list) else ():
        if isinstance(each, dict) and isinstance(each.get("method"), str) and isinstance(each.get("url"), str):
            yield Inner(
                method=each["method"].upper(),
                path=each["url"],
                content_type="application/json",
                body=b"",
                document=each.get("body"),
            )


def _urlencoded(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10_000)
    except ValueError:
        raise ContentError("U001", "the form has too many fields") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def _form(content_type: bytes, body: bytes, looks_like_file: LooksLikeFile) -> Contents:
    form = read_form(content_type, body)
    parts = form.files()
    files = [
        UploadedFile(name=each.filename or "", content_type=each.content_type, content=form.content(each), part=each)
        for each in parts
    ]
    taken = {each.start for each in parts}
    for each in form.parts:
        if each.start not in taken:
            files += _in_field(form.content(each), looks_like_file)
    fields: dict[str, Any] = dict(form.fields())
    operations = fields.get("operations")
    if isinstance(operations, str) and "map" in fields:  # GraphQL multipart requests: files belong to variables
        return Contents(files=tuple(files), document=_asked(operations.encode()))
    return Contents(files=tuple(files), document=fields, form=form)


def _in_field(raw: bytes, looks_like_file: LooksLikeFile) -> list[UploadedFile]:
    if not may_hold_files(raw):
        return []
    text = raw.decode("utf-8", "replace")
    try:
        found = list(files_in(json.loads(text), looks_like_file))
    except (ValueError, RecursionError):
        found = list(files_in_text(text, looks_like_file))
    return [UploadedFile(name=each.name, content_type=each.content_type, content=each.content) for each in found]


def _multipart(request: RequestFacts, content_type: bytes, body: bytes, looks_like_file: LooksLikeFile) -> Contents:
    """`multipart/related` (RFC 2387): a description and the file; `multipart/mixed`: several requests, or files."""
    read = read_multipart(content_type, body)
    files: list[UploadedFile] = []
    inner: list[Inner] = []
    document: Any = None
    for at, part in enumerate(read.parts):
        content = read.content(part)
        if part.content_type in _HTTP:
            inner.append(_inner(content))
        elif at == 0 and (part.content_type == "application/json" or part.content_type.endswith("+json")):
            document = _asked(content)
        elif part.filename is not None or kind_of(part.content_type) in (Kind.FILE, Kind.PICTURE, Kind.PAGE):
            files.append(UploadedFile(name=part.filename or "", content_type=part.content_type, content=content))
        elif at > 0 and request.content_type == "multipart/related":
            files.append(UploadedFile(name="", content_type=part.content_type, content=content))
        else:
            files += _in_field(content, looks_like_file)
    if isinstance(document, dict) and len(files) == 1 and not files[0].name:
        told = document.get("name") or document.get("title") or ""
        one = files[0]
        name = clean_name(told) if isinstance(told, str) else ""
        files = [UploadedFile(name=name, content_type=one.content_type, content=one.content)]
    return Contents(files=tuple(files), document=document, inner=tuple(inner))


def _inner(content: bytes) -> Inner:
    head, _, body = content.replace(b"\r\n", b"\n").partition(b"\n\n")
    line, *fields = head.decode("latin-1").split("\n")
    words = line.split()
    if len(words) < 2 or not words[0].isalpha():
        raise ContentError("U002", "a request inside of the request cannot be read")
    kind = ""
    for field in fields:
        name, _, value = field.partition(":")
        if name.strip().lower() == "content-type":
            kind = value.strip()
    document = None
    if body.strip() and "json" in kind:
        document = _asked(body)
    return Inner(method=words[0].upper(), path=words[1], content_type=kind, body=body, document=document)
