"""Protected downloads over the wire: what leaves, in which format, and that standard programs open it."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import openpyxl
import pikepdf
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from casb.inspection.labels import of_zip
from casb.inspection.zips import Directory
from casb.model.identity import DeviceTag
from casb.protection.office import decrypt_ooxml
from casb.store.protected_sqlite import KIND, OPENED, ProtectedFiles, opening_of, row_of
from proxy_world import NAVIGATE, SUFFIX, Reply, World, reply, world

TENANT = "cb46c030-1825-4e81-a295-151c039dbf02"
GENERAL, SECRET = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
LABELS = (
    f"[{{id: {GENERAL}, name: General, tenant: {TENANT}, priority: 1}}, "
    f"{{id: {SECRET}, name: Secret, tenant: {TENANT}, priority: 9}}]"
)
POLICIES = """\
version: 1
policies:
  - {id: auto, activities: [download], when: {file: {name: "auto*"}}, action: protect}
  - id: both
    activities: [download]
    when: {file: {name: "both*"}}
    action: {type: protect, label: Secret}
  - id: label
    activities: [download]
    when: {file: {name: "label*"}}
    action: {type: protect, using: label, label: General}
  - id: must
    activities: [download]
    when: {file: {name: "must*"}}
    action: {type: protect, using: label, label: Secret, otherwise: block}
  - id: managed
    activities: [download]
    when: {file: {name: "*managed*"}}
    action: {type: protect, using: auto, device: managed, expires: 1d, groups: [auditors]}
  - id: acme
    activities: [download]
    when: {file: {name: "acme*"}}
    action: {type: protect, using: cms, recipients: [acme]}
  - id: zip
    activities: [download]
    when: {file: {name: "zip*"}}
    action: {type: protect, using: zip_aes}
  - id: later
    activities: [download]
    when: {file: {name: "*later*"}, device: {tag: unmanaged}, user: {group: leavers}}
    action: block
    message: Not any more.
