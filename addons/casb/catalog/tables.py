"""Tables of apps as people hand them over: CSV, JSON or YAML to rows of plain values, every cell by its column.

Column names are factor ids, display names or the reference product's API names, in any spelling. Knows no catalog.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson
import yaml

from casb.catalog.factors import FACTORS, Factor, Kind
from casb.catalog.interop import GRAPH, GRAPH_PARTS, VALUES, category_of
from casb.catalog.known import Value, parse_value
from casb.errors import CatalogError, Where

MAX_BYTES = 256 * 1024 * 1024
MOST_ROWS = 200_000

FIELDS: Mapping[str, tuple[str, ...]] = {
    "id": ("app_id", "appid"),
    "name": ("app", "app_name", "display_name"),
    "vendor": (),
    "category": (),
    "about": ("description",),
    "domains": ("domain", "app_domain"),
    "addresses": ("ip_addresses", "ips", "ipv4", "ipv6"),
    "also": ("also_categories",),
    "mdca_id": ("saas_id",),
    "business_unit": (),
    "hosting_platform": (),
    "score": ("fixed_score", "risk_score"),
    "custom": (),
    "tag": (),
    "attested_by": ("attester", "attested"),
    "attested_on": ("attestation_date", "attested_date"),
    "as_of": (),
    "records": ("affected_records",),
    "evidence": ("ref", "reference", "evidence_url"),
}
"""Columns that are no factor, and other names for them."""

_ALIASES: Mapping[str, str] = {
    "hosting": "hosting_company",
    "terms": "terms_of_service",
    "privacy": "privacy_policy",
    "logon_url": "logon_urls",
    "dr_plan": "disaster_recovery_plan",
    "breach": "latest_breach",
    "breach_date": "latest_breach",
    "encryption_at_rest": "data_at_rest_encryption",
    "domain_registration": "domain_registered",
}
_ANCHOR = re.compile(rb"(?:^|[\s\[{,:-])&\S")
_LISTS = frozenset({"domains", "addresses", "also"})
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE = re.compile(r"([A-Za-z]{3})-([0-9]{1,2})-([0-9]{4})\Z")
_YES = frozenset({"yes", "y", "true", "1", "supported"})
_NO = frozenset({"no", "n", "false", "0", "not supported"})
_UNKNOWN = frozenset({"", "unknown", "null", "none given", "-"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One app of a table. `facts` are typed; a factor that is not there is unknown. `problems` are sentences."""

    where: Where
    fields: Mapping[str, Any]
    facts: Mapping[str, Value]
    sources: Mapping[str, str]  # of facts, where the file says one
    problems: tuple[str, ...] = ()


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


_COLUMNS: dict[str, str] = {
    **{_bare(name): ident for ident, names in GRAPH.items() for name in names},
    **{_bare(factor.name): factor.id for factor in FACTORS.values()},
    **{_bare(alias): ident for alias, ident in _ALIASES.items()},
    **{_bare(ident): ident for ident in FACTORS},
    **{_bare(each): name for name, others in FIELDS.items() for each in (name, *others)},
}
_PARTS: dict[str, tuple[str, str]] = {
    _bare(spelling): (factor.id, part)
    for factor in FACTORS.values()
    if factor.kind is Kind.FLAGS
    for part in factor.values
    for spelling in (factor.id + part, GRAPH_PARTS[factor.id][part])
}
"""Columns of one flag of a composite: `password_policy.length_limit`, `isPasswordPolicyLengthLimit`."""


def column(name: str) -> str | None:
    """What a column is about: a factor's id, a name of `FIELDS`, `<factor>.<flag>`; None when nothing of ours."""
    bare = _bare(name)
    if bare in _COLUMNS:
        return _COLUMNS[bare]
    part = _PARTS.get(bare)
    return f"{part[0]}.{part[1]}" if part else None


