from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from casb.connectors.ocsp import Revocation, fetch
from casb.errors import ConnectorError
from casb.identity.certificate_status import Status
from casb.settings import ClientCertificates
from device_pki import NOW, Held, Served, answer, authority, device, revocations, serving

ROOT = authority("Device root")
ISSUING = authority("Device issuing CA", ROOT)
LEAF = device(ISSUING)
CHAIN = (LEAF.certificate, ISSUING.certificate, ROOT.certificate)


class Time:
    """A clock and seconds, moved together."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.passed)

    def __call__(self) -> float:
        return self.passed


@pytest.fixture
def server() -> Iterator[Served]:
    with serving() as made:
        yield made


def crl(issuer: Held, *revoked: Held, days: int = 7) -> bytes:
    return revocations(issuer, *revoked, until=NOW + timedelta(days=days)).public_bytes(Encoding.DER)


@asynccontextmanager
async def sources(time: Time, **given: Any) -> AsyncIterator[Revocation]:
    made = Revocation(replace(ClientCertificates(anchors=()), **given), clock=time.now, monotonic=time)
    try:
        yield made
    finally:
        made.close()


async def test_each_link_needs_the_list_of_its_issuer(tmp_path: Path, server: Served) -> None:
    (tmp_path / "root.crl").write_bytes(crl(ROOT))
    server.answers["/issuing.crl"] = crl(ISSUING)
    here, there = str(tmp_path / "root.crl"), f"{server.url}/issuing.crl"
    for lists, expected in (((here, there), Status.GOOD), ((here,), Status.UNKNOWN), ((there,), Status.UNKNOWN)):
        async with sources(Time(), crls=lists) as made:
            assert await made.of(CHAIN) is expected


async def test_an_issuer_that_was_revoked_vouches_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "root.crl").write_bytes(crl(ROOT, ISSUING))
    (tmp_path / "issuing.crl").write_bytes(crl(ISSUING))
    async with sources(Time(), crls=(str(tmp_path / "root.crl"), str(tmp_path / "issuing.crl"))) as made:
        assert await made.of(CHAIN) is Status.REVOKED


async def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "issuing.crl"
    path.write_bytes(crl(ISSUING))
    async with sources(Time(), crls=(str(path),)) as made:
        assert await made.of(CHAIN[:2]) is Status.GOOD
        path.write_bytes(crl(ISSUING, LEAF, days=8))
        assert await made.of(CHAIN[:2]) is Status.REVOKED


async def test_a_list_at_an_address_is_kept_read_again_and_used_until_it_is_stale(server: Served) -> None:
    time = Time()
    server.answers["/x.crl"] = crl(ISSUING, days=1)
    async with sources(time, crls=(f"{server.url}/x.crl",)) as made:
        for _ in range(3):
            assert await made.of(CHAIN[:2]) is Status.GOOD
        assert len(server.asked) == 1
        server.answers["/x.crl"] = 503
        time.passed += 1000
        assert await made.of(CHAIN[:2]) is Status.GOOD
        time.passed += 86_400
        assert await made.of(CHAIN[:2]) is Status.UNKNOWN


async def test_a_responder_is_asked_once_and_its_answer_kept(server: Served) -> None:
    time = Time()
    server.answers["/ocsp"] = answer(LEAF, ISSUING)
    async with sources(time, ocsp=f"{server.url}/ocsp") as made:
        assert await made.of(CHAIN[:2]) is Status.GOOD
        assert await made.of(CHAIN[:2]) is Status.GOOD
        (asked,) = server.asked
        assert x509.ocsp.load_der_ocsp_request(asked[1]).serial_number == LEAF.certificate.serial_number
        server.answers["/ocsp"] = answer(LEAF, ISSUING, revoked=True)
        time.passed += 3601
        assert await made.of(CHAIN[:2]) is Status.REVOKED


@pytest.mark.parametrize("wrong", [b"garbage", 500, 302, 404, b"x" * 70_000, None], ids=str)
async def test_a_responder_that_says_nothing_useful_leaves_it_unknown(
    server: Served, wrong: bytes | int | None
) -> None:
    server.answers["/ocsp"] = wrong
    async with sources(Time(), ocsp=f"{server.url}/ocsp") as made:
        assert await made.of(CHAIN[:2]) is Status.UNKNOWN
    assert [path for path, _ in server.asked] == ["/ocsp"]  # no redirect was followed


async def test_a_list_that_says_revoked_is_not_overruled_by_an_answer(tmp_path: Path, server: Served) -> None:
    (tmp_path / "x.crl").write_bytes(crl(ISSUING, LEAF))
    server.answers["/ocsp"] = answer(LEAF, ISSUING)
    async with sources(Time(), crls=(str(tmp_path / "x.crl"),), ocsp=f"{server.url}/ocsp") as made:
        assert await made.of(CHAIN[:2]) is Status.REVOKED
    assert server.asked == []


async def test_where_revocation_is_off_nobody_is_asked(server: Served) -> None:
    async with sources(Time(), ocsp=f"{server.url}/ocsp", revocation="ignore") as made:
        assert await made.of(CHAIN) is Status.GOOD
    assert server.asked == []


async def test_an_answer_has_a_largest_size(server: Served) -> None:
    server.answers["/big"] = b"x" * 1000
    assert len(await asyncio.to_thread(fetch, f"{server.url}/big", None, 1000)) == 1000
    with pytest.raises(ConnectorError, match="too large"):
        await asyncio.to_thread(fetch, f"{server.url}/big", None, 999)
