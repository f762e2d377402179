"""Names in logs to people of the directory: log name to UPN and groups (D19).

The directory is a file that somebody exports (CSV or YAML). Reading it is the store's work; its meaning is known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One entry: the user principal name, other names that logs use for them, and their groups."""

    upn: str
    names: tuple[str, ...] = ()
    groups: frozenset[str] = frozenset()
    display: str = ""


class People:
    """The directory, indexed by every way in which a log may name somebody. Immutable."""

    def __init__(self, persons: Iterable[Person] = ()) -> None:
        """A name that two people share names nobody."""
        self._by_name: dict[str, Person | None] = {}
        self.count = 0
        for person in persons:
            self.count += 1
            for name in {_key(person.upn), *map(_key, person.names)}:
                self._by_name[name] = None if name in self._by_name else person

    def find(self, name: str) -> Person | None:
        """The person behind a log's name, or None.

        As written, then without a Windows domain, an LDAP path or a realm around it: `CONTOSO\\ada`,
        `LDAP://dc1/CN=ada,OU=x`, `ada@CONTOSO.EXAMPLE`.
        """
        for spelling in spellings(name):
            found = self._by_name.get(spelling)
            if found is not None:
                return found
        return None

    @property
    def groups(self) -> frozenset[str]:
        """Every group that somebody is in."""
        return frozenset(group for person in self._by_name.values() if person for group in person.groups)


def spellings(name: str) -> tuple[str, ...]:
    """The ways a log's name may stand in a directory, the one as written first; all case folded."""
    whole = _key(name)
    found = [whole]
    if "\\" in whole:
        found.append(whole.rpartition("\\")[2])
    if "cn=" in whole:
        found.append(whole.partition("cn=")[2].partition(",")[0].strip())
    if "/" in whole and "://" not in whole:
        found.append(whole.rpartition("/")[2])
    last = found[-1]
    if "@" in last:
        found.append(last.partition("@")[0])
    return tuple(dict.fromkeys(each for each in found if each))


def from_mapping(entries: Mapping[str, Mapping[str, object]]) -> list[Person]:
    """`{log name: {upn, groups, names, display}}` to people. Raises `ValueError` with a sentence."""
    persons = []
    for name, entry in entries.items():
        upn = entry.get("upn") or name
        groups, names = entry.get("groups") or (), entry.get("names") or ()
        if not isinstance(upn, str) or not isinstance(groups, list | tuple) or not isinstance(names, list | tuple):
            raise ValueError(f"{name!r} needs `upn`, a text, and `groups`, a list")
        persons.append(
            Person(
                upn=upn,
                names=(name, *map(str, names)),
                groups=frozenset(map(str, groups)),
                display=str(entry.get("display") or ""),
            )
        )
    return persons


def from_rows(rows: Iterable[Mapping[str, str | None]]) -> list[Person]:
    """Rows of a CSV with the columns `name`, `upn` and, where known, `groups` (separated by `;`) and `display`.

    Several rows of one UPN are one person with several names. Raises `ValueError` when a column is missing.
    """
    names: dict[str, list[str]] = {}
    groups: dict[str, set[str]] = {}
    display: dict[str, str] = {}
    for row in rows:
        upn = (row.get("upn") or "").strip()
        if not upn:
            raise ValueError("the column `upn` is missing or empty")
        names.setdefault(upn, []).append((row.get("name") or upn).strip())
        groups.setdefault(upn, set()).update(
            each.strip() for each in (row.get("groups") or "").split(";") if each.strip()
        )
        display.setdefault(upn, (row.get("display") or "").strip())
    return [
        Person(upn=upn, names=tuple(each), groups=frozenset(groups[upn]), display=display[upn])
        for upn, each in names.items()
    ]


def _key(name: str) -> str:
    return name.strip().casefold()
