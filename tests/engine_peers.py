"""Real engines for tests, on sockets of their own: ClamAV's daemon with signatures of ours, c-icap in front of it."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# In two parts, so that no scanner takes this file for what it tests with.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD" + rb"-ANTIVIRUS-TEST-FILE!$H+H*"
LARGEST = 4 * 1024 * 1024
"""StreamMaxLength of the daemon."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def clamd(folder: Path) -> Iterator[Path]:
    """The daemon on a Unix socket, which is given."""
    folder.mkdir(parents=True, exist_ok=True)
    signatures = folder / "db"
    signatures.mkdir()
    (signatures / "test.hdb").write_text(f"{hashlib.md5(EICAR).hexdigest()}:{len(EICAR)}:Eicar-Test-Signature\n")  # noqa: S324
    (signatures / "test.ndb").write_text("Casb.Test.Marker:0:*:" + b"CASB-MALWARE-MARKER".hex() + "\n")
    path = folder / "clamd.sock"
    config = folder / "clamd.conf"
    config.write_text(
        f"LocalSocket {path}\nDatabaseDirectory {signatures}\nForeground yes\nLogFile {folder}/clamd.log\n"
        f"StreamMaxLength {LARGEST}\nAlertEncrypted yes\nUser root\nMaxThreads 4\nPidFile {folder}/clamd.pid\n"
        if os.getuid() == 0
        else f"LocalSocket {path}\nDatabaseDirectory {signatures}\nForeground yes\nStreamMaxLength {LARGEST}\n"
        f"AlertEncrypted yes\n"
    )
    program = shutil.which("clamd") or "/usr/sbin/clamd"
    process = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until(lambda: _answers(path), process)
        yield path
    finally:
        process.kill()
        process.wait()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(2)
        try:
            asking.connect(str(path))
            asking.sendall(b"zPING\0")
            return asking.recv(16) == b"PONG\0"
        except OSError:
            return False


@contextmanager
def c_icap(folder: Path, daemon: Path) -> Iterator[str]:
    """c-icap with its virus_scan service, which asks `daemon`; the service's URL is given."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    modules = next(Path("/usr/lib").glob("*/c_icap"))
    templates = next(iter(Path("/usr/share/c_icap").glob("templates")), folder)
    config = folder / "c-icap.conf"
    config.write_text(
        f"PidFile {folder}/pid\nCommandsSocket {folder}/ctl\nPort 127.0.0.1:{port}\nStartServers 1\nMaxServers 2\n"
        f"MinSpareThreads 2\nMaxSpareThreads 4\nThreadsPerChild 4\nTmpDir {folder}\n"
        f"LoadMagicFile /etc/c-icap/c-icap.magic\n"
        f"ModulesDir {modules}\nServicesDir {modules}\nServerLog {folder}/server.log\nAccessLog {folder}/access.log\n"
        f"TemplateDir {templates}\nTemplateDefaultLanguage en\nServerName casb.test\n"
        f"Service virus_scan virus_scan.so\nServiceAlias avscan virus_scan?allow204=on&sizelimit=off&mode=simple\n"
        f"virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GIF JPEG MSOFFICE\nvirus_scan.MaxObjectSize 50M\n"
        f"Module common clamd_mod.so\nclamd_mod.ClamdSocket {daemon}\nvirus_scan.DefaultEngine clamd\n"
        f"Service echo srv_echo.so\n"
    )
    process = subprocess.Popen(
        ["c-icap", "-N", "-f", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _until(lambda: _listens(port), process)
        yield f"icap://127.0.0.1:{port}/avscan"
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(ready: object, process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    assert callable(ready)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if ready():
            return
        assert process.poll() is None, "the engine ended"
        time.sleep(0.05)
    raise AssertionError("the engine does not answer")
