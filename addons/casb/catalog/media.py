"""Media types sorted by what a browser does with them: is it a page, data for a script, or a file?

Everything that is not known to be something else is a file: an origin that invents a type must not get past a policy.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache


class Kind(Enum):
    """What a body of some media type is to a web application."""

    PAGE = "page"  # a document that the browser lays out
    DATA = "data"  # for scripts: JSON, XML, RPC
    ASSET = "asset"  # what a page is built of: scripts, styles, fonts
    PICTURE = "picture"  # images, sound and film that browsers show
    TEXT = "text"
    FILE = "file"
    UNSAID = "unsaid"  # no type was given


_PAGES = {"text/html", "application/xhtml+xml"}
_DATA = {
    "application/json", "text/json", "application/xml", "text/xml", "application/x-www-form-urlencoded",
    "application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-seq", "application/graphql",
    "application/x-protobuf", "application/protobuf", "application/x-google-protobuf",
    "application/msgpack", "application/x-msgpack", "application/vnd.msgpack", "application/cbor",
    "text/event-stream", "text/x-component", "text/x-gwt-rpc", "application/csp-report", "application/reports+json",
    "application/vnd.apple.mpegurl", "application/x-mpegurl", "application/dash+xml", "application/sdp",
    "application/ocsp-request", "application/ocsp-response", "text/cache-manifest", "text/uri-list", "text/ping",
    "multipart/mixed", "multipart/x-mixed-replace", "multipart/form-data", "application/x-amf",
}  # fmt: skip
_ASSETS = {
    "text/javascript", "application/javascript", "application/x-javascript", "application/ecmascript",
    "text/ecmascript", "text/css", "application/wasm", "text/vtt", "application/font-woff", "application/font-woff2",
    "application/x-font-woff", "application/x-font-ttf", "application/x-font-otf", "application/vnd.ms-fontobject",
    "application/speculationrules+json", "application/importmap+json", "application/manifest+json",
}  # fmt: skip
_IMAGES = {
    "png", "apng", "jpeg", "jpg", "pjpeg", "gif", "webp", "avif", "svg+xml", "x-icon", "vnd.microsoft.icon", "ico",
    "bmp", "x-ms-bmp", "jxl", "heic", "heif",
}  # fmt: skip
_TEXT_FILES = {"text/csv", "text/tab-separated-values", "text/calendar", "text/vcard", "text/x-vcard", "text/rtf"}
_RPC_PREFIXES = ("application/grpc", "application/x-amz-json", "application/connect+", "application/vnd.git-")

DOCUMENT_EXTENSIONS = frozenset(
    "doc docx docm dot dotx dotm odt ott rtf pages pdf ps eps xps oxps epub mobi azw3 djvu tex"
    " xls xlsx xlsm xlsb xlt xltx xltm ods ots csv tsv numbers ppt pptx pptm pps ppsx pot potx odp otp key"
    " vsd vsdx mpp one pub accdb mdb sqlite sqlite3 db dbf parquet avro"
    " zip 7z rar tar gz tgz bz2 tbz2 xz txz zst lz lzma cab iso img dmg jar war apk ipa deb rpm msi exe dll bin"
    " eml msg pst ost mbox ics vcf txt text log md sql bak dump pem pfx p12 kdbx age gpg"
    " dwg dxf step stp stl psd ai indd".split()
)
"""Extensions of what people keep as files, for responses whose type does not say so."""

ASSET_EXTENSIONS = frozenset(
    "js mjs cjs css map wasm woff woff2 ttf otf eot ico png jpg jpeg gif webp avif svg glb gltf data bcmap ftl".split()
)
"""Extensions of page parts that servers without a type table hand out as `application/octet-stream`."""

DATA_EXTENSIONS = frozenset("json geojson ipynb xml csv txt yaml yml har plist svg".split())
"""Extensions of files whose own type is one that scripts use for data as well."""


@lru_cache(maxsize=1024)
def kind_of(media_type: str) -> Kind:
    """The kind of a media type in lower case without parameters, as `RequestFacts.content_type` has it."""
    if not media_type:
        return Kind.UNSAID
    if media_type in _PAGES:
        return Kind.PAGE
    if media_type in _ASSETS:
        return Kind.ASSET
    if media_type in _DATA or media_type.startswith(_RPC_PREFIXES):
        return Kind.DATA
    if media_type in _TEXT_FILES:
        return Kind.FILE
    top, _, sub = media_type.partition("/")
    if top == "image":
        return Kind.PICTURE if sub in _IMAGES else Kind.FILE
    return _by_shape(top, sub)


def _by_shape(top: str, sub: str) -> Kind:
    if top in ("audio", "video"):
        return Kind.PICTURE
    if top == "font":
        return Kind.ASSET
    if sub.endswith(("+json", "+xml", "+json-seq")):
        return Kind.DATA
    return Kind.TEXT if top == "text" else Kind.FILE
