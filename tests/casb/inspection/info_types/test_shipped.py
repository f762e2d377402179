"""Every shipped type by its own examples, on both engines; and silence where nothing is to be found."""

from __future__ import annotations

import base64
import random
import sysconfig
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from casb.inspection.info_types import Confidence, Matcher, search
from casb.inspection.info_types.shipped import chosen, shipped, spelled_out

type Compiled = Callable[[str, str], Matcher]

ENGINES = ("hyperscan", "plain")
COUNTRIES = 25


def found(matcher: Matcher, text: str) -> set[str]:
    return {each.info_type for each in search(matcher, text)}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", sorted(shipped()))
def test_its_examples(name: str, engine: str, compiled: Compiled) -> None:
    each = shipped()[name]
    matcher = compiled(each.category, engine)
    assert len(each.matches) >= 2
    assert len(each.misses) >= 2
    assert [text for text in each.matches if name not in found(matcher, spelled_out(text))] == []
    assert [text for text in each.misses if name in found(matcher, spelled_out(text))] == []


def test_there_are_enough() -> None:
    types = shipped().values()
    assert len(types) >= 100
    assert len({each.region for each in types if each.category == "identity"} - {"EU"}) >= COUNTRIES
    assert len([each for each in types if each.category == "secret"]) >= 40
    for each in types:
        assert all(isinstance(text, str) and text for text in (each.id, each.name, *each.keywords)), each.id


def test_a_name_or_a_category_chooses() -> None:
    assert [each.id for each in chosen(["iban", "nothing"], shipped())] == ["iban"]
    assert {each.category for each in chosen(["crypto"], shipped())} == {"crypto"}


PROSE = (
    "The quick brown fox jumps over the lazy dog. On 12 March 2021 we paid 1,250.00 for order 4711-0815, version 3.14"
    " and the meeting in room 4.012 ended at 17:45. Passengers paid by card on the pan-European line; no id was asked.",
    "Am 3. Mai 2022 kostete das Konto nichts. Die Versicherung zahlte 12.500,00 Euro für Los 123456, Seite 1024.",
    "Le numéro 42 du journal, paru en 1998, compte 256 pages. La sécurité sociale a fêté ses 75 ans.",
    "El número 12 de la calle fue vendido en 1987 por 250.000 pesetas, según el registro.",
    "Номер газеты от 12 мая 1995 года вышел тиражом 1500000 экземпляров.",
    "この番号は2019年に発行された雑誌の第128号です。口座の話は出てこない。",
    "這本書在二零一九年出版,共有512頁,售價1280元。",
)


def noise(kind: str) -> str:
    rng = random.Random(4)  # noqa: S311 - the same each time
    match kind:
        case "digits without end":
            return "".join(rng.choices("0123456789", k=100_000))
        case "numbers in a table":
            return "\n".join(
                ",".join(str(rng.randrange(10 ** rng.randrange(1, 9))) for _ in range(9)) for _ in range(2500)
            )
        case "base64":
            return base64.encodebytes(rng.randbytes(150_000)).decode()
        case "digests":
            return "\n".join(rng.randbytes(size).hex() for size in (16, 20, 32) for _ in range(800))
        case "uuids":
            return "\n".join(str(uuid.UUID(bytes=rng.randbytes(16), version=4)) for _ in range(1500))
        case "source code":
            library = Path(sysconfig.get_path("stdlib"))
            return "\n".join((library / name).read_text("utf-8") for name in ("ast.py", "enum.py", "heapq.py"))
    return "\n".join(PROSE * 20)


@pytest.mark.parametrize(
    "kind",
    ["digits without end", "numbers in a table", "base64", "digests", "uuids", "source code", "prose"],
)
def test_nothing_is_found_where_nothing_is(kind: str, compiled: Compiled) -> None:
    findings = search(compiled("", "hyperscan"), noise(kind))
    assert {each.info_type for each in findings if each.confidence >= Confidence.MEDIUM} == set()
