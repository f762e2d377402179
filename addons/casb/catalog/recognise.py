"""What somebody does with one exchange: request and response facts to an activity and the file it is about.

Independent of the app first (S17): attachments, media types, multipart, raw bodies, WebDAV. What that cannot know, an
app's `signatures` say. Where both a harmless and a file reading are possible, it is a file: a policy that does not
concern it costs nothing, an exchange that is not recognised escapes all of them.

Fetch Metadata (`RequestFacts.mode`) is the browser's word and can be forged by whoever holds the session, and so can
the method: there are servers that do the same whatever it is. So neither turns a file into nothing; they decide only
about types that pages are made of.
"""

from __future__ import annotations

from collections.abc import Mapping

from casb.catalog.chat import is_prompt
from casb.catalog.filenames import extension_of, name_in_path
from casb.catalog.media import ASSET_EXTENSIONS, DATA_EXTENSIONS, DOCUMENT_EXTENSIONS, Kind, kind_of
from casb.catalog.signatures import NOTHING, find
from casb.model.activity import ActivityType, RequestFacts, RequestMode, ResponseFacts
from casb.model.app import App, Signature
from casb.model.file import FileFacts

type Recognised = tuple[ActivityType, FileFacts | None]
"""`FileFacts.name` is "" for a file whose name the exchange does not tell, as with chunks of resumable uploads."""

_AT_RESPONSE = frozenset({ActivityType.DOWNLOAD, ActivityType.VIEW})
_WRITING = frozenset({"POST", "PUT", "PATCH"})
_DAV = {
    "DELETE": ActivityType.DELETE,
    "MOVE": ActivityType.EDIT,
    "COPY": ActivityType.CREATE,
    "MKCOL": ActivityType.CREATE,
}
_BY_NAME: Mapping[str, ActivityType] = {each.value: each for each in ActivityType}


def recognise_request(app: App | None, request: RequestFacts) -> Recognised | None:
    """The activity that the request alone shows: uploads, and what the app's signatures name. None: no activity.

    A multipart form whose `upload_name` is None is taken for an upload without a known name, since its head does not
    tell. Whoever reads the body (`bodies.name_source` says where the name is) sets `upload_name`, "" for a form
    without a file, and asks again.
    """
    signature = signature_of(app, request)
    if signature is not None:
        activity = _BY_NAME.get(signature.activity)
        if activity is None:
            return None
        if activity is ActivityType.UPLOAD:
            return None if request.upload_name == "" else (activity, _named_upload(request))
        if activity not in _AT_RESPONSE and not hides_upload(signature, request):
            return activity, file_in_path(request)
    if is_prompt(request):
        return ActivityType.SEND_ITEM, None
    if _is_upload(request):
        return ActivityType.UPLOAD, _named_upload(request)
    activity = _DAV.get(request.override or request.method)
    return None if activity is None else (activity, file_in_path(request))


def recognise_response(app: App | None, request: RequestFacts, response: ResponseFacts) -> Recognised | None:
    """The activity that shows in the head of the response: downloads and views. None: no activity.

    Only a success with a body is one: errors, redirects, 204, 304 and answers to HEAD carry no file.
    """
    if not 200 <= response.status < 300 or response.status in (204, 205):
        return None
    if request.method in ("HEAD", "CONNECT"):
        return None
    signature = signature_of(app, request)
    name = response.filename or name_in_path(request.path)
    if signature is not None:
        activity = _BY_NAME.get(signature.activity)
        if activity is None:
            return None
        if activity in _AT_RESPONSE and (not signature.status or response.status in signature.status):
            return activity, _received(name, response)
    kind = kind_of(response.content_type)
    if app is not None and app.transfers.inline == "view" and _is_shown(kind, request, response):
        return ActivityType.VIEW, _received(name, response)
    if _is_download(kind, extension_of(name), request, response):
        return ActivityType.DOWNLOAD, _received(name, response)
    if request.mode is RequestMode.NAVIGATION and not request.frame and request.method == "GET":
        known = extension_of(name) in DOCUMENT_EXTENSIONS
        return ActivityType.VIEW, _received(name, response) if known else None
    return None


