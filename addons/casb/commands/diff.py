"""What a change of the policies means, in words an auditor reads: between two folders, or two versions in git.

Examples:
  casb diff HEAD                    the folder as it is now against its last commit
  casb diff v1.2 v1.3 --config policies
  casb diff /backup/policies policies
  casb diff HEAD --format json

An argument that is a folder is read from disk; any other is a git revision of the folder that --config names.
Exit status: 0 they mean the same, 1 they differ or cannot be read, 2 the call is wrong.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from casb.commands import _policy_files as files
from casb.commands.activity import clean
from casb.errors import CasbError, PolicyError, Problems, Where
from casb.policy.loader import LoadedPolicy, load
from casb.policy.wording import Difference, Direction, differences

_MARKS = {Direction.TIGHTER: "+", Direction.LOOSER: "-", Direction.OTHER: " "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", help="a folder, or a git revision")
    parser.add_argument(
        "new", metavar="NEW", nargs="?", help="a folder, or a git revision (default: --config as it is)"
    )
    parser.add_argument("--config", default="policies", metavar="DIR", help="configuration folder (default: policies)")
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.config)
    old = _policies(_texts(arguments.old, folder))
    new = _policies(_texts(arguments.new or arguments.config, folder))
    found = list(differences(old, new))
    if arguments.format == "json":
        print(json.dumps([_json(each) for each in found], ensure_ascii=False, indent=2))
    else:
        for each in found:
            print(clean(f"{_MARKS[each.direction]} {each.policy}: {each.what}  ({each.where})"))
        tighter, looser = (
            sum(each.direction is side for each in found) for side in (Direction.TIGHTER, Direction.LOOSER)
        )
        told = (
            f"{len(found)} changes: {tighter} tighter (+), {looser} looser (-)" if found else "no difference in meaning"
        )
        print(told, file=sys.stderr)
    return 1 if found else 0


def _policies(texts: dict[str, bytes]) -> tuple[LoadedPolicy, ...]:
    return load(texts).policies


def _texts(name: str, folder: Path) -> dict[str, bytes]:
    """The policy files of a folder, or of a git revision of `folder`. Raises `Problems` or `PolicyError`."""
    if not name or not Path(name).is_dir():
        return _at_revision(name, folder)
    found, errors = files.find([name]), list[CasbError]()
    texts = files.read(found.policies, errors)
    if errors:
        raise Problems(errors)
    return texts


def _at_revision(revision: str, folder: Path) -> dict[str, bytes]:
    if not revision or revision.startswith("-"):
        raise PolicyError("P061", f"'{revision}' is neither a folder nor a git revision")
    names = _git(folder, revision, "ls-tree", "-z", "--name-only", revision, "./").split(b"\0")
    texts: dict[str, bytes] = {}
    for raw in names:
        name = raw.decode("utf-8", "replace")
        if name.endswith((".yaml", ".yml")) and name not in files.NOT_POLICIES:
            texts[f"{revision}:{name}"] = _git(folder, revision, "show", f"{revision}:./{name}")
    return texts


def _git(folder: Path, revision: str, *arguments: str) -> bytes:
    where = Where(file=str(folder))
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, timeout=30)  # noqa: S603, S607
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PolicyError("P061", f"git cannot be asked: {type(error).__name__}", where) from error
    if done.returncode:
        message = f"'{revision}' is neither a folder nor a git revision of this one"
        raise PolicyError("P061", message, where, "name a folder, or a revision such as HEAD~1")
    return done.stdout


def _json(each: Difference) -> dict[str, object]:
    where = each.where
    return {
        "policy": each.policy,
        "what": each.what,
        "direction": each.direction.value,
        "file": where.file,
        "line": where.line,
        "column": where.column,
    }
