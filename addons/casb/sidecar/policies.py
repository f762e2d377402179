"""The portal's pages on policies: what is in force and how often it matched, one policy in full, and a place to try
changes out. Nothing here writes a policy file: the admin's editor and version control keep that right."""

from __future__ import annotations

import itertools
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response

from casb.config import is_policy
from casb.control.discovery_policies import discovery_policies
from casb.control.timemachine import Comparison, compare
from casb.control.timemachine import to_json as comparison_json
from casb.discovery.policies import DiscoveryPolicy
from casb.errors import CasbError, Problems
from casb.policy.cases import read_suite
from casb.policy.cases import run as run_suite
from casb.policy.compile import compile_policies
from casb.policy.loader import LoadedPolicy, load
from casb.policy.suspicions import suspicions
from casb.policy.wording import differences, sentence
from casb.sidecar import budgets
from casb.sidecar.auth import Admin, AdminForm, Person, PersonForm, note
from casb.sidecar.bearer import Here
from casb.sidecar.chart import chart_of_days
from casb.sidecar.pages import page
from casb.sidecar.services import Services
from casb.sidecar.views import policy_lines, proxy_lines

router = APIRouter(include_in_schema=False)

DAYS = 30
PREVIEW = 20_000
"""Activities that a preview decides again: a second or two. `casb replay --activities` takes all."""

HISTORY = 20


@router.get("/policies")
def policies(request: Request, services: Here, who: Person) -> Response:
    view = services.deployment.view()
    return page(
        request,
        "policies.html",
        view=view,
        lines=policy_lines(services, view, timedelta(days=7)),
        proxies=proxy_lines(services),
        withdrawn={each.policy: each for each in budgets.withdrawn(services)},
        policy_file=lambda name: _is_policy(services, Path(name)),
    )


@router.get("/policies/try")
def attempt(request: Request, services: Here, who: Person, file: str = "") -> Response:
    """An editor that checks as one types. `file` is one of the folder's policy files to begin with."""
    texts = _texts(services)
    name = file if file in texts else next(iter(texts), "")
    text = texts.get(name, b"version: 1\npolicies:\n").decode("utf-8", "replace")
    return page(request, "policy_try.html", files=sorted(texts), name=name, text=text, limit=PREVIEW)


@router.post("/policies/check")
async def check(request: Request, services: Here, who: Person, form: PersonForm) -> Response:
    """What is wrong with a file's text, among the folder's others; as JSON."""
    return JSONResponse(await run_in_threadpool(_checked, services, form.get("name", ""), form.get("text", "")))


@router.post("/policies/preview")
async def preview(request: Request, services: Here, who: Person, form: PersonForm) -> Response:
    """What the text would have done to the activities of the last week; as JSON."""
    found = await run_in_threadpool(_previewed, services, form.get("name", ""), form.get("text", ""))
    return JSONResponse(found, 200 if "errors" not in found else 422)


@router.get("/policies/{policy_id}")
def policy(request: Request, services: Here, who: Person, policy_id: str) -> Response:
    view = services.deployment.view()
    loaded = next((each for each in view.loaded if each.document.id == policy_id), None)
    if loaded is None:
        raise HTTPException(404, "There is no policy with this id in the folder. It may have been renamed or removed.")
    line = next(each for each in policy_lines(services, view, timedelta(days=7)) if each.policy.id == policy_id)
    since = services.clock() - timedelta(days=DAYS - 1)
    days = [(since + timedelta(days=day)).strftime("%Y-%m-%d") for day in range(DAYS)]
    if line.policy.afterwards:
        found = services.alerts.policy_days(since, policy_id).get(policy_id, {})
        counts = {day: {line.policy.action: times} for day, times in found.items()}
    else:
        counts = services.records.policy_days(policy_id, since)
    file = Path(loaded.origins.policy.file)
    return page(
        request,
        "policy.html",
        line=line,
        document=loaded.document,
        sentence=sentence(loaded),
        chart=chart_of_days([(day, counts.get(day, {})) for day in days]),
        source=_source(services, loaded, view.loaded),
        results=_results(services, loaded),
        history=_history(_folder(services) / file.name),
        withdrawn=next((each for each in budgets.withdrawn(services) if each.policy == policy_id), None),
    )


@router.post("/policies/{policy_id}/reinstate")
async def reinstate(request: Request, services: Here, who: Admin, form: AdminForm, policy_id: str) -> Response:
    # Noted first: what was refused before this moment counts no more against the budget.
    if any(each.policy == policy_id for each in await run_in_threadpool(budgets.withdrawn, services)):
        await note(request, services, who.name, "policy put back in force", policy=policy_id)
        await run_in_threadpool(budgets.reinstate, services, policy_id)
    return RedirectResponse("/policies", 303)


def _folder(services: Services) -> Path:
    return Path(services.settings.folder)


def _is_policy(services: Services, file: Path) -> bool:
    return is_policy(file.name) and file.parent.absolute() == _folder(services).absolute()


