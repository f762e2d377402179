"""Files that come in several requests: which piece of which file a request carries, by the protocols in use.

tus 1.0, Google's resumable uploads (both kinds), Microsoft's upload sessions and SharePoint's chunks, S3 multipart,
Azure blocks, Dropbox and Box sessions, copyparty's up2k, `Content-Range`, and the forms of chunking scripts (Dropzone,
resumable.js, flow.js, Plupload, Fine Uploader, FilePond). A piece is nothing by itself: policies judge the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any
from urllib.parse import unquote, urlsplit

from casb.catalog.filenames import clean_name, name_in_path, parse_disposition, upload_name
from casb.catalog.signatures import pointed
from casb.model.activity import RequestFacts

type Fields = Mapping[str, str]
"""Request or response headers, names in lower case."""


class Step(Enum):
    """What a request is to a transfer."""

    BEGIN = "begin"  # tells of the file; the answer says by which name its pieces come
    PIECE = "piece"
    END = "end"  # all pieces are there: from here on the origin has the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One request of a transfer.

    `key` is what the requests of one file have in common, "" when only the answer tells it: then `told_by` says where
    (`header:location`, or a JSON pointer). `place` is the offset in bytes, or a number when `numbered`; None: as it
    came. `total` counts bytes, `count` pieces. `label` names the piece by `order` of the beginning. `joins` are keys
    of transfers that are put together. `in_body`: the body is JSON about the file, never bytes of it. `deferred`: how
    long it is will be told later.
    """

    protocol: str
    step: Step
    key: str = ""
    told_by: tuple[str, ...] = ()
    place: int | None = None
    numbered: bool = False
    total: int | None = None
    count: int | None = None
    name: str = ""
    media_type: str = ""
    last: bool = False
    label: str = ""
    order: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()
    in_body: bool = False
    deferred: bool = False

    @property
    def tells_its_end(self) -> bool:
        """Whether a later request of this transfer says that the file is whole. Of any other one, whose size nobody
        told either, each piece may be the last."""
        if self.protocol in _WITH_AN_END:
            return True
        return self.protocol in _WITH_RANGES and self.place is not None


_WITH_AN_END = frozenset(("s3", "azure-block", "dropbox", "sharepoint", "x-goog-upload", "box"))
_WITH_RANGES = frozenset(("google-resumable", "content-range"))  # the last range has the total
_RANGE = re.compile(r"\s*bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\s*\Z")
_SHAREPOINT = re.compile(
    r"/_api/.*(?:\('|@\w+='?)?.*/(startupload|continueupload|finishupload|cancelupload)\((.*)\)\Z", re.IGNORECASE
)
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_OFFSET = re.compile(r"fileoffset=(\d{1,18})", re.IGNORECASE)
_QUOTED = re.compile(r"\('([^']+)'\)")
_WRITING = frozenset(("POST", "PUT", "PATCH"))


def piece_of(request: RequestFacts, fields: Fields, target: str) -> Piece | None:
    """The piece that a request's head shows, or None. `target` is the path with the query, as the origin gets it."""
    if request.method not in _WRITING:
        return None
    key = f"{request.host}{target}"
    for read in _READERS:
        found = read(request, fields, key)
        if found is not None:
            return found
    return None


