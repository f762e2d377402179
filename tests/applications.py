"""Applications written by others, each started on loopback over a folder of its own."""

from __future__ import annotations

import http.server
import os
import shutil
import smtplib
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from demo_lib.apps import NO_BANS, _node_red_settings
from demo_lib.pki import DemoAuthority
from demo_lib.processes import Child, free_port, listening

from casb.lab.relay import Target
from casb.lab.stage import Application

ROOT = Path(__file__).resolve().parents[1]
NPM = ROOT / "tests" / "apps" / "node_modules"
PYTHON = ROOT / "tests" / "apps" / ".venv" / "bin"


@dataclass
class Running:
    """A started application: `host` is its name, `folder` is where it keeps what people give it."""

    id: str
    host: str
    folder: Path
    target: Target
    stop: Callable[[], None]
    wait: Callable[[], object] = lambda: None
    mail: int = 0  # a port for SMTP

    @property
    def url(self) -> str:
        return f"https://{self.host}"

    def application(self) -> Application:
        """As the laboratory takes it."""
        return Application(id=self.id, name=self.id, domains=(self.host,), targets={self.host: self.target})


def start_all(folder: Path) -> list[Running]:
    """All of them, side by side; each `wait` returns when that one listens."""
    made: list[Running] = []
    try:
        for start in (copyparty, node_red, tiddlywiki, maildev, jupyterlab, budget):
            (folder / start.__name__).mkdir(parents=True)
            made.append(start(folder / start.__name__))
        for each in made:
            each.wait()
    except BaseException:
        for each in made:
            each.stop()
        raise
    return made


def _child(name: str, folder: Path, command: list[str], port: int, **environment: str) -> tuple[Child, Target]:
    log = folder.parent / f"{name}.log"
    # The caller's own settings of these programs decide nothing here.
    child = Child(name, command, log, environment={"HOME": str(folder), **environment}, folder=folder)
    return child, Target(host="127.0.0.1", port=port, tls=False)


def _running(name: str, host: str, folder: Path, child: Child, target: Target, mail: int = 0) -> Running:
    def wait() -> object:
        return child.wait_until(lambda: listening(target.port), 60)

    return Running(name, host, folder, target, child.stop, wait, mail)


def copyparty(folder: Path) -> Running:
    """Files: resumable uploads, ranges, archives."""
    port, shared = free_port(), folder / "shared"
    shared.mkdir()
    leaf = DemoAuthority(folder / "pki").leaf("files", ["files.acme.example"])
    (shared / "welcome.txt").write_text("Welcome to https://files.acme.example/ and to https://elsewhere.test/\n")
    command = [
        *(sys.executable, "-m", "copyparty", "-i", "127.0.0.1", "-p", str(port), "--https-only", "-q"),
        *("--no-crt", "--cert", str(leaf.certificate), "--certkey", str(leaf.key)),
        *("-v", f"{shared}::rwmd", "--hist", str(folder / "hist"), "--no-thumb", "--no-mutagen", "-ed"),
        *("--rproxy", "-1", "--xff-src", "127.0.0.1/32", "--ver-who", "no", *NO_BANS),
    ]
    child, _ = _child("copyparty", folder, command, port, XDG_CONFIG_HOME=str(folder), PRTY_CONFIG="")
    target = Target(host="127.0.0.1", port=port, verify=False)
    return _running("files", "files.acme.example", shared, child, target)


def node_red(folder: Path) -> Running:
    """Flows: a single page with an API, a WebSocket and editors made at run time."""
    port = free_port()
    leaf = DemoAuthority(folder / "pki").leaf("flows", ["flows.acme.example"])
    (folder / "settings.js").write_text(_node_red_settings(leaf.key, leaf.certificate, port, folder))
    (folder / "flows.json").write_text("[]")
    command = [shutil.which("node") or "node", str(NPM / "node-red/red.js"), "--settings", str(folder / "settings.js")]
    child, _ = _child("node-red", folder, command, port, NODE_ENV="production", NODE_RED_HOME=str(folder))
    target = Target(host="127.0.0.1", port=port, verify=False)
    return _running("flows", "flows.acme.example", folder, child, target)


def tiddlywiki(folder: Path) -> Running:
    """A wiki in one page that saves every edit by itself."""
    port, node = free_port(), shutil.which("node") or "node"
    program = str(NPM / "tiddlywiki/tiddlywiki.js")
    subprocess.run([node, program, str(folder / "wiki"), "--init", "server"], check=True, capture_output=True)
    command = [node, program, str(folder / "wiki"), "--listen", f"port={port}", "host=127.0.0.1"]
    child, target = _child("tiddlywiki", folder, command, port)
    return _running("wiki", "wiki.acme.example", folder / "wiki", child, target)


def maildev(folder: Path) -> Running:
    """Web mail: messages arrive over socket.io and are shown in frames."""
    port, smtp = free_port(), free_port()
    command = [shutil.which("node") or "node", str(NPM / "maildev/bin/maildev"), "--ip", "127.0.0.1"]
    command += ["-w", str(port), "-s", str(smtp), "--mail-directory", str(folder / "mails")]
    child, target = _child("maildev", folder, command, port)
    return _running("mail", "mail.acme.example", folder / "mails", child, target, smtp)


def jupyterlab(folder: Path) -> Running:
    """Notebooks: a large single page, several WebSockets, editors of `contenteditable`."""
    port, work = free_port(), folder / "work"
    work.mkdir()
    settings = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": str(port),
        "ServerApp.root_dir": str(work),
        "ServerApp.allow_remote_access": "True",
        "ServerApp.trust_xheaders": "False",
        "IdentityProvider.token": "",
        "PasswordIdentityProvider.password_required": "False",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.news_url": "",
        "LabApp.extension_manager": "readonly",
    }
    command = [str(PYTHON / "jupyter-lab"), "--no-browser", "--allow-root"]
    command += [f"--{name}={value}" for name, value in settings.items()]
    places = {name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    path = f"{PYTHON}:{os.environ.get('PATH', '')}"
    child, target = _child("jupyterlab", folder, command, port, PATH=path, **places)
    return _running("notebooks", "notebooks.acme.example", work, child, target)


def budget(folder: Path) -> Running:
    """Actual Budget: cross-origin isolated, a database in a worker's shared memory, a service worker."""
    files = NPM / "@actual-app/web/build"

    class Answers(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(files))

        def translate_path(self, path: str) -> str:
            found = super().translate_path(path)
            return found if os.path.isfile(found) else str(files / "index.html")

        def end_headers(self) -> None:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            super().end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    target = Target(host="127.0.0.1", port=int(server.server_address[1]), tls=False)
    return Running("budget", "budget.acme.example", folder, target, stop)


def send_mail(port: int, subject: str, html: str) -> None:
    """Deliver a message to maildev."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "ada@acme.example", "bob@acme.example", subject
    message.set_content("Plain words.")
    message.add_alternative(html, subtype="html")
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as smtp:
        smtp.send_message(message)
