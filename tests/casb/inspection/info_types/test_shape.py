from __future__ import annotations

from casb.inspection.info_types.shape import ExactList, InfoType, Spec


def test_keys_and_rows_never_print() -> None:
    about = InfoType(id="x", name="", exact=ExactList(key=b"secret key", records=b"12345678"))
    assert "secret" not in repr(about)
    assert "12345678" not in repr(about)


def test_the_order_of_types_makes_no_difference() -> None:
    one, two = InfoType(id="a", name=""), InfoType(id="b", name="")
    assert Spec(types=(one, two)).digest == Spec(types=(two, one)).digest
