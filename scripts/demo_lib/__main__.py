"""`scripts/demo`: runs the product on loopback until Ctrl-C, or walks its story with `--check`."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from casb.model.record import rfc3339
from casb.store.records_sqlite import Database, SqliteRecords
from demo_lib.browser import browsers, command_line, trust
from demo_lib.idp import ROOT
from demo_lib.processes import StartError
from demo_lib.relay import Relay
from demo_lib.stack import RISKY, SUFFIX, Ports, Stack


def main() -> int:
    """Exit status: 0 done, 1 with a sentence about what failed."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--check", action="store_true", help="walk the story in headless Chromium, then end")
    parser.add_argument("--screenshots", type=Path, metavar="DIR", help="with --check: keep what was seen")
    parser.add_argument("--folder", type=Path, help="where everything is kept (default: var/demo; --check: var/check)")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier demo left there")
    arguments = parser.parse_args()
    folder = (arguments.folder or ROOT / "var" / ("check" if arguments.check else "demo")).resolve()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell may have started us with it ignored.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # Leaves every `with` in order.
    if arguments.fresh or arguments.check:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        if arguments.check:
            return check(folder, arguments.screenshots)
        return show(folder)
    except StartError as error:
        print(f"scripts/demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def check(folder: Path, pictures: Path | None) -> int:
    """Walks the story; prints each scene as it succeeds."""
    from playwright.sync_api import Error as PlaywrightError

    from demo_lib.programme import play
    from demo_lib.story import StoryFailed

    begun = time.monotonic()
    with Stack(folder, Ports.free()) as stack:
        authorities = {"casb demo servers": stack.authority.certificate_path, "casb": stack.our_ca}
        with browsers(folder / "browser", authorities) as crowd:
            try:
                play(stack, crowd, pictures, say)
            except (StoryFailed, PlaywrightError) as failure:
                say(f"✗ {failure}")
                say(f"the service log ends with:\n{stack.casb.last_words(25)}")
                return 1
    say(f"the whole story holds ({time.monotonic() - begun:.0f} s)")
    return 0


def say(line: str) -> None:
    """One line, at once."""
    print(line, flush=True)


def show(folder: Path) -> int:
    """Runs until Ctrl-C."""
    say("starting: identity provider, two applications, proxy and sidecar …")
    with Stack(folder, Ports.friendly()) as stack, Relay(stack.ports.reverse, RISKY) as relay:
        home = folder / "browser"
        trust(home, {"casb demo servers": stack.authority.certificate_path, "casb": stack.our_ca})
        say(introduction(stack, home, relay.port))
        follow(stack)
    say("stopped")
    return 0


def follow(stack: Stack) -> None:
    """Prints what is decided and what the service log says, as it happens; returns on Ctrl-C."""
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    decisions = Decisions(stack)
    with stack.casb_log.open(errors="replace") as lines:
        while not stop.wait(0.5):
            for line in lines:
                print(line, end="", flush=True)
            for line in decisions.new():
                print(line, flush=True)
            if not stack.casb.running:
                status = stack.casb.process.returncode
                raise StartError(f"casb up ended with status {status}:\n{stack.casb.last_words()}")


class Decisions:
    """The activity log, read as it grows. Plain looking around is left out."""

    def __init__(self, stack: Stack) -> None:
        self._log = SqliteRecords(Database(stack.data / "casb.db", read_only=True))
        self._since = datetime.now(UTC)
        self._known: set[str] = set()

    def new(self) -> list[str]:
        """A line for each activity that was not there before, oldest first."""
        begun = datetime.now(UTC)
        found = list(self._log.stream({"from": rfc3339(self._since - timedelta(seconds=30))}))
        fresh = [each for each in reversed(found) if each["id"] not in self._known]
        self._known = {each["id"] for each in found}
        self._since = begun
        return [_line(each) for each in fresh if (each["activity"], each["action"]) != ("view", "allow")]


def _line(record: dict[str, Any]) -> str:
    user, app, file = (record.get(name) or {} for name in ("user", "app", "file"))
    what = " ".join(filter(None, (record["activity"], file.get("name"))))
    because = f"because of {record['policy']}" if record.get("policy") else ""
    who = f"{user.get('name', 'somebody')} ({', '.join(record['device']['tags']) or 'unmanaged'})"
    where = app.get("name", "no application")
    return f"{record['time'][11:19]} {record['action']:<8} {who}: {what} in {where} {because} {record['id']}"


def introduction(stack: Stack, home: Path, relay_port: int) -> str:
    """Addresses, sign-ins, and what each of them shows."""
    files, flows = stack.url(stack.files), stack.url(stack.flows)
    mapping = f"MAP *.{SUFFIX}:{stack.ports.reverse} 127.0.0.1:{relay_port}"
    away = command_line(home, files, profile="away", mapping=mapping)
    config = stack.config.relative_to(ROOT) if stack.config.is_relative_to(ROOT) else stack.config
    return f"""
casb runs. Open a browser of its own, which trusts the demo's certificates:

  {command_line(home, files)}

Applications, through the proxy     {files}  files (copyparty)
                                    {flows}  flows (Node-RED, WebSocket)
Portal                              {stack.portal}/  sign in as admin@contoso.example
Your session                        {stack.login}/
Forward proxy                       127.0.0.1:{stack.ports.forward}, PAC file {stack.portal}/proxy.pac

Sign in as                          on a device that is  and see
  ada@contoso.example               compliant            everything works: download, upload, both applications
  ben@contoso.example               unmanaged            payroll.xlsx is blocked, quarterly-report.docx leaves
                                                         encrypted, handbook.pdf is only recorded
  dan@contoso.example               unmanaged            cannot open what was encrypted for ben
  cleo@contoso.example              hybrid joined        managed, in the other way
  admin@contoso.example             compliant            the portal: activity log, apps, policies

From a network that is called risky ({RISKY}), unmanaged devices are refused at the door:

  {away}

Change a policy in {config}/ and save: in force within two seconds. Break one: the log below says where.
Then ask why something was decided: .venv/bin/casb explain <activity id> --config {config}

Ctrl-C stops all of it. The log, as it happens:
"""


if __name__ == "__main__":
    sys.exit(main())