def _number(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _query(request: RequestFacts, name: str) -> str | None:
    start = f"{name}="
    return next((each[len(start) :] for each in request.query_names if each.startswith(start)), None)


def _tus(request: RequestFacts, fields: Fields, key: str) -> Piece | None:
    """tus 1.0.0 with Creation, Creation With Upload, Deferred Length and Concatenation; FilePond's PATCH."""
    patching = "PATCH" in (request.method, request.override)
    if patching and "upload-offset" in fields:
        name = clean_name(unquote(fields.get("upload-name", "")))  # FilePond's
        return Piece(
            protocol="tus",
            step=Step.PIECE,
            key=key,
            place=_number(fields["upload-offset"]),
            total=_number(fields.get("upload-length")),
            name=name,
        )
    if "tus-resumable" not in fields or patching:
        return None
    concat = fields.get("upload-concat", "")
    if concat.startswith("final"):
        host = request.host
        joined = tuple(_target(each, host) for each in concat.partition(";")[2].split())
        return Piece(protocol="tus", step=Step.END, key=key, joins=joined, name=_tus_name(fields), last=True)
    return Piece(
        protocol="tus",
        step=Step.BEGIN,
        told_by=("header:location",),
        place=0,
        total=_number(fields.get("upload-length")),
        name=_tus_name(fields),
        deferred=fields.get("upload-defer-length", "").strip() == "1",
    )


def _tus_name(fields: Fields) -> str:
    return upload_name({"upload-metadata": fields.get("upload-metadata", "")}) or ""


def _goog_upload(request: RequestFacts, fields: Fields, key: str) -> Piece | None:
    """Google's `X-Goog-Upload-Protocol: resumable`, as its web applications and Photos speak it."""
    command = fields.get("x-goog-upload-command", "").lower()
    if not command:
        return None
    if "start" in command:
        return Piece(
            protocol="x-goog-upload",
            step=Step.BEGIN,
            told_by=("header:x-goog-upload-url", "header:x-goog-upload-control-url", "header:location"),
            total=_number(fields.get("x-goog-upload-header-content-length")),
            name=clean_name(unquote(fields.get("x-goog-upload-file-name", ""))),
            media_type=fields.get("x-goog-upload-header-content-type", ""),
            in_body=True,
        )
    if "upload" not in command and "finalize" not in command:
        return None
    last = "finalize" in command
    step = Step.PIECE if "upload" in command else Step.END
    return Piece(
        protocol="x-goog-upload", step=step, key=key, place=_number(fields.get("x-goog-upload-offset")), last=last
    )


def _google(request: RequestFacts, fields: Fields, key: str) -> Piece | None:
    """Google's resumable uploads (Drive, Gmail, Cloud Storage): a start that answers with `Location`, then ranges."""
    identifier = _query(request, "upload_id")
    kind = _query(request, "uploadType") or _query(request, "upload_type")
    if identifier:
        return _ranged("google-resumable", fields, f"upload_id={identifier}", request.content_length)
    if (kind or "").lower() != "resumable" and fields.get("x-goog-resumable", "").lower() != "start":
        return None
    name = _query(request, "name") or ""
    if not name and "x-goog-resumable" in fields:
        name = name_in_path(request.path)
    return Piece(
        protocol="google-resumable",
        step=Step.BEGIN,
        told_by=("header:location",),
        total=_number(fields.get("x-upload-content-length")),
        name=clean_name(name),
        media_type=fields.get("x-upload-content-type", ""),
        in_body=True,
    )


def _ranged(protocol: str, fields: Fields, key: str, length: int | None) -> Piece | None:
    told = fields.get("content-range")
    if told is None:  # all of it in one request
        return Piece(protocol=protocol, step=Step.PIECE, key=key, place=0, total=length, last=True)
    found = _RANGE.match(told)
    if found is None:
        return None if re.match(r"\s*bytes\s+\*/", told) and not length else _unplaced(protocol, key)
    total = None if found.group(3) == "*" else int(found.group(3))
    return Piece(protocol=protocol, step=Step.PIECE, key=key, place=int(found.group(1)), total=total)


def _unplaced(protocol: str, key: str) -> Piece:
    return Piece(protocol=protocol, step=Step.PIECE, key=key)


def _microsoft(request: RequestFacts, fields: Fields, key: str) -> Piece | None:
    """`createUploadSession` of Microsoft Graph, OneDrive and Outlook; SharePoint's StartUpload, ContinueUpload, …"""
    path = request.path
    if path.lower().rstrip("/").endswith("/createuploadsession"):
        named = path[: path.lower().rindex("/createuploadsession")].rstrip(":")
        name = name_in_path(named) if ":/" in path else ""
        return Piece(protocol="upload-session", step=Step.BEGIN, told_by=("/uploadUrl",), name=name, in_body=True)
    if "/_api/" not in path.lower():
        return None
    plain = unquote(path)
    found = _SHAREPOINT.search(plain)
    guid = _GUID.search(found.group(2)) if found else None
    if found is None or guid is None or found.group(1).lower() == "cancelupload":
        return None
    action, offset = found.group(1).lower(), _OFFSET.search(found.group(2))
    quoted = _QUOTED.findall(plain[: found.start(1)])
    place = 0 if action == "startupload" else int(offset.group(1)) if offset else None
    return Piece(
        protocol="sharepoint",
        step=Step.PIECE,
        key=f"sharepoint {guid.group().lower()}",
        place=place,
        name=clean_name(quoted[-1]) if quoted else "",
        last=action == "finishupload",
    )


def _s3(request: RequestFacts, fields: Fields, key: str) -> Piece | None:
    """S3 multipart uploads and Azure's blocks."""
    name = name_in_path(request.path)
    upload = _query(request, "uploadId")
    if upload:
        number = _number(_query(request, "partNumber"))
        common = f"s3 {request.host}{request.path} {upload}"
        if request.method == "PUT" and number is not None:
            return Piece(protocol="s3", step=Step.PIECE, key=common, place=number, numbered=True, name=name)
        return Piece(protocol="s3", step=Step.END, key=common, name=name, in_body=True, last=True)
    if request.method == "POST" and "uploads" in request.query_names:
        return Piece(protocol="s3", step=Step.BEGIN, name=name, in_body=True, media_type=request.content_type)
    block = _query(request, "blockid")
    if request.method == "PUT" and block and "comp=block" in request.query_names:
        return Piece(protocol="azure-block", step=Step.PIECE, key=f"azure {request.host}{request.path}", name=name)
    if request.method == "PUT" and "comp=blocklist" in request.query_names:
        common = f"azure {request.host}{request.path}"
        return Piece(protocol="azure-block", step=Step.END, key=common, name=name, in_body=True, last=True)
    return None


def _dropbox(request: RequestFacts, fields: Fields, key: str) -> Piece | None:
    """Dropbox's `upload_session`: start answers with an id; append and finish name it in `Dropbox-API-Arg`."""
    _, found, action = request.path.partition("/files/upload_session/")
    if not found:
        return None
    told = fields.get("dropbox-api-arg") or _query(request, "arg") or "{}"
    try:
        argument = json.loads(unquote(told) if told.startswith("%") else told)
    except ValueError:
        argument = {}
    if action == "start":
        return Piece(protocol="dropbox", step=Step.BEGIN, told_by=("/session_id",), place=0)
    cursor = argument.get("cursor", argument) if isinstance(argument, dict) else {}
    session = cursor.get("session_id") if isinstance(cursor, dict) else None
    if not isinstance(session, str):
        return None
    offset = cursor.get("offset")
    path = pointed(argument, "/commit/path")
    name = clean_name(path[0]) if path and isinstance(path[0], str) else ""
    return Piece(
        protocol="dropbox",
        step=Step.PIECE,
        key=session,
        place=offset if isinstance(offset, int) and offset >= 0 else None,
        name=name,
        last=action.startswith("finish"),
    )


def _box(request: RequestFacts, fields: Fields, key: str) -> Piece | None:
    """Box's upload sessions: JSON that answers with an id, ranges to that id, and a commit."""
    _, found, rest = request.path.partition("/upload_sessions")
    if not found or "/files" not in request.path:
        return None
    if rest in ("", "/"):
        return Piece(protocol="box", step=Step.BEGIN, told_by=("/id",), in_body=True)
    identifier, _, action = rest.strip("/").partition("/")
    if action == "commit":
        return Piece(protocol="box", step=Step.END, key=identifier, in_body=True, last=True)
    return _ranged("box", fields, identifier, request.content_length) if request.method == "PUT" else None


def _up2k(request: RequestFacts, fields: Fields, key: str) -> Piece | None:
    """copyparty's up2k: chunks named by their digests, in the order that the handshake gave."""
    digests = fields.get("x-up2k-hash")
    if digests is None:
        return None
    wark = fields.get("x-up2k-wark", "")
    return Piece(protocol="up2k", step=Step.PIECE, key=wark, label=digests.split(",")[0].strip(), numbered=True)


def _content_range(request: RequestFacts, fields: Fields, key: str) -> Piece | None:
    """`Content-Range` on a request (RFC 9110 section 14.4 knows it for PUT): OneDrive's pieces, and many scripts'."""
    told = fields.get("content-range")
    if told is None or request.content_type.startswith("multipart/"):
        return None
    piece = _ranged("content-range", fields, key, request.content_length)
    if piece is None:
        return None
    name = upload_name({name: fields[name] for name in _NAMING if name in fields}) or ""
    if not name and request.method == "PUT":
        last = name_in_path(request.path)
        name = last if "." in last else ""
    return replace(piece, name=name)


_NAMING = ("content-disposition", "x-file-name", "x-filename", "slug")
_READERS = (_tus, _goog_upload, _google, _microsoft, _s3, _dropbox, _box, _up2k, _content_range)


# ---------------------------------------------------------------- beginnings that are JSON


def told_in(piece: Piece, document: Any) -> Piece:
    """A beginning with what its JSON body says of the file."""
    name = piece.name or _first(document, _NAME_AT)
    size = piece.total if piece.total is not None else _size(document)
    return replace(piece, name=clean_name(name) if name else "", total=size)


_NAME_AT = ("/item/name", "/name", "/title", "/file_name", "/AttachmentItem/name", "/attachmentItem/name", "/filename")
_SIZE_AT = ("/item/fileSize", "/item/size", "/file_size", "/AttachmentItem/size", "/attachmentItem/size", "/size")


def _first(document: Any, pointers: tuple[str, ...]) -> str:
    for pointer in pointers:
        for value in pointed(document, pointer):
            if isinstance(value, str) and value:
                return value
    return ""


def _size(document: Any) -> int | None:
    for pointer in _SIZE_AT:
        for value in pointed(document, pointer):
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                return value
    return None


def handshake(document: Any) -> Piece | None:
    """The beginning of an up2k transfer: JSON with name, size and the digests of all chunks."""
    if not isinstance(document, dict) or not isinstance(document.get("hash"), list):
        return None
    name, size, digests = document.get("name"), document.get("size"), document["hash"]
    if not isinstance(name, str) or not isinstance(size, int) or not all(isinstance(each, str) for each in digests):
        return None
    return Piece(
        protocol="up2k",
        step=Step.BEGIN,
        told_by=("/wark",),
        name=clean_name(name),
        total=size,
        order=tuple(digests[:100_000]),
        in_body=True,
    )


def keys_told(piece: Piece, host: str, fields: Fields, document: Any) -> tuple[str, ...]:
    """By which names the pieces will come, from the answer to a beginning. `host` is the app's own."""
    keys = []
    for where in piece.told_by:
        if where.startswith("header:"):
            values = [fields.get(where.removeprefix("header:"), "")]
        else:
            values = [each for each in pointed(document, where) if isinstance(each, str)]
        for value in filter(None, values):
            keys.append(_target(value, host) if "/" in value else value)
            upload = re.search(r"[?&]upload_id=([^&#]+)", value)
            if upload:
                keys.append(f"upload_id={unquote(upload.group(1))}")
    return tuple(dict.fromkeys(keys))


def _target(address: str, host: str) -> str:
    """Host, path and query of an address, the way `piece_of` makes a key of them."""
    parts = urlsplit(address)
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.hostname or host}{parts.path}{query}"