def _texts(services: Services) -> dict[str, bytes]:
    """The policy files of the folder, by name: those that are broken, too."""
    files = [Path(each.name) for each in services.deployment.view().files]
    names = {each.name for each in files if _is_policy(services, each)}
    texts: dict[str, bytes] = {}
    for name in sorted(names):
        try:
            texts[name] = (_folder(services) / name).read_bytes()
        except OSError:
            continue  # Removed meanwhile; the next look at the folder says so.
    return texts


def _candidate(
    services: Services, name: str, text: str
) -> tuple[tuple[LoadedPolicy, ...], tuple[DiscoveryPolicy, ...]]:
    """The folder's policies with one file's text replaced. Raises `Problems`."""
    view = services.deployment.view()
    texts = {**_texts(services), Path(name or "draft.yaml").name: text.replace("\r\n", "\n").encode()}
    errors: list[CasbError] = []
    loaded: tuple[LoadedPolicy, ...] = ()
    try:
        loaded = (load(texts, **view.known) if view.known else load(texts)).policies
    except Problems as problems:
        errors += problems.errors
    watching = discovery_policies(texts, loaded, errors)
    if errors:
        raise Problems(errors)
    return loaded, watching


def _checked(services: Services, name: str, text: str) -> dict[str, Any]:
    try:
        loaded, watching = _candidate(services, name, text)
    except Problems as problems:
        return {"errors": [_error(each) for each in problems.errors], "warnings": []}
    own = Path(name or "draft.yaml").name
    warnings = [each for each in suspicions(compile_policies(loaded).all) if each.where and each.where.file == own]
    told = [sentence(each) for each in loaded if each.origins.policy.file == own]
    told += [f"watches apps in Cloud Discovery: {each.name}" for each in watching if each.where.file == own]
    return {"errors": [], "warnings": [_error(each) for each in warnings], "policies": told}


def _error(error: CasbError) -> dict[str, Any]:
    where = error.where
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "line": where.line if where else 0,
        "column": where.column if where else 0,
        "file": where.file if where else "",
    }


def _previewed(services: Services, name: str, text: str) -> dict[str, Any]:
    try:
        after, _ = _candidate(services, name, text)
    except Problems as problems:
        return {"errors": [_error(each) for each in problems.errors]}
    before = services.deployment.view().loaded
    since = services.clock() - timedelta(days=7)
    records = services.records.stream({"from": since.isoformat()}, limit=PREVIEW)
    *_, found = itertools.chain([Comparison()], compare(records, compile_policies(after), compile_policies(before)))
    return {
        **comparison_json(found),
        "cut": found.total + found.left_out >= PREVIEW,
        "differences": [
            {"policy": each.policy, "what": each.what, "direction": each.direction.value}
            for each in differences(before, after)
        ],
    }


def _source(services: Services, loaded: LoadedPolicy, every: tuple[LoadedPolicy, ...]) -> list[tuple[int, str]]:
    """The lines of its file from the policy's first to the one before the next policy's."""
    file, line = loaded.origins.policy.file, loaded.origins.policy.line
    later = [each.origins.policy.line for each in every if each.origins.policy.file == file]
    end = min((other for other in later if other > line), default=None)
    try:
        lines = (_folder(services) / Path(file).name).read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    cut = list(enumerate(lines, 1))[line - 1 : end - 1 if end else None]
    while cut and (not cut[-1][1].strip() or cut[-1][1].lstrip().startswith("#")):
        cut.pop()
    return cut


@dataclass(frozen=True, slots=True)
class Result:
    """A case that the policy takes part in."""

    name: str
    place: str
    passed: bool


def _results(services: Services, loaded: LoadedPolicy) -> list[Result]:
    """The cases of `tests/` in which the policy matches or is expected, run now."""
    found: list[Result] = []
    texts = _texts(services)
    for path in sorted((_folder(services) / "tests").glob("*_test.yaml")):
        try:
            suite = read_suite(path.read_bytes(), f"tests/{path.name}")
            named = {Path(each).name for each in suite.policies}
            in_force = compile_policies(load({name: texts[name] for name in named if name in texts}).policies)
        except (Problems, OSError):
            continue  # Shown with its errors among the files.
        for case, outcome in zip(suite.cases, run_suite(suite, in_force), strict=True):
            decision = outcome.decision
            concerned = {case.expect.policy, *decision.matched, *(each.policy for each in decision.shadow)}
            if loaded.document.id in concerned:
                found.append(Result(outcome.name, str(outcome.where), outcome.passed))
    return found


@dataclass(frozen=True, slots=True)
class Commit:
    """One line of a file's history."""

    id: str
    time: str
    who: str
    what: str


def _history(path: Path) -> list[Commit]:
    """The last commits that touched the file, when the folder is in a git repository."""
    form = "%h%x00%aI%x00%an%x00%s"
    command = ["git", "-C", str(path.parent), "log", f"-{HISTORY}", f"--format={form}", "--", path.name]
    try:
        done = subprocess.run(command, capture_output=True, timeout=5)  # noqa: S603  # fixed program, own file name
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = done.stdout.decode("utf-8", "replace").splitlines() if done.returncode == 0 else []
    return [Commit(*line.split("\0")) for line in lines if line.count("\0") == 3]
