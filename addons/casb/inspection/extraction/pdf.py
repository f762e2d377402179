"""PDF: the text of its pages by PDFium; forms, annotations, attachments, scripts and properties by qpdf."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import pikepdf

from casb.inspection.extraction import markup
from casb.inspection.extraction.context import Context, Exhausted, Item, Refused, Texts
from casb.inspection.extraction.text import strings as text_runs
from casb.inspection.limits import Why
from casb.model.signs import Sign

_ACTIONS = frozenset(
    {"/JavaScript", "/Launch", "/SubmitForm", "/ImportData", "/Rendition", "/GoToE", "/RichMediaExecute"}
)
_STRINGS = ("/Contents", "/V", "/DV", "/TU", "/T", "/RC", "/Subj")
_SMALL = 64 * 1024  # flate gives at most 1032 times as much (zlib technical details): 64 MB
_TREE = 10_000
_NEAR = 1024
_TAIL = 1024 * 1024
_PASSWORD = 4  # FPDF_ERR_PASSWORD
_NAMES = {"/Title": "title", "/Author": "author", "/Subject": "subject", "/Keywords": "keywords",
          "/Creator": "application",
          "/Producer": "producer", "/Company": "company"}  # fmt: skip


def read(context: Context, item: Item) -> Texts:
    """Everything readable in a PDF. Raises `Refused`; ENCRYPTED when it needs a password to be opened."""
    if sum(block.count(b" obj") for block in item.blocks()) > context.limits.objects:
        raise Exhausted  # without the seconds that opening it takes
    yield from _around(context, item)
    item.file.seek(0)
    try:
        with pikepdf.open(item.file, suppress_warnings=True) as pdf:
            if len(pdf.objects) > context.limits.objects:
                raise Exhausted
            yield from _structure(context, item, pdf)
    except pikepdf.PasswordError:
        raise Refused(Why.ENCRYPTED) from None
    except pikepdf.PdfError:
        raise Refused(Why.CORRUPT) from None
    if context.texts:
        yield from _pages(item)


def _around(context: Context, item: Item) -> Texts:
    """What stands in front of the header and behind the end: readers look for both (ISO 32000-1 annex H)."""
    item.file.seek(0)
    before = item.file.read(_NEAR).partition(b"%PDF-")[0]
    start = max(0, item.size - _TAIL)
    item.file.seek(start)
    tail = item.file.read(_TAIL)
    end = tail.rfind(b"%%EOF")
    after = tail[end + 5 :] if end >= 0 else b""
    for found, part in ((before, "(before)"), (after, "(after)")):
        if found.strip(b"\x00\xef\xbb\xbf \t\r\n"):
            context.sign(Sign.POLYGLOT)
            if context.texts:
                yield from text_runs(item.inside(part), iter((found,)))


def _pages(item: Item) -> Texts:
    import pypdfium2  # noqa: PLC0415  # an extra

    item.file.seek(0)
    try:
        document = pypdfium2.PdfDocument(item.file)
        count = len(document)
    except pypdfium2.PdfiumError as error:
        locked = error.err_code == _PASSWORD
        raise Refused(Why.ENCRYPTED if locked else Why.CORRUPT) from None
    try:
        for number in range(count):
            page = document[number]
            text = page.get_textpage()
            try:
                yield item.inside(f"page {number + 1}"), text.get_text_range() + "\n"
            finally:
                text.close()
                page.close()
    except pypdfium2.PdfiumError:
        raise Refused(Why.CORRUPT) from None
    finally:
        document.close()


def _structure(context: Context, item: Item, pdf: pikepdf.Pdf) -> Texts:
    if context.texts:
        _measure(context, pdf)
    root = pdf.Root
    _action(context, root.get("/OpenAction"))
    _additional(context, root)
    yield from _information(context, item, pdf)
    names = root.get("/Names")
    if isinstance(names, pikepdf.Dictionary) and "/JavaScript" in names:
        context.sign(Sign.ACTIVE_CONTENT)
        for script in _tree(names["/JavaScript"]):
            yield from _script(item, script)
    form = root.get("/AcroForm")
    if isinstance(form, pikepdf.Dictionary):
        yield from _form(context, item, form)
    files: list[Any] = []
    if isinstance(names, pikepdf.Dictionary) and "/EmbeddedFiles" in names:
        files += _tree(names["/EmbeddedFiles"])
    for page in pdf.pages:
        _additional(context, page.obj)
        annotations = page.obj.get("/Annots")
        if isinstance(annotations, pikepdf.Array):
            for annotation in annotations:
                if isinstance(annotation, pikepdf.Dictionary):
                    yield from _annotation(context, item, annotation, files)
    for file in files:
        yield from _attachment(context, item, file)


def _measure(context: Context, pdf: pikepdf.Pdf) -> None:
    """Inflates, and forgets, the streams that PDFium would inflate as a whole: it dies when there is no memory."""
    for each in pdf.objects:
        if not isinstance(each, pikepdf.Stream):
            continue
        names = _filters(each)
        flates = sum(name in ("/FlateDecode", "/Fl", "/LZWDecode") for name in names)
        if not flates or each.get("/Subtype") == "/Image":
            continue
        length = each.get("/Length")
        if flates == 1 and isinstance(length, int) and length <= _SMALL:
            continue
        for _ in _inflated(context, each, names):
            pass


def _inflated(context: Context, stream: Any, names: list[str]) -> Iterator[bytes]:
    """What the first filters of a stream give, in bounded steps, as long as they are flate."""
    blocks: Iterator[bytes] = iter((stream.read_raw_bytes(),))
    for name in names:
        if name not in ("/FlateDecode", "/Fl"):
            break
        blocks = _inflate(context, blocks)
    yield from blocks


def _inflate(context: Context, blocks: Iterator[bytes]) -> Iterator[bytes]:
    inflate = zlib.decompressobj()
    for block in blocks:
        packed = block
        while packed and not inflate.eof:
            try:
                plain = inflate.decompress(packed, 1024 * 1024)
            except zlib.error:  # PDF readers show what there is
                return
            packed = inflate.unconsumed_tail
            context.inflated(len(plain))
            yield plain


def _filters(stream: Any) -> list[str]:
    kind = stream.get("/Filter")
    if isinstance(kind, pikepdf.Array):
        return [str(each) for each in kind]
    return [str(kind)] if kind is not None else []


def _information(context: Context, item: Item, pdf: pikepdf.Pdf) -> Texts:
    information = pdf.trailer.get("/Info")
    if isinstance(information, pikepdf.Dictionary):
        found = [(str(key), _string(value)) for key, value in information.items()]
        for key, value in found:
            context.report.property(_NAMES.get(key, key[1:].lower()), value)
        yield item.inside("information"), "".join(f"{value}\n" for _, value in found)
    packet = pdf.Root.get("/Metadata")
    if isinstance(packet, pikepdf.Stream) and context.texts:
        try:
            yield from markup.xml(item.inside("metadata"), iter((_content(context, packet),)), all_attributes=True)
        except Refused as refused:
            if refused.why is Why.BOMB:
                raise
            # XMP is often sloppy, and never needed to open the file.


def _form(context: Context, item: Item, form: Any) -> Texts:
    package = form.get("/XFA")
    if package is not None:
        context.sign(Sign.ACTIVE_CONTENT)
        streams = list(package) if isinstance(package, pikepdf.Array) else [package]
        data = b"".join(_content(context, each) for each in streams if isinstance(each, pikepdf.Stream))
        if data and context.texts:
            yield from markup.xml(item.inside("form"), iter((data,)), all_attributes=True)
    fields = form.get("/Fields")
    waiting = list(fields) if isinstance(fields, pikepdf.Array) else []
    seen = 0
    while waiting and seen < _TREE:
        field = waiting.pop(0)
        seen += 1
        if isinstance(field, pikepdf.Dictionary):
            _additional(context, field)
            yield item.inside("form"), _strings(field)
            kids = field.get("/Kids")
            if isinstance(kids, pikepdf.Array):
                waiting += list(kids)


def _annotation(context: Context, item: Item, annotation: Any, files: list[Any]) -> Texts:
    _additional(context, annotation)
    action = annotation.get("/A")
    _action(context, action)
    kind = str(annotation.get("/Subtype", ""))
    if kind in ("/RichMedia", "/Screen", "/3D"):
        context.sign(Sign.ACTIVE_CONTENT)
    if "/FS" in annotation:
        files.append(annotation["/FS"])
    text = _strings(annotation)
    if isinstance(action, pikepdf.Dictionary) and "/URI" in action:
        text += _string(action["/URI"]) + "\n"
    if text:
        yield item.inside("annotations"), text
    yield from _script(item, action)


def _additional(context: Context, holder: Any) -> None:
    """Additional actions (ISO 32000-1, 12.6.3)."""
    actions = holder.get("/AA")
    if isinstance(actions, pikepdf.Dictionary):
        for _, action in actions.items():
            _action(context, action)


def _action(context: Context, action: Any) -> None:
    for _ in range(16):  # /Next makes a chain of them
        if not isinstance(action, pikepdf.Dictionary):
            return
        if str(action.get("/S", "")) in _ACTIONS:
            context.sign(Sign.ACTIVE_CONTENT)
        following = action.get("/Next")
        action = following[0] if isinstance(following, pikepdf.Array) and len(following) else following


def _script(item: Item, action: Any) -> Texts:
    if isinstance(action, pikepdf.Dictionary) and "/JS" in action:
        script = action["/JS"]
        text = script.read_bytes().decode("latin-1") if isinstance(script, pikepdf.Stream) else _string(script)
        yield item.inside("scripts"), text + "\n"


def _attachment(context: Context, item: Item, file: Any) -> Texts:
    if not isinstance(file, pikepdf.Dictionary):
        return
    context.sign(Sign.EMBEDDED_FILE)
    name = _string(file.get("/UF", file.get("/F", ""))) or "attachment"
    yield item.part, f"{name}\n"
    embedded = file.get("/EF")
    if not isinstance(embedded, pikepdf.Dictionary):
        return
    for stream in {each.objgen: each for _, each in embedded.items() if isinstance(each, pikepdf.Stream)}.values():
        names = _filters(stream)
        if names in ([], ["/FlateDecode"]):
            raw = stream.read_raw_bytes()
            blocks = _inflate_only(raw) if names else iter((raw,))
        else:
            blocks = iter((stream.read_bytes(),))
        yield from context.nested(item, name, blocks)


def _inflate_only(raw: bytes) -> Iterator[bytes]:
    inflate = zlib.decompressobj()
    packed = raw
    while packed and not inflate.eof:
        try:
            yield inflate.decompress(packed, 1024 * 1024)
        except zlib.error:
            raise Refused(Why.CORRUPT) from None
        packed = inflate.unconsumed_tail


def _content(context: Context, stream: Any) -> bytes:
    names = _filters(stream)
    if set(names) <= {"/FlateDecode", "/Fl"}:
        return b"".join(_inflated(context, stream, names))
    data: bytes = stream.read_bytes()
    context.inflated(len(data))
    return data


def _tree(node: Any) -> Iterator[Any]:
    """The values of a name tree (ISO 32000-1, 7.9.6)."""
    waiting = [node]
    seen = 0
    while waiting and seen < _TREE:
        at = waiting.pop()
        seen += 1
        if not isinstance(at, pikepdf.Dictionary):
            continue
        pairs, kids = at.get("/Names"), at.get("/Kids")
        if isinstance(pairs, pikepdf.Array):
            yield from list(pairs)[1::2]
        if isinstance(kids, pikepdf.Array):
            waiting += list(kids)


def _strings(holder: Any) -> str:
    found = []
    for key in _STRINGS:
        value = holder.get(key)
        if isinstance(value, pikepdf.String | pikepdf.Array):
            found.append(_string(value))
        elif isinstance(value, pikepdf.Stream) and key in ("/V", "/RC"):
            found.append(value.read_bytes().decode("latin-1"))
    return "".join(f"{each}\n" for each in found if each)


def _string(value: Any) -> str:
    if isinstance(value, pikepdf.Array):
        return " ".join(_string(each) for each in value)
    return str(value) if isinstance(value, pikepdf.String | str) else ""
