"""The verbs of `casb catalog` that change something: tag, edit, import, suggest, protect, probe, recalculate."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from casb.catalog.factors import FACTORS
from casb.catalog.importing import Plan, What, describe, plan
from casb.catalog.measure import facts
from casb.catalog.metrics import DEFAULTS, metrics_to_plain, read_metrics
from casb.catalog.tables import form_of, read_rows
from casb.catalog.tagging import RESERVED_TAGS, Profile
from casb.catalog.views import detail, fact_json, summary
from casb.commands._catalog_open import actor, add_common, now, opened, show_json, table
from casb.errors import CatalogError, ConnectorError, Problems
from casb.model.app import AppTag
from casb.model.record import rfc3339
from casb.store.app_catalog import STATES, SUGGESTIONS, AppCatalog

type Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_to(verbs: Verbs) -> None:
    """Their command lines."""
    _add_tag(verbs)
    _add_edit(verbs)
    imported = verbs.add_parser("import", help="apps, attestations or breaches from a CSV, JSON or YAML file")
    imported.add_argument("file")
    imported.add_argument("--kind", choices=[each.value for each in What], default=What.APPS.value)
    imported.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    add_common(imported)
    imported.set_defaults(do=_import)

    suggest = verbs.add_parser("suggest", help="wishes for the catalog: make one, list them, decide")
    suggest.add_argument("text", nargs="?", default="")
    suggest.add_argument("--kind", choices=SUGGESTIONS, default="update_data")
    suggest.add_argument("--app", metavar="ID", help="the app it is about")
    suggest.add_argument("--name", default="", help="of a new app")
    suggest.add_argument("--domain", default="", help="of a new app")
    suggest.add_argument("--contact", action="store_true", help="may be asked back")
    suggest.add_argument("--decide", type=int, metavar="NUMBER", help="say what becomes of one; the text is the answer")
    suggest.add_argument("--state", choices=STATES, help="with --decide, or to list only those")
    suggest.add_argument("--list", action="store_true", dest="listed", help="the queue")
    add_common(suggest)
    suggest.set_defaults(do=_suggest)

    protect = verbs.add_parser("protect", help="the hosts whose apps cannot be unsanctioned")
    protect.add_argument("host", nargs="?", help="put this host or wildcard on the list; without one: show the list")
    protect.add_argument("--remove", action="store_true", help="take it off")
    add_common(protect)
    protect.set_defaults(do=_protect)

    probe = verbs.add_parser("probe", help="measure an app's hosts from here: TLS, certificate, headers, DNS")
    probe.add_argument("id")
    probe.add_argument("--allow-network", action="store_true", help="needed: hosts of the app and DNS are asked")
    probe.add_argument("--rdap", action="store_true", help="also ask the registration service how old the domain is")
    probe.add_argument("--keep", action="store_true", help="keep what was measured in the catalog")
    probe.add_argument("--hosts", type=int, default=2, metavar="N", help="hosts of the app to ask (default: 2)")
    add_common(probe)
    probe.set_defaults(do=_probe)

    again = verbs.add_parser("recalculate", help="score all apps anew, with other weights when given")
    again.add_argument("--weights", metavar="FILE", help="YAML or JSON with categories, factors, multipliers, bands")
    again.add_argument("--defaults", action="store_true", help="back to the shipped weights")
    again.add_argument("--print", action="store_true", dest="printed", help="show the weights in force, and do nothing")
    add_common(again)
    again.set_defaults(do=_recalculate)


def _add_tag(verbs: Verbs) -> None:
    tag = verbs.add_parser("tag", help="sanctioned, unsanctioned, monitored, none, or a tag of your own")
    tag.add_argument("tag", nargs="?", help="without one: all tags and how many apps have them")
    tag.add_argument("ids", nargs="*", metavar="ID")
    tag.add_argument("--remove", action="store_true", help="take a tag of your own off")
    tag.add_argument("--create", action="store_true", help="make a tag of your own")
    tag.add_argument("--delete", action="store_true", help="delete a tag of your own, off all apps")
    tag.add_argument("--about", default="", help="what the tag is for; with --create")
    tag.add_argument("--why", default="", help="for the audit log")
    tag.add_argument("--profile", help="bind it to a scoped profile")
    tag.add_argument("--include", action="append", default=[], metavar="GROUP", help="device group of that profile")
    tag.add_argument("--exclude", action="append", default=[], metavar="GROUP", help="device group left out of it")
    tag.add_argument("--publish", action="store_true", help="put the present tags in force once more")
    add_common(tag)
    tag.set_defaults(do=_tag)


def _add_edit(verbs: Verbs) -> None:
    edit = verbs.add_parser("edit", help="what you know better of an app; upgrades of the catalog leave it alone")
    edit.add_argument("id")
    for name in ("name", "vendor", "about", "category", "business-unit"):
        edit.add_argument(f"--{name}")
    for name in ("add-domain", "remove-domain", "add-address", "remove-address"):
        edit.add_argument(f"--{name}", action="append", default=[], metavar="VALUE")
    edit.add_argument("--take-over", action="store_true", help="a domain may come from another app of the catalog")
    edit.add_argument("--fact", action="append", default=[], metavar="FACTOR=VALUE")
    edit.add_argument("--forget", action="append", default=[], metavar="FACTOR", help="take back your own value")
    edit.add_argument("--evidence", default="", help="address of the page that says so; with --fact")
    edit.add_argument("--note", help="a note for other admins; with --score, why")
    edit.add_argument("--score", help="override the score, 0 to 10; `computed` returns to the computed one")
    edit.add_argument("--delete", action="store_true", help="delete a custom or imported app")
    add_common(edit)
    edit.set_defaults(do=_edit)


def _tag(arguments: argparse.Namespace) -> int:
    with opened(arguments) as catalog:
        if arguments.publish:
            print(catalog.publish(), file=sys.stderr)
            return 0
        if arguments.tag is None:
            _show_tags(catalog, arguments)
            return 0
        me = actor()
        if arguments.create:
            catalog.create_tag(arguments.tag, me, arguments.about)
        if arguments.profile and (arguments.include or arguments.exclude):
            groups = {"include": frozenset(arguments.include), "exclude": frozenset(arguments.exclude)}
            catalog.save_profile(Profile(name=arguments.profile, **groups), me)
        if arguments.delete:
            catalog.delete_tag(arguments.tag, me, everywhere=True)
            return 0
        _set_tag(catalog, arguments)
        known = catalog.inventory()
        shown = [summary(catalog.entry(ident), known) for ident in arguments.ids]
        if arguments.format == "json":
            show_json(shown)
        for each in shown if arguments.format != "json" else ():
            print(f"{each['id']}  {', '.join(each['tags']) or 'no tag'}")
    return 0


def _set_tag(catalog: AppCatalog, arguments: argparse.Namespace) -> None:
    word = arguments.tag.casefold()
    if word in [each.value for each in AppTag]:
        tag = AppTag.NONE if arguments.remove else AppTag(word)
        catalog.tag(arguments.ids, tag, actor(), profile=arguments.profile, why=arguments.why)
    elif arguments.remove:
        catalog.drop_tags(arguments.ids, [arguments.tag], actor())
    elif arguments.ids or word in RESERVED_TAGS or not arguments.create:
        catalog.add_tags(arguments.ids, [arguments.tag], actor())


def _show_tags(catalog: AppCatalog, arguments: argparse.Namespace) -> None:
    counts: dict[str, int] = {each.value: 0 for each in AppTag if each is not AppTag.NONE}
    counts |= dict.fromkeys(catalog.store.local().tags, 0)
    for entry in catalog.inventory():
        for word in entry.tags:
            counts[word] = counts.get(word, 0) + 1
    if arguments.format == "json":
        show_json(counts)
    else:
        print(table([("TAG", "APPS"), *((word, str(count)) for word, count in counts.items())]))


def _edit(arguments: argparse.Namespace) -> int:
    with opened(arguments) as catalog:
        me = actor()
        if arguments.delete:
            catalog.delete_added(arguments.id, me)
            return 0
        texts = {name: getattr(arguments, name) for name in ("name", "vendor", "about", "category", "business_unit")}
        lists = {
            f"{verb}_{noun}{ending}": getattr(arguments, f"{verb}_{noun}")
            for verb in ("add", "remove")
            for noun, ending in (("domain", "s"), ("address", "es"))
        }
        changes: dict[str, Any] = {name: value for name, value in (texts | lists).items() if value}
        if changes:
            catalog.edit(arguments.id, changes, me, take_over=arguments.take_over)
        if arguments.fact:
            values = dict(_pair(text) for text in arguments.fact)
            catalog.set_facts(arguments.id, values, me, evidence=arguments.evidence)
        for factor in arguments.forget:
            catalog.drop_fact(arguments.id, factor, me)
        if arguments.score is not None:
            score = None if arguments.score == "computed" else _score(arguments.score)
            catalog.override(arguments.id, score, arguments.note or "", me)
        elif arguments.note:
            catalog.add_note(arguments.id, arguments.note, me)
        known = catalog.inventory()
        entry = catalog.entry(arguments.id)
        if arguments.format == "json":
            show_json(detail(entry, known))
        else:
            print(f"{entry.id}  {entry.app.name}  score {'-' if entry.score is None else entry.score}")
    return 0


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise CatalogError("C224", f"{text!r} is no FACTOR=VALUE")
    words: dict[str, Any] = {"yes": True, "no": False}
    return name.strip(), words.get(value.strip().lower(), value.strip())


def _score(text: str) -> int:
    if not text.isdigit():
        raise CatalogError("C229", f"{text!r} is no whole number from 0 to 10")
    return int(text)


def _import(arguments: argparse.Namespace) -> int:
    path = Path(arguments.file)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise CatalogError("C232", f"{path} cannot be read ({error.strerror})") from None
    rows = read_rows(text, str(path), form_of(path.name))
    kind = What(arguments.kind)
    with opened(arguments) as catalog:
        me = actor()
        overlays = catalog.store.local().overlays
        found = plan(rows, catalog.inventory(), overlays, kind, by=me.who, at=rfc3339(now()))
        if found.errors:
            raise Problems(list(found.errors))
        if not arguments.dry_run and not found.empty:
            catalog.carry_out(found, me, what=f"imported {kind.value}")
    _show_plan(found, arguments, len(rows))
    return 0


def _show_plan(found: Plan, arguments: argparse.Namespace, rows: int) -> None:
    if arguments.format == "json":
        show_json(
            {
                "rows": rows,
                "added": [app.id for app in found.added],
                "changed": sorted({*found.overlays, *(app.id for app in found.replaced), *found.tags}),
                "same": found.same,
                "applied": not arguments.dry_run,
                "differences": [
                    {"app": each.app, "field": each.field, "old": each.old, "new": each.new}
                    for each in found.differences
                ],
            }
        )
        return
    for line in describe(found):
        print(line)
    verb = "would be " if arguments.dry_run else ""
    changed = len({*found.overlays, *(app.id for app in found.replaced), *found.tags} - {app.id for app in found.added})
    print(
        f"{rows} rows: {len(found.added)} {verb}added, {changed} {verb}changed, {found.same} the same", file=sys.stderr
    )


def _suggest(arguments: argparse.Namespace) -> int:
    with opened(arguments) as catalog:
        if arguments.decide is not None:
            catalog.decide(arguments.decide, arguments.state or "done", actor(), arguments.text)
            return 0
        if not arguments.listed and (arguments.text or arguments.kind == "new_app"):
            number = catalog.suggest(
                arguments.kind,
                arguments.text,
                actor(),
                ident=arguments.app,
                name=arguments.name,
                domain=arguments.domain,
                contact=arguments.contact,
            )
            if arguments.format == "json":
                show_json({"number": number})
            else:
                print(f"suggestion {number}")
            return 0
        queue = catalog.suggestions(arguments.state)
    if arguments.format == "json":
        names = ("seq", "kind", "app", "name", "domain", "text", "contact", "state", "answer", "by")
        show_json([{**{name: getattr(each, name) for name in names}, "at": rfc3339(each.at)} for each in queue])
    else:
        rows = [("NUMBER", "KIND", "STATE", "APP", "TEXT")]
        rows += [
            (str(each.seq), each.kind, each.state, each.app or f"{each.name} {each.domain}", each.text)
            for each in queue
        ]
        print(table(rows))
    return 0


def _protect(arguments: argparse.Namespace) -> int:
    with opened(arguments) as catalog:
        if arguments.host:
            catalog.protect(arguments.host, actor(), on=not arguments.remove)
        listed = catalog.inventory().protected
    if arguments.format == "json":
        show_json(list(listed))
    else:
        print("\n".join(listed))
    return 0


def _probe(arguments: argparse.Namespace) -> int:
    from casb.connectors.probe import MIN_INTERVAL, Probe
    from casb.connectors.records import RDAP_BOOTSTRAP, Records, registered

    if not arguments.allow_network:
        raise CatalogError("C231", "probing asks hosts outside", None, "say --allow-network if that is all right")
    with opened(arguments) as catalog:
        entry = catalog.entry(arguments.id)
        hosts = hosts_of(entry.app.domains)[: max(1, arguments.hosts)]
        if not hosts:
            raise CatalogError("C231", f"'{entry.id}' has no host that could be asked")
        for host in hosts:
            if not catalog.store.may_probe(host, now(), MIN_INTERVAL):
                raise CatalogError("C231", f"'{host}' was asked during the last {MIN_INTERVAL // 3600} hours")
        seen, failed = Probe(clock=lambda: rfc3339(now())).look_at_all(hosts)
        records = Records()
        seen = [records.add_to(each) for each in seen]
        found = facts(seen)
        if arguments.rdap and seen:
            try:
                day = registered(hosts[0], RDAP_BOOTSTRAP)
            except ConnectorError as error:
                print(error, file=sys.stderr)
            else:
                found |= facts([type(seen[0])(host=hosts[0], time=seen[0].time, registered=day)])
        if arguments.keep and found:
            catalog.put_facts(entry.id, found, actor())
    for reason in failed:
        print(reason, file=sys.stderr)
    if arguments.format == "json":
        show_json({name: fact_json(FACTORS[name], fact) for name, fact in found.items()})
    else:
        print(table([("FACTOR", "VALUE"), *((name, str(fact.value)) for name, fact in found.items())]))
    return 0 if found else 1


def hosts_of(domains: tuple[str, ...]) -> list[str]:
    """The hosts that patterns name, the plain ones first; of a wildcard the name it stands below and its www."""
    plain = [each for each in domains if not each.startswith("*.") and "/" not in each]
    wild = [each[2:] for each in domains if each.startswith("*.") and "/" not in each]
    return list(dict.fromkeys([*plain, *wild]))


def _recalculate(arguments: argparse.Namespace) -> int:
    with opened(arguments) as catalog:
        if arguments.printed:
            show_json(metrics_to_plain(catalog.inventory().metrics))
            return 0
        metrics = DEFAULTS if arguments.defaults else None
        if arguments.weights:
            try:
                text = Path(arguments.weights).read_bytes()
            except OSError as error:
                raise CatalogError("C232", f"{arguments.weights} cannot be read ({error.strerror})") from None
            metrics = read_metrics(text, arguments.weights)
        task = catalog.recalculate(actor(), metrics, _progress if sys.stderr.isatty() else None)
    if arguments.format == "json":
        show_json({"task": task.seq, "state": task.state, "apps": task.total, "changed": task.changed})
    else:
        print(f"task {task.seq} {task.state}: {task.message}")
    return 0


def _progress(done: int, total: int) -> None:
    print(f"\r{done} of {total} apps", end="\n" if done == total else "", file=sys.stderr, flush=True)
