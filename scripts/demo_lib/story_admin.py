"""The story's second half: admins and testers. Policies change under live sessions, decisions are explained, the log
is read in the portal, flows are replayed, and processes are killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import BrowserContext

from demo_lib.looking import NAVIGATION, Answer, ask, eventually, process_of, records
from demo_lib.stack import casb
from demo_lib.story import SEALED, Stage, leaks, must, must_be_blocked

IN_FORCE = 2.0  # seconds: contracts.md section 3


def policy_changes(stage: Stage, activity: str) -> None:
    """An admin edits the policy that blocked, while Ben's session runs."""
    stack = stage.stack
    ben = stage.browsers.person("ben-again")
    stage.sign_in(ben, "ben@contoso.example", stage.address("/"))
    policy, path = _policy_behind(stage, activity)
    original = path.read_text()
    secret = (stack.files.folder / "payroll.xlsx").read_bytes()

    def payroll() -> Answer:
        return ask(stack, stage.address("/payroll.xlsx"), cookies_of=ben, headers=NAVIGATION)

    with stage.scene("an admin's edit is in force within two seconds, in sessions that run"):
        must_be_blocked(payroll(), secret)
        path.write_text(_disabled(original, policy))
        answers = _in_force(payroll)
        must(all(each.body.startswith(SEALED) for each in answers), "two seconds later the old policy still decided")
        path.write_text(original)
        for answer in _in_force(payroll):
            must_be_blocked(answer, secret)
    with stage.scene("a broken edit is reported with file, line and column, and changes nothing"):
        broken = original.replace("action:", "acton:", 1)
        where = broken[: broken.index("acton:")].count("\n") + 1
        path.write_text(broken)
        try:
            place = re.compile(rf"{re.escape(path.name)}:{where}:\d+: \w+ ")
            told = eventually(lambda: place.search(stack.casb_log.read_text(errors="replace")), 5)
            must(told, "the service log does not name the place")
            for answer in _in_force(payroll):
                must_be_blocked(answer, secret)
            status, output, errors = casb(stack, "check", str(stack.config))
            must(status == 1, f"casb check ended with {status}")
            must(place.search(output + errors), f"casb check does not name the place: {errors or output}")
        finally:
            path.write_text(original)


def _policy_behind(stage: Stage, activity: str) -> tuple[str, Path]:
    """Id and file of the policy that decided an activity, as the log says."""
    found = eventually(lambda: records(stage.stack, id=activity), 10)
    must(found, f"the log has no activity {activity}")
    policy = found[0]["policy"]
    reason = next(each for each in found[0]["reasons"] if each["policy"] == policy)
    path = Path(reason["file"])
    return policy, path if path.is_absolute() else stage.stack.config / path


def _disabled(text: str, policy: str) -> str:
    """The file with `enabled: false` under one policy, as an admin would write it."""
    found = re.search(rf"^(\s*)- id: {re.escape(policy)}\s*$", text, re.MULTILINE)
    must(found is not None, f"the file has no policy {policy}")
    indent = found[1] + "  " if found else ""
    return text.replace(found[0], f"{found[0]}\n{indent}enabled: false", 1) if found else text


def _in_force(payroll: Callable[[], Answer]) -> list[Answer]:
    """What every worker answers once the time is up that a change may take."""
    time.sleep(IN_FORCE)
    return [payroll() for _ in range(12)]  # New connections each: the workers share them out.


