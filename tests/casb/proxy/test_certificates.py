"""Leaf certificates as a TLS server uses them, seen by a strict client."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from OpenSSL import SSL

from casb.proxy.certificates import CACHED, Authority
from casb.store.authority import PUBLIC_FILE, HostRefused


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def handshake(authority: Authority, host: str, asked: str, trust: Path) -> None:
    """A TLS handshake in memory, mitmproxy's way on the server's side. Raises `ssl.SSLError` when it fails."""
    entry = authority.leaf(host)
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_privatekey(entry.privatekey)
    context.use_certificate(entry.cert.to_cryptography())
    for each in entry.chain_certs:
        context.add_extra_chain_cert(each.to_cryptography())
    server = SSL.Connection(context, None)
    server.set_accept_state()
    strict = ssl.create_default_context(cafile=str(trust))
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = strict.wrap_bio(incoming, outgoing, server_hostname=asked)
    for _ in range(6):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            server.bio_write(outgoing.read())
            try:
                server.do_handshake()
            except SSL.WantReadError:
                pass
            incoming.write(server.bio_read(65536))
        else:
            return
    raise AssertionError("the handshake does not end")


@pytest.mark.parametrize("host", ["box.example.casb.test", "127.0.0.1", "::1"])
def test_a_strict_client_accepts_the_leaf(host: str, tmp_path: Path) -> None:
    handshake(Authority.load_or_create(tmp_path), host, host, tmp_path / PUBLIC_FILE)


def test_a_client_that_asked_for_another_host_refuses(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(Authority.load_or_create(tmp_path), "box.example", "mail.example", tmp_path / PUBLIC_FILE)


def test_another_authority_is_not_trusted(tmp_path: Path) -> None:
    Authority.load_or_create(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(Authority.load_or_create(tmp_path), "a.example", "a.example", tmp_path / "other" / PUBLIC_FILE)


def test_cached_and_made_anew_before_it_expires(tmp_path: Path) -> None:
    time = Time()
    authority = Authority.load_or_create(tmp_path, time)
    first = authority.leaf("box.example")
    time.now += timedelta(days=19)
    assert authority.leaf("box.example") is first
    time.now += timedelta(days=2)
    second = authority.leaf("box.example")
    assert second.cert != first.cert
    assert second.cert.notafter > first.cert.notafter


def test_each_host_has_its_own_and_the_cache_is_bounded(tmp_path: Path) -> None:
    authority = Authority.load_or_create(tmp_path)
    assert authority.leaf("a.example").cert != authority.leaf("b.example").cert
    assert authority._leaves.maxsize == CACHED


@pytest.mark.parametrize("host", ["", "*.example", "box.example.", "BOX.example"])
def test_what_is_no_host_gets_none(host: str, tmp_path: Path) -> None:
    authority = Authority.load_or_create(tmp_path)
    with pytest.raises(HostRefused):
        authority.leaf(host)
    assert not authority._leaves
