"""Every error code an admin can meet, with its meaning, cause and cure: what `casb explain P014` prints.

`P` codes belong to policies and the tests beside them, `C` codes to the deployment (`casb.yaml`, `apps/*.yaml`,
`ranges.yaml`). The numbers below 030 are about YAML itself and mean the same in both: `P014` and `C014` share a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from casb.codes_deployment import ROWS


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One page of the error book. `example` is a piece of YAML that gives the error, or empty."""

    code: str
    meaning: str
    cause: str
    cure: str
    example: str = ""

    def page(self) -> str:
        """The page as plain text."""
        parts = [f"{self.code}  {self.meaning}", "", f"Cause: {self.cause}", f"Cure:  {self.cure}"]
        if self.example:
            parts += ["", "Example of the mistake:", *(f"    {line}" for line in self.example.splitlines())]
        return "\n".join(parts) + "\n"


_SHARED = (
    Code(
        code="001",
        meaning="the file is not UTF-8",
        cause="It was saved in another encoding (UTF-16, Latin-1, a binary file).",
        cure="Save it as UTF-8. In VS Code: click the encoding in the status bar, then 'Save with Encoding'.",
    ),
    Code(
        code="002",
        meaning="the file starts with a byte order mark",
        cause="Some Windows editors put U+FEFF in front of UTF-8 text.",
        cure="Save it as 'UTF-8' instead of 'UTF-8 with BOM'.",
    ),
    Code(
        code="003",
        meaning="the file holds a control character",
        cause="A NUL or another unprintable character is in the text, often from a damaged copy.",
        cure="Remove the character at the place named.",
    ),
    Code(
        code="004",
        meaning="the file is too large",
        cause="A file may have 1 MB; larger ones are refused before they are parsed.",
        cure="Split it: any number of policy files may lie in the folder.",
    ),
    Code(
        code="005",
        meaning="the file is not YAML",
        cause="Indentation, a quote, a bracket or a colon is wrong at or just before the place named.",
        cure="Indent with spaces, close what was opened, quote text that has ': ' or '#' in it.",
        example="name: one: two",
    ),
    Code(
        code="006",
        meaning="nested too deeply",
        cause="More than 30 levels of lists and mappings.",
        cure="Flatten it; no document of ours needs more than a few levels.",
    ),
    Code(
        code="007",
        meaning="more than one document in the file",
        cause="A line '---' starts a second YAML document, which would be ignored by many readers.",
        cure="Put everything into one document, or the rest into another file.",
        example="version: 1\n---\nversion: 1",
    ),
    Code(
        code="008",
        meaning="anchors, aliases and merge keys are not allowed",
        cause="'&name', '*name' and '<<' let one place change another silently, and can be made to explode in memory.",
        cure="Write the value out where it is used.",
        example="one: &here [a]\ntwo: *here",
    ),
    Code(
        code="009",
        meaning="tags are not allowed",
        cause="'!!python/object' and its kin make a reader build things; plain data needs no tags.",
        cure="Remove the tag. To make a text of a number, quote it.",
        example="name: !!python/name:os.system x",
    ),
    Code(
        code="010",
        meaning="the same key twice",
        cause="A mapping has a key two times; YAML readers silently keep one of them.",
        cure="Remove one, or merge their values into a list.",
        example="severity: low\nseverity: high",
    ),
    Code(
        code="011",
        meaning="a plain word that YAML may read as something else",
        cause="YAML 1.1 reads NO, yes, on and off as true or false, 010 as 8, 12:30 as 750, 2026-01-01 as a date.",
        cure="Quote it when a text is meant ('NO'); write true or false, and plain decimal numbers, otherwise.",
        example="country: NO",
    ),
    Code(
        code="012",
        meaning="a key that is not text",
        cause="A key is a number, a list, empty, true or false.",
        cure="Quote the key, or correct it.",
        example="1: one",
    ),
    Code(
        code="013",
        meaning="unknown key",
        cause="The key is misspelled, belongs elsewhere, or is indented too little or too much.",
        cure="Use one of the keys named in the message; `casb schema` gives them to your editor.",
        example="severety: high",
    ),
    Code(
        code="014",
        meaning="unknown word",
        cause="The value must be one of a few words and is none of them.",
        cure="Use one of the words named in the message.",
        example="activities: [dowload]",
    ),
    Code(
        code="015",
        meaning="a key is missing",
        cause="A mapping lacks a key that it must have.",
        cure="Add it.",
    ),
    Code(
        code="016",
        meaning="wrong type of value",
        cause="A text, number, list or mapping stands where another kind of value is expected.",
        cure="Follow the message: quote numbers that are meant as text, put '-' or [ ] around list items.",
        example='version: "1"',
    ),
    Code(
        code="017",
        meaning="a value that cannot be",
        cause="The value has the right type but is out of range or malformed.",
        cure="Follow the message.",
    ),
    Code(
        code="018",
        meaning="the file is empty",
        cause="There is nothing in it but comments and white space.",
        cure="Write a document, or delete the file.",
    ),
    Code(
        code="019",
        meaning="too many errors",
        cause="More than 100 errors are in this file; the rest is not shown.",
        cure="Mend the first ones and check again; often one mistake of indentation causes many.",
    ),
)


def _table(*codes: Code) -> Mapping[str, Code]:
    table: dict[str, Code] = {}
    for code in codes:
        for prefix in ("P", "C") if code.code.isdigit() else ("",):
            name = prefix + code.code
            if name in table:
                raise ValueError(f"error code {name} is defined twice")
            table[name] = Code(code=name, meaning=code.meaning, cause=code.cause, cure=code.cure, example=code.example)
    return MappingProxyType(dict(sorted(table.items())))


_DEPLOYMENT = tuple(
    Code(code=code, meaning=meaning, cause=cause, cure=cure, example=example)
    for code, meaning, cause, cure, example in ROWS
)

CODES: Mapping[str, Code] = _table(*_SHARED, *_DEPLOYMENT)
"""Code to page, in order of the codes."""
