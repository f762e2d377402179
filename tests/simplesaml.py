"""simplesamlphp (LGPL, from Debian) on loopback under `php -S`: as an identity provider, and as an application.

Its configuration is written here, as PHP arrays; nothing of the Debian package's own configuration is used.
"""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from lxml import etree

from loopback_tls import certificate
from proxy_world import free_port, listens, wait_for
from saml_support import NS, Signer, signer

ROOT = "/usr/share/simplesamlphp"
MD = "urn:oasis:names:tc:SAML:2.0:metadata"
DEVICE = "http://schemas.microsoft.com/2012/01/devicecontext/claims/"
COMPLIANT = "http://schemas.microsoft.com/2014/09/devicecontext/claims/iscompliant"
GROUPS = "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups"
UPN = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn"
PASSWORD = "correct horse"
PEOPLE: dict[str, dict[str, list[str]]] = {
    "ada": {
        UPN: ["ada@contoso.example"],
        "displayName": ["Ada Lovelace"],
        "mail": ["ada@contoso.example"],
        GROUPS: ["staff", "finance"],
        "department": ["Research"],
        "secret": ["never for apps"],
        COMPLIANT: ["true"],
        f"{DEVICE}identifier": ["11111111-2222-4333-8444-555555555555"],
        f"{DEVICE}ismanaged": ["true"],
    },
    "bob": {
        UPN: ["bob@contoso.example"],
        "displayName": ["Bob"],
        "mail": ["bob@contoso.example"],
        GROUPS: ["staff"],
        "department": ["Sales"],
        "secret": ["never for apps"],
        COMPLIANT: ["false"],
        f"{DEVICE}ismanaged": ["false"],
    },
}
ROUTER = r"""<?php
$root = '/usr/share/simplesamlphp/www';
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/') { $path = '/index.php'; }
if ($path === '/report.csv') {  // a file of the application, for whoever has signed in to it
    $_SERVER['HTTPS'] = 'on';
    require '/usr/share/simplesamlphp/lib/_autoload.php';
    (new \SimpleSAML\Auth\Simple('default-sp'))->requireAuth();
    header('Content-Type: text/csv');
    header('Content-Disposition: attachment; filename="report.csv"');
    echo "name,salary\n";
    return true;
}
if (preg_match('#^(/.*?\.php)(/.*)?$#', $path, $found) && is_file($root . $found[1])) {
    $_SERVER['SCRIPT_NAME'] = $found[1];
    $_SERVER['SCRIPT_FILENAME'] = $root . $found[1];
    $_SERVER['PHP_SELF'] = $path;
    $_SERVER['PATH_INFO'] = $found[2] ?? '';
    chdir(dirname($root . $found[1]));
    require $root . $found[1];
    return true;
}
return false;
"""


class TlsFront:
    """TLS before a plain server, on a port of its own; whoever asks must not check its certificate."""

    def __init__(self, folder: Path, target: int) -> None:
        _, self._context = certificate(folder)
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near:
            near.settimeout(30)
            with (
                self._context.wrap_socket(near, server_side=True) as inside,
                socket.create_connection(("127.0.0.1", self._target)) as far,
            ):
                answers = threading.Thread(target=_pump, args=(far, inside), daemon=True)
                answers.start()
                _pump(inside, far)
                answers.join(30)

    def stop(self) -> None:
        self._listener.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@dataclass
