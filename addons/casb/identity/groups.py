"""Groups beyond the token, and who is in scope. Pure; people are never exempted because something is not known."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from casb.errors import ConfigError, Where
from casb.identity.devices import load_yaml, place
from casb.model.identity import User
from casb.settings import Scope, ScopeRule

EXTERNAL: Final = "External users"
"""The built-in group of guests and people of foreign mail domains (MDCA)."""
MAX_MEMBERS: Final = 2_000_000

type Imported = Mapping[str, frozenset[str]]
"""Person, as they sign in or by id, lower case, to groups."""


def read_groups(data: bytes, file: str) -> Imported:
    """CSV with a head of `group` and `member`, or YAML of group to members. Raises `ConfigError` I043."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("I043", "the groups file is not UTF-8", Where(file=file)) from error
    pairs = _yaml_pairs(text, file) if file.endswith((".yaml", ".yml")) else _csv_pairs(text, file)
    found: dict[str, set[str]] = {}
    for count, (line, group, member) in enumerate(pairs):
        name, person = group.strip(), member.strip().lower()
        if not name or not person or count >= MAX_MEMBERS:
            raise ConfigError("I043", "a group or member is empty, or there are too many", place(file, line))
        if name.casefold() == EXTERNAL.casefold():
            raise ConfigError("I043", f"'{EXTERNAL}' is built in", place(file, line), "take another name")
        found.setdefault(person, set()).add(name)
    return MappingProxyType({person: frozenset(groups) for person, groups in found.items()})


def _csv_pairs(text: str, file: str) -> list[tuple[int, str, str]]:
    try:
        reader = csv.DictReader(io.StringIO(text), strict=True)
        head = {name.strip().lower() for name in reader.fieldnames or ()}
        if not {"group", "member"} <= head:
            raise ConfigError("I043", "the head must name 'group' and 'member'", place(file, 1))
        pairs = []
        for row in reader:
            if None in row or None in row.values():
                raise ConfigError("I043", "the row is not as long as the head", place(file, reader.line_num))
            fields = {name.strip().lower(): value for name, value in row.items()}
            pairs.append((reader.line_num, fields["group"], fields["member"]))
        return pairs
    except csv.Error as error:
        raise ConfigError("I043", f"the CSV cannot be read: {error}", Where(file=file)) from error


def _yaml_pairs(text: str, file: str) -> list[tuple[int, str, str]]:
    document = load_yaml(text, file)
    if not isinstance(document, dict):
        raise ConfigError("I043", "the groups file must be a mapping of groups to members", place(file, 1))
    pairs = []
    for group, members in document.items():
        if not isinstance(group, str) or not isinstance(members, list):
            raise ConfigError("I043", f"the group '{group}' has no list of members", Where(file=file))
        for member in members:
            if not isinstance(member, str):
                raise ConfigError("I043", f"a member of the group '{group}' is no name", Where(file=file))
            pairs.append((0, group, member))
    return pairs


def with_groups(user: User, *, imported: Imported | None, domains: Iterable[str] = (), known: bool = True) -> User:
    """The person with imported groups and, for outsiders, the built-in one. `known=False`: groups may be missing."""
    mine = {each.lower() for each in domains}
    outside = user.is_guest or bool(mine and user.domain not in mine)
    groups = user.groups | ({EXTERNAL} if outside else frozenset())
    for key in (user.name, user.id.lower()):
        groups |= (imported or {}).get(key, frozenset())
    if groups == user.groups and (known or not user.groups_known):
        return user
    return replace(user, groups=frozenset(groups), groups_known=user.groups_known and known)


# --- scoped deployment (MDCA, session-control.md section 8.1)


def in_scope(scope: Scope, user: User | None, app: str) -> bool:
    """Whether what a person does in an app is recorded.

    Exclusion wins. Inclusion: a rule for the app itself goes before one for a suite it belongs to; a rule for all apps
    counts beside either; without any, everybody is in. Who is not known to be a member is excluded by nothing, and is
    in wherever a group decides.
    """
    if user is None:
        return True
    suites = {name for name, apps in scope.suites.items() if app in apps}
    if any(_is(rule, user, doubt=False) for rule in scope.exclude if _applies(rule, {app, *suites})):
        return False
    everywhere = [rule for rule in scope.include if not rule.apps]
    own = [rule for rule in scope.include if app in rule.apps]
    near = own or [rule for rule in scope.include if suites & set(rule.apps)]
    rules = [*everywhere, *near]
    return not rules or any(_is(rule, user, doubt=True) for rule in rules)


def _applies(rule: ScopeRule, names: set[str]) -> bool:
    return not rule.apps or not names.isdisjoint(rule.apps)


def _is(rule: ScopeRule, user: User, *, doubt: bool) -> bool:
    if user.name in {each.lower() for each in rule.users}:
        return True
    mine = {each.casefold() for each in user.groups}
    if any(each.casefold() in mine for each in rule.groups):
        return True
    return doubt and bool(rule.groups) and not user.groups_known
