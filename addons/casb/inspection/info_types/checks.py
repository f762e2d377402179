"""Validators by name: what tells a number that was issued from one that only looks like it.

A name with a dot is one of python-stdnum's modules (`de.idnr`, `gb.nhs`); the others stand here. Every check takes the
value as found, separators included, and is total.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import importlib
import ipaddress
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping

from casb.errors import ContentError

type Check = Callable[[str], bool]

_STDNUM = re.compile(r"[a-z]{2,3}_?(?:\.[a-z0-9_]+){1,2}|[a-z][a-z0-9_]+")
_SEPARATORS = str.maketrans("", "", " .-/")


def compact(value: str) -> str:
    """A value without what people put between its parts."""
    return value.translate(_SEPARATORS)


def find(name: str) -> Check:
    """The check of a name. ContentError: F201 there is none, F202 the library that has it is not installed."""
    known = CHECKS.get(name)
    return known if known is not None else _stdnum(name)


@functools.cache
def _stdnum(name: str) -> Check:
    if not _STDNUM.fullmatch(name):
        raise ContentError("F201", f"there is no validator '{name}'")
    try:
        importlib.import_module("stdnum")
    except ImportError:
        raise ContentError("F202", f"the validator '{name}' needs python-stdnum, which is not installed") from None
    try:
        valid: Check = importlib.import_module(f"stdnum.{name}").is_valid
    except (ImportError, AttributeError):
        raise ContentError("F201", f"there is no validator '{name}'") from None

    def check(value: str) -> bool:
        try:
            return bool(valid(value))
        except Exception:  # a fault of the library must not hide a value
            return True

    return check


def _luhn(value: str) -> bool:
    digits = [int(char) for char in value if char.isdigit()]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + doubled) % 10 == 0


def _card(value: str) -> bool:
    digits = compact(value)
    return _varied(digits, 2) and _luhn(digits)


def _varied(value: str, least: int) -> bool:
    return len(set(value)) >= least


def _track(value: str) -> bool:
    return _card(value.partition("=")[0])


def _iban(value: str) -> bool:
    text = compact(value).upper()
    if not text.isalnum() or len(text) < 15:
        return False
    number = "".join(str(int(char, 36)) for char in text[4:] + text[:4])
    return int(number) % 97 == 1


def _aba(value: str) -> bool:
    digits = [int(char) for char in compact(value)]
    if len(digits) != 9 or not _varied(compact(value), 3):
        return False
    total = sum(weight * digit for weight, digit in zip((3, 7, 1) * 3, digits, strict=True))
    prefix = digits[0] * 10 + digits[1]
    return total % 10 == 0 and (prefix <= 12 or 21 <= prefix <= 32 or 61 <= prefix <= 72 or prefix == 80)


def _luhn_varied(value: str) -> bool:
    digits = re.sub(r"\D", "", value)
    return _varied(digits, 4) and _luhn(digits)


def _de_kvnr(value: str) -> bool:
    """A letter as two digits, then the weights 1 and 2 in turn."""
    digits = f"{ord(value[0]) - 64:02}{value[1:9]}"
    total = sum(sum(divmod((1, 2)[at % 2] * int(digit), 10)) for at, digit in enumerate(digits))
    return total % 10 == int(value[9])


def _npi(value: str) -> bool:
    return _luhn("80840" + compact(value))


def _dea(value: str) -> bool:
    digits = [int(char) for char in value[-7:]]
    return (digits[0] + digits[2] + digits[4] + 2 * (digits[1] + digits[3] + digits[5])) % 10 == digits[6]


def _medicare_au(value: str) -> bool:
    digits = [int(char) for char in compact(value)]
    weights = (1, 3, 7, 9, 1, 3, 7, 9)
    return sum(weight * digit for weight, digit in zip(weights, digits, strict=False)) % 10 == digits[8]


def _ssn(value: str) -> bool:
    digits = compact(value)
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    known = digits in ("078051120", "219099999", "123456789", "987654321") or len(set(digits)) < 3
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000" and not known


_HICN = re.compile(r"(?:[ABCDEFHJKMTW][0-9A-Z]{0,2})")


def _hicn(value: str) -> bool:
    text = compact(value).upper()
    return _ssn(text[:9]) and _HICN.fullmatch(text[9:]) is not None


def _imei(value: str) -> bool:
    digits = compact(value)
    return len(digits) == 15 and _varied(digits, 4) and _luhn(digits)


def _vin(value: str) -> bool:
    letters = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", "12345678123457923456789", strict=True))
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    text = value.upper()
    try:
        total = sum(w * int(letters.get(char, char)) for w, char in zip(weights, text, strict=True))
    except ValueError:
        return False
    return "0123456789X"[total % 11] == text[8] and _varied(text, 5)


def _mrz_digit(text: str) -> int:
    value = sum((7, 3, 1)[at % 3] * (0 if char == "<" else int(char, 36)) for at, char in enumerate(text))
    return value % 10


def _mrz(value: str) -> bool:
    """The second line of a passport's machine readable zone (ICAO 9303-4)."""
    fields = ((0, 9), (13, 19), (21, 27))
    return all(str(_mrz_digit(value[start:end])) == value[end] for start, end in fields)


