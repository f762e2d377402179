from __future__ import annotations

import pytest

from casb.inspection.info_types.masking import CONTEXT, excerpt


@pytest.mark.parametrize(
    ("before", "value", "after", "last_four", "shown"),
    [
        (b"card ", b"4111-1111-1111-1111", b" ok", False, "card XXXX-XXXX-XXXX-XXXX ok"),
        (b"card ", b"4111-1111-1111-1111", b" ok", True, "card XXXX-XXXX-XXXX-1111 ok"),
        (b"", b"12345678", b"", True, "XXXXXXXX"),
        (
            b"of 12/2024, ada@contoso.example ",
            b"secret1",
            b"\nnext 7",
            False,
            "of #######, ###########.####### XXXXXXX next #",
        ),
        (b"token abcdefghijklmnopqrstuvwxyz ", b"v", b"", False, "token ########################## X"),
        ("\u00e9".encode()[1:] + b"x ", b"v", b"", False, "\ufffdx X"),
    ],
)
def test_nothing_of_the_value_is_shown(before: bytes, value: bytes, after: bytes, last_four: bool, shown: str) -> None:
    assert excerpt(before, value, after, last_four=last_four) == shown


def test_the_context_is_short() -> None:
    assert len(excerpt(b"a " * 500, b"v", b" b" * 500, last_four=False)) == 2 * CONTEXT + 1
