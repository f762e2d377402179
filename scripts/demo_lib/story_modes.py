"""The other two ways in: forward proxy with the PAC file, and an application's own name pointing at the proxy."""

from __future__ import annotations

import socket
import ssl

from demo_lib.looking import records
from demo_lib.story import Stage, leaks, must


def forward(stage: Stage) -> None:
    """Browsers that were given the PAC file use the application's own address."""
    stack = stage.stack
    with stage.scene("in the forward mode the same policy stops the same file, under the application's own name"):
        pac = f"--proxy-pac-url={stack.portal}/proxy.pac"
        _blocked_under_own_name(stage, f"https://{stack.files.domain}/", pac, "forward")
    with stage.scene("a host that is not controlled passes the forward proxy unopened"):
        issuer = _issuer_through(
            stack.ports.forward, "localhost", stack.ports.idp, str(stack.authority.certificate_path)
        )
        must("casb demo servers" in issuer, f"its certificate came from {issuer}")


def host_preserving(stage: Stage) -> None:
    """The application's DNS points at the proxy."""
    stack = stage.stack
    with stage.scene("with the application's own name pointing at the proxy nothing changes but the way in"):
        rule = f"--host-resolver-rules=MAP {stack.files.domain} 127.0.0.1"
        _blocked_under_own_name(stage, f"https://{stack.files.domain}:{stack.ports.reverse}/", rule, "host")


def _blocked_under_own_name(stage: Stage, own: str, option: str, mode: str) -> None:
    stack = stage.stack
    person = stage.browsers.person(f"ben-{mode}", option)
    page = stage.sign_in(person, "ben@contoso.example", own)
    must(page.url == own, f"the browser is at {page.url}, not at {own}")
    page.wait_for_load_state("networkidle")
    _, path = stage.click_download(page, "payroll.xlsx")
    must(not leaks(path.read_bytes(), (stack.files.folder / "payroll.xlsx").read_bytes()), "bytes of the file arrived")
    page.locator("casb-notice").wait_for(state="attached")
    stage.picture(page, f"{mode}-mode")
    activity = path.read_text().partition("Activity:")[2].split()[0]
    found = stage.wait_for(lambda: records(stack, id=activity))
    must(found, f"the log has no activity {activity}")
    must(found[0]["mode"] == mode, f"the log calls the mode {found[0]['mode']}")
    person.close()


def _issuer_through(proxy: int, host: str, port: int, ca: str) -> str:
    """Who signed the certificate that a server shows through a CONNECT tunnel, verified against `ca`."""
    with socket.create_connection(("127.0.0.1", proxy), timeout=20) as tunnel:
        tunnel.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            chunk = tunnel.recv(4096)
            must(chunk, f"the proxy closed the connection after {head!r}")
            head += chunk
        must(b" 200 " in head.split(b"\r\n")[0], f"the proxy answered {head.splitlines()[0]!r}")
        with ssl.create_default_context(cafile=ca).wrap_socket(tunnel, server_hostname=host) as server:
            certificate = server.getpeercert() or {}
    return str(certificate.get("issuer"))
