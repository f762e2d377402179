"""Texts in the character sets of the world are decoded; other bytes are no text."""

# ruff: noqa: RUF001

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.inspection.charsets import known, of_text

RUSSIAN = "Платёжная карта клиента и другие сведения о договоре. Просим не передавать третьим лицам.\n" * 3
GERMAN = "Die Überweisung für Herrn Müller wird heute größtenteils ausgeführt; bitte prüfen Sie das Konto.\n" * 3
CHINESE = "客户的身份证号码和银行账号属于机密信息，请勿外传。我们会在三个工作日内处理您的申请。\n" * 3
JAPANESE = "お客様の個人情報は機密です。カード番号を第三者に渡さないでください。ありがとうございます。\n" * 3
KOREAN = "고객의 주민등록번호와 계좌번호는 기밀 정보이므로 외부에 공개하지 마십시오. 감사합니다.\n" * 3
GREEK = "Ο αριθμός της κάρτας του πελάτη είναι εμπιστευτικός και δεν πρέπει να δοθεί σε τρίτους.\n" * 3


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        pytest.param(text, codec, id=f"{name} in {codec}")
        for name, text, codecs in (
            ("Russian", RUSSIAN, ("utf-8", "cp1251", "koi8-r", "utf-16-le", "utf-16-be", "utf-32-le", "utf-16")),
            ("German", GERMAN, ("utf-8", "cp1252", "utf-16-le", "utf-32-be", "utf-8-sig")),
            ("Chinese", CHINESE, ("utf-8", "gb2312", "gb18030", "utf-16-le", "utf-16-be")),
            ("Traditional Chinese", "客戶的身份證號碼屬於機密資訊，請勿外傳。我們會處理您的申請。\n" * 5, ("big5",)),
            ("Japanese", JAPANESE, ("utf-8", "shift_jis", "euc_jp", "iso2022_jp", "utf-16-le")),
            ("Korean", KOREAN, ("utf-8", "euc_kr", "utf-16-le")),
            ("Greek", GREEK, ("cp1253", "utf-16-le")),
        )
        for codec in codecs
    ],
)
def test_what_nobody_declares(text: str, codec: str) -> None:
    found = of_text(text.encode(codec), whole=True)
    assert found is not None
    assert text.encode(codec).decode(found) == text


@pytest.mark.parametrize(
    ("body", "declared", "codec"),
    [
        (b"Gr\xf6\xdfe", "iso-8859-1", "cp1252"),
        (b"<?xml version='1.0' encoding='koi8-r'?>\xcb\xcc", None, "koi8-r"),
        (b"<meta charset=windows-1251>\xea\xeb\xfe\xf7", None, "cp1251"),
        (b"# -*- coding: latin-1 -*-\ns = '\xe9'", None, "cp1252"),
        ("Größe".encode(), "iso-8859-1", "utf-8"),  # what is well-formed UTF-8 is UTF-8
        (b"+ADw-", "utf-7", "utf-7"),
        (b"Gr\xf6\xdfe und Gewicht", "rot13", "cp1252"),
        (b"plain", "no-such-thing", "utf-8"),
    ],
)
def test_what_is_declared(body: bytes, declared: str | None, codec: str) -> None:
    found = of_text(body, whole=True, declared=declared)
    assert found is not None
    assert body.decode(found) == body.decode(codec)


@pytest.mark.parametrize(
    "body", [bytes(100), bytes(range(256)), b"\x00\x01\x02\x03" * 10, b"\x89PNG\r\n\x1a\n\x00\x00"]
)
def test_what_is_no_text(body: bytes) -> None:
    assert of_text(body, whole=True) is None


def test_a_character_cut_by_the_end_of_the_sample() -> None:
    assert of_text("ä".encode()[:1].rjust(100, b"a"), whole=False) == "utf-8"


@given(st.binary(max_size=200), st.none() | st.text(max_size=10))
def test_any_bytes_are_a_text_or_none(body: bytes, declared: str | None) -> None:
    found = of_text(body, whole=True, declared=declared)
    assert found is None or isinstance(body.decode(found, "replace"), str)
    assert known(declared) is None or declared
