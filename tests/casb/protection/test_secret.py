"""Passwords for one file."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.protection.secret import password


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_each_random_number_has_a_password_of_its_own(one: bytes, other: bytes) -> None:
    assert re.fullmatch(r"(?:[a-hj-km-np-z2-9]{5}-){5}[a-hj-km-np-z2-9]", password(one))
    assert (password(one) == password(other)) is (one == other)


@pytest.mark.parametrize("length", [0, 15, 17])
def test_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="16 random bytes"):
        password(bytes(length))
