"""The verbs of `casb catalog` that look: search, score, categories, factors, export."""

from __future__ import annotations

import argparse
import sys

from casb.catalog.exporting import FORMATS
from casb.catalog.factors import FACTORS
from casb.catalog.filters import Condition, compile_conditions
from casb.catalog.inventory import Entry, Inventory, alternatives
from casb.catalog.score import Explanation, Handling, Scorer
from casb.catalog.views import categories, explanation, scores, summary
from casb.commands._catalog_open import add_common, add_filters, conditions, inventory, show_json, table, unknown

type Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_to(verbs: Verbs) -> None:
    """Their command lines."""
    search = verbs.add_parser("search", help="known cloud apps by name, domain and filters")
    search.add_argument(
        "words", nargs="*", metavar="WORD", help="in the name, id, vendor or a domain; all must be there"
    )
    search.add_argument("--limit", type=int, default=50, help="apps to show; 0: all (default: 50)")
    search.add_argument("--sort", choices=("score", "risk", "name"), default="name", help="risk: the riskiest first")
    search.add_argument("--alternatives", metavar="ID", help="apps that could take the place of this one")
    add_filters(search)
    add_common(search)
    search.set_defaults(do=_search)

    score = verbs.add_parser("score", help="an app's risk score, 0 to 10, and why")
    score.add_argument("id")
    score.add_argument("--explain", action="store_true", help="every factor: value, source, worth, weight")
    add_common(score)
    score.set_defaults(do=_score)

    counted = verbs.add_parser("categories", help="the categories and how many apps each has")
    add_common(counted)
    counted.set_defaults(do=_categories)

    factors = verbs.add_parser("factors", help="what apps are described by")
    factors.add_argument("--format", choices=("text", "json"), default="text")
    factors.set_defaults(do=_factors)

    export = verbs.add_parser("export", help="the catalog as a table, to be edited and imported again")
    add_filters(export)
    add_common(export, tuple(FORMATS))
    export.set_defaults(do=_export)


def _found(arguments: argparse.Namespace, known: Inventory) -> list[Entry]:
    rows: list[Condition] = conditions(arguments)
    test = compile_conditions(rows, known)
    return [entry for entry in known if test(entry)]


def _search(arguments: argparse.Namespace) -> int:
    known = inventory(arguments)
    if arguments.alternatives:
        if known.get(arguments.alternatives) is None:
            raise unknown(arguments.alternatives, known)
        test = compile_conditions(conditions(arguments), known)
        entries = alternatives(known, arguments.alternatives, test, limit=arguments.limit or len(known))
    else:
        entries = [entry for entry in _found(arguments, known) if _has(entry, arguments.words)]
        entries.sort(key=_ORDERS[arguments.sort])
    shown = entries[: arguments.limit or None]
    if arguments.format == "json":
        show_json({"total": len(entries), "apps": [summary(entry, known) for entry in shown]})
        return 0 if entries else 1
    if not entries:
        print("no app is like that", file=sys.stderr)
        return 1
    rows: list[tuple[str, ...]] = [("ID", "NAME", "CATEGORY", "SCORE", "RISK", "TAGS", "DOMAINS")]
    rows += [_line(entry, known) for entry in shown]
    print(table(rows, 34))
    if len(entries) > len(shown):
        print(f"{len(entries) - len(shown)} more; --limit 0 shows all", file=sys.stderr)
    return 0


def _line(entry: Entry, known: Inventory) -> tuple[str, ...]:
    app = entry.app
    score = "-" if entry.score is None else str(entry.score)
    tags = " ".join(sorted(entry.tags)) or "-"
    return app.id, app.name, app.category, score, known.band(entry).value, tags, " ".join(app.domains[:4])


def _has(entry: Entry, words: list[str]) -> bool:
    app = entry.app
    text = " ".join((app.id, app.name, app.vendor, *app.domains)).casefold()
    return all(word.casefold() in text for word in words)


_ORDERS = {
    "name": lambda entry: (0, entry.app.name.casefold()),
    "score": lambda entry: (-(entry.score if entry.score is not None else -1), entry.app.name.casefold()),
    "risk": lambda entry: (entry.score if entry.score is not None else 11, entry.app.name.casefold()),
}


def _score(arguments: argparse.Namespace) -> int:
    known = inventory(arguments)
    entry = known.get(arguments.id)
    if entry is None:
        raise unknown(arguments.id, known)
    found = Scorer(known.metrics, known.on).explain(entry.app)
    if arguments.format == "json":
        show_json(explanation(found, entry) if arguments.explain else {"app": entry.id, **scores(entry)})
        return 0
    print(f"{entry.app.name}: {'unscored' if entry.score is None else entry.score} ({known.band(entry).value} risk)")
    if entry.override is not None:
        print(
            f"set by {entry.override.by}: {entry.override.note or 'no note'}; computed {_number(entry.computed.total)}"
        )
    elif entry.declared is not None:
        print(f"declared by an admin; computed {_number(entry.computed.total)}")
    for family in found.families:
        weight = f"weight {family.weight:.0f} %" + (
            "" if family.share == family.weight else f", counts {family.share:.0f} %"
        )
        print(f"  {family.family.value:<11}{_number(family.score):>6}  {weight}  {_handling(family.handling)}".rstrip())
    if arguments.explain:
        _print_factors(found)
    return 0


def _print_factors(found: Explanation) -> None:
    rows = [("FACTOR", "VALUE", "WORTH", "WEIGHT", "COUNTS", "SOURCE", "")]
    for family in found.families:
        rows += [
            (
                each.factor.id,
                "unknown" if each.fact is None else _value(each.fact.value),
                _number(each.score),
                f"{each.weight:.1f} %",
                f"{each.share:.1f} %",
                "-" if each.fact is None else " ".join(filter(None, (each.fact.source.value, each.fact.as_of[:10]))),
                _handling(each.handling),
            )
            for each in family.factors
            if each.handling is not Handling.INFORMATION
        ]
    print()
    print(table(rows, 40))


def _handling(handling: Handling) -> str:
    return "" if handling in (Handling.COUNTED, Handling.UNKNOWN) else handling.value


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return (
            " ".join(str(each[0]) if isinstance(each, tuple) else str(each) for each in value if _true(each)) or "none"
        )
    return str(value)


def _true(each: object) -> bool:
    return not isinstance(each, tuple) or each[1] is True


def _number(score: float | None) -> str:
    return "-" if score is None else f"{score:.1f}"


def _categories(arguments: argparse.Namespace) -> int:
    found = categories(inventory(arguments))
    if arguments.format == "json":
        show_json(found)
    else:
        print(table([("ID", "NAME", "APPS"), *((each["id"], each["name"], str(each["total"])) for each in found)]))
    return 0


def _factors(arguments: argparse.Namespace) -> int:
    if arguments.format == "json":
        show_json(
            [
                {
                    "id": each.id,
                    "name": each.name,
                    "family": each.family.value,
                    "kind": each.kind.value,
                    "about": each.about,
                    "scored": each.scored,
                    "not_applicable": each.not_applicable,
                    "values": list(each.values),
                }
                for each in FACTORS.values()
            ]
        )
        return 0
    rows = [("ID", "FAMILY", "KIND", "SCORED", "ABOUT")]
    for each in FACTORS.values():
        about = each.about or each.name
        rows.append((each.id, each.family.value, each.kind.value, "yes" if each.scored else "-", about))
    print(table(rows))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    known = inventory(arguments)
    for piece in FORMATS[arguments.format](_found(arguments, known)):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    return 0
