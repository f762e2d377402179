"""What a browser and an origin see of one exchange, over real sockets, TLS and a real worker process."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from casb.model.identity import DeviceTag
from casb.protection.encrypt import HandOver
from casb.protection.entitlement import Answer
from casb.protection.opening import Opener
from casb.store.keyring import Keyring
from proxy_world import APP_HOST, FETCH, NAVIGATE, SUFFIX, Origin, World, reply, wait_for, world

SECRET = b"salary,name\n" + b"90000,ada\n" * 20_000


def attachment(proxy: World, path: str, body: bytes, name: str, **headers: str) -> None:
    disposition = f'attachment; filename="{name}"'
    kind = {"content_type": "application/octet-stream", "content_disposition": disposition}
    proxy.origin.routes[path] = lambda handler, _body: reply(handler, 200, body, **(kind | headers))


def test_the_origin_sees_its_own_name_and_the_browser_never_leaves_the_suffix(proxy: World) -> None:
    body = f'<html><head></head><body><a href="https://{APP_HOST}/next">x</a></body></html>'.encode()
    proxy.origin.page("/page", body, content_type="text/html", location=f"https://{APP_HOST}/elsewhere")
    headers = {**NAVIGATE, "referer": f"https://{proxy.host}:{proxy.port}/before", "x-forwarded-for": "6.6.6.6"}
    got = proxy.ask("/page?q=1", cookie=proxy.session() + "; app=1", headers=headers)
    seen = proxy.origin.seen[-1]
    assert got.status == 200
    assert seen.path == "/page?q=1"
    assert seen.headers["host"] == APP_HOST
    assert seen.headers["referer"] == f"https://{APP_HOST}/before"
    assert seen.headers["cookie"] == "app=1", "our own cookies stay with us"
    assert "x-forwarded-for" not in seen.headers, "a claim from outside is not passed on"
    assert f"https://{APP_HOST}.{SUFFIX}:{proxy.port}/next" in got.text
    assert got.headers["location"] == f"https://{APP_HOST}.{SUFFIX}:{proxy.port}/elsewhere"


def test_a_blocked_download_never_reaches_the_browser(proxy: World) -> None:
    attachment(proxy, "/payroll", SECRET, "payroll.xlsx")
    got = proxy.ask("/payroll", cookie=proxy.session(), headers=NAVIGATE)
    assert got.status == 200, "a text file in place of the file"
    assert got.headers["content-disposition"].startswith('attachment; filename="payroll.xlsx - blocked.txt"')
    assert b"90000" not in got.body
    assert "Payroll stays on managed devices." in got.text
    record = proxy.record(got.headers["x-casb-activity"])
    assert (record["activity"], record["action"], record["policy"]) == ("download", "block", "block-payroll")
    assert record["reasons"][0]["line"] > 0
    assert any(each.startswith("casb_notice=") for each in got.cookies), "the dialog in the page finds its notice"


def test_a_blocked_fetch_is_told_in_json(proxy: World) -> None:
    attachment(proxy, "/payroll", SECRET, "payroll.xlsx")
    got = proxy.ask("/payroll", cookie=proxy.session(), headers=FETCH)
    assert got.status == 403
    assert got.json["casb"] == "blocked"
    assert got.json["activity"] == got.headers["x-casb-activity"]
    assert got.json["message"] == "Payroll stays on managed devices."


def test_a_managed_device_gets_the_file_byte_for_byte(proxy: World) -> None:
    attachment(proxy, "/payroll", SECRET, "payroll.xlsx")
    got = proxy.ask("/payroll", cookie=proxy.session(tags=(DeviceTag.COMPLIANT,)), headers=NAVIGATE)
    assert hashlib.sha256(got.body).digest() == hashlib.sha256(SECRET).digest()


def test_a_blocked_answer_is_not_waited_for(proxy: World) -> None:
    def endless(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/octet-stream")
        handler.send_header("content-disposition", 'attachment; filename="payroll.bin"')
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        while True:
            handler.wfile.write(b"5\r\nsweet\r\n")
            time.sleep(0.01)

    proxy.origin.routes["/endless"] = endless
    started = time.monotonic()
    got = proxy.ask("/endless", cookie=proxy.session(), headers=NAVIGATE)
    assert time.monotonic() - started < 5
    assert b"sweet" not in got.body
    assert "blocked" in got.text


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_protected_download_opens_again_for_the_person_entitled_and_nobody_else(proxy: World, coding: str) -> None:
    body = gzip.compress(SECRET) if coding == "gzip" else SECRET
    headers = {"content_encoding": "gzip"} if coding == "gzip" else {}
    attachment(proxy, "/report", body, "report.docx", **headers)
    got = proxy.ask("/report", cookie=proxy.session("bea@contoso.example"), headers=NAVIGATE)
    assert got.body.startswith(b"age-encryption.org/v1\n")
    assert b"90000" not in got.body
    assert 'filename="report.docx.age"' in got.headers["content-disposition"]
    assert f"casb_notice={got.headers['x-casb-activity']}" in "".join(got.cookies), "the dialog in the page finds it"
    keyring = Keyring.load(proxy.data)

    def entitled(facts: HandOver) -> Answer:
        allowed = facts.user == "tenant/bea@contoso.example"
        return Answer(allowed, "test", "test")

    opener = Opener(keyring.unwrap, entitled)
    assert opener.update(got.body) + opener.finish() == SECRET
    assert opener.facts is not None
    assert opener.facts.activity == got.headers["x-casb-activity"]
    stranger = Opener(keyring.unwrap, lambda facts: Answer(facts.user == "tenant/eve", "test", "not yours"))
    with pytest.raises(Exception, match="not yours"):
        stranger.update(got.body)


def test_a_part_of_a_protected_file_is_refused(proxy: World) -> None:
    def partial(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        reply(
            handler,
            206,
            SECRET[:100],
            content_type="application/octet-stream",
            content_range=f"bytes 0-99/{len(SECRET)}",
            content_disposition='attachment; filename="report.docx"',
        )

    proxy.origin.routes["/report-part"] = partial
    got = proxy.ask("/report-part", cookie=proxy.session(), headers={**NAVIGATE, "range": "bytes=0-99"})
    assert b"90000" not in got.body
    assert "range" not in proxy.origin.seen[-1].headers
    told = proxy.record(got.headers["x-casb-activity"])
    assert told["action"] == "block"
    assert "file.unscannable" in [each["code"] for each in told["reasons"]]


def test_content_is_read_where_a_policy_needs_it(proxy: World) -> None:
    program = b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + bytes(400)
    attachment(proxy, "/innocent", program, "innocent.pdf")
    got = proxy.ask("/innocent", cookie=proxy.session(tags=(DeviceTag.COMPLIANT,)), headers=NAVIGATE)
    assert "blocked" in got.text
    record = proxy.record(got.headers["x-casb-activity"])
    assert (record["policy"], record["file"]["detected_type"]) == (
        "no-programs",
        "application/vnd.microsoft.portable-executable",
    )
    attachment(proxy, "/text", b"just text " * 10, "innocent.pdf")
    got = proxy.ask("/text", cookie=proxy.session(tags=(DeviceTag.COMPLIANT,)), headers=NAVIGATE)
    assert got.body == b"just text " * 10


def test_a_held_bomb_is_unscannable_and_small_in_memory(proxy: World) -> None:
    bomb = gzip.compress(bytes(400 * 1024 * 1024), 1)
    attachment(proxy, "/bomb", bomb, "data.bin", content_encoding="gzip")
    got = proxy.ask("/bomb", cookie=proxy.session(tags=(DeviceTag.COMPLIANT,)), headers=NAVIGATE)
    record = proxy.record(got.headers["x-casb-activity"])
    assert record["action"] == "block"
    assert record["reasons"][-1]["code"] == "file.unscannable"
    assert proxy.process is not None
    with open(f"/proc/{proxy.process.pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak < 400 * 1024, "KiB: the bomb itself has as much"


def multipart(name: str, content: bytes) -> tuple[dict[str, str], bytes]:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="' + name.encode() + b'"\r\n\r\n' + content
    ) + b"\r\n--x--\r\n"
    return {**FETCH, "content-type": "multipart/form-data; boundary=x", "origin": "https://any"}, body


@pytest.mark.parametrize(
    ("name", "arrives", "why"),
    [("notes.txt", True, "nothing forbids it"), ("tool.exe", False, "a policy blocks programs")],
)
def test_uploads_are_judged_by_the_name_in_the_form(proxy: World, name: str, arrives: bool, why: str) -> None:
    proxy.origin.page("/up", b"thanks")
    before = len(proxy.origin.seen)
    headers, body = multipart(name, b"line one\r\nline two\r\n\r\n")
    got = proxy.ask("/up", method="POST", cookie=proxy.session(), headers=headers, body=body)
    assert (len(proxy.origin.seen) > before) is arrives, why
    if arrives:
        assert proxy.origin.seen[-1].body == body, "byte for byte"
    else:
        assert (got.status, got.json["casb"]) == (403, "blocked")


def test_an_access_policy_refuses_before_any_content(proxy: World) -> None:
    proxy.origin.page("/welcome", b"welcome")
    before = len(proxy.origin.seen)
    got = proxy.ask("/welcome", cookie=proxy.session("mallory@contoso.example"), headers=NAVIGATE)
    assert got.status == 403
    assert "Not from here." in got.text
    assert len(proxy.origin.seen) == before, "the application was not even asked"
    record = proxy.record(got.headers["x-casb-activity"])
    assert (record["activity"], record["policy"], record["source"]) == ("logon", "no-risky-logon", "access control")


def test_a_stranger_is_sent_to_sign_in_and_a_script_is_told(proxy: World) -> None:
    page = proxy.ask("/deep/link?a=1", headers=NAVIGATE)
    assert page.status == 303
    assert page.headers["location"].startswith(f"https://login.{SUFFIX}:{proxy.port}/.casb/login?p=")
    script = proxy.ask("/api", headers=FETCH)
    assert (script.status, script.json["casb"]) == (401, "sign-in")


@pytest.mark.parametrize(
    "cookie",
    [
        "__Host-casb_s=" + "A" * 43,
        "__Host-casb_s=short",
        "__Host-casb_s=" + "A" * 5000,
        "__Host-casb_s=../../../etc/passwd",
        "__Host-casb_s=; __Host-casb_s=",
    ],
    ids=["unknown", "too short", "too long", "a path", "two of them"],
)
def test_a_tampered_cookie_is_no_session(proxy: World, cookie: str) -> None:
    assert proxy.ask("/", cookie=cookie, headers=FETCH).status == 401


def test_a_cookie_of_one_host_is_worth_nothing_on_another(proxy: World) -> None:
    proxy.write(
        "apps/other.yaml",
        f"""\
        id: other
        name: Other
        domains: [other.example]
        upstream: {{connect: "127.0.0.1:{proxy.origin.port}", ca: {proxy.origin.ca}}}
        """,
    )
    cookie = proxy.session()
    other = f"other.example.{SUFFIX}"

    def reachable() -> bool:
        try:
            return proxy.ask("/", host=other, headers=FETCH).status == 401
        except OSError:
            return False

    wait_for(reachable, "the new app to be in force", 5)
    assert proxy.ask("/", host=other, cookie=cookie, headers=FETCH).status == 401
    (proxy.config / "apps/other.yaml").unlink()


def test_a_host_that_is_not_the_certificates_is_misdirected(proxy: World) -> None:
    got = proxy.ask("/", host=f"login.{SUFFIX}", sni=proxy.host, headers=NAVIGATE)
    assert got.status == 421
    assert proxy.record(got.headers["x-casb-activity"])["reasons"][0]["code"] == "gateway.421"


@pytest.mark.parametrize("name", ["evil.example", f"unknown.example.{SUFFIX}", SUFFIX, f"{APP_HOST}.{SUFFIX}.evil"])
def test_no_certificate_for_a_name_that_leads_nowhere(proxy: World, name: str) -> None:
    with pytest.raises(OSError, match=r"EOF|reset|closed|handshake|alert"):
        proxy.connect(name).close()


def test_a_certificate_names_exactly_its_host(proxy: World) -> None:
    with proxy.connect(proxy.host) as connection:
        certificate = connection.getpeercert()
    assert certificate is not None
    assert certificate["subjectAltName"] == (("DNS", proxy.host),)


def test_a_truncated_gzip_page_is_not_passed_off_as_whole(proxy: World) -> None:
    whole = gzip.compress(b"<html><head></head><body>" + b"text " * 5000 + b"</body></html>")
    proxy.origin.page("/torn", whole[: len(whole) // 2], content_type="text/html", content_encoding="gzip")
    got = proxy.ask("/torn", cookie=proxy.session(), headers={**NAVIGATE, "accept-encoding": "gzip"})
    assert got.status == 502
    assert proxy.record(got.headers["x-casb-activity"])["default_behaviour"] is True


def test_an_origin_with_a_foreign_certificate_gets_no_request(proxy: World) -> None:
    proxy.write(
        "apps/broken.yaml",
        f"""\
        id: broken
        name: Broken App
        domains: [broken.example]
        upstream: {{connect: "127.0.0.1:{proxy.origin.port}", ca: {proxy.origin.ca}}}
        """,
    )
    host = f"broken.example.{SUFFIX}"

    def answered() -> bool:
        try:
            return proxy.ask("/", host=host, headers=FETCH).status == 401
        except OSError:
            return False

    wait_for(answered, "the app to be in force", 5)
    before = len(proxy.origin.seen)
    got = proxy.ask("/", host=host, cookie=proxy.session(host=host), headers=NAVIGATE)
    assert (got.status, len(proxy.origin.seen)) == (502, before)
    assert "certificate cannot be trusted" in got.text
    assert "127.0.0.1" not in got.text, "the page names no address of ours"
    assert proxy.record(got.headers["x-casb-activity"])["reasons"][0]["code"] == "upstream"
    (proxy.config / "apps/broken.yaml").unlink()


def test_a_policy_edit_is_in_force_within_two_seconds_and_a_broken_one_changes_nothing(proxy: World) -> None:
    attachment(proxy, "/plan", b"plan", "plan.txt")
    cookie = proxy.session()
    assert proxy.ask("/plan", cookie=cookie, headers=NAVIGATE).body == b"plan"
    rule = "version: 1\npolicies:\n  - id: no-plans\n    activities: download\n    when: {file: {name: 'plan*'}}\n"
    proxy.write("plans.yaml", rule + "    action: block\n")
    started = time.monotonic()
    wait_for(lambda: b"blocked" in proxy.ask("/plan", cookie=cookie, headers=NAVIGATE).body, "the edit", 5)
    assert time.monotonic() - started < 2
    proxy.write("plans.yaml", rule + "    action: blokc\n")
    wait_for(lambda: "plans.yaml:6:" in proxy.log, "the report", 5)
    assert b"blocked" in proxy.ask("/plan", cookie=cookie, headers=NAVIGATE).body, "the last good one stays"
    (proxy.config / "plans.yaml").unlink()
    wait_for(lambda: proxy.ask("/plan", cookie=cookie, headers=NAVIGATE).body == b"plan", "the policy to go", 5)


def test_a_revoked_session_is_closed_in_the_middle_of_a_stream(proxy: World) -> None:
    def stream(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for _ in range(400):
            handler.wfile.write(b"8\r\ndata: x\n\r\n")
            handler.wfile.flush()
            time.sleep(0.05)

    proxy.origin.routes["/events"] = stream
    cookie = proxy.session("gone@contoso.example")
    with proxy.connect(proxy.host) as connection:
        request = f"GET /events HTTP/1.1\r\nHost: {proxy.host}:{proxy.port}\r\nCookie: {cookie}\r\n\r\n"
        connection.sendall(request.encode())
        got = connection.recv(4096)
        while b"data: x" not in got:
            got += connection.recv(4096)
        assert proxy.revoke("gone@contoso.example") > 0
        started = time.monotonic()
        connection.settimeout(5)
        try:
            while connection.recv(4096):
                assert time.monotonic() - started < 3
        except TimeoutError:
            pytest.fail("the stream went on")
        except (ConnectionError, OSError):
            pass
        assert time.monotonic() - started < 1
    assert proxy.ask("/events", cookie=cookie, headers=FETCH).status == 401


def test_forward_mode_opens_controlled_hosts_only(proxy: World, tmp_path: Path) -> None:
    """A host that is not controlled is tunnelled: the client meets the host's own certificate."""
    (tmp_path / "other").mkdir()
    other = Origin(tmp_path / "other", "localhost")
    with contextlib.closing(other), socket.create_connection(("127.0.0.1", proxy.forward), timeout=10) as tunnel:
        tunnel.sendall(f"CONNECT localhost:{other.port} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert b" 200 " in tunnel.recv(4096)
        context = ssl.create_default_context(cafile=str(other.ca))
        with context.wrap_socket(tunnel, server_hostname="localhost") as inner:
            inner.sendall(b"GET /never HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert b"404" in inner.recv(4096)


def test_forward_mode_is_not_fooled_by_another_name_in_connect(proxy: World) -> None:
    """A controlled host stays controlled when CONNECT names its address instead."""
    with socket.create_connection(("127.0.0.1", proxy.forward), timeout=10) as tunnel:
        tunnel.sendall(f"CONNECT localhost:{proxy.origin.port} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert b" 200 " in tunnel.recv(4096)
        context = ssl.create_default_context(cafile=str(proxy.origin.ca))
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(tunnel, server_hostname=APP_HOST)


def test_forward_mode_asks_for_sign_in_on_a_controlled_host(proxy: World) -> None:
    with socket.create_connection(("127.0.0.1", proxy.forward), timeout=10) as tunnel:
        tunnel.sendall(f"CONNECT {APP_HOST}:443 HTTP/1.1\r\nHost: {APP_HOST}:443\r\n\r\n".encode())
        assert b" 200 " in tunnel.recv(4096)
        context = ssl.create_default_context(cafile=str(proxy.folder / "certs" / "casb-ca.pem"))
        with context.wrap_socket(tunnel, server_hostname=APP_HOST) as inner:
            accept = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n"
            inner.sendall(f"GET /x HTTP/1.1\r\nHost: {APP_HOST}\r\n{accept}\r\n".encode())
            answer = inner.recv(4096)
    assert b" 303 " in answer
    assert f"https://login.{SUFFIX}:{proxy.port}/".encode() in answer


def test_host_preserving_mode_serves_the_apps_own_name(proxy: World) -> None:
    proxy.origin.page("/own", b"<html><head></head>own</html>", content_type="text/html")
    cookie = proxy.session(host=APP_HOST)
    got = proxy.ask("/own", host=APP_HOST, cookie=cookie, headers=NAVIGATE)
    assert (got.status, b"own" in got.body) == (200, True)
    assert proxy.origin.seen[-1].headers["host"] == f"{APP_HOST}:{proxy.port}"
    attachment(proxy, "/payroll", SECRET, "payroll.xlsx")
    assert b"90000" not in proxy.ask("/payroll", host=APP_HOST, cookie=cookie, headers=NAVIGATE).body


def test_the_corporate_tenant_is_let_through_and_a_personal_one_refused(tmp_path: Path) -> None:
    def token(tenant: str) -> dict[str, str]:
        claims = base64.urlsafe_b64encode(json.dumps({"tid": tenant}).encode()).rstrip(b"=").decode()
        return {**FETCH, "authorization": f"Bearer e30.{claims}.c2ln"}

    with world(tmp_path, start=False, record_flows="../flows.mitm") as made:
        told = (made.config / "apps" / "files.yaml").read_text()
        instances = "instances: {corporate: {token: {tid: T1}}, personal: {token: {tid: '*'}}}"
        made.write("apps/files.yaml", f"{told}{instances}\n")
        policy = "{id: ours-only, when: {app: {instance: personal}}, action: block, activities: upload}"
        made.write("p.yaml", f"version: 1\npolicies: [{policy}]\n")
        made.start()
        session = made.session(tags=(DeviceTag.COMPLIANT,))
        for tenant, status in (("T1", 200), ("T2", 403)):
            made.origin.page("/up", b"ok")
            headers = {**token(tenant), "content-type": "application/octet-stream", "x-file-name": "a.bin"}
            got = made.ask("/up", method="PUT", body=b"x" * 10, cookie=session, headers=headers)
            assert got.status == status, tenant
        wait_for(lambda: len([each for each in made.records() if each["activity"] == "upload"]) == 2, "both records")
        done = {each["instance"]: each["action"] for each in made.records() if each["activity"] == "upload"}
        assert done == {"corporate": "allow", "personal": "block"}
        made.stop()
        replay = ["replay", str(tmp_path / "flows.mitm"), "--config", str(made.config), "--format", "json"]
        replayed = subprocess.run(
            [sys.executable, "-m", "casb.cli", *replay],
            env={**os.environ, "PYTHONPATH": "addons", **made.environment},
            capture_output=True,
            check=False,
        )
        answers = [json.loads(line) for line in replayed.stdout.splitlines()]
        assert [each["action"] for each in answers if each["activity"] == "upload"] == ["allow", "block"]
