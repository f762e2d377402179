"""The shape of a policy file: its defaults, and that every key says what it is for."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import pytest

from casb.model.decision import Severity
from casb.policy import document
from casb.policy.document import Kind, PolicyDocument, PolicyFile, SimpleAction, Unscannable
from casb.yamlfile import read

SHAPES = [each for each in vars(document).values() if isinstance(each, type) and is_dataclass(each)]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_every_key_is_documented(shape: type) -> None:
    assert shape.__doc__
    for field in fields(shape):
        assert field.metadata["doc"].endswith("."), field.name


def test_the_shortest_policy_and_its_defaults() -> None:
    file = read(PolicyFile, b"version: 1\npolicies: [{id: a, action: block}]", "p.yaml")
    assert file.policies == (
        PolicyDocument(
            id="a",
            name="",
            description="",
            kind=Kind.SESSION,
            enabled=True,
            severity=Severity.MEDIUM,
            apps=(),
            activities=(),
            when=None,
            action=SimpleAction.BLOCK,
            unscannable=Unscannable.MATCH,
            message="",
            alert=False,
        ),
    )