def _icao(value: str) -> bool:
    """Nine characters and a check digit, as in the machine readable zone."""
    text = compact(value)
    return str(_mrz_digit(text[:9])) == text[9] and _varied(text, 4)


def _de_pension(value: str) -> bool:
    """Section 4 VKVV."""
    text = compact(value)
    digits = text[:8] + f"{ord(text[8]) - 64:02}" + text[9:11]
    weights = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)
    total = sum(sum(divmod(weight * int(digit), 10)) for weight, digit in zip(weights, digits, strict=True))
    return total % 10 == int(text[11]) and 1 <= int(text[2:4]) % 50 <= 31 and 1 <= int(text[4:6]) <= 12


def _lu_matricule(value: str) -> bool:
    """Eleven digits, then their Luhn digit, then their Verhoeff digit."""
    digits = compact(value)
    return _luhn(digits[:12]) and _stdnum("verhoeff")(digits[:11] + digits[12])


def _snils(value: str) -> bool:
    digits = compact(value)
    total = sum(weight * int(digit) for weight, digit in zip(range(9, 0, -1), digits, strict=False))
    return total % 101 % 100 == int(digits[9:]) and _varied(digits[:9], 3)


def _hkid(value: str) -> bool:
    text = re.sub(r"[^0-9A-Z]", "", value)
    padded = text.rjust(9, "\x40")  # a space counts 36
    values = [36 if char == "\x40" else int(char, 36) for char in padded[:8]]
    total = sum(weight * number for weight, number in zip(range(9, 1, -1), values, strict=True))
    return "0123456789A"[-total % 11] == padded[8]


def _tw_id(value: str) -> bool:
    number = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(value[0]) + 10
    digits = [number // 10, number % 10, *map(int, value[1:])]
    weights = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)
    return sum(weight * digit for weight, digit in zip(weights, digits, strict=True)) % 10 == 0


def _sg_nric(value: str) -> bool:
    total = sum(weight * int(digit) for weight, digit in zip((2, 7, 6, 5, 4, 3, 2), value[1:8], strict=True))
    letters = "JZIHGFEDCBA" if value[0] in "ST" else "XWUTRQPNMLK"
    return letters[(total + (4 if value[0] in "TG" else 0)) % 11] == value[8]


def _entropy(value: str) -> float:
    counts = Counter(value)
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())


def _random(value: str) -> bool:
    """Looks drawn by lot: an example, a word or a row of x does not."""
    tail = re.split(r"[^0-9A-Za-z+/]+", value)
    longest = max(tail, key=len)
    folded = value.casefold()
    placeholder = any(
        word in folded for word in ("example", "xxxx", "1234567890", "abcdefgh", "placeholder", "00000000")
    )
    return not placeholder and len(longest) >= 8 and _entropy(longest) >= min(3.0, 0.7 * math.log2(len(longest)))


def _mixed(value: str) -> bool:
    """As `random`, and both letters and digits: for keys without a mark of their own."""
    return _random(value) and any(char.isdigit() for char in value) and any(char.isalpha() for char in value)


def _password(value: str) -> bool:
    """The part behind `=` or `:` is no placeholder, variable or word of a form."""
    secret = re.split(r"[=:]\s*", value, maxsplit=1)[-1].strip("'\" ")
    folded = secret.casefold()
    words = ("password", "passwort", "changeme", "example", "secret", "null", "none", "true", "false", "string", "your")
    hollow = folded.startswith(words) or _entropy(secret) < 2 or secret[0] in "$<{%*[("
    return not hollow and any(char.isdigit() or not char.isalnum() for char in secret)


def _url_password(value: str) -> bool:
    found = re.search(r"://[^:/@\s]*:([^@/\s]+)@", value)
    return found is not None and found[1][0] not in "$<{%*[" and len(set(found[1])) > 1


def _jwt(value: str) -> bool:
    head = value.partition(".")[0]
    try:
        told = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, RecursionError):
        return False
    return isinstance(told, dict) and "alg" in told


