"""What directories and files add to the claims of a sign-in: groups, device tags, whether contexts prove anything.

One per configuration, for one event loop. Files are read again when they change. What cannot be asked or read is not
taken for granted: groups are then not known (conditions on them answer unknown, which exempts nobody), tags are absent.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from casb.connectors.graph import Graph
from casb.connectors.signin import Known
from casb.errors import CasbError, ConnectorError
from casb.identity.claims import Claims, device_of, user_of
from casb.identity.devices import Inventory, directory_tags, inventory_tags, read_inventory, with_tags
from casb.identity.devices_contexts import Guard, covers, group_ids, guards
from casb.identity.groups import EXTERNAL, Imported, read_groups, with_groups
from casb.model.identity import Device, DeviceTag, User
from casb.settings import Provider, Settings

logger = logging.getLogger(__name__)

DAILY: Final = 24 * 3600.0
OLD: Final = 26 * 3600.0  # seconds after which contexts that could not be looked at prove nothing
AGAIN: Final = 60.0  # seconds after a look that failed
LOOK: Final = 2.0  # seconds between looks at a file
_GUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


@dataclass(slots=True)
class _File[T]:
    """A file that is read again when it changes. `value` is None while it cannot be read."""

    name: str
    read: Callable[[bytes, str], T]
    value: T | None = None
    problem: str = ""
    stamp: object = None
    looked: float = float("-inf")

    def look(self, present: float) -> T | None:
        if present - self.looked < LOOK:
            return self.value
        self.looked = present
        try:
            facts = Path(self.name).stat()
            stamp = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
            if stamp != self.stamp:
                self.value, self.problem = None, ""
                self.value = self.read(Path(self.name).read_bytes(), self.name)
                self.stamp = stamp
        except CasbError as error:
            self.problem, self.stamp = str(error), stamp
        except OSError as error:
            self.value, self.problem, self.stamp = None, f"{self.name}: I043 {error.strerror}", None
        return self.value


@dataclass(slots=True)
class _Contexts:
    """What stands behind the contexts of one provider."""

    guards: Mapping[tuple[DeviceTag, str], tuple[Guard, ...]]
    at: float


class Directory:
    """Knows more of people and devices than their tokens. `named` are the groups that policies name."""

    def __init__(
        self,
        settings: Settings,
        named: Iterable[str],
        *,
        groups_for: str = "",
        graphs: Mapping[str, Graph] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.named, self.groups_for = frozenset(named), groups_for
        self._monotonic = monotonic
        self.graphs = (
            graphs
            if graphs is not None
            else {
                each.id: Graph(each, each.graph, monotonic=monotonic)
                for each in settings.providers
                if each.graph is not None
            }
        )
        self._providers = {each.id: each for each in settings.providers}
        inventory, groups = settings.device_inventory, settings.groups_file
        self._inventory: _File[Inventory] | None = _File(inventory, read_inventory) if inventory else None
        self._groups: _File[Imported] | None = _File(groups, read_groups) if groups else None
        self._contexts: dict[str, _Contexts] = {}
        self._context_problems: dict[str, str] = {}

    async def known(self, provider: Provider, claims: Claims) -> Known:
        """The person and the device; raises `TokenError` for whom the directory knows no more."""
        user, looked = await self._user(provider, claims)
        device = await self._device(provider, claims, user)
        return Known(user=user, device=device, groups_for=self.groups_for if looked else "")

    def problems(self) -> dict[str, str]:
        """What does not work, by what it is about."""
        present = self._monotonic()
        found = {}
        for name, file in (("inventory", self._inventory), ("groups", self._groups)):
            if file is not None:
                file.look(present)
                if file.problem:
                    found[name] = file.problem
        return found | {f"contexts {name}": text for name, text in self._context_problems.items() if text}

    def by_certificate(self, user: User, device_id: str) -> dict[str, str]:
        """The inventory's tags of a device that proved its id by a certificate."""
        inventory = self._inventory.look(self._monotonic()) if self._inventory is not None else None
        if inventory is None or self._inventory is None:
            return {}
        return inventory_tags(inventory, device_id, user, Path(self._inventory.name).name)

    async def close(self) -> None:
        """Let connections go."""
        for each in self.graphs.values():
            await each.close()

    # --- people

    async def _user(self, provider: Provider, claims: Claims) -> tuple[User, bool]:
        """The person, and whether groups were looked up for the policies in force alone."""
        user, looked = user_of(claims, provider), False
        graph = self.graphs.get(provider.id)
        if not user.groups_known and graph is not None and graph.settings.groups and claims.object_id:
            looked = True
            user = await self._looked_up(graph, claims, user)
        imported = self._groups.look(self._monotonic()) if self._groups is not None else None
        readable = self._groups is None or imported is not None
        return with_groups(user, imported=imported, domains=provider.domains, known=readable), looked

    async def _looked_up(self, graph: Graph, claims: Claims, user: User) -> User:
        names = graph.settings.group_ids
        ids = {name: names.get(name, name.lower()) for name in self.named if name.casefold() != EXTERNAL.casefold()}
        unclear = [name for name, each in ids.items() if _GUID.fullmatch(each) is None]
        try:
            found = await graph.member_of(claims.object_id, {each for each in ids.values() if _GUID.fullmatch(each)})
        except ConnectorError as error:
            logger.warning("groups not known code=%s reason=%s", error.code, error.message)
            return user
        mine = {name for name, each in ids.items() if each in found}
        elsewhere = self._imported_names()
        known = all(name.casefold() in elsewhere for name in unclear)
        return replace(user, groups=user.groups | mine | found, groups_known=known)

    def _imported_names(self) -> frozenset[str]:
        """The groups that the file tells all about."""
        imported = self._groups.look(self._monotonic()) if self._groups is not None else None
        return frozenset(name.casefold() for groups in (imported or {}).values() for name in groups)

    # --- devices

    async def _device(self, provider: Provider, claims: Claims, user: User) -> Device:
        graph = self.graphs.get(provider.id)
        rules = provider.device
        if graph is not None and graph.settings.contexts:
            proving = {
                tag: [each for each in contexts if await self._proves(graph, provider, tag, each, claims, user)]
                for tag, contexts in (
                    (DeviceTag.COMPLIANT, rules.compliant),
                    (DeviceTag.HYBRID_JOINED, rules.hybrid_joined),
                )
            }
            compliant, joined = proving[DeviceTag.COMPLIANT], proving[DeviceTag.HYBRID_JOINED]
            rules = replace(rules, compliant=tuple(compliant), hybrid_joined=tuple(joined))
        device = device_of(claims, rules)
        device = with_tags(device, self.by_certificate(user, device.id or ""))
        if graph is not None and graph.settings.devices and device.id:
            device = with_tags(device, await self._graph_tags(graph, device.id))
        return device

    async def _graph_tags(self, graph: Graph, device_id: str) -> dict[str, str]:
        try:
            found = await graph.device(device_id)
        except CasbError as error:
            logger.warning("device not looked up code=%s reason=%s", error.code, error.message)
            return {}
        return directory_tags(found) if found is not None else {}

    async def _proves(
        self, graph: Graph, provider: Provider, tag: DeviceTag, context: str, claims: Claims, user: User
    ) -> bool:
        """Whether a context proves a tag for this person: a policy guards it and does not leave them out."""
        if context not in claims.contexts:
            return False
        kept = self._contexts.get(provider.id)
        if kept is None or self._monotonic() - kept.at > OLD:
            return False
        found = kept.guards.get((tag, context), ())
        wanted = group_ids(found)
        try:
            groups = await graph.member_of(claims.object_id, wanted) if wanted else frozenset[str]()
        except ConnectorError:
            found = tuple(each for each in found if not each.groups)
            groups = frozenset()
        return covers(found, claims.object_id, groups, user.is_guest)

    # --- what stands behind authentication contexts

    async def look_at_contexts(self) -> bool:
        """Ask Graph which policies guard the contexts that device tags hang on; whether all could be asked."""
        complete = True
        for name, graph in self.graphs.items():
            provider = self._providers[name]
            wanted = [
                (tag, context)
                for tag, contexts in (
                    (DeviceTag.COMPLIANT, provider.device.compliant),
                    (DeviceTag.HYBRID_JOINED, provider.device.hybrid_joined),
                )
                for context in contexts
            ]
            if not wanted or not graph.settings.contexts:
                continue
            try:
                policies: tuple[Mapping[str, Any], ...] = await graph.policies()
            except CasbError as error:
                complete = False
                self._context_problems[name] = f"provider {name}: {error.code} {error.message}"
                continue
            found = {(tag, context): guards(policies, context, tag) for tag, context in wanted}
            self._contexts[name] = _Contexts(found, self._monotonic())
            bare = [f"{context} ({tag})" for (tag, context), each in found.items() if not each]
            self._context_problems[name] = (
                f"provider {name}: I042 no enabled policy guards {', '.join(bare)}: the tag counts as absent"
                if bare
                else ""
            )
        return complete

    async def watch_contexts(self, changed: Callable[[], None]) -> None:
        """Look at start-up and daily, sooner after a failure. `changed` is called every minute: files change, too."""
        due = float("-inf")
        while True:
            try:
                if self._monotonic() >= due:
                    complete = await self.look_at_contexts()
                    due = self._monotonic() + (DAILY if complete else AGAIN)
                changed()
            except Exception:
                logger.exception("the directory cannot be watched")
            await asyncio.sleep(AGAIN)
