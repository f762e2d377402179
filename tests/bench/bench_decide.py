"""What a decision costs, against the naive loop over all policies in the same run.

Run: `PYTHONPATH=addons:tests python tests/bench/bench_decide.py`. Absolute figures are noise; the ratio counts.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable

from casb.model.activity import Activity, ActivityType
from casb.model.app import App
from casb.model.decision import Action, Decision, Truth
from casb.model.file import FileFacts
from casb.model.identity import Client, Device, DeviceTag, User
from casb.policy.compile import Policies, compile_policies
from casb.policy.engine import decide
from casb.policy.loader import load
from policy_support import NOW

APPS = 50
KINDS = ("download", "upload", "view", "copy", "print", "share", "edit", "delete")


def document(count: int, rng: random.Random) -> bytes:
    """`count` policies, each for one app and two activities, with conditions as admins write them."""
    lines = ["version: 1", "policies:"]
    for number in range(count):
        conditions = rng.sample(
            (
                f"device: {rng.choice(('unmanaged', 'compliant', '{not: compliant}'))}",
                f"user: {{group: {{any_of: [group-{rng.randrange(40)}, group-{rng.randrange(40)}]}}}}",
                f"client: {{ip: {{not: 10.{rng.randrange(200)}.0.0/16}}}}",
                f"client: {{country: {rng.choice(('DE', 'FR', 'US'))}}}",
                f"file: {{extension: [docx, x{number}], name: '*{number}*'}}",
            ),
            3,
        )
        unique = {line.partition(":")[0]: line for line in conditions}
        chosen = rng.sample(KINDS, 2)
        lines.append(
            f"  - {{id: p{number}, apps: app{number % APPS}, activities: [{', '.join(chosen)}], "
            f"action: {rng.choice(('audit', 'block'))}, when: {{{', '.join(unique.values())}}}}}"
        )
    return "\n".join(lines).encode()


def activities(rng: random.Random, count: int = 400) -> list[Activity]:
    made = []
    users = [
        User(id=f"t/{n}", name=f"u{n}@x.example", groups=frozenset(f"group-{rng.randrange(40)}" for _ in range(20)))
        for n in range(20)
    ]
    for number in range(count):
        app = f"app{rng.randrange(APPS)}"
        made.append(
            Activity(
                id=str(number),
                time=NOW,
                type=ActivityType(rng.choice(KINDS)),
                app=App(id=app, name=app, domains=()),
                user=rng.choice(users),
                device=Device(tags=frozenset({DeviceTag.COMPLIANT}) if rng.random() < 0.7 else frozenset()),
                client=Client(ip=f"10.{rng.randrange(200)}.1.{number % 200}", country=rng.choice(("DE", "IT"))),
                file=FileFacts(name=f"report-{number}.docx", extension="docx", size=5),
            )
        )
    return made


def naive(activity: Activity, policies: Policies) -> Decision:
    """Every policy, one after the other."""
    best = Action.ALLOW
    winner = None
    for policy in policies.all:
        if policy.apps and (activity.app is None or activity.app.id not in policy.apps):
            continue
        if activity.type not in policy.activities or policy.check(activity) is not Truth.YES:
            continue
        if policy.action > best:
            best, winner = policy.action, policy.id
    return Decision(action=best, policy=winner)


def microseconds(call: Callable[[Activity, Policies], Decision], given: list[Activity], policies: Policies) -> float:
    started = time.process_time()
    for each in given:
        call(each, policies)
    return (time.process_time() - started) / len(given) * 1e6


def measure(count: int, rounds: int) -> tuple[float, ...]:
    """Median µs: all decisions, those that nothing matches, those with a match and its reasons, the naive loop; then
    the seconds to load and compile the policies.
    """
    rng = random.Random(7)  # noqa: S311  # the same policies in each run
    text = document(count, rng)
    started = time.process_time()
    policies = compile_policies(load({"bench.yaml": text}, limit=len(text)).policies)
    loading = time.process_time() - started
    given = activities(rng)
    for each in given:
        if decide(each, policies).action is not naive(each, policies).action:
            raise SystemExit(f"the two loops disagree on {each}")
    quiet = [each for each in given if not decide(each, policies).matched]
    matching = [each for each in given if decide(each, policies).matched] or quiet
    runs = [
        (
            microseconds(decide, given, policies),
            microseconds(decide, quiet, policies),
            microseconds(decide, matching, policies),
            microseconds(naive, given, policies),
        )
        for _ in range(rounds)
    ]
    return (*(statistics.median(column) for column in zip(*runs, strict=True)), loading)


def main() -> int:
    out = sys.stdout
    out.write("| policies | decide, µs | no match, µs | match with reasons, µs | naive loop, µs | ratio | load, s |\n")
    out.write("|---|---|---|---|---|---|---|\n")
    for count in (10, 100, 1000, 10000):
        every, quiet, matching, slow, loading = measure(count, 7 if count < 10000 else 3)
        row = f"{every:.1f} | {quiet:.1f} | {matching:.1f} | {slow:.1f} | {every / slow:.3f} | {loading:.2f}"
        out.write(f"| {count} | {row} |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