def signature_of(app: App | None, request: RequestFacts) -> Signature | None:
    """The first of the app's signatures that the request fits, or None."""
    found = find(app, request)
    return None if found is None else found.signature


def hides_upload(signature: Signature, request: RequestFacts) -> bool:
    """Whether the signature would give an upload another name without having asked for the type of its body.

    `POST /x?delete` may be a deletion; with a file in its body the same address may well be an upload to the app, and
    whoever wants to pass a policy by can add what a signature asks for. `none` is exempt: that is what it is for.
    """
    other = signature.activity not in (NOTHING, ActivityType.UPLOAD)
    return other and not signature.content_types and _is_upload(request)


def file_in_path(request: RequestFacts) -> FileFacts | None:
    """The file that the path names; None when its last segment does not look like one."""
    name = name_in_path(request.path)
    extension = extension_of(name)
    return FileFacts(name=name, extension=extension) if extension else None


def _is_upload(request: RequestFacts) -> bool:
    media_type = request.content_type
    if request.upload_name is not None and (media_type or request.method in _WRITING):
        return request.upload_name != ""
    if media_type.startswith("multipart/"):
        return media_type != "multipart/mixed"  # Batches of API calls (OData, Google).
    kind = kind_of(media_type)
    if kind in (Kind.FILE, Kind.PICTURE):
        return True
    if request.method not in _WRITING:
        return False
    if kind in (Kind.PAGE, Kind.ASSET):
        return True
    extension = extension_of(name_in_path(request.path))
    if request.method == "PUT":
        if kind is Kind.DATA:
            return extension in DATA_EXTENSIONS
        return extension != "" or (kind is not Kind.TEXT and request.content_length != 0)
    # WebDAV clients and scripts PUT; a POST of text or data is a call of the app's API.
    return kind is Kind.UNSAID and request.content_length != 0


def _named_upload(request: RequestFacts) -> FileFacts:
    name = request.upload_name or ""
    whole = not request.content_type.startswith("multipart/")
    if not name and request.method == "PUT":
        name = name_in_path(request.path)
    return FileFacts(
        name=name,
        extension=extension_of(name),
        size=request.content_length if name and whole else None,  # Without a name it may be one chunk of many.
        declared_type=request.content_type if whole and request.content_type else None,
    )


def _is_download(kind: Kind, extension: str, request: RequestFacts, response: ResponseFacts) -> bool:
    mode = request.mode
    if request.save_as:
        return True
    if response.attachment:
        # Apps mark pictures as attachments so that nobody opens them as a page; in a page they are shown all the same.
        return mode is not RequestMode.SUBRESOURCE or kind not in (Kind.PICTURE, Kind.ASSET)
    if kind is Kind.FILE:
        unlabelled = response.content_type == "application/octet-stream"
        return not (mode is RequestMode.SUBRESOURCE and unlabelled and extension in ASSET_EXTENSIONS)
    document = extension in DOCUMENT_EXTENSIONS
    if kind is Kind.PICTURE:
        return mode not in (RequestMode.FETCH, RequestMode.SUBRESOURCE)
    if kind in (Kind.TEXT, Kind.ASSET):
        return document
    if kind is Kind.UNSAID:
        asked = request.method == "GET" and mode is not RequestMode.SUBRESOURCE
        return response.content_length != 0 and (document or asked)
    if kind is Kind.DATA:
        return mode is RequestMode.NAVIGATION and (document or extension in DATA_EXTENSIONS)
    return False


def _is_shown(kind: Kind, request: RequestFacts, response: ResponseFacts) -> bool:
    """Whether the browser opens a file to show it, and does not save it (S52)."""
    if response.attachment or request.save_as or request.method != "GET":
        return False
    if request.mode is not RequestMode.NAVIGATION:
        return False
    return kind is Kind.PICTURE or response.content_type in _VIEWED


_VIEWED = frozenset(("application/pdf", "text/pdf", "application/x-pdf"))


def _received(name: str, response: ResponseFacts) -> FileFacts:
    whole = response.status != 206 and not response.content_encoding
    return FileFacts(
        name=name,
        extension=extension_of(name),
        size=response.content_length if whole else None,
        declared_type=response.content_type or None,
    )