def read_rows(text: bytes, file: str, form: str) -> list[Row]:
    """The rows of a table; `form` is csv, json or yaml. Raises `CatalogError` C232 when the text is none of that form.

    What is wrong with one row stands in it.
    """
    if len(text) > MAX_BYTES:
        raise CatalogError("C232", f"the file has more than {MAX_BYTES} bytes", Where(file=file))
    try:
        rows = list(_READERS[form](text.removeprefix(b"\xef\xbb\xbf"), file))
    except (ValueError, csv.Error, yaml.YAMLError, RecursionError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CatalogError("C232", f"the file is no {form.upper()} table of apps: {reason}", Where(file=file)) from None
    if len(rows) > MOST_ROWS:
        raise CatalogError("C232", f"the file has more than {MOST_ROWS} rows", Where(file=file))
    return rows


def form_of(name: str) -> str:
    """The form a file has by its name: csv, json or yaml. Raises `CatalogError` C232."""
    ending = name.rpartition(".")[2].lower()
    form = {"yml": "yaml", "tsv": "csv", "txt": "csv"}.get(ending, ending)
    if form not in _READERS:
        raise CatalogError("C232", f"'{name}' ends in none of .csv, .json, .yaml")
    return form


def _from_csv(text: bytes, file: str) -> Iterator[Row]:
    decoded = text.decode("utf-8")
    if "\0" in decoded:
        raise ValueError("it holds a NUL character")
    head = decoded.split("\n", 1)[0]
    delimiter = max(",;\t|", key=head.count)
    reader = csv.reader(io.StringIO(decoded, newline=""), delimiter=delimiter)
    header = next(reader, None)
    if header is None:
        raise ValueError("it is empty")
    if [column(each) or _bare(each) for each in header[:2]] in (["factor", "value"], ["question", "answer"]):
        yield _row(Where(file=file, line=1), ((line[0], line[1]) for line in reader if len(line) >= 2))
        return
    names = [each.strip() for each in header]
    if not any(column(each) in ("id", "name", "domains") for each in names):
        raise ValueError("no column is called id, name or domain")
    for cells in reader:
        if any(cell.strip() for cell in cells):
            where = Where(file=file, line=reader.line_num, column=1)
            if len(cells) > len(names):
                problem = f"{len(cells)} cells under {len(names)} columns"
                yield Row(where=where, fields={}, facts={}, sources={}, problems=(problem,))
            else:
                yield _row(where, zip(names, map(_uncovered, cells), strict=False))


def _uncovered(cell: str) -> str:
    """A cell without the quote that keeps spreadsheets from taking it for a formula."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in ("=", "+", "-", "@") else cell


def _from_json(text: bytes, file: str) -> Iterator[Row]:
    yield from _from_data(orjson.loads(text), file)


def _from_yaml(text: bytes, file: str) -> Iterator[Row]:
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # texts only: the columns know what they must be
    # A few aliases can stand for more rows than any memory holds.
    if _ANCHOR.search(text) and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=loader)):
        raise ValueError("aliases are not allowed")
    yield from _from_data(yaml.load(text, Loader=loader), file)  # noqa: S506 - the base loader makes no objects


def _from_data(data: Any, file: str) -> Iterator[Row]:
    """A list of apps, or a mapping with one under `apps` (and `as_of`, `category` for all of them)."""
    shared: dict[str, Any] = {}
    if isinstance(data, Mapping):
        shared = {name: data[name] for name in ("as_of", "category") if name in data}
        data = data.get("apps", [data] if "name" in data or "id" in data else None)
    if not isinstance(data, list):
        raise ValueError("it holds no list of apps")
    for number, item in enumerate(data, 1):
        where = Where(file=file, line=number)
        if isinstance(item, Mapping):
            yield _row(where, _flat({**shared, **item}))
        else:
            yield Row(where=where, fields={}, facts={}, sources={}, problems=("it is no app but a bare value",))


def _flat(item: Mapping[str, Any]) -> Iterator[tuple[str, Any] | tuple[str, Any, str]]:
    """Pairs of column and value; facts may be grouped by source, or carry it: `[value, source, …]`."""
    for name, value in item.items():
        if name != "facts" or not isinstance(value, Mapping):
            yield str(name), value
            continue
        for key, inner in value.items():
            if column(str(key)) is None and isinstance(inner, Mapping):
                for factor, raw in inner.items():
                    yield str(factor), raw, str(key)
            elif isinstance(inner, Mapping) and "value" in inner:
                yield str(key), inner["value"], str(inner.get("source", ""))
            else:
                yield str(key), inner


def _row(where: Where, cells: Iterable[tuple[str, Any] | tuple[str, Any, str]]) -> Row:
    fields: dict[str, Any] = {}
    facts: dict[str, Value] = {}
    parts: dict[str, dict[str, Any]] = {}
    sources: dict[str, str] = {}
    problems = []
    for name, raw, *source in cells:
        about = column(name)
        if about is None:
            if _bare(name) and not _is_unknown(raw):
                problems.append(f"'{name}' is no column or factor")
            continue
        if _is_unknown(raw):
            continue
        factor, _, part = about.partition(".")
        try:
            if part:
                parts.setdefault(factor, {})[part] = _truth(raw)
            elif factor in FACTORS:
                facts[factor] = parse_value(FACTORS[factor], _cell(FACTORS[factor], raw))
                if source:
                    sources[factor] = source[0]
            else:
                _field(fields, factor, raw)
        except ValueError as error:
            problems.append(str(error))
    for factor, flags in parts.items():
        try:
            facts.setdefault(factor, parse_value(FACTORS[factor], flags))
        except ValueError as error:
            problems.append(str(error))
    return Row(where=where, fields=fields, facts=facts, sources=sources, problems=tuple(problems))


def _is_unknown(raw: Any) -> bool:
    return raw is None or raw == [] or (isinstance(raw, str) and raw.strip().lower() in _UNKNOWN)


def _field(fields: dict[str, Any], name: str, raw: Any) -> None:
    if name in _LISTS:
        fields[name] = (*fields.get(name, ()), *_items(raw))
    elif name in ("mdca_id", "score", "records"):
        text = str(raw).strip().replace("_", "")
        if not re.match(r"[0-9]{1,15}\Z", text):
            raise ValueError(f"'{name}' is a whole number, not {raw!r}")
        fields[name] = int(text)
    elif name == "custom":
        fields[name] = _truth(raw) is True
    elif name == "attested_on":
        fields[name] = _iso(str(raw))
    elif isinstance(raw, str):
        text = " ".join(raw.split())
        if len(text) > 500:
            raise ValueError(f"'{name}' has more than 500 characters")
        fields[name] = (category_of(text) or text) if name == "category" else text
    else:
        raise ValueError(f"'{name}' is a text")


def _items(raw: Any) -> tuple[str, ...]:
    """A list, or a cell with its items between semicolons, commas or line ends."""
    if isinstance(raw, str):
        return tuple(part.strip() for part in re.split(r"[;,\n|]", raw) if part.strip())
    if isinstance(raw, list) and all(isinstance(each, str) for each in raw):
        return tuple(raw)
    raise ValueError("a list of texts is expected")


def _cell(factor: Factor, raw: Any) -> Any:
    """What a person writes into a cell, as `parse_value` takes it."""
    if not isinstance(raw, str):
        return raw
    text = raw.strip()
    word = text.lower()
    if word in ("n/a", "na", "not applicable"):
        return "n/a"
    match factor.kind:
        case Kind.FLAG:
            return _truth(text)
        case Kind.DATE:
            return _iso(text)
        case Kind.LIST:
            parts = [part.strip() for part in re.split(r"[;\n|]", text) if part.strip()]
            return [_bared(part, factor) for part in parts] if factor.values else parts
        case Kind.ENUM:
            return _bared(text, factor)
        case Kind.FLAGS:
            if word in _NO:
                return dict.fromkeys(factor.values, False)
            if "=" in text:
                pairs = [part.partition("=") for part in re.split(r"[;\n|]", text) if part.strip()]
                return {_bared(name.strip(), factor): _truth(truth) for name, _, truth in pairs}
            met = {_bared(part.strip(), factor) for part in re.split(r"[;\n|]", text) if part.strip()}
            unknown = met - set(factor.values)
            if unknown:
                raise ValueError(f"'{factor.id}' has {', '.join(factor.values)}, not {sorted(unknown)[0]!r}")
            return {name: name in met for name in factor.values}
    return text


def _bared(text: str, factor: Factor) -> str:
    """A word of the factor however it is spelt: `Not supported`, `tls1.2`, `v3_2_1`, `AES`."""
    words = {_bare(there): value for value, there in VALUES.get(factor.id, {}).items() if value != "ssl3"}
    words |= {_bare(value): value for value in factor.values}
    bare = _bare(text)
    return words.get(bare) or words.get(bare.removeprefix("v")) or text


def _truth(raw: Any) -> bool | str:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    if word in ("n/a", "na"):
        return "n/a"
    raise ValueError(f"{str(raw)[:60]!r} is neither yes nor no")


def _iso(text: str) -> str:
    """`Feb-24-2024`, or a date in ISO form."""
    found = _DATE.match(text.strip())
    if found is None:
        try:
            return date.fromisoformat(text.strip()[:10]).isoformat()
        except ValueError:
            raise ValueError(f"{text[:40]!r} is no date: write MMM-dd-YYYY or YYYY-MM-DD") from None
    month = found[1].lower()
    if month not in _MONTHS:
        raise ValueError(f"{text[:40]!r} names no month")
    try:
        return date(int(found[3]), _MONTHS.index(month) + 1, int(found[2])).isoformat()
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no day of the calendar") from None


_READERS = {"csv": _from_csv, "json": _from_json, "yaml": _from_yaml}
FORMS = tuple(_READERS)
