"""DNS against a small server of our own on loopback, and registers as functions."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset
import orjson
import pytest

from casb.catalog.measure import Observation
from casb.connectors.records import Read, Records, registered
from casb.errors import ConnectorError

ZONE = {
    ("app.example.com", "CAA"): [],
    ("example.com", "CAA"): ['0 issue "ca.example"'],
    ("example.com", "TXT"): ['"something"', '"v=spf1 " "-all"'],
    ("_dmarc.example.com", "TXT"): ['"v=DMARC1; p=reject"'],
    ("plain.org", "TXT"): [],
    ("plain.org", "CAA"): [],
}
SEEN = Observation(host="app.example.com", time="2026-03-02T12:00:00.000Z")


class Nameserver:
    """Answers from `ZONE`; for what is not there: NXDOMAIN, and for `broken.*` SERVFAIL."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.over = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(4096)
            if not data:
                return
            query = dns.message.from_wire(data)
            question = query.question[0]
            name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.RA
            records = ZONE.get((name, kind))
            if "broken" in name:
                answer.set_rcode(dns.rcode.SERVFAIL)
            elif records is None:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            elif records:
                answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *records))
            self._socket.sendto(answer.to_wire(), peer)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(5)
        self._socket.close()


@pytest.fixture
def records() -> Iterator[Records]:
    server = Nameserver()
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = server.port
    yield Records(resolver)
    server.close()


def test_what_dns_says(records: Records) -> None:
    seen = records.add_to(SEEN)
    assert (seen.caa, seen.spf, seen.dmarc) == (True, True, "reject"), "CAA is found above the host"


def test_a_domain_without_them(records: Records) -> None:
    seen = records.add_to(Observation(host="plain.org", time=""))
    assert (seen.caa, seen.spf, seen.dmarc) == (False, False, "missing")


def test_no_answer_is_unknown(records: Records) -> None:
    seen = records.add_to(Observation(host="broken.org", time=""))
    assert (seen.caa, seen.spf, seen.dmarc) == (None, None, None)


def test_a_machine_without_a_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> dns.resolver.Resolver:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver, "Resolver", none)
    seen = Records().add_to(SEEN)
    assert (seen.caa, seen.spf, seen.dmarc) == (None, None, None)


def test_an_address_has_none(records: Records) -> None:
    assert records.add_to(Observation(host="192.0.2.1", time="")).caa is None


def register(pages: dict[str, bytes]) -> object:
    def opened(url: str) -> Read:
        def read(asked: str) -> bytes:
            assert asked == url
            if asked not in pages:
                raise ConnectorError("I002" if "example.net" in asked else "I001", "no")
            return pages[asked]

        return read

    return opened


PAGES = {
    "https://boot.test/dns.json": orjson.dumps({"services": [[["com", "net"], ["https://rdap.test/v1/"]]]}),
    "https://rdap.test/v1/domain/example.com": orjson.dumps(
        {"events": [{"eventAction": "registration", "eventDate": "1995-08-14T04:00:00Z"}]}
    ),
}


@pytest.mark.parametrize(
    ("host", "day"),
    [("www.example.com", "1995-08-14"), ("example.net", None), ("example.org", None), ("192.0.2.1", None)],
)
def test_registration(host: str, day: str | None) -> None:
    assert registered(host, "https://boot.test/dns.json", register(PAGES)) == day  # type: ignore[arg-type]


def test_a_register_that_is_away() -> None:
    with pytest.raises(ConnectorError, match="I001"):
        registered("www.other.com", "https://boot.test/dns.json", register(PAGES))  # type: ignore[arg-type]
