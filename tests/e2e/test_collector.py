"""Real senders into a real collector and a real sidecar: what was accepted arrives once."""

from __future__ import annotations

import ftplib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from live_sidecar import APP, Deployment
from usage_support import free_port, squid

pytestmark = pytest.mark.e2e

CUSTOM = """\
id: dropbox
name: Dropbox
domains: ["*.dropbox.com"]
category: cloud_storage
controlled: false
"""


def authority(folder: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    made = certificate("test authority", key, None, key)
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return key, made


def certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None, signer: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(signer, hashes.SHA256())
    )


def leaf(folder: Path, name: str, key: ec.EllipticCurvePrivateKey, made: x509.Certificate) -> None:
    own = ec.generate_private_key(ec.SECP256R1())
    pem = own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{name}-key.pem").write_bytes(pem)
    public = certificate(name, own, made, key).public_bytes(serialization.Encoding.PEM)
    (folder / f"{name}.pem").write_bytes(public)
    (folder / f"{name}-both.pem").write_bytes(pem + public)


class Scene:
    """A deployment with a source of each kind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("sidecar", "udp", "tcp", "tls", "ftp", "health", "reverse")}
        self.drop = folder / "drop"
        self.drop.mkdir()
        key, made = authority(folder)
        for name in ("server", "sender"):
            leaf(folder, name, key, made)
        (folder / "apps").mkdir()
        (folder / "apps" / "files.yaml").write_text(APP)
        (folder / "apps" / "dropbox.yaml").write_text(CUSTOM)
        (folder / "password").write_text("correct horse")
        (folder / "casb.yaml").write_text(self.configuration())
        self.deployment = Deployment(folder=folder, port=self.ports["sidecar"])

    def configuration(self) -> str:
        local = {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}
        passive = free_port()
        return json.dumps(
            {
                "version": 1,
                "suffix": "casb.localhost",
                "data": "var",
                "authority": "certs",
                "listeners": {
                    "sidecar": local["sidecar"],
                    "reverse": local["reverse"],
                    "forward": None,
                    "health": None,
                },
                "discovery": {
                    "sources": [
                        {"name": "udp-fw", "type": "SQUID", "receiver": "syslog-udp", "listen": local["udp"]},
                        {"name": "tcp-fw", "type": "SQUID", "receiver": "syslog-tcp", "listen": local["tcp"]},
                        {
                            "name": "tls-fw",
                            "receiver": "syslog-tls",
                            "listen": local["tls"],
                            "certificate": "server.pem",
                            "key": "server-key.pem",
                            "client_ca": "ca.pem",
                            "anonymize_users": True,
                        },
                        {"name": "drop", "type": "SQUID", "receiver": "directory", "path": "drop"},
                        {
                            "name": "ftp-fw",
                            "type": "SQUID",
                            "receiver": "ftps",
                            "user": "fw",
                            "password": "file:password",
                        },
                    ],
                    "collector": {
                        "ftp": local["ftp"],
                        "ftp_passive": [passive, passive],
                        "ftp_certificate": "server-both.pem",
                        "health": local["health"],
                        "flush_after": "1s",
                    },
                },
            },
            indent=1,
        )

    def collect(self) -> subprocess.Popen[str]:
        process = self.deployment.start("collect", "--config", str(self.folder))
        wait(lambda: listens(self.ports["health"]) or process.poll() is not None, "the collector")
        assert process.poll() is None, process.communicate()[1]
        return process

    def health(self) -> dict[str, Any]:
        answer = httpx.get(f"http://127.0.0.1:{self.ports['health']}/healthz", trust_env=False).json()
        return {each["name"]: each for each in answer["sources"]}

    def events(self, stream: str) -> int:
        status, out, err = self.deployment.run(
            "discovery", "report", "--stream", stream, "--days", "7", "--format", "json", "--config", str(self.folder)
        )
        assert status == 0, err
        return int(json.loads(out)["counters"]["events"]["value"])

    def waits_for(self, stream: str, events: int) -> None:
        wait(lambda: self.events(stream) >= events, f"{events} events of {stream}", 90)
        assert self.events(stream) == events


def trusting(scene: Scene) -> ssl.SSLContext:
    """A client that trusts the test's authority, whose certificates are plainer than a public one's."""
    context = ssl.create_default_context(cafile=str(scene.folder / "ca.pem"))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def listens(port: int) -> bool:
    with socket.socket() as opened:
        return opened.connect_ex(("127.0.0.1", port)) == 0


def wait(condition: Any, what: str, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.2)


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(f"/usr/sbin/{name}")
    assert found, f"{name} is not installed; scripts/test installs it"
    return found


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    for process in made.deployment.processes:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        process.communicate()


def rsyslog(scene: Scene, source: Path, action: str) -> subprocess.Popen[bytes]:
    work = scene.folder / "rsyslog"
    work.mkdir()
    configuration = work / "rsyslog.conf"
    configuration.write_text(
        f"""
