"""Device certificates of one configuration: its files, read again when they change, and what a certificate proves.

For one event loop. Files that cannot be read prove nothing and say so in `problem`; they are looked at again by
themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from casb.connectors.ocsp import Fetch, Revocation, fetch
from casb.identity.certificate_status import Status
from casb.identity.certificates import CertificateError, Proof, Trust, prove, read_pem
from casb.settings import ClientCertificates

LOOK: Final = 5.0  # seconds between looks at the files


class DeviceCertificates:
    """Whom device certificates are believed from, and whether one of them is. `clock` gives the present."""

    def __init__(
        self,
        settings: ClientCertificates,
        *,
        clock: Callable[[], datetime],
        ask: Fetch = fetch,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.problem = ""
        self._clock, self._monotonic = clock, monotonic
        self._revocation = Revocation(settings, clock=clock, ask=ask, monotonic=monotonic)
        self._trust = Trust(())
        self._stamp: object = None
        self._looked = float("-inf")
        self._look()

    def authorities(self) -> tuple[x509.Certificate, ...]:
        """Those whose certificates a browser is asked for; none while the files cannot be read."""
        self._look()
        return () if self.problem else (*self._trust.anchors, *self._trust.intermediates)

    async def check(self, sent: Sequence[x509.Certificate]) -> Proof:
        """What certificates prove that a client sent, leaf first; raises `CertificateError`: nothing."""
        self._look()
        if self.problem:
            raise CertificateError("I038", self.problem)
        proof = prove(sent, self._trust, self.settings, self._clock())
        status = await self._revocation.of(proof.chain)
        if status is Status.REVOKED:
            raise CertificateError("I035", "the certificate was revoked")
        if status is Status.UNKNOWN and self.settings.revocation == "require":
            raise CertificateError("I036", "nobody can tell whether the certificate was revoked")
        return proof

    def close(self) -> None:
        """Let threads go."""
        self._revocation.close()

    def _look(self) -> None:
        present = self._monotonic()
        if present - self._looked < LOOK:
            return
        self._looked = present
        names = (*self.settings.anchors, *self.settings.intermediates)
        stamp = tuple(map(_stamp, names))
        if stamp == self._stamp:
            return
        name = ""
        try:
            read = {}
            for name in names:
                read[name] = read_pem(Path(name).read_bytes())
            anchors = [each for name in self.settings.anchors for each in read[name]]
            between = [each for name in self.settings.intermediates for each in read[name]]
            self._trust, self.problem = Trust(tuple(dict.fromkeys(anchors)), tuple(dict.fromkeys(between))), ""
        except (OSError, ValueError) as error:
            self.problem = f"{name}: I038 the certificates cannot be read: {error}"
        self._stamp = stamp


def _stamp(name: str) -> object:
    try:
        facts = Path(name).stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
