"""What is put in force on a node: its own folder, or what another node published, with this node's `casb.yaml`.

The port is `Shared`: between processes of one machine it is the file `in-force.json` (`store.in_force`), between nodes
`store.configuration_redis`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from casb.errors import CasbError, StoreError
from casb.settings import Settings
from casb.store import in_force
from casb.store.configuration_redis import OWN, Bundle, RedisConfiguration
from casb.store.in_force import Published

logger = logging.getLogger(__name__)

type Clock = Callable[[], float]


class Shared(Protocol):
    """Where nodes leave the configuration for each other. Raises `StoreError`."""

    def stamp(self) -> bytes | None:
        """Changes when another bundle is published."""

    def read(self) -> Bundle | None:
        """The bundle in force."""

    def publish(self, bundle: Bundle) -> bool:
        """Put it in force on all nodes; False when a newer one is there."""


class Distribution:
    """One node's part: `publish`, `follow`, or neither. `clock` gives seconds since 1970."""

    def __init__(self, settings: Settings, shared: Shared | None = None, clock: Clock = time.time) -> None:
        self._mode = settings.store.configuration
        self._clock = clock
        self._shared: Shared | None = shared
        if self._mode is not None and shared is None:
            self._shared = RedisConfiguration(settings)
        self._sent = ""
        self._last: Bundle | None = None
        self._stamp: bytes | None = None
        self._lock = threading.Lock()
        self.problem = ""
        before = _before(Path(settings.data))
        self._revision = before.revision if before is not None else 0

    def stamp(self) -> object:
        """What a follower looks at, again and again; while the server is away, what it said last."""
        if self._mode != "follow" or self._shared is None:
            return None
        try:
            self._stamp = self._shared.stamp()
            self.problem = ""
        except StoreError as error:
            self.problem = str(error)
        return self._stamp

    def candidate(self, own: Published) -> Published:
        """What is to be in force here. Raises `StoreError` S054 and S055; S056 when nobody has published yet."""
        if self._mode is None or self._shared is None:
            return own
        if self._mode == "publish":
            return replace(own, shared=True, revision=self._revision)
        bundle = self._shared.read()
        if bundle is None:
            raise StoreError("S056", "no node has published a configuration yet")
        if bundle.revision < self._revision:
            raise StoreError("S055", "the shared configuration is older than the one in force")
        self._last = bundle
        files = {**bundle.files, **{name: text for name, text in own.files.items() if name == OWN}}
        return replace(own, files=files, withdrawn=bundle.withdrawn, shared=True, revision=bundle.revision)

    def took(self, published: Published) -> Published:
        """It is good and in force here: a publishing node hands it on. What cannot be handed on now is tried again by
        `retry`."""
        with self._lock:
            if self._mode == "publish" and self._shared is not None:
                published = replace(published, revision=self._next(published))
                self._last = Bundle(
                    revision=published.revision, files=_without_own(published), withdrawn=published.withdrawn
                )
                self._hand_on()
            elif self._mode == "follow":
                self._revision = published.revision
        return published

    def retry(self) -> None:
        """Hand on what could not be handed on before; also to a server that has lost it."""
        if self._mode != "publish" or self._shared is None or self._last is None:
            return
        with self._lock:
            try:
                lost = self._shared.stamp() is None
            except StoreError as error:
                self.problem = str(error)
                return
            if lost or self._sent != self._last.version:
                self._hand_on()

    def _next(self, published: Published) -> int:
        """Milliseconds since 1970, and always more than before."""
        self._revision = max(self._revision + 1, published.revision + 1, round(self._clock() * 1000))
        return self._revision

    def _hand_on(self) -> None:
        if self._shared is None or self._last is None:
            return
        try:
            if not self._shared.publish(self._last):
                # Another node published meanwhile, or our clock is behind: the last to publish wins.
                there = self._shared.read()
                if there is not None and there.version != self._last.version:
                    self._revision = there.revision + 1
                    self._last = replace(self._last, revision=self._revision)
                    self._shared.publish(self._last)
            self._sent, self.problem = self._last.version, ""
            logger.warning("configuration published version=%s", self._sent)
        except StoreError as error:
            self.problem = str(error)


def push(settings: Settings, own: Published, *, clock: Clock = time.time) -> str:
    """Put a folder in force on all nodes that follow; its version. Raises `StoreError`. The caller has checked it."""
    shared = RedisConfiguration(settings)
    try:
        there = shared.read()
        revision = max((there.revision if there else 0) + 1, round(clock() * 1000))
        bundle = Bundle(revision=revision, files=_without_own(own), withdrawn=own.withdrawn)
        if not shared.publish(bundle):
            raise StoreError("S054", "another node published at the same moment", hint="push again")
        return bundle.version
    finally:
        shared.close()


def _without_own(published: Published) -> dict[str, bytes]:
    return {name: text for name, text in published.files.items() if name != OWN}


def _before(data: Path) -> Published | None:
    try:
        return in_force.read(data / in_force.FILE)
    except CasbError:
        return None