"""


def xlsx(text: str = "salary 90000") -> bytes:
    book = openpyxl.Workbook()
    book.worksheets[0]["A1"] = text
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def pdf() -> bytes:
    document = pikepdf.new()
    document.add_blank_page()
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A partner's certificate and key, as one PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    path = tmp_path_factory.mktemp("acme") / "acme.pem"
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(certificate + pem)
    return path


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, acme: Path) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("protect")
    recipients = f"[{{name: acme, certificate: {acme}}}]"
    with world(folder, start=False, labels=LABELS, recipients=recipients, limits="{hold: 2MB}") as made:
        made.write("policies.yaml", POLICIES)
        made.start()
        yield made


def download(here: World, name: str, body: bytes, **headers: str) -> Reply:
    kind = {"content_type": "application/octet-stream", "content_disposition": f'attachment; filename="{name}"'}
    path = f"/{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    here.origin.routes[path] = lambda handler, _: reply(handler, 200, body, **(kind | headers))
    return here.ask(path, cookie=here.session("bea@contoso.example"), headers=NAVIGATE)


def shipped(here: World) -> ProtectedFiles:
    """What the sidecar does with the lines of the spool."""
    files = ProtectedFiles(here.data)
    lines = here.spooled()
    files.keep(
        [row_of(each) for each in lines if each.get("kind") == KIND],
        [opening_of(each) for each in lines if each.get("kind") == OPENED],
    )
    return files


def login(
    here: World, name: str = "bea@contoso.example", *, groups: tuple[str, ...] = (), managed: bool = False
) -> dict[str, str]:
    """Headers of a browser that is signed in at the sign-in host and posts from our page."""
    host = f"login.{SUFFIX}"
    cookie = here.session(name, groups=groups, tags=(DeviceTag.COMPLIANT,) if managed else (), host=host)
    login_cookie = cookie.replace("__Host-casb_s", "__Host-casb_l")
    return {"cookie": login_cookie, "origin": f"https://{host}:{here.port}", "sec-fetch-site": "same-origin"}


def ask(here: World, path: str, body: bytes, headers: dict[str, str], kind: str = "application/json") -> Reply:
    sent = {**headers, "content-type": kind}
    return here.ask(path, method="POST", host=f"login.{SUFFIX}", body=body, headers=sent)


def password(here: World, question: dict[str, str], who: dict[str, str]) -> Reply:
    shipped(here)
    return ask(here, "/.casb/open/secret", json.dumps(question).encode(), who)


def test_an_office_file_leaves_with_a_password_that_its_person_is_told(here: World) -> None:
    plain = xlsx()
    got = download(here, "auto.xlsx", plain, etag='"x"', repr_digest="sha-256=:x:", accept_ranges="bytes")
    assert got.status == 200
    assert got.body[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    assert 'filename="auto.xlsx"' in got.headers["content-disposition"]
    assert "filename*=UTF-8''auto.xlsx" in got.headers["content-disposition"]
    assert not {"etag", "repr-digest", "accept-ranges"} & got.headers.keys()
    told = password(here, {"sha256": hashlib.sha256(got.body).hexdigest()}, login(here))
    assert told.status == 200, told.text
    opened = decrypt_ooxml(got.body, told.json["secret"])
    with zipfile.ZipFile(io.BytesIO(opened)) as archive, zipfile.ZipFile(io.BytesIO(plain)) as before:
        assert {name: archive.read(name) for name in before.namelist()} == {
            n: before.read(n) for n in before.namelist()
        }
    record = here.record(got.headers["x-casb-activity"])
    assert record["extra"]["protect"]["format"] == "office"
    assert record["action"] == "protect"
    view = here.record(told.headers["x-casb-activity"])
    assert (view["activity"], view["action"], view["user"]["name"]) == ("view", "audit", "bea@contoso.example")


def test_no_line_of_the_spool_has_the_password(here: World) -> None:
    got = download(here, "auto-2.xlsx", xlsx())
    told = password(here, {"sha256": hashlib.sha256(got.body).hexdigest()}, login(here))
    text = json.dumps(here.spooled()) + here.log
    assert told.json["secret"] not in text


def test_a_pdf_opens_with_poppler_and_qpdf(here: World, tmp_path: Path) -> None:
    got = download(here, "auto.pdf", pdf())
    path = tmp_path / "out.pdf"
    path.write_bytes(got.body)
    secret = password(here, {"sha256": hashlib.sha256(got.body).hexdigest()}, login(here)).json["secret"]
    assert subprocess.run(["pdftotext", path, "-"], capture_output=True, check=False).returncode != 0
    assert subprocess.run(["pdftotext", "-upw", secret, path, "-"], capture_output=True, check=False).returncode == 0
    shown = subprocess.run(
        ["qpdf", "--show-encryption", f"--password={secret}", path], capture_output=True, check=True
    ).stdout
    assert b"R = 6" in shown
    assert b"AESv3" in shown


@pytest.mark.parametrize(
    ("name", "body"),
    [
        pytest.param("auto.txt", b"salary 90000" * 1000, id="no office file"),
        pytest.param("auto-named.docx", b"salary 90000" * 1000, id="only called one"),
        pytest.param("auto-large.docx", b"salary 90000" * 400_000, id="larger than what may be held"),
    ],
)
def test_everything_else_leaves_as_a_container(here: World, name: str, body: bytes) -> None:
    got = download(here, name, body)
    assert got.body.startswith(b"age-encryption.org/v1\n")
    assert f'filename="{name}.age"' in got.headers["content-disposition"]
    assert b"90000" not in got.body
    told = ask(here, "/.casb/open/key", got.body[:16384], login(here), "application/octet-stream")
    assert told.status == 200
    assert told.json["name"] == name


def test_a_large_file_of_unknown_length_goes_on_as_a_stream(here: World) -> None:
    body = b"salary 90000" * 400_000

    def chunked(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/pdf")
        handler.send_header("content-disposition", 'attachment; filename="auto-chunked.pdf"')
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for at in range(0, len(body), 65536):
            piece = body[at : at + 65536]
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")

    here.origin.routes["/chunked"] = chunked
    got = here.ask("/chunked", cookie=here.session(), headers=NAVIGATE)
    assert got.body.startswith(b"age-encryption.org/v1\n")
    assert len(got.body) > len(body)
    assert 'filename="auto-chunked.pdf.age"' in got.headers["content-disposition"]


def test_a_label_is_written_and_the_rest_stays(here: World) -> None:
    got = download(here, "label.xlsx", xlsx())
    found = of_zip(Directory(io.BytesIO(got.body), len(got.body)))
    assert [(each.id, each.name, each.tenant) for each in found] == [(GENERAL, "General", TENANT)]
    assert openpyxl.load_workbook(io.BytesIO(got.body)).worksheets[0]["A1"].value == "salary 90000"
    assert 'filename="label.xlsx"' in got.headers["content-disposition"]
    made = here.record(got.headers["x-casb-activity"])["extra"]["protect"]
    assert made | {"file": ""} == {"format": "label", "file": "", "label": "General", "label_written": True}


def test_a_higher_label_is_not_lowered(here: World) -> None:
    both = download(here, "both.xlsx", xlsx())
    secret = password(here, {"sha256": hashlib.sha256(both.body).hexdigest()}, login(here)).json["secret"]
    labelled = decrypt_ooxml(both.body, secret)
    assert [each.name for each in of_zip(Directory(io.BytesIO(labelled), len(labelled)))] == ["Secret"]
    again = download(here, "label-again.xlsx", labelled)
    assert again.body == labelled
    made = here.record(again.headers["x-casb-activity"])["extra"]["protect"]
    assert (made["label"], made["label_written"]) == ("Secret", False)


def hostile(kind: str) -> bytes:
    whole = xlsx()
    if kind == "lying directory":
        return whole.replace(b"xl/workbook.xml", b"xl/workbook.xmm", 1)
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as before, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in before.namelist():
            archive.writestr(name, before.read(name))
        if kind == "zip bomb":
            archive.writestr("xl/bomb.xml", bytes(400 * 1024 * 1024))
        if kind == "xml bomb":
            archive.writestr("docProps/custom.xml", '<!DOCTYPE a [<!ENTITY b "xx">]><a>&b;</a>')
        if kind == "names":
            archive.writestr("../../etc/passwd", "x")
    return target.getvalue()


@pytest.mark.parametrize("kind", ["lying directory", "zip bomb", "xml bomb", "names"])
def test_a_hostile_office_file_is_refused(here: World, kind: str) -> None:
    body = hostile(kind)
    assert len(body) < 2_000_000
    got = download(here, f"both-{kind.replace(' ', '-')}.xlsx", body)
    assert b"blocked" in got.body
    assert b"PK\x03\x04" not in got.body
    record = here.record(got.headers["x-casb-activity"])
    assert (record["action"], record["reasons"][-1]["code"]) == ("block", "protect.impossible")
    fine = download(here, f"both-after-{kind.replace(' ', '-')}.xlsx", xlsx())
    assert fine.body[:4] == b"\xd0\xcf\x11\xe0", "the pool lives"


@pytest.mark.parametrize(
    ("name", "body"),
    [("must.txt", b"salary 90000"), ("must.pdf", b"%PDF-1.7 not really"), ("must.bin", bytes(3_000_000))],
    ids=["text", "a broken PDF", "too large"],
)
def test_what_cannot_be_labelled_is_refused_where_policy_says_so(here: World, name: str, body: bytes) -> None:
    got = download(here, name, body)
    assert b"90000" not in got.body
    assert here.record(got.headers["x-casb-activity"])["action"] == "block"


@pytest.mark.parametrize(
    "name",
    ["auto" + "a" * 4000 + ".xlsx", "auto\u202egpj.xlsx", "auto..%2f..%2fx.xlsx", "auto\x01.xlsx", "auto\0.xlsx"],
    ids=["4 KB", "bidi", "folders", "a control character", "NUL"],
)
def test_a_strange_name_is_made_plain(here: World, name: str) -> None:
    from urllib.parse import quote

    here.origin.routes["/strange"] = lambda handler, _: reply(
        handler,
        200,
        xlsx(),
        content_type="application/x",
        content_disposition=f"attachment; filename*=UTF-8''{quote(name)}",
    )
    got = here.ask("/strange", cookie=here.session(), headers=NAVIGATE)
    told = got.headers["content-disposition"]
    assert got.body[:4] == b"\xd0\xcf\x11\xe0" or got.body.startswith(b"age-")
    assert len(told) < 1000
    assert "%E2%80%AE" not in told
    assert "/" not in told.replace("UTF-8", "")
    assert got.status == 200


def test_a_part_is_never_asked_for(here: World) -> None:
    download(here, "auto-range.txt", b"x" * 100)
    path = here.origin.seen[-1].path
    got = here.ask(path, cookie=here.session(), headers={**NAVIGATE, "range": "bytes=0-9", "if-range": '"x"'})
    assert got.body.startswith(b"age-encryption.org/v1\n")
    assert not {"range", "if-range"} & here.origin.seen[-1].headers.keys()


def test_a_partner_opens_cms_with_openssl(here: World, acme: Path, tmp_path: Path) -> None:
    body = b"salary 90000" * 20_000
    got = download(here, "acme.csv", body)
    path = tmp_path / "acme.csv.p7m"
    path.write_bytes(got.body)
    assert 'filename="acme.csv.p7m"' in got.headers["content-disposition"]
    opening = ["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", str(path)]
    done = subprocess.run([*opening, "-inkey", acme, "-recip", acme], capture_output=True, check=False)
    assert done.stdout == body
    file = here.record(got.headers["x-casb-activity"])["extra"]["protect"]["file"]
    told = password(here, {"file": file}, login(here)).json
    key = ["-secretkey", told["secret"], "-secretkeyid", file.encode().hex()]
    assert subprocess.run([*opening, *key], capture_output=True, check=False).stdout == body


def test_seven_zip_opens_aes_zip(here: World, tmp_path: Path) -> None:
    body = b"salary 90000" * 20_000
    got = download(here, "zip.csv", body)
    path = tmp_path / "out.zip"
    path.write_bytes(got.body)
    file = here.record(got.headers["x-casb-activity"])["extra"]["protect"]["file"]
    secret = password(here, {"file": file}, login(here)).json["secret"]
    assert subprocess.run(["7z", "x", "-so", f"-p{secret}", path], capture_output=True, check=False).stdout == body
    assert subprocess.run(["7z", "t", "-pwrong", path], capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize(
    ("who", "groups", "managed", "code"),
    [
        pytest.param("bea@contoso.example", (), True, "", id="the person"),
        pytest.param("bea@contoso.example", (), False, "F017", id="the person on an unmanaged device"),
        pytest.param("kim@contoso.example", ("auditors",), True, "", id="somebody of the group"),
        pytest.param("kim@contoso.example", (), True, "F007", id="somebody else"),
    ],
)
def test_opening_looks_at_person_and_device(
    here: World, who: str, groups: tuple[str, ...], managed: bool, code: str
) -> None:
    got = download(here, "managed.bin", b"salary 90000")
    asking = login(here, who, groups=groups, managed=managed)
    told = ask(here, "/.casb/open/key", got.body, asking, "application/octet-stream")
    assert told.json.get("code", "") == code
    assert ("key" in told.json) is (code == "")
    record = here.record(told.headers["x-casb-activity"])
    assert record["action"] == ("block" if code else "audit")


@pytest.mark.parametrize("kind", ["container", "password"])
def test_revocation_and_expiry_hold_after_the_fact(here: World, kind: str) -> None:
    name, body = ("auto-revoked.txt", b"x") if kind == "container" else ("auto-revoked.xlsx", xlsx("revoked"))
    got = download(here, name, body)
    who = login(here)
    file = here.record(got.headers["x-casb-activity"])["extra"]["protect"]["file"]

    def code() -> str:
        if kind == "container":
            told = ask(here, "/.casb/open/key", got.body, who, "application/octet-stream")
        else:
            told = password(here, {"file": file}, who)
        return str(told.json.get("code", ""))

    files = shipped(here)
    now = datetime.now(UTC)
    assert code() == ""
    assert files.revoke(file, "admin", now)
    assert code() == "F016"
    assert files.restore(file)
    assert code() == ""
    assert files.expire(file, now - timedelta(minutes=1))
    assert code() == "F016"


def test_opening_asks_the_policies_of_today(here: World) -> None:
    got = download(here, "auto-later.txt", b"salary 90000")
    told = ask(here, "/.casb/open/key", got.body, login(here), "application/octet-stream")
    assert told.status == 200
    told = ask(here, "/.casb/open/key", got.body, login(here, groups=("leavers",)), "application/octet-stream")
    assert (told.status, told.json["code"], told.json["message"]) == (403, "F017", "Not any more.")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/.casb/open/key", b""),
        ("/.casb/open/key", b"age-encryption.org/v1\n-> casb x y\n\n--- x\n"),
        ("/.casb/open/secret", b"{"),
        ("/.casb/open/secret", b"[]"),
        ("/.casb/open/secret", b'{"file": {"a": 1}}'),
        ("/.casb/open/secret", b'{"sha256": ""}'),
        ("/.casb/open/secret", b"[" * 100_000),
    ],
    ids=["nothing", "a foreign header", "no JSON", "a list", "an object for an id", "an empty digest", "deep"],
)
def test_a_malformed_question_is_refused(here: World, path: str, body: bytes) -> None:
    told = ask(here, path, body, login(here))
    assert told.status in (413, 422), told.text


def test_nobody_and_other_pages_are_told_nothing(here: World) -> None:
    got = download(here, "auto-nobody.txt", b"x")
    stranger = {key: value for key, value in login(here).items() if key != "cookie"}
    assert ask(here, "/.casb/open/key", got.body, stranger).status == 401
    foreign = login(here) | {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert ask(here, "/.casb/open/key", got.body, foreign).status == 403


def test_the_page_without_script(here: World) -> None:
    got = download(here, "auto-form.xlsx", xlsx())
    shipped(here)
    who = login(here)
    file = here.record(got.headers["x-casb-activity"])["extra"]["protect"]["file"]
    page = here.ask(f"/.casb/open?file={file}", host=f"login.{SUFFIX}", headers={**who, **NAVIGATE})
    assert "<b>auto-form.xlsx</b>" in page.text
    told = ask(here, "/.casb/open/secret", f"file={file}".encode(), who, "application/x-www-form-urlencoded")
    secret = told.text.partition("<p><code>")[2].partition("<")[0]
    assert decrypt_ooxml(got.body, secret)
