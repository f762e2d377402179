"""Passwords that are made for one file and typed by people: 128 random bits in five-letter groups."""

from __future__ import annotations

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another
_GROUP = 5
_COUNT = 26  # letters; 31 ** 26 > 2 ** 128


def password(random: bytes) -> str:
    """The password of 16 random bytes, e.g. `k7qfd-…`: six groups, the last of one letter. Raises `ValueError`."""
    if len(random) != 16:
        raise ValueError("a password is made of 16 random bytes")
    number = int.from_bytes(random, "big")
    letters = []
    for _ in range(_COUNT):
        number, index = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[index])
    text = "".join(letters)
    return "-".join(text[at : at + _GROUP] for at in range(0, _COUNT, _GROUP))
