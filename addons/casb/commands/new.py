"""Begin a policy from a template: the policy, what it assumes, and its test file.

Examples:
  casb new                                     the templates
  casb new protect-downloads-on-unmanaged --apps files
  casb new read-only-for-guests --id guests-read --config policies

Nothing that is there is overwritten. Both files are yours then: edit them, run `casb check` and `casb test`.
Exit status: 0 done, 1 no such template, or a file or policy of that name is there, 2 the call is wrong.
"""

from __future__ import annotations

import argparse
import importlib.resources
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from casb.commands import _policy_files as files
from casb.control.discovery_words import words
from casb.discovery.policies import load as load_discovery
from casb.errors import CasbError, PolicyError, Where
from casb.policy.loader import load
from casb.policy.wording import sentence
from casb.yamlfile import did_you_mean

_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Template:
    """A shipped pair of files. `about` are the comment lines at its head."""

    id: str
    policy: str
    cases: str
    about: str
    sentence: str
    severity: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("template", nargs="?", help="leave it out to list the templates")
    parser.add_argument("--id", help="the policy's id (default: the template's)")
    parser.add_argument("--apps", help="only for these apps, comma-separated")
    parser.add_argument("--config", default="policies", metavar="DIR", help="configuration folder (default: policies)")
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    known = {each.id: each for each in templates()}
    if arguments.template is None:
        _list(known, as_json=arguments.format == "json")
        return 0
    template = known.get(arguments.template)
    if template is None:
        raise PolicyError("P062", f"no template '{arguments.template}'", None, did_you_mean(arguments.template, known))
    name = arguments.id or template.id
    if not _ID.fullmatch(name):
        raise PolicyError("P038", f"'{name[:80]}' cannot be a policy id", None, "use small letters, digits and hyphens")
    made = _write(template, name, arguments.apps, Path(arguments.config))
    print(template.about, file=sys.stderr)
    for path in made:
        print(path)
    return 0


def templates() -> Iterator[Template]:
    """What is shipped, by id."""
    folder = importlib.resources.files("casb.policy") / "templates"
    texts = {each.name: each.read_text("utf-8") for each in folder.iterdir() if each.name.endswith(".yaml")}
    for name in sorted(texts):
        if name.endswith("_test.yaml"):
            continue
        does, severity = _does(name, texts[name])
        yield Template(
            id=name.removesuffix(".yaml"),
            policy=texts[name],
            cases=texts.get(name.replace(".yaml", "_test.yaml"), ""),
            about=_about(texts[name]),
            sentence=does,
            severity=severity,
        )


def _does(name: str, text: str) -> tuple[str, str]:
    """What a template does, in a sentence, and how bad a match is."""
    found = load({name: text.encode()}).policies
    if found:
        return sentence(found[0]), found[0].document.severity.value
    watching = load_discovery({name: text.encode()}, words())[0]
    return f"Discovery: {watching.name}.", watching.severity.value


def _about(text: str) -> str:
    lines = []
    for line in text.splitlines()[2:]:
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)


def _write(template: Template, name: str, apps: str | None, folder: Path) -> list[Path]:
    policy, test = folder / f"{name}.yaml", folder / "tests" / f"{name}_test.yaml"
    for path in (policy, test):
        if path.exists():
            raise PolicyError(
                "P063", "the file is there already", Where(file=str(path)), "choose another name with --id"
            )
    _refuse_twin(name, folder)
    text = _renamed(template.policy, template.id, name)
    if apps and not template.cases:
        raise PolicyError("P062", f"'{template.id}' watches all apps", None, "leave --apps away, and narrow 'when'")
    if apps:
        listed = ", ".join(each.strip() for each in apps.split(","))
        text = text.replace(f"  - id: {name}\n", f"  - id: {name}\n    apps: [{listed}]\n", 1)
    cases = _renamed(template.cases, template.id, name)
    if apps:
        cases = cases.replace("given: {activity", f"given: {{app: {apps.split(',')[0].strip()}, activity")
    load({str(policy): text.encode()})
    load_discovery({str(policy): text.encode()}, words())  # An app's name may be no name at all.
    made = (
        [(policy, text), (test, cases)] if cases else [(policy, text)]
    )  # Discovery has nothing to try an activity on.
    for path, content in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
    return [path for path, _ in made]


def _refuse_twin(name: str, folder: Path) -> None:
    errors: list[CasbError] = []
    for file, text in files.read(files.find([str(folder)]).policies, errors).items():
        if re.search(rb"^\s*(?:- )?id: *['\"]?" + re.escape(name.encode()) + rb"['\"]?\s*$", text, re.MULTILINE):
            raise PolicyError(
                "P063", f"a policy '{name}' is there already", Where(file=file), "choose another with --id"
            )


def _renamed(text: str, old: str, new: str) -> str:
    return re.sub(rf"(?<![a-z0-9-]){re.escape(old)}(?![a-z0-9-])", new, text)


def _list(known: dict[str, Template], *, as_json: bool) -> None:
    if as_json:
        told = [
            {"id": each.id, "does": each.sentence, "severity": each.severity, "about": each.about}
            for each in known.values()
        ]
        print(json.dumps(told, ensure_ascii=False, indent=2))
        return
    for each in known.values():
        print(f"{each.id:<40} {each.about.splitlines()[0]}")
