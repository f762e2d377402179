"""Every error code an admin can meet, with its meaning, cause and cure: what `casb explain P014` prints.

`P` codes belong to policies and the tests beside them, `C` codes to the deployment (`casb.yaml`, `apps/*.yaml`,
`ranges.yaml`). The numbers below 030 are about YAML itself and mean the same in both: `P014` and `C014` share a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from casb.codes_catalog import ROWS as CATALOG_ROWS
from casb.codes_content import ROWS as CONTENT_ROWS
from casb.codes_deployment import ROWS
from casb.codes_discovery import ROWS as DISCOVERY_ROWS
from casb.codes_identity import ROWS as IDENTITY_ROWS
from casb.codes_rim import ROWS as RIM_ROWS
from casb.codes_saml import ROWS as SAML_ROWS


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

_POLICY = (
    Code(
        code="P030",
        meaning="two policies have the same id",
        cause="Ids name policies in decisions, logs and tests, so each may be used once in the whole folder.",
        cure="Rename one of them.",
    ),
    Code(
        code="P031",
        meaning="unknown app",
        cause="The id is in no file under apps/.",
        cure="Use the id of an app that exists, or add the app.",
        example="apps: [flies]",
    ),
    Code(
        code="P032",
        meaning="not an address or range",
        cause="The text is no IPv4 or IPv6 address and no CIDR range, or has bits set behind its prefix.",
        cure="Write 192.0.2.7, 192.0.2.0/24, '2001:db8::1' or '2001:db8::/32'.",
        example="client: {ip: 192.0.2.7/24}",
    ),
    Code(
        code="P033",
        meaning="not a file size",
        cause="The value is no number of bytes and no number with B, KB, MB or GB.",
        cure="Write 500KB, 10MB or 1.5GB.",
        example="file: {size: {at_least: 10 megs}}",
    ),
    Code(
        code="P034",
        meaning="not a regular expression",
        cause="The expression is not in RE2 syntax, which has neither look-around nor back-references, or is too long.",
        cure="Mend it, or use `contains`, `starts_with` or wildcards.",
        example="file: {name: {regex: '(a'}}",
    ),
    Code(
        code="P035",
        meaning="this kind of policy does not know that",
        cause="An access policy is asked at sign-in: there is no file yet and no other activity than the logon.",
        cure="Use kind: session for files and activities, kind: access for the sign-in.",
    ),
    Code(
        code="P036",
        meaning="only downloads can be protected",
        cause="`protect` hands a file over encrypted, which makes sense for downloads alone.",
        cure="Write activities: download, and a second policy for the other activities.",
    ),
    Code(
        code="P037",
        meaning="nothing in it",
        cause="An empty list or mapping stands where values belong; it would match nothing, or everything.",
        cure="Add a value, or remove the key.",
        example="file: {extension: []}",
    ),
    Code(
        code="P038",
        meaning="not a policy id",
        cause="Ids are made of small letters, digits and hyphens, at most 64, without a hyphen at either end.",
        cure="Write block-payroll-downloads instead of 'Block payroll downloads'; `name` takes the sentence.",
        example="id: Block Payroll",
    ),
    Code(
        code="P039",
        meaning="unknown placeholder in a message",
        cause="Braces in a message name what is filled in, and this is none of the known names.",
        cure="Use {user}, {app}, {file}, {policy}, {label}, {findings} or {activity}; write {{ and }} for braces.",
        example="message: '{filename} is blocked'",
    ),
    Code(
        code="P040",
        meaning="the file cannot be opened",
        cause="It is not there, is not a file, or may not be read.",
        cure="Check the path and its permissions.",
    ),
    Code(
        code="P041",
        meaning="unknown label or recipient",
        cause="A policy names a sensitivity label or a recipient that casb.yaml does not list.",
        cure="Correct the spelling, or add it under `labels` or `recipients` in casb.yaml.",
        example="activities: download\naction: {type: protect, label: Confidental}",
    ),
    Code(
        code="P042",
        meaning="not a language",
        cause="A message in several languages names each by its tag (BCP 47), and this is none.",
        cure="Write the language alone or with its country: en, de, pt-BR.",
        example="message: {english: 'Not on this device.'}",
    ),
    Code(
        code="P043",
        meaning="only uploads can be kept in quarantine",
        cause="`quarantine: true` keeps the bytes that were refused, and only an upload brings any.",
        cure="Write activities: upload, and a second policy for the other activities.",
        example="activities: download\naction: {type: block, quarantine: true}",
    ),
    Code(
        code="P050",
        meaning="can never match (warning)",
        cause="The conditions exclude each other, or ask for a file at activities that have none.",
        cure="Remove one of the conditions, or split the policy.",
    ),
    Code(
        code="P051",
        meaning="no address range has this tag (warning)",
        cause="The tag is on no range in ranges.yaml, so the condition never holds.",
        cure="Correct the spelling, or add the tag to a range.",
    ),
    Code(
        code="P052",
        meaning="no test (warning)",
        cause="No case in a *_test.yaml expects this policy.",
        cure="Add a case to the tests beside the policies; `casb test --coverage` names the conditions without one.",
    ),
    Code(
        code="P053",
        meaning="never decides (warning)",
        cause="Whenever it matches, another policy matches too and is at least as strict, so this one is never felt.",
        cure="Narrow the other one, make this one stricter, or remove it.",
    ),
    Code(
        code="P054",
        meaning="overlaps with a different action (note)",
        cause="Two policies can match the same activity and do different things; the stricter one wins.",
        cure="Nothing, when that is meant; otherwise exclude one's conditions in the other with 'not'.",
    ),
    Code(
        code="P055",
        meaning="is over (warning)",
        cause="The end of the policy's schedule has passed, so it does nothing any more.",
        cure="Move `until`, or remove the policy.",
    ),
    Code(
        code="P060",
        meaning="a test names what does not exist",
        cause="A case names a policy file that cannot be found, or expects a policy that is in none of its files.",
        cure="Correct the path (it counts from the test file) or the policy's id.",
    ),
    Code(
        code="P061",
        meaning="a version of the policies cannot be read",
        cause="What `casb diff` was given is neither a folder nor a revision of the git repository of the folder.",
        cure="Name a folder, or a revision such as HEAD~1; git must be installed.",
    ),
    Code(
        code="P062",
        meaning="no such template",
        cause="`casb new` knows no template of that name.",
        cure="Run `casb new` alone for the list.",
    ),
    Code(
        code="P063",
        meaning="a policy of that name is there already",
        cause="`casb new` overwrites nothing.",
        cure="Choose another name with --id.",
    ),
    Code(
        code="P070",
        meaning="an exception is not signed as it must be",
        cause="The file was changed after it was signed, was written by hand, or comes from another deployment.",
        cure="Have it approved in the portal, or check what it says and run `casb exception sign FILE`.",
    ),
    Code(
        code="P071",
        meaning="an exception has run out",
        cause="`until` has passed. The policy holds again for the person; nothing else is affected.",
        cure="Remove the file, or approve a new request.",
    ),
    Code(
        code="P072",
        meaning="an exception is for nobody, or for too many",
        cause="It names neither a person nor a group, or both.",
        cure="Give `user` or `group`.",
    ),
    Code(
        code="P073",
        meaning="an exception to a policy that does not exist",
        cause="The policy was renamed or removed.",
        cure="Approve a new request for the policy that took its place, or remove the file.",
    ),
    Code(
        code="P074",
        meaning="there is no such request or exception",
        cause="The id is of no request for an exception in the activity log, and of no file in `exceptions/`.",
        cure="Run `casb exception list`.",
    ),
    Code(
        code="P075",
        meaning="an exception is there twice",
        cause="Two files in `exceptions/` have the same id; the first in the order of names counts.",
        cure="Remove one of them.",
    ),
    Code(
        code="P064",
        meaning="the recorded activities cannot be read",
        cause="`casb replay --activities` was given a file that cannot be opened, or a length of time that is none.",
        cure="Name a file of JSON lines as `casb activity --format ndjson` writes it; write 90m, 24h or 7d.",
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
    for code, meaning, cause, cure, example in (
        *ROWS,
        *CONTENT_ROWS,
        *RIM_ROWS,
        *CATALOG_ROWS,
        *DISCOVERY_ROWS,
        *IDENTITY_ROWS,
        *SAML_ROWS,
    )
)

CODES: Mapping[str, Code] = _table(*_SHARED, *_POLICY, *_DEPLOYMENT)
"""Code to page, in order of the codes."""
