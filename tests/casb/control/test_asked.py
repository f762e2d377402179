from __future__ import annotations

import textwrap

import pytest

from casb.config import build
from casb.control.asked import asks_for_certificates, groups_digest, named_groups
from casb.control.snapshot import Snapshot, build_snapshot

CASB = """\
version: 1
suffix: casb.example
scope: {exclude: [{groups: [Visitors]}]}
client_certificates: {anchors: [a.pem], revocation: ignore%s}
"""
APPS = "apps:\n  - {id: files, name: Files, domains: [files.example]}\n  - {id: wiki, name: Wiki, domains: [wiki.example]}\n"


def snapshot(when: str, more: str = "") -> Snapshot:
    policies = textwrap.dedent(f"""\
        version: 1
        policies:
          - id: one
            kind: session
            apps: [files]
            activities: download
            when: {when}
            action: block
        """)
    files = {"casb.yaml": CASB % more, "apps/all.yaml": APPS, "policies.yaml": policies}
    return build_snapshot(build({name: text.encode() for name, text in files.items()}, "/etc/casb"))


@pytest.mark.parametrize(
    ("when", "more", "files", "wiki"),
    [
        ("{device: unmanaged}", "", True, False),
        ("{device: client-certificate}", "", True, False),
        ("{not: {device: client-certificate}}", "", True, False),
        ("{device: {tag: {any_of: [compliant, client-certificate]}}}", "", True, False),
        ("{device: compliant}", "", False, False),
        ("{user: {group: Staff}}", "", False, False),
        ("{user: {group: Staff}}", ", ask: always", True, True),
    ],
)
def test_a_certificate_is_asked_for_where_a_policy_could_use_it(when: str, more: str, files: bool, wiki: bool) -> None:
    made = snapshot(when, more)
    assert (asks_for_certificates(made, "files"), asks_for_certificates(made, "wiki")) == (files, wiki)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{user: {group: Staff}}", {"Staff"}),
        ("{not: {user: {group: Staff}}}", {"Staff"}),
        ("{any: [{user: {group: {any_of: [A, B]}}}, {user: {group: {other_than: [C]}}}]}", {"A", "B", "C"}),
        ("{device: unmanaged}", set()),
    ],
)
def test_the_groups_that_matter_are_those_that_policies_and_scope_name(when: str, expected: set[str]) -> None:
    assert named_groups(snapshot(when)) == expected | {"Visitors"}


def test_another_set_of_groups_has_another_digest() -> None:
    assert groups_digest(["a", "b"]) == groups_digest(["b", "a"])
    assert len({groups_digest(each) for each in ([], ["a"], ["a", "b"], ["ab"])}) == 4
