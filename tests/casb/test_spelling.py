"""Spellings of an origin under the suffix: one row per form, and the same form back."""

from __future__ import annotations

import pytest

from casb.spelling import fits, read, reserved, spell

LONG = "a" * 40 + ".example.department.example"


@pytest.mark.parametrize(
    ("host", "port", "flat", "expected", "why"),
    [
        ("app.example", "", False, "app.example", "dotted: the name itself"),
        ("app.example", "8444", False, "app.example--p8444", "dotted: the port in the last label"),
        ("app.example", "", True, "app-example--x", "flat: a dot is a hyphen"),
        ("my-app.example", "", True, "my--app-example--x", "flat: a hyphen is two"),
        ("a--b.example", "", True, "a----b-example--x", "flat: two are four"),
        ("app.example", "8444", True, "app-example--x8444", "flat: the port at the end"),
        ("intranet", "", True, "intranet--x", "flat: a name of one label"),
        ("x", "", True, "x--x", "flat: the letter of the mark"),
        ("x-example.test", "", True, "x--example-test--x", "flat: the letter of the mark in front"),
        ("xn--bcher-kva.example", "", True, "xxn----bcher--kva-example--xx", "flat: never begins like Punycode"),
        ("xn--bcher-kva.example", "99", True, "xxn----bcher--kva-example--xx99", "flat: mark and port"),
        ("xn-a.example", "", True, "xxn--a-example--xx", "flat: would begin like Punycode though it is none"),
        ("x--x", "", True, "x----x--x", "flat: a name like an end of ours inside"),
        ("192.0.2.7", "", True, "192-0-2-7--x", "an IPv4 address is a name like any other"),
        ("[2001:db8::1]", "", False, "2001-db8-0-0-0-0-0-1--v6", "IPv6: all eight groups"),
        ("[2001:db8::1]", "8444", True, "2001-db8-0-0-0-0-0-1--v6--p8444", "IPv6: the same when flat"),
        ("[::ffff:1.2.3.4]", "", False, "0-0-0-0-0-ffff-102-304--v6", "IPv6: groups, whatever it was written as"),
        ("[::1]", "", False, "0-0-0-0-0-0-0-1--v6", "IPv6: never begins with a hyphen"),
        (LONG, "", True, LONG, "flat: too long for one label keeps its dots"),
    ],
)
def test_spell_and_read(host: str, port: str, flat: bool, expected: str, why: str) -> None:
    assert spell(host, port, flat=flat) == expected, why
    assert read(expected, flat=flat) == (host, port), why


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("app---example--x", "three hyphens stand for nothing"),
        ("app-example--xx", "a mark where none is needed"),
        ("xxn----bcher--kva-example--x", "read without its mark it is another name, spelt otherwise"),
        ("app-example--x0", "no port"),
        ("-app--x", "no label begins with a dot"),
        ("0-0-0-0-0-0-0-01--v6", "a group with a zero in front"),
        ("app.example--x", "dots and an end"),
    ],
)
def test_what_spell_would_not_have_written(name: str, why: str) -> None:
    found = read(name, flat=True)
    assert found is None or spell(*found, flat=True) == name, why


def test_a_dotted_name_is_not_read_as_flat() -> None:
    assert read("app-example--x") == ("app-example--x", "")
    assert read("app.example", flat=True) is None, "only a name that is too long keeps its dots"


@pytest.mark.parametrize("host", ["a--p80", "a.b--p65535", "x--v6", "x--x", "x--xx", "a.x--x80", "x--xx8"])
def test_reserved(host: str) -> None:
    assert reserved(host)


@pytest.mark.parametrize("host", ["xn--p1ai", "a--p", "x--xa", "app.example", "a--p80.example", "a--p08"])
def test_not_reserved(host: str) -> None:
    assert not reserved(host)


def test_fits() -> None:
    assert fits("app.example", "", "casb.test")
    assert not fits("a" * 62 + ".b" * 95, "", "casb.test"), "253 octets"
    assert not fits("a." + "b" * 60, "8444", "casb.test"), "63 octets in the last label"
    assert fits("a." + "b" * 60, "8444", "casb.test", flat=True) is False, "too long in either form"
