from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from casb.connectors.certificates import LOOK, DeviceCertificates
from casb.errors import ConnectorError
from casb.identity.certificates import CertificateError
from casb.settings import ClientCertificates
from device_pki import NOW, answer, authority, device

type Revoking = Literal["require", "prefer", "ignore"]

ROOT = authority("Device root")
OTHER = authority("Other root")
LEAF = device(ROOT)


def away(url: str, body: bytes | None, limit: int) -> bytes:
    raise ConnectorError("I036", "away")


@pytest.mark.parametrize(("revocation", "code"), [("require", "I036"), ("prefer", ""), ("ignore", "")])
async def test_what_nobody_can_tell_counts_as_the_setting_says(tmp_path: Path, revocation: Revoking, code: str) -> None:
    (tmp_path / "root.pem").write_bytes(ROOT.pem)
    settings = ClientCertificates(anchors=(str(tmp_path / "root.pem"),), ocsp="http://localhost:1/x")
    settings = replace(settings, revocation=revocation)
    made = DeviceCertificates(settings, clock=lambda: NOW, ask=away)
    if code:
        with pytest.raises(CertificateError, match=code):
            await made.check([LEAF.certificate])
    else:
        assert (await made.check([LEAF.certificate])).device_id == "laptop-7"
    made.close()


@pytest.mark.parametrize("revocation", ["require", "prefer"])
async def test_a_revoked_certificate_is_refused_softly_or_not(tmp_path: Path, revocation: Revoking) -> None:
    (tmp_path / "root.pem").write_bytes(ROOT.pem)
    settings = ClientCertificates(anchors=(str(tmp_path / "root.pem"),), ocsp="http://localhost:1/x")
    said = answer(LEAF, ROOT, revoked=True)
    made = DeviceCertificates(
        replace(settings, revocation=revocation), clock=lambda: NOW, ask=lambda url, body, limit: said
    )
    with pytest.raises(CertificateError, match="I035"):
        await made.check([LEAF.certificate])
    made.close()


async def test_anchors_are_read_again_and_prove_nothing_while_they_cannot_be(tmp_path: Path) -> None:
    path, seconds = tmp_path / "anchors.pem", [0.0]
    path.write_bytes(OTHER.pem)
    settings = ClientCertificates(anchors=(str(path),), revocation="ignore")
    made = DeviceCertificates(settings, clock=lambda: NOW, monotonic=lambda: seconds[0])
    with pytest.raises(CertificateError, match="I033"):
        await made.check([LEAF.certificate])
    path.write_bytes(OTHER.pem + ROOT.pem)
    seconds[0] += LOOK
    assert (await made.check([LEAF.certificate])).device_id == "laptop-7"
    assert len(made.authorities()) == 2
    path.write_bytes(b"nothing")
    os.utime(path, (1, 1))
    seconds[0] += LOOK
    assert made.authorities() == ()
    assert "I038" in made.problem
    with pytest.raises(CertificateError, match="I038"):
        await made.check([LEAF.certificate])
    made.close()
