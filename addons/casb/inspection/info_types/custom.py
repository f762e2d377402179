"""The sensitive information types of an organisation: `info_types/*.yaml` in the configuration folder.

Shape, checks and errors with places. An expression is tried on both engines before it is accepted, so that a folder
that passes never fails later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from casb.errors import CasbError, ConfigError, ContentError, Problems, Where
from casb.inspection.info_types import checks, exact, shingles
from casb.inspection.info_types.engine import compile_types, matches_empty
from casb.inspection.info_types.shape import Confidence, InfoType, Pattern, Spec
from casb.inspection.info_types.shipped import shipped
from casb.model.info_types import CATEGORIES
from casb.yamlfile import Marks, Path, did_you_mean, read_located

FOLDER = "info_types/"
LISTS = ".digests"
MOST_WORDS = 5000
MOST_EXPRESSION = 1000

type Level = Literal["low", "medium", "high"]
_LEVELS: Mapping[str, Confidence] = {
    "low": Confidence.LOW,
    "medium": Confidence.MEDIUM,
    "high": Confidence.HIGH,
}
_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_ANCHOR = re.compile(r"(?:^|[^\\\[])(?:\\\\)*(?:\^|\$|\\[AzZ])")


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternShape:
    """One way a type looks."""

    expression: str
    """RE2 syntax, without `^` and `$`; a value is found as a whole word and has at most 512 bytes."""
    check: str = ""
    """A validator by name: `luhn`, `iban`, `random` … (`casb inspect --types` lists them), or one of python-stdnum
    (`de.idnr`)."""
    alone: Level | Literal["none"] | None = None
    """Confidence without a keyword nearby; `none`: it does not count then. Default `high`, with keywords `none`."""
    near: Level = "high"
    """Confidence with a keyword nearby."""
    any_case: bool = True
    """Whether capital and small letters are the same."""
    inside_words: bool = False
    """Also find it as a part of a longer word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactShape:
    """Values of a table, made to digests by `casb inspect --exact-list`."""

    digests: str
    """The file of digests, in the same folder."""
    like: str | None = None
    """The shipped type that the primary value looks like; `patterns` can say it instead."""
    needed: int = 0
    """How many of the row's supporting values must stand nearby."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FingerprintShape:
    """A document that is known again, made to digests by `casb inspect --fingerprint`."""

    digests: str
    """The file of digests, in the same folder."""
    share: int = 50
    """How much of the document must be there, in percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeShape:
    """One type. It has `patterns`, or `words`, or `exact`, or `fingerprint`."""

    id: str
    """Names it in policies: small letters, digits and hyphens."""
    name: str = ""
    """For people."""
    doc: str = ""
    """For people."""
    patterns: tuple[PatternShape, ...] = ()
    """How values look."""
    words: tuple[str, ...] = ()
    """A dictionary: each of these words or phrases is a value, in any case."""
    keywords: tuple[str, ...] = ()
    """Words that make a value surer when they stand nearby, in any case."""
    proximity: int = 300
    """How near, in bytes: 1 to 1000."""
    exact: ExactShape | None = None
    fingerprint: FingerprintShape | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoTypesFile:
    """A file of `info_types/`."""

    version: Literal[1] = 1
    """Version of this format."""
    types: tuple[TypeShape, ...]
    """The types."""


def load(files: Mapping[str, bytes], *, key: bytes | None = b"", label: str = "") -> Mapping[str, InfoType]:
    """The types of the files of a folder, by id. Paths are relative to it; `label` is put before them in errors.

    `key` is that of exact data match: None when the deployment has none, empty when it is not to be had here, and then
    lists are not looked into. Raises `Problems`.
    """
    reader = _Reader(files, key, label)
    for name in sorted(files):
        if name.startswith(FOLDER) and name.endswith((".yaml", ".yml")):
            reader.file(name)
    if reader.errors:
        raise Problems(reader.errors)
    return reader.types


@dataclass(slots=True)
class _Reader:
    files: Mapping[str, bytes]
    key: bytes | None
    label: str
    errors: list[CasbError] = field(default_factory=list)
    types: dict[str, InfoType] = field(default_factory=dict)
    places: dict[str, Where] = field(default_factory=dict)

    def file(self, name: str) -> None:
        shown = f"{self.label}/{name}" if self.label else name
        try:
            document, marks = read_located(InfoTypesFile, self.files[name], shown, prefix="C")
        except Problems as problems:
            self.errors += problems.errors
            return
        for index, each in enumerate(document.types):
            _Type(self, marks, ("types", index), each).read()


