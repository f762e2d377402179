"""Answers that cost much, kept until what they are made of changes.

An answer that was quick to make is never old. One that was slow is given out once more while a newer one is made, so
that nobody waits for logs that keep coming in; the page says when it was made.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)

SLOW = 0.3
"""Seconds of making an answer from which an older one is given out meanwhile."""
MOST = 48


@dataclass(frozen=True, slots=True)
class _Answer:
    value: Any
    must: Hashable
    may: Hashable
    seconds: float


class Kept:
    """Keeps the latest answers. Safe to use from several threads."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: OrderedDict[Hashable, _Answer] = OrderedDict()
        self._busy: set[Hashable] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def get[T](self, key: Hashable, must: Hashable, may: Hashable, make: Callable[[], T]) -> T:
        """The answer. A change of `must` is seen at once, a change of `may` at the latest with the next question after
        a new answer was made."""
        with self._lock:
            found = self._known.get(key)
            if found is not None:
                self._known.move_to_end(key)
        if found is not None and found.must == must:
            if found.may == may:
                return found.value  # type: ignore[no-any-return]
            if found.seconds >= SLOW:
                self._renew(key, must, may, make)
                return found.value  # type: ignore[no-any-return]
        return self._make(key, must, may, make)

    def _make[T](self, key: Hashable, must: Hashable, may: Hashable, make: Callable[[], T]) -> T:
        begun = time.monotonic()
        value = make()
        with self._lock:
            self._known[key] = _Answer(value, must, may, time.monotonic() - begun)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return value

    def _renew[T](self, key: Hashable, must: Hashable, may: Hashable, make: Callable[[], T]) -> None:
        with self._lock:
            if key in self._busy:
                return
            self._busy.add(key)

        def work() -> None:
            try:
                self._make(key, must, may, make)
            except Exception:
                logger.exception("an answer could not be made anew")
            finally:
                with self._lock:
                    self._busy.discard(key)

        threading.Thread(target=work, name="kept", daemon=True).start()