global(workDirectory="{work}" defaultNetstreamDriverCAFile="{scene.folder}/ca.pem"
       defaultNetstreamDriverCertFile="{scene.folder}/sender.pem"
       defaultNetstreamDriverKeyFile="{scene.folder}/sender-key.pem")
module(load="imfile" mode="polling" pollingInterval="1")
input(type="imfile" file="{source}" tag="squid:" severity="info" facility="local4" readMode="0")
{action}
"""
    )
    command = [program("rsyslogd"), "-n", "-f", str(configuration), "-i", str(work / "pid")]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def test_rsyslog_over_tls_and_over_counted_tcp(scene: Scene) -> None:
    scene.deployment.serve()
    scene.collect()
    log = scene.folder / "access.log"
    log.write_text(squid(300))
    sender = rsyslog(
        scene,
        log,
        f'action(type="omfwd" target="127.0.0.1" port="{scene.ports["tls"]}" protocol="tcp" StreamDriver="gtls" '
        'StreamDriverMode="1" StreamDriverAuthMode="x509/certvalid" TCP_Framing="octet-counted" '
        'template="RSYSLOG_SyslogProtocol23Format")\n'
        f'action(type="omfwd" target="127.0.0.1" port="{scene.ports["tcp"]}" protocol="tcp")',
    )
    try:
        wait(lambda: scene.health()["tls-fw"]["messages"] == 300, "300 messages over TLS")
        wait(lambda: scene.health()["tcp-fw"]["messages"] == 300, "300 messages over TCP")
    finally:
        ended(sender)
    scene.waits_for("tls-fw", 300)
    scene.waits_for("tcp-fw", 300)
    status, out, _ = scene.deployment.run(
        "discovery", "users", "--stream", "tls-fw", "--format", "json", "--config", str(scene.folder)
    )
    assert status == 0 and all(row["name"].startswith("anon-u-") for row in json.loads(out))
    kept = list((scene.folder / "var").rglob("sent/*.zst"))
    assert not [path for path in kept if "tls-fw" in str(path)], "a source that hides names keeps no logs"
    assert [path for path in kept if "tcp-fw" in str(path)]


def test_syslog_ng_over_udp(scene: Scene) -> None:
    scene.deployment.serve()
    scene.collect()
    log = scene.folder / "access.log"
    log.write_text("")
    work = scene.folder / "syslog-ng"
    work.mkdir()
    configuration = work / "syslog-ng.conf"
    configuration.write_text(
        f"""@version: 3.35
