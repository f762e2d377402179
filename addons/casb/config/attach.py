"""One more domain in an app's file, put in as a person would: every other byte of the file stays as it is.

Knows texts only. That the result is a valid configuration is for the caller to find out.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

_LINE = re.compile(r"\r\n|\r|\n")


def with_domain(text: str, app_id: str, domain: str) -> str | None:
    """The text of an `apps/*.yaml` with `domain` added to the app `app_id`; None when that app is not in it.

    Raises `ValueError` with a sentence when the file is written in a way that nothing can be put into safely.

    >>> print(with_domain("id: box\\ndomains: [box.example]  # ours\\n", "box", "cdn.example"), end="")
    id: box
    domains: [box.example, cdn.example]  # ours
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    plain = text[len(mark) :]
    try:
        root = yaml.compose(plain, yaml.SafeLoader)
        before = yaml.safe_load(plain)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ValueError("the file is not valid YAML") from None
    node = _domains_of(root, app_id)
    if node is None:
        return None
    if isinstance(node, yaml.ScalarNode):
        changed = _after_scalar(plain, node, domain)
    elif isinstance(node, yaml.SequenceNode) and node.flow_style:
        changed = _in_brackets(plain, node, domain)
    elif isinstance(node, yaml.SequenceNode) and node.value:
        changed = _in_lines(plain, node, domain)
    else:
        raise ValueError("'domains' is not a list")
    if not _only_added(before, changed, app_id, domain):
        raise ValueError("the list of domains is written in a way that cannot be added to by a program")
    return mark + changed


def _domains_of(root: yaml.Node | None, app_id: str) -> yaml.Node | None:
    apps = [root]
    if isinstance(root, yaml.MappingNode):
        several = _member(root, "apps")
        if isinstance(several, yaml.SequenceNode):
            apps = list(several.value)
    for app in apps:
        if isinstance(app, yaml.MappingNode):
            name = _member(app, "id")
            if isinstance(name, yaml.ScalarNode) and name.value == app_id:
                return _member(app, "domains")
    return None


def _member(node: yaml.MappingNode, key: str) -> yaml.Node | None:
    return next((value for name, value in node.value if getattr(name, "value", None) == key), None)


def _written(domain: str) -> str:
    return f'"{domain}"' if domain.startswith("*") else domain


def _after_scalar(text: str, node: yaml.ScalarNode, domain: str) -> str:
    start, end = node.start_mark.index, node.end_mark.index
    if node.start_mark.line != node.end_mark.line:
        raise ValueError("'domains' is a text of several lines")
    return f"{text[:start]}[{text[start:end]}, {_written(domain)}]{text[end:]}"


def _in_brackets(text: str, node: yaml.SequenceNode, domain: str) -> str:
    if not node.value:
        at = node.end_mark.index - 1
        return f"{text[:at]}{_written(domain)}{text[at:]}"
    at = node.value[-1].end_mark.index
    return f"{text[:at]}, {_written(domain)}{text[at:]}"


def _in_lines(text: str, node: yaml.SequenceNode, domain: str) -> str:
    last = node.value[-1]
    begin = max(text.rfind(each, 0, last.start_mark.index) for each in "\r\n") + 1
    lead = re.match(r"[ ]*(?:[^\s#].*?:[ ]+)?-[ ]+", text[begin:])
    if lead is None or begin + lead.end() != last.start_mark.index:
        raise ValueError("the last domain is not on a line of its own")
    found = _LINE.search(text, last.end_mark.index)
    end = found.end() if found else len(text)
    ending = found[0] if found else "\n"
    line = f"{lead[0]}{_written(domain)}"
    return f"{text[:end]}{line}{ending}{text[end:]}" if found else f"{text}{ending}{line}{ending}"


def _only_added(before: Any, changed: str, app_id: str, domain: str) -> bool:
    """Whether the one difference between the two documents is the new domain at the end of that app's list."""
    try:
        after = _unshared(yaml.safe_load(changed))
        before = _unshared(before)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return False
    apps = after.get("apps", [after]) if isinstance(after, dict) else []
    for app in apps:
        if isinstance(app, dict) and app.get("id") == app_id and isinstance(app.get("domains"), list):
            if app["domains"][-1:] != [domain]:
                return False
            app["domains"].pop()
            if len(app["domains"]) == 1 and app["domains"] != _old_domains(before, app_id):
                app["domains"] = app["domains"][0]  # a single name stood there without a list
            break
    return bool(after == before)


def _unshared(value: Any) -> Any:
    """The same without aliases: what stands in two places is two things."""
    return json.loads(json.dumps(value, default=str))


def _old_domains(before: Any, app_id: str) -> Any:
    apps = before.get("apps", [before]) if isinstance(before, dict) else []
    return next((app.get("domains") for app in apps if isinstance(app, dict) and app.get("id") == app_id), None)
