"""A context is kept for each certificate, and shows no other."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography import x509
from OpenSSL import SSL

from casb.proxy.certificates import Authority
from casb.proxy.tls import TlsConfig


def names(context: SSL.Context) -> list[str]:
    shown = SSL.Connection(context).get_certificate(as_cryptography=True)
    assert shown is not None
    return shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


def config() -> TlsConfig:
    runtime: Any = SimpleNamespace()
    return TlsConfig(runtime)


def test_each_host_is_shown_its_own_certificate_from_a_context_that_is_kept(tmp_path: Path) -> None:
    authority, made = Authority.load_or_create(tmp_path, lambda: datetime.now(UTC)), config()
    hosts = [f"host{number}.casb.test" for number in range(5)]
    first = {host: made._context(authority.leaf(host)) for host in hosts}
    again = {host: made._context(authority.leaf(host)) for host in hosts}
    assert {host: names(context) for host, context in again.items()} == {host: [host] for host in hosts}
    assert all(first[host] is again[host] for host in hosts)


def test_a_certificate_made_anew_gets_a_context_of_its_own(tmp_path: Path) -> None:
    made = config()
    before = Authority.load_or_create(tmp_path, lambda: datetime.now(UTC)).leaf("a.casb.test")
    after = Authority.load_or_create(tmp_path, lambda: datetime.now(UTC)).leaf("a.casb.test")
    old = made._context(before)
    # Even where the place in memory is the same, the entry decides.
    made._contexts[id(after)] = (before, old)
    assert made._context(after) is not old