options {{ stats-freq(0); keep-hostname(yes); }};
source s_log {{ file("{log}" follow-freq(1) flags(no-parse) program-override("squid")); }};
destination d_udp {{ network("127.0.0.1" port({scene.ports["udp"]}) transport("udp")); }};
log {{ source(s_log); destination(d_udp); }};
"""
    )
    root, environment = syslog_ng()
    command = [
        *root, "-F", "-f", str(configuration), "-R", str(work / "persist"), "-p", str(work / "pid"),
        "-c", str(work / "ctl"),
    ]  # fmt: skip
    sender = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait((work / "ctl").exists, "syslog-ng")
        with log.open("a") as file:
            file.write(squid(200))
        wait(lambda: scene.health()["udp-fw"]["messages"] == 200, "200 datagrams")
    finally:
        ended(sender)
    scene.waits_for("udp-fw", 200)


def syslog_ng() -> tuple[list[str], dict[str, str]]:
    """Installed; or unpacked, for Debian's package will not stand beside rsyslog's."""
    unpacked = Path(os.environ.get("CASB_SYSLOG_NG", Path.home() / ".cache" / "casb" / "syslog-ng"))
    if (unpacked / "usr/sbin/syslog-ng").exists():
        library = unpacked / "usr/lib/syslog-ng"
        modules = next(library.glob("3.*"), None) or next(library.glob("4.*"))
        environment = {**os.environ, "LD_LIBRARY_PATH": str(library)}
        return [str(unpacked / "usr/sbin/syslog-ng"), f"--module-path={modules}"], environment
    return [program("syslog-ng")], dict(os.environ)


def test_folders_and_ftps(scene: Scene) -> None:
    scene.deployment.serve()
    scene.collect()
    (scene.drop / "half.log.part").write_text(squid(5))
    (scene.drop / "a.log").write_text(squid(40))
    context = trusting(scene)
    with ftplib.FTP_TLS(context=context) as client:  # noqa: S321 - what appliances speak
        client.connect("localhost", scene.ports["ftp"], timeout=20)
        with pytest.raises(ftplib.error_perm):
            client.login("fw", "wrong")
        client.close()
    with ftplib.FTP_TLS(context=context) as client:  # noqa: S321 - what appliances speak
        client.connect("localhost", scene.ports["ftp"], timeout=20)
        client.login("fw", "correct horse")
        client.prot_p()
        source = scene.folder / "upload.log"
        source.write_text(squid(60))
        with source.open("rb") as file:
            client.storbinary("STOR fw.log", file)
        with pytest.raises(ftplib.error_perm):
            client.retrbinary("RETR fw.log", lambda data: None)
    with ftplib.FTP() as plain:  # noqa: S321 - what appliances speak
        plain.connect("127.0.0.1", scene.ports["ftp"], timeout=20)
        with pytest.raises(ftplib.error_perm):
            plain.login("fw", "correct horse")
    scene.waits_for("drop", 40)
    scene.waits_for("ftp-fw", 60)
    assert [path.name for path in scene.drop.iterdir()] == ["half.log.part"]


def test_a_sender_without_a_certificate_is_refused(scene: Scene) -> None:
    scene.collect()
    context = trusting(scene)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with socket.create_connection(("127.0.0.1", scene.ports["tls"]), timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as secured:
                secured.sendall(squid(1).encode())
                assert not secured.recv(1)  # TLS 1.3 tells the client only when it reads
                raise ConnectionError
    time.sleep(0.5)
    context.load_cert_chain(scene.folder / "sender.pem", scene.folder / "sender-key.pem")
    with socket.create_connection(("127.0.0.1", scene.ports["tls"]), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as secured:
            assert scene.health()["tls-fw"]["messages"] == 0
            secured.sendall(squid(2).encode())
            wait(lambda: scene.health()["tls-fw"]["messages"] == 2, "two messages")


def test_what_was_accepted_survives_kill_and_a_sidecar_that_is_away(scene: Scene) -> None:
    collector = scene.collect()
    with socket.create_connection(("127.0.0.1", scene.ports["tcp"]), timeout=10) as sender:
        sender.sendall(squid(500).encode())
        wait(lambda: scene.health()["tcp-fw"]["messages"] == 500, "500 messages")
        os.kill(collector.pid, signal.SIGKILL)
        collector.wait(10)
    sidecar = scene.deployment.serve()
    scene.collect()
    wait(lambda: scene.health()["tcp-fw"]["uploaded"] >= 1, "the delivery")
    sidecar.kill()  # in the middle of its work
    sidecar.wait(10)
    with socket.create_connection(("127.0.0.1", scene.ports["tcp"]), timeout=10) as sender:
        sender.sendall(squid(100, user="late").encode())
    scene.deployment.serve()
    scene.waits_for("tcp-fw", 600)
