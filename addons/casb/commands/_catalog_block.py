"""`casb catalog block-script`: the unsanctioned apps' hosts in the formats of appliances, resolvers and gateways."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from casb.catalog import blocklists
from casb.commands._catalog_open import DEFAULT, inventory, now, table

type Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_to(verbs: Verbs) -> None:
    """Its command line."""
    block = verbs.add_parser(
        "block-script",
        help="what appliances are to block: all unsanctioned apps",
        epilog="casb catalog block-script --format palo-alto --output . keeps it under its dated name.",
    )
    block.add_argument(
        "--format", metavar="NAME", help=f"{', '.join(blocklists.NAMES)}, or a number such as 112; none: show them"
    )
    block.add_argument("--output", metavar="FILE|DIR", help="write there; into a folder under the dated name")
    block.add_argument("--config", default=DEFAULT, metavar="DIR", help=f"configuration folder (default: {DEFAULT})")
    block.set_defaults(do=_block)


def _block(arguments: argparse.Namespace) -> int:
    if not arguments.format:
        rows = [("FORMAT", "NUMBER", "FILE")]
        numbers = {each.name: str(each.number) for each in blocklists.SCRIPTS}
        rows += [(name, numbers.get(name, "-"), blocklists.file_name(name, now().date())) for name in blocklists.NAMES]
        print(table(rows))
        return 0
    name = blocklists.find(arguments.format)
    script = blocklists.write(name, blocklists.blocked(inventory(arguments)))
    for each in script.left_out:
        print(f"left out: {each.pattern} {f'({each.app}) ' if each.app else ''}{each.why}", file=sys.stderr)
    if not arguments.output:
        sys.stdout.write(script.text)
        return 0
    path = Path(arguments.output)
    if path.is_dir():
        path /= blocklists.file_name(name, now().date())
    path.write_text(script.text, encoding="ascii")
    print(path, file=sys.stderr)
    return 0
