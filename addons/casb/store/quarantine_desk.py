"""What admins do with files in quarantine, for portal and command line alike; and keeping files and rows together."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from casb.errors import CasbError, StoreError
from casb.settings import Settings
from casb.store.keyring import Keyring
from casb.store.quarantine import Vault, folder_of
from casb.store.quarantine_sqlite import Quarantined, QuarantinedFiles, adopted_row

logger = logging.getLogger(__name__)

CLOCKWORK = "casb"
"""Who ends what has run out."""


class Desk:
    """Rows and files of one data folder."""

    def __init__(self, settings: Settings, data: Path) -> None:
        self.data = data
        self.rows = QuarantinedFiles(data)
        self.vault = Vault(folder_of(settings, data), limit=settings.quarantine.limit)
        self.two_people = settings.quarantine.two_people

    def release(self, identifier: str, who: str, why: str, now: datetime) -> str:
        """`released`, or `asked` when another admin has to allow it. Raises `StoreError` S084 when it cannot be."""
        file = self.need(identifier)
        if file.state != "kept":
            raise StoreError("S084", f"it is not kept any more: {file.state}")
        if file.until <= now:
            raise StoreError("S084", "its time is over")
        if not why.strip():
            raise StoreError("S084", "a release needs a reason")
        self._whole(file)
        if self.rows.release(identifier, who, why, now, two=self.two_people):
            return "released"
        if self.two_people and file.asked_by in ("", who) and self.rows.ask(identifier, who, why, now):
            return "asked"
        raise StoreError("S084", "somebody else was faster; look again")

    def delete(self, identifier: str, who: str, why: str, now: datetime) -> None:
        """Its bytes go for good; the row stays. Raises `StoreError` S084."""
        if not why.strip():
            raise StoreError("S084", "deleting needs a reason")
        if not self.rows.end(identifier, "deleted", who, why, now):
            raise StoreError("S084", f"it is not kept any more: {self.need(identifier).state}")
        self.vault.delete(identifier)

    def fetch(self, identifier: str) -> tuple[Quarantined, Iterator[bytes]]:
        """A file to be examined: it has been read once, and is what was refused. Raises `CasbError`."""
        file = self.need(identifier)
        if not file.is_here:
            raise StoreError("S083", f"its bytes are not here: {file.state}")
        self._whole(file)
        return file, self.vault.open(identifier, self._unwrap)

    def need(self, identifier: str) -> Quarantined:
        """One file. Raises `StoreError` S084."""
        found = self.rows.get(identifier)
        if found is None:
            raise StoreError("S084", "there is no such file in the quarantine")
        return found

    def _whole(self, file: Quarantined) -> None:
        stored = self.vault.check(file.id, self._unwrap)
        if stored.sha256 != file.sha256 or stored.size != file.size:
            raise StoreError("S083", "what is kept is not the file that was refused")

    def _unwrap(self, purpose: str, key_id: str, aad: bytes, blob: bytes) -> bytes:
        return Keyring.load(self.data).unwrap(purpose, key_id, aad, blob)

    def tidy(self, now: datetime, oldest: datetime) -> tuple[int, list[Quarantined]]:
        """Let go what has run out, bring files and rows together again, forget rows older than `oldest`.

        The number of files that ran out, and the rows whose file is missing. Raises `StoreError`.
        """
        due = [each for each in self.rows.due(now) if self.rows.end(each.id, "expired", CLOCKWORK, "", now)]
        for each in due:
            self.vault.delete(each.id)
        lost = self._reconcile(now)
        self.rows.purge(oldest)
        return len(due), lost

    def _reconcile(self, now: datetime) -> list[Quarantined]:
        """After a crash: a file without a row gets the row that its header tells; a row without a file is `lost`; a
        file whose row has ended goes. Where the folder is on another machine, nothing is done."""
        if not self.vault.folder.is_dir():
            return []
        self.vault.sweep()
        rows, files = self.rows.here(), self.vault.ids()
        for identifier in files:
            if identifier not in rows:
                self._adopt(identifier)
            elif not rows[identifier]:
                self.vault.delete(identifier)
        missing = [each for each, kept in rows.items() if kept and each not in files]
        lost = [self.need(each) for each in missing if self.rows.end(each, "lost", CLOCKWORK, "", now)]
        for each in lost:
            logger.error("a file of the quarantine is gone id=%s", each.id)
        return lost

    def _adopt(self, identifier: str) -> None:
        try:
            facts = self.vault.facts(identifier, self._unwrap)
            stored = self.vault.check(identifier, self._unwrap)
            self.rows.keep([adopted_row(facts, stored.size, stored.sha256)])
        except (CasbError, ValueError) as error:
            logger.error("a file in the quarantine has no row and tells nothing id=%s error=%s", identifier, error)