class SimpleSaml:
    """One instance. `base` is its own address, as it knows it."""

    folder: Path
    base: str = ""
    port: int = field(default_factory=free_port)
    key: Signer = field(default_factory=lambda: signer("simplesamlphp"))
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.base = self.base or f"http://127.0.0.1:{self.port}/"
        for name in ("metadata", "log", "data", "temp", "sessions"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "server.pem").write_text(self.key.key_pem)
        (self.folder / "server.crt").write_text(self.key.pem)
        (self.folder / "router.php").write_text(ROUTER)
        self.write(
            "config.php",
            "config",
            {
                "baseurlpath": self.base,
                "certdir": f"{self.folder}/",
                "loggingdir": f"{self.folder}/log/",
                "datadir": f"{self.folder}/data/",
                "tempdir": f"{self.folder}/temp",
                "metadatadir": f"{self.folder}/metadata/",
                "secretsalt": secrets.token_hex(16),
                "auth.adminpassword": secrets.token_hex(16),
                "technicalcontact_email": "nobody@contoso.example",
                "timezone": "UTC",
                "logging.handler": "file",
                "logging.level": 6,
                "errorreporting": False,
                "admin.checkforupdates": False,
                "enable.saml20-idp": True,
                "module.enable": {"exampleauth": True, "core": True, "saml": True},
                "store.type": "phpsession",
                "session.phpsession.savepath": f"{self.folder}/sessions",
                "session.cookie.secure": self.base.startswith("https:"),
                "session.phpsession.httponly": True,
                "trusted.url.domains": None,
                "metadata.sources": [{"type": "flatfile"}],
                "language.available": ["en"],
            },
        )

    def write(self, name: str, variable: str, value: Mapping[Any, Any]) -> None:
        """A PHP file with one array."""
        draft = self.folder / f"{name}.new".replace("/", "_")
        draft.write_text(f"<?php\n${variable} = {php(value)};\n")
        draft.replace(self.folder / name)

    def start(self) -> None:
        environment = {
            **os.environ,
            "SIMPLESAMLPHP_CONFIG_DIR": str(self.folder),
            "PHP_CLI_SERVER_WORKERS": "3",
            "HOME": str(self.folder),
        }
        settings = ["-d", "display_errors=0", "-d", "log_errors=1", "-d", "post_max_size=8M"]
        with (self.folder / "php.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    "php",
                    *settings,
                    "-S",
                    f"127.0.0.1:{self.port}",
                    "-t",
                    f"{ROOT}/www",
                    str(self.folder / "router.php"),
                ],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,  # php's own workers outlive it otherwise
            )
        wait_for(lambda: listens(self.port), "php to listen", 20)

    def stop(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(10)
            self.process = None

    # --- as an identity provider

    def become_provider(self) -> None:
        """Two people with passwords, and what they are told to be."""
        people = {f"{name}:{PASSWORD}": attributes for name, attributes in PEOPLE.items()}
        source: dict[Any, Any] = {0: "exampleauth:UserPass", **people}
        self.write("authsources.php", "config", {"people": source})
        name_id = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
        hosted = {
            "host": "__DEFAULT__",
            "privatekey": "server.pem",
            "certificate": "server.crt",
            "auth": "people",
            "signature.algorithm": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            "NameIDFormat": name_id,
            "authproc": {3: {"class": "saml:AttributeNameID", "attribute": "mail", "Format": name_id}},
            "redirect.sign": True,
            "saml20.hok.assertion": False,
        }
        self.write("metadata/saml20-idp-hosted.php", "metadata", {"__DYNAMIC:1__": hosted})
        self.write("metadata/saml20-sp-remote.php", "metadata", {})

    @property
    def entity(self) -> str:
        return f"{self.base}saml2/idp/metadata.php"

    def metadata(self) -> bytes:
        place = f"http://127.0.0.1:{self.port}/saml2/idp/metadata.php"
        return requests.get(place, headers={"host": urlsplit(self.base).netloc}, timeout=20).content

    def know(self, relying: Mapping[str, Mapping[str, Any]]) -> None:
        """The service providers that it answers."""
        self.write("metadata/saml20-sp-remote.php", "metadata", relying)

    def sign_in(self, url: str, person: str = "ada") -> dict[str, str]:
        """The fields of the answer that a browser would post, for an address with a request."""
        with requests.Session() as session:
            page = session.get(url, timeout=20)
            fields = inputs(page.text)
            if "SAMLResponse" not in fields:
                fields |= {"username": person, "password": PASSWORD}
                action = re.search(r'<form[^>]*action="([^"]*)"', page.text)
                target = html.unescape(action[1]) if action and action[1] not in ("", "?") else page.url
                page = session.post(requests.compat.urljoin(page.url, target), data=fields, timeout=20)
                fields = inputs(page.text)
            assert "SAMLResponse" in fields, page.text[-3000:]
            return fields

    # --- as an application

    def become_app(self, entity: str, **more: Any) -> None:
        """A service provider that signs what it asks and wants signed answers."""
        source: dict[Any, Any] = {
            0: "saml:SP",
            "entityID": entity,
            "privatekey": "server.pem",
            "certificate": "server.crt",
            "sign.authnrequest": True,
            "sign.logout": True,
            "redirect.sign": True,
            "WantAssertionsSigned": True,
            "signature.algorithm": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            **more,
        }
        self.write("authsources.php", "config", {"default-sp": source, "admin": {0: "core:AdminPassword"}})
        self.write("metadata/saml20-idp-remote.php", "metadata", {})

    def trust(self, document: bytes) -> None:
        """The identity provider of a metadata document."""
        self.write("metadata/saml20-idp-remote.php", "metadata", remote_idp(document))


def remote_idp(document: bytes) -> dict[str, Any]:
    """Metadata of an identity provider, as simplesamlphp keeps it."""
    root = etree.fromstring(document)
    role = root.find(f"{{{MD}}}IDPSSODescriptor")

    def places(name: str) -> list[dict[str, str]]:
        found = role.findall(f"{{{MD}}}{name}")
        return [{"Binding": each.get("Binding"), "Location": each.get("Location")} for each in found]

    return {
        root.get("entityID"): {
            "SingleSignOnService": places("SingleSignOnService"),
            "SingleLogoutService": places("SingleLogoutService"),
            "keys": [
                {"type": "X509Certificate", "signing": True, "encryption": False, "X509Certificate": each.text}
                for each in role.iterfind(".//ds:X509Certificate", NS)
            ],
        }
    }


def relying_party(acs: str, **more: Any) -> dict[str, Any]:
    """A service provider as the identity provider knows it."""
    return {
        "AssertionConsumerService": acs,
        "NameIDFormat": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
        "simplesaml.nameidattribute": "mail",
        "attributes.NameFormat": "urn:oasis:names:tc:SAML:2.0:attrname-format:uri",
        **more,
    }


def inputs(page: str) -> dict[str, str]:
    """The hidden fields of a page."""
    found: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", page):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and 'type="hidden"' in tag:
            found[html.unescape(name[1])] = html.unescape(value[1]) if value else ""
    return found


def php(value: Any) -> str:
    """A value as PHP writes it."""
    if isinstance(value, Mapping):
        return "[" + ", ".join(f"{php(key)} => {php(each)}" for key, each in value.items()) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(php(each) for each in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, (bool, int)):
        return json.dumps(value)
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def host_of(url: str) -> str:
    return urlsplit(url).netloc