@dataclass(slots=True)
class _Type:
    reader: _Reader
    marks: Marks
    path: Path
    shape: TypeShape

    def wrong(self, code: str, message: str, below: Sequence[str | int], hint: str = "") -> None:
        where = self.marks.where((*self.path, *below))
        self.reader.errors.append(ConfigError(code, message, where, hint))

    def read(self) -> None:
        shape, before = self.shape, len(self.reader.errors)
        self._check_id()
        if not 1 <= shape.proximity <= 1000:
            self.wrong("C142", f"a proximity of {shape.proximity} bytes", ("proximity",), "1 to 1000")
        ways = [bool(shape.patterns), bool(shape.words), shape.exact is not None, shape.fingerprint is not None]
        if sum(ways) != 1 and ways != [True, False, True, False]:
            self.wrong("C142", f"'{shape.id}' must have one of patterns, words, exact, fingerprint", ("id",))
        for key in ("words", "keywords"):
            self._check_words(key, getattr(shape, key))
        patterns = tuple(self._pattern(each, at) for at, each in enumerate(shape.patterns))
        made = InfoType(
            id=shape.id,
            name=shape.name or shape.id,
            doc=shape.doc,
            patterns=patterns,
            keywords=shape.words or shape.keywords,
            proximity=shape.proximity,
        )
        if shape.exact is not None:
            made = self._exact(made, shape.exact)
        if shape.fingerprint is not None:
            made = self._fingerprint(made, shape.fingerprint)
        if len(self.reader.errors) == before:
            self._try(made)
            self.reader.types[shape.id] = made

    def _check_id(self) -> None:
        name = self.shape.id
        if not _ID.fullmatch(name):
            self.wrong(
                "C140", f"'{name[:80]}' cannot be an id", ("id",), "use small letters, digits and hyphens, at most 64"
            )
        elif name in shipped() or name in CATEGORIES:
            self.wrong("C140", f"'{name}' comes with casb", ("id",), "take another id")
        first = self.reader.places.setdefault(name, self.marks.where((*self.path, "id")))
        if first != self.marks.where((*self.path, "id")):
            self.wrong("C140", f"two types have the id '{name}'", ("id",), f"the first is at {first}")

    def _check_words(self, key: str, words: Sequence[str]) -> None:
        if len(words) > MOST_WORDS:
            self.wrong("C142", f"{len(words)} words, at most {MOST_WORDS} are taken", (key,), "make several types")
        for at, word in enumerate(words):
            if not 1 < len(word.strip()) <= 64:
                self.wrong(
                    "C142", f"'{word[:80]}' is too short or too long for a word", (key, at), "2 to 64 characters"
                )

    def _pattern(self, shape: PatternShape, at: int) -> Pattern:
        below = ("patterns", at, "expression")
        if len(shape.expression) > MOST_EXPRESSION:
            self.wrong("C141", f"the expression has more than {MOST_EXPRESSION} characters", below)
        elif _ANCHOR.search(shape.expression):
            self.wrong("C141", "an expression has no anchors here", below, "leave ^ and $ out: whole words are found")
        if shape.check:
            try:
                checks.find(shape.check)
            except ContentError as error:
                self.wrong("C143", error.message, ("patterns", at, "check"), did_you_mean(shape.check, checks.CHECKS))
        default = "none" if self.shape.keywords else "high"
        return Pattern(
            expression=shape.expression,
            check=shape.check,
            alone=_LEVELS.get(shape.alone or default),
            near=_LEVELS[shape.near],
            any_case=shape.any_case,
            inside=shape.inside_words,
        )

    def _exact(self, made: InfoType, shape: ExactShape) -> InfoType:
        patterns = made.patterns
        if shape.like is not None:
            like = shipped().get(shape.like)
            if like is None:
                hint = did_you_mean(shape.like, shipped())
                self.wrong("C144", f"no type '{shape.like}' comes with casb", ("exact", "like"), hint)
                return made
            patterns = like.patterns
        if not patterns:
            self.wrong(
                "C144", "nothing says how the primary value looks", ("exact",), "write like: us-ssn, or patterns"
            )
        patterns = tuple(replace(each, alone=Confidence.HIGH, near=Confidence.HIGH) for each in patterns)
        data = self._list(shape.digests, "exact")
        if self.reader.key is None:
            hint = "write inspection: {exact_match_key: env:NAME} in casb.yaml"
            self.wrong("C144", "exact data match needs a key", ("exact",), hint)
        if data is None or not self.reader.key:
            return replace(made, patterns=patterns)
        try:
            found = exact.unpacked(data, self.reader.key, max(shape.needed, 0))
        except ContentError as error:
            self.wrong("C144", error.message, ("exact", "digests"), "make it with `casb inspect --exact-list`")
            return made
        if shape.needed > found.columns or shape.needed < 0:
            self.wrong("C144", f"the list has {found.columns} supporting columns", ("exact", "needed"))
        return replace(made, patterns=patterns, exact=found)

    def _fingerprint(self, made: InfoType, shape: FingerprintShape) -> InfoType:
        if not 1 <= shape.share <= 100:
            self.wrong("C142", f"a share of {shape.share} %", ("fingerprint", "share"), "1 to 100")
        data = self._list(shape.digests, "fingerprint")
        if data is None:
            return made
        try:
            return replace(made, fingerprint=shingles.unpacked(data, shape.share))
        except ContentError as error:
            self.wrong("C144", error.message, ("fingerprint", "digests"), "make it with `casb inspect --fingerprint`")
            return made

    def _list(self, name: str, key: str) -> bytes | None:
        data = self.reader.files.get(FOLDER + name) if name.endswith(LISTS) else None
        if data is None:
            self.wrong("C144", f"no file '{name}' in {FOLDER}", (key, "digests"), f"its name must end in {LISTS}")
        return data

    def _try(self, made: InfoType) -> None:
        """What only the engines can tell, pattern by pattern."""
        for at, pattern in enumerate(made.patterns):
            below = ("patterns", at, "expression") if at < len(self.shape.patterns) else ("id",)
            try:
                compile_types(Spec(types=(replace(made, patterns=(pattern,), exact=None, fingerprint=None),)))
                empty = matches_empty(pattern)
            except ContentError as error:
                self.wrong("C141", error.message, below, "RE2 syntax: no look-around and no back-references")
            except Exception as error:  # hyperscan's own errors
                self.wrong("C141", f"the expression is too large: {str(error)[:100]}", below, "use shorter repetitions")
            else:
                if empty:
                    self.wrong("C141", "the expression matches the empty text", below, "make a part of it required")