# ---------------------------------------------------------------- chunks in forms


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunking:
    """The fields by which one script tells of its chunks. `first` is the number of the first one."""

    protocol: str
    id: str
    index: str
    count: str
    size: str = ""
    name: str = ""
    offset: str = ""
    first: int = 0


_SCRIPTS = (
    _Chunking(protocol="dropzone", id="dzuuid", index="dzchunkindex", count="dztotalchunkcount", size="dztotalfilesize",
              offset="dzchunkbyteoffset"),
    _Chunking(protocol="resumable.js", id="resumableidentifier", index="resumablechunknumber",
              count="resumabletotalchunks", size="resumabletotalsize", name="resumablefilename", first=1),
    _Chunking(protocol="flow.js", id="flowidentifier", index="flowchunknumber", count="flowtotalchunks",
              size="flowtotalsize", name="flowfilename", first=1),
    _Chunking(protocol="fine-uploader", id="qquuid", index="qqpartindex", count="qqtotalparts", size="qqtotalfilesize",
              name="qqfilename", offset="qqpartbyteoffset"),
    _Chunking(protocol="plupload", id="name", index="chunk", count="chunks", name="name"),
)  # fmt: skip
_INDEX = frozenset(
    "chunk chunkindex chunknumber chunkno chunkid currentchunk partindex partnumber part sliceindex blockindex".split()
)
_COUNT = frozenset(
    "chunks totalchunks chunkcount totalchunkcount chunktotal totalparts partcount parts numchunks chunksnumber".split()
)
_ID = ("identifier", "uploadid", "fileid", "uuid", "guid", "uid", "fileuid", "filehash", "hash", "md5", "id", "token")
_NAME = ("filename", "name", "originalname", "fileoriginalname")
_SIZE = ("totalsize", "filesize", "totalfilesize", "size", "length")


