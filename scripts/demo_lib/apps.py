"""The two sanctioned applications, written by others: copyparty (files) and Node-RED (flows, with a WebSocket)."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from demo_lib.documents import make_all
from demo_lib.idp import ROOT, install_node_modules
from demo_lib.pki import DemoAuthority
from demo_lib.processes import Child, StartError, free_port, listening

SOURCE = ROOT / "tests" / "apps"
NO_BANS = [flag for kind in ("404", "403", "422", "url") for flag in (f"--ban-{kind}", "no")]


@dataclass(slots=True)
class DemoApp:
    """A running application. `domain` is its real name, `port` where it really listens (TLS, loopback)."""

    id: str
    name: str
    domain: str
    port: int
    ca: Path
    child: Child
    folder: Path
    category: str = ""

    def stop(self) -> None:
        self.child.stop()

    def access_log(self) -> list[str]:
        """Requests that reached the application (copyparty only)."""
        path = self.folder.parent / "access.log"
        return [line for line in path.read_text(errors="replace").splitlines() if " GET " in line or " POST " in line]


def start_files(
    authority: DemoAuthority, folder: Path, *, port: int = 0, domain: str = "files.contoso.example"
) -> DemoApp:
    """copyparty over a folder of real files that everybody may read, and `inbox` where they may also upload."""
    port = port or free_port()
    shared = folder / "shared"
    make_all(shared)
    (shared / "inbox").mkdir(exist_ok=True)
    leaf = authority.leaf("files", [domain, "localhost", "127.0.0.1"])
    command = [
        *(sys.executable, "-m", "copyparty"),
        *("-i", "127.0.0.1", "-p", str(port), "--https-only", "--no-crt"),
        *("--cert", str(leaf.certificate), "--certkey", str(leaf.key)),
        *("-v", f"{shared}::r", "-v", f"{shared}/inbox:inbox:rwmd"),
        *("--hist", str(folder / "hist"), "--name", "Contoso files", "--theme", "1", "--no-robots"),
        *("-q", "-lo", str(folder / "access.log")),
        *("--rproxy", "-1", "--xff-src", "127.0.0.1/32"),  # Forwarded headers count only when our proxy sends them.
        *("--no-thumb", "--no-mutagen", "--dotpart", "--ver-who", "no", "-ed"),
        *NO_BANS,
    ]
    state = {"XDG_CONFIG_HOME": str(folder / "config"), "PRTY_CONFIG": ""}
    child = Child("copyparty", command, folder / "copyparty.log", environment=state, folder=folder)
    return _started(
        DemoApp("files", "Contoso files", domain, port, authority.certificate_path, child, shared, "storage")
    )


def start_flows(
    authority: DemoAuthority, folder: Path, *, port: int = 0, domain: str = "flows.contoso.example"
) -> DemoApp:
    """Node-RED with one small flow that speaks every two seconds over the editor's WebSocket."""
    node = shutil.which("node")
    if node is None:
        raise StartError("Node.js is not installed: Node-RED needs it")
    install_node_modules(SOURCE)
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    leaf = authority.leaf("flows", [domain, "localhost", "127.0.0.1"])
    (folder / "settings.js").write_text(_node_red_settings(leaf.key, leaf.certificate, port, folder))
    (folder / "flows.json").write_text(json.dumps(FLOW, indent=1))
    command = [node, str(SOURCE / "node_modules/node-red/red.js"), "--settings", str(folder / "settings.js")]
    environment = {"NODE_ENV": "production", "NODE_RED_HOME": str(folder), "NO_UPDATE_NOTIFIER": "1"}
    child = Child("Node-RED", command, folder / "node-red.log", environment=environment, folder=folder)
    return _started(
        DemoApp("flows", "Contoso flows", domain, port, authority.certificate_path, child, folder, "development")
    )


def _started(app: DemoApp) -> DemoApp:
    try:
        app.child.wait_until(lambda: listening(app.port), 60)
    except StartError:
        app.stop()
        raise
    return app


FLOW = [
    {"id": "f1", "type": "tab", "label": "Heartbeat", "disabled": False, "info": ""},
    {
        "id": "n1",
        "type": "inject",
        "z": "f1",
        "name": "every two seconds",
        "props": [{"p": "payload"}],
        "repeat": "2",
        "once": True,
        "onceDelay": 0.1,
        "payload": "the line is open",
        "payloadType": "str",
        "x": 180,
        "y": 120,
        "wires": [["n2"]],
    },
    {
        "id": "n2",
        "type": "debug",
        "z": "f1",
        "name": "heartbeat",
        "active": True,
        "tosidebar": True,
        "console": False,
        "complete": "payload",
        "targetType": "msg",
        "x": 420,
        "y": 120,
        "wires": [],
    },
]


def _node_red_settings(key: Path, certificate: Path, port: int, folder: Path) -> str:
    """Nothing in it asks anybody outside this machine for anything."""
    settings = {
        "uiHost": "127.0.0.1",
        "uiPort": port,
        "userDir": str(folder),
        "flowFile": "flows.json",
        "credentialSecret": False,
        "telemetry": {"enabled": False, "updateNotification": False},
        "diagnostics": {"enabled": False, "ui": False},
        "runtimeState": {"enabled": False, "ui": False},
        "externalModules": {
            "autoInstall": False,
            "palette": {"allowInstall": False, "allowUpload": False},
            "modules": {"allowInstall": False},
        },
        "editorTheme": {
            "tours": False,
            "projects": {"enabled": False},
            "page": {"title": "Contoso flows"},
            "header": {"title": "Contoso flows"},
            "palette": {"catalogues": []},
        },
        "logging": {"console": {"level": "info", "metrics": False, "audit": False}},
    }
    read = {"key": str(key), "cert": str(certificate)}
    files = ", ".join(f"{name}: fs.readFileSync({json.dumps(path)})" for name, path in read.items())
    return (
        'const fs = require("fs");\n'
        f"module.exports = {{ ...{json.dumps(settings, indent=2)}, https: {{ {files} }} }};\n"
    )