_BASE58 = {char: at for at, char in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")}


_RIPPLE = str.maketrans(
    "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz",
    "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
)


def _ripple(value: str) -> bool:
    return _base58_check(value.translate(_RIPPLE))


def _base58_check(value: str) -> bool:
    number = 0
    for char in value:
        if char not in _BASE58:
            return False
        number = number * 58 + _BASE58[char]
    raw = number.to_bytes((number.bit_length() + 7) // 8)
    raw = bytes(len(value) - len(value.lstrip("1"))) + raw
    digest = hashlib.sha256(hashlib.sha256(raw[:-4]).digest()).digest()
    return len(raw) >= 25 and digest[:4] == raw[-4:]


_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def _bech32(value: str) -> bool:
    """BIP 173 and BIP 350."""
    text = value.lower()
    prefix, _, data = text.rpartition("1")
    if not prefix or any(char not in _BECH32 for char in data):
        return False
    values = [ord(char) >> 5 for char in prefix] + [0] + [ord(char) & 31 for char in prefix]
    checksum = 1
    for each in values + [_BECH32.index(char) for char in data]:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ each
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            checksum ^= generator if top >> bit & 1 else 0
    return checksum in (1, 0x2BC830A3)


_ROUNDS = (
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000, 0x000000000000808B,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008A, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000A, 0x000000008000808B, 0x800000000000008B, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
)  # fmt: skip
_TURNS = (1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44)
_LANES = (10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1)
_MASK = (1 << 64) - 1


def _left(value: int, by: int) -> int:
    return (value << by | value >> (64 - by)) & _MASK


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it: SHA-3's predecessor, whose padding differs, so that hashlib has it not."""
    lanes = [0] * 25
    padded = data + b"\x01" + bytes(-(len(data) + 2) % 136) + b"\x80" if (len(data) + 1) % 136 else data + b"\x81"
    for at in range(0, len(padded), 136):
        for lane in range(17):
            lanes[lane] ^= int.from_bytes(padded[at + 8 * lane : at + 8 * lane + 8], "little")
        for constant in _ROUNDS:
            columns = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
            for x in range(5):
                change = columns[(x + 4) % 5] ^ _left(columns[(x + 1) % 5], 1)
                for y in range(0, 25, 5):
                    lanes[x + y] ^= change
            moving = lanes[1]
            for lane, turn in zip(_LANES, _TURNS, strict=True):
                lanes[lane], moving = _left(moving, turn), lanes[lane]
            for y in range(0, 25, 5):
                row = lanes[y : y + 5]
                for x in range(5):
                    lanes[x + y] = row[x] ^ (~row[(x + 1) % 5] & _MASK & row[(x + 2) % 5])
            lanes[0] ^= constant
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])


def _ethereum(value: str) -> bool:
    """EIP-55; an address in one case carries no checksum and counts when it is no filler."""
    digits = value[2:]
    if digits in (digits.lower(), digits.upper()):
        return _varied(digits.lower(), 6)
    digest = keccak256(digits.lower().encode()).hex()
    return all(
        not char.isalpha() or char.isupper() == (int(nibble, 16) >= 8)
        for char, nibble in zip(digits, digest, strict=False)
    )


def _e164(value: str) -> bool:
    digits = re.sub(r"\D", "", value)
    return 8 <= len(digits) <= 15 and digits[0] != "0" and _varied(digits, 3)


def _ipv4(value: str) -> bool:
    parts = value.split(".")
    return all(int(part) < 256 and (part == "0" or part[0] != "0") for part in parts) and value not in (
        "0.0.0.0",  # noqa: S104 - a value to be ignored
        "127.0.0.1",
        "255.255.255.255",
    )


def _ipv6(value: str) -> bool:
    try:
        return not ipaddress.IPv6Address(value).is_loopback
    except ValueError:
        return False


def _date(value: str) -> bool:
    numbers = [int(part) for part in re.findall(r"\d+", value)]
    if len(numbers) == 3:
        year = max(numbers)
        rest = sorted(number for number in numbers if number != year)
        return (1900 <= year <= 2099 and len(rest) == 2 and 1 <= rest[0] <= 12 and rest[1] <= 31) or (
            1900 <= year <= 2099 and len(set(numbers)) == 2 and 1 <= min(numbers) <= 12
        )
    return len(numbers) == 2


def _varied_digits(value: str) -> bool:
    """For numbers without a check digit: at least no row of the same digit."""
    return _varied(re.sub(r"\D", "", value), 3)


def _github(value: str) -> bool:
    """The last six characters are a CRC-32 in base 62 (GitHub's new token format, 2021)."""
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    body = value.partition("_")[2]
    number = 0
    for char in body[-6:]:
        number = number * 62 + alphabet.index(char)
    return number == binascii.crc32(body[:-6].encode())


CHECKS: Mapping[str, Check] = {
    "luhn": _luhn,
    "card": _card,
    "iban": _iban,
    "aba": _aba,
    "luhn-varied": _luhn_varied,
    "de-kvnr": _de_kvnr,
    "track": _track,
    "ripple": _ripple,
    "ipv6": _ipv6,
    "npi": _npi,
    "dea": _dea,
    "medicare-au": _medicare_au,
    "ssn": _ssn,
    "hicn": _hicn,
    "imei": _imei,
    "vin": _vin,
    "mrz": _mrz,
    "icao": _icao,
    "de-pension": _de_pension,
    "lu-matricule": _lu_matricule,
    "snils": _snils,
    "hkid": _hkid,
    "tw-id": _tw_id,
    "sg-nric": _sg_nric,
    "random": _random,
    "mixed": _mixed,
    "password": _password,
    "url-password": _url_password,
    "jwt": _jwt,
    "base58": _base58_check,
    "bech32": _bech32,
    "ethereum": _ethereum,
    "e164": _e164,
    "ipv4": _ipv4,
    "date": _date,
    "varied": _varied_digits,
    "github-crc": _github,
}
"""The checks of our own, by name."""