def chunk_of(request: RequestFacts, fields: Mapping[str, Any], headers: Fields, name: str) -> Piece | None:
    """The piece of a file that a form or query tells of. `fields` are the form's; `name` is that of its file part."""
    told = {_plain(key): str(value) for key, value in fields.items() if isinstance(value, str | int)}
    for each in request.query_names:
        key, equals, value = each.partition("=")
        if equals:
            told.setdefault(_plain(key), value)
    where = f"{request.host}{request.path}"
    for script in _SCRIPTS:
        if script.index in told and (script.id in told or script.count in told):
            return _by(script, told, where, name)
    index = next((key for key in told if key in _INDEX), "")
    count = next((key for key in told if key in _COUNT), "")
    if index and count:
        identifier = next((key for key in _ID if key in told), "")
        named = next((key for key in _NAME if key in told), "")
        size = next((key for key in _SIZE if key in told), "")
        script = _Chunking(protocol="chunks", id=identifier, index=index, count=count, size=size, name=named)
        return _by(script, told, where, name)
    ranged = _RANGE.match(headers.get("content-range", ""))
    if ranged is not None:  # jQuery File Upload
        named_in = parse_disposition(headers.get("content-disposition", "")).filename or name
        total = None if ranged.group(3) == "*" else int(ranged.group(3))
        key = f"{where} {named_in} {total}"
        return Piece(
            protocol="content-range", step=Step.PIECE, key=key, place=int(ranged.group(1)), total=total, name=named_in
        )
    return None


def _by(script: _Chunking, told: Mapping[str, str], where: str, name: str) -> Piece | None:
    index, count = _number(told.get(script.index)), _number(told.get(script.count))
    size = _number(told.get(script.size)) if script.size else None
    if count == 1 or (count is None and size is None):
        return None  # a file in one piece
    offset = _number(told.get(script.offset)) if script.offset else None
    named = clean_name(told.get(script.name, "")) if script.name else ""
    return Piece(
        protocol=script.protocol,
        step=Step.PIECE,
        key=f"{where} {told.get(script.id, '')} {named or name} {count}",
        place=offset if offset is not None else index,
        numbered=offset is None,
        total=size,
        count=count,
        name=named or (name if name != "blob" else ""),
    )


def _plain(key: str) -> str:
    return re.sub("[^a-z0-9]", "", key.lower())