def explanation(stage: Stage, activity: str) -> None:
    """Why Ben was blocked: on the command line and in the portal."""
    stack = stage.stack
    policy, path = _policy_behind(stage, activity)
    with stage.scene("casb explain names the policy, its conditions and the facts, with file and line"):
        status, output, errors = casb(stack, "explain", activity, "--config", str(stack.config))
        text = output + errors
        must(status == 0, f"casb explain ended with {status}: {text}")
        for wanted in (policy, "payroll.xlsx", "ben@contoso.example", "unmanaged"):
            must(wanted in text, f"{wanted} is not in the explanation:\n{text}")
        must(re.search(rf"{re.escape(path.name)}:\d+", text), f"no file and line in the explanation:\n{text}")
    with stage.scene("the portal's activity log shows the same record"):
        admin = stage.browsers.person("admin")
        page = admin.new_page()
        page.goto(stack.portal + "/")
        stage.picture(page, "portal-sign-in")
        page.get_by_role("link", name="Sign in with your organisation").click()
        page.locator('button[value="admin@contoso.example"]').click()
        page.wait_for_url(lambda url: url.startswith(stack.portal))
        page.goto(f"{stack.portal}/activities?id={activity}")
        page.get_by_text(activity).first.wait_for()
        stage.picture(page, "portal-activity-log")
        page.goto(f"{stack.portal}/activities/{activity}")
        words = page.locator("body").inner_text()
        stage.picture(page, "portal-record")
        for wanted in (activity, policy, "payroll.xlsx", "ben@contoso.example"):
            must(wanted in words, f"{wanted} is not on the record's page")


def replay(stage: Stage, recorded: Path) -> None:
    """A tester runs what was recorded through the decision path again."""
    stack = stage.stack
    with stage.scene("recorded flows decide the same again under casb replay"):
        status, output, errors = casb(stack, "replay", str(recorded), "--config", str(stack.config), "--format", "json")
        must(status == 0, f"casb replay ended with {status}: {errors}")
        again = [json.loads(line) for line in output.splitlines()]
        decided = Counter(each["action"] for each in again)
        must(decided["block"] >= 2, f"the blocks are not in the replay: {dict(decided)}")
        must(decided["protect"] >= 1, f"the encrypted hand-over is not in the replay: {dict(decided)}")
        blocked = [each for each in again if each["action"] == "block" and "payroll" in (each["url"] or "")]
        must(blocked and blocked[0]["user"] == "ben@contoso.example", "the replayed block is not Ben's")


def keep_recording(stage: Stage) -> Path:
    """What was recorded so far, put aside before policies change."""
    kept = stage.stack.folder / "recorded-story.mitm"
    time.sleep(0.5)
    shutil.copyfile(stage.stack.recorded, kept)
    return kept


def killed(stage: Stage) -> None:
    """Kill -9 of the sidecar and of a worker, in the middle of everything."""
    stack = stage.stack
    eva = stage.browsers.person("ben-in-trouble")
    stage.sign_in(eva, "ben@contoso.example", stage.address("/"))
    original = (stack.files.folder / "payroll.xlsx").read_bytes()
    refused: list[str] = []
    with stage.scene("kill -9 of the sidecar: decisions go on"):
        os.kill(process_of(stack, "serve"), signal.SIGKILL)
        refused += _refusals(stage, eva, original, 15)
        must(len(refused) == 15, f"only {len(refused)} of 15 requests were refused")
    with stage.scene("kill -9 of a worker: nothing passes, the others and its successor go on"):
        os.kill(process_of(stack, "casb.proxy.worker"), signal.SIGKILL)
        more = _refusals(stage, eva, original, 30)
        must(len(more) >= 25, f"only {len(more)} of 30 requests found a worker")
        refused += more
    with stage.scene(f"all {len(refused)} records arrive, each once"):
        eventually(stack.ready, 30)
        wanted = set(refused)

        def arrived() -> Counter[str]:
            return Counter(each["id"] for each in records(stage.stack) if each["id"] in wanted)

        counts = eventually(lambda: (found := arrived()) and len(found) == len(wanted) and found, 30, 0.5) or arrived()
        must(len(counts) == len(wanted), f"{len(wanted) - len(counts)} records are missing")
        must(max(counts.values()) == 1, "a record arrived more than once")


def _refusals(stage: Stage, context: BrowserContext, original: bytes, times: int) -> list[str]:
    """Asks for payroll again and again; the activity ids of the refusals. Any byte of the file ends the story."""
    found = []
    for _ in range(times):
        try:
            answer = ask(stage.stack, stage.address("/payroll.xlsx"), cookies_of=context, headers=NAVIGATION)
        except OSError:
            time.sleep(0.1)  # The connection went down with its worker.
            continue
        must(not leaks(answer.body, original), "bytes of the file came through")
        if "x-casb-activity" in answer.headers:
            found.append(answer.headers["x-casb-activity"])
    return found
