"""SAML: what to enter at identity providers and apps, and the rollover of our signing key.

casb saml show                     every address and entity id, for the admins of providers and apps
casb saml show intranet            those for one app
casb saml metadata intranet        our metadata for an app, as XML (without a name: for identity providers)
casb saml keys                     the signing keys, and where a rollover stands
casb saml rollover begin           a second key: metadata lists both, the old one signs; now give apps the new one
casb saml rollover switch          the new key signs, metadata still lists both
casb saml rollover finish          the old key is gone
casb saml rollover cancel          back to the old key alone

Apps that read our metadata by themselves follow; the others need the new certificate between `begin` and `switch`.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from casb.commands.certs import settings_of
from casb.control.saml_trust import app_metadata, room
from casb.errors import ConfigError, Problems
from casb.model.app import App
from casb.settings import Settings
from casb.store.folder import load_draft


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    verbs = parser.add_subparsers(dest="what", required=True, metavar="show | metadata | keys | rollover")
    shown = verbs.add_parser("show", help="what to enter at providers and apps")
    written = verbs.add_parser("metadata", help="our metadata, as XML")
    listed = verbs.add_parser("keys", help="the signing keys")
    rolled = verbs.add_parser("rollover", help="change the signing key, with overlap")
    rolled.add_argument("step", choices=("begin", "switch", "finish", "cancel"))
    for each in (shown, written):
        each.add_argument("app", nargs="?", help="id of an app")
    written.add_argument("--out", metavar="FILE", help="where to (default: standard output)")
    for each in (shown, written, listed, rolled):
        each.add_argument(
            "--config", default="policies", metavar="DIR", help="configuration folder (default: policies)"
        )
    for each in (shown, listed):
        each.add_argument("--format", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 there is no such app, or the step does not follow."""
    settings = settings_of(arguments.config)
    keys = room("casb.store.saml_keys").SamlKeys.load_or_create(Path(settings.data), settings.login_host)
    if arguments.what == "rollover":
        getattr(keys, arguments.step)()
        print(_TOLD[arguments.step], file=sys.stderr)
        return 0
    if arguments.what == "keys":
        return _keys(keys, as_json=arguments.format == "json")
    apps = _apps(arguments.config)
    login = settings.address_of(settings.login_host)
    if arguments.what == "metadata":
        return _metadata(arguments, settings, login, apps, keys)
    return _show(arguments, settings, login, apps, keys)


_TOLD = {
    "begin": "A second key is published beside the present one. Give its certificate (casb saml keys) to every app "
    "that does not read our metadata, then: casb saml rollover switch",
    "switch": "The new key signs from now on. When every app works: casb saml rollover finish",
    "finish": "The old key is gone.",
    "cancel": "The old key alone signs and is published.",
}


def _apps(folder: str) -> dict[str, App]:
    draft = load_draft(folder)
    if draft.errors:
        raise Problems(list(draft.errors))
    return {app.id: app for app in draft.apps if app.saml is not None and app.saml.bridged}


def _named(apps: dict[str, App], name: str) -> App:
    if name not in apps:
        known = ", ".join(sorted(apps)) or "none"
        raise ConfigError("T061", f"there is no SAML application '{name}'", hint=f"there are: {known}")
    return apps[name]


def _signing(keys: Any) -> list[Any]:
    signature = room("casb.identity.saml_signature")
    return [signature.SigningKey(key=each.key, certificate=each.certificate) for each in keys.keys()]


def _metadata(arguments: argparse.Namespace, settings: Settings, login: str, apps: dict[str, App], keys: Any) -> int:
    ours = room("casb.identity.saml_own")
    if arguments.app:
        document = ours.app_document(login, _named(apps, arguments.app), _signing(keys))
    else:
        document = ours.own_document(login, settings, _signing(keys))
    if arguments.out:
        Path(arguments.out).write_bytes(document)
    else:
        sys.stdout.buffer.write(document)
        sys.stdout.buffer.flush()
    return 0


def _facts(settings: Settings, login: str, apps: dict[str, App]) -> dict[str, Any]:
    own = room("casb.identity.saml_own").own_addresses(login)
    providers = [each.id for each in settings.providers if each.saml is not None]
    return {
        "identity_providers": {
            "configured": providers,
            "entity_id": own.entity_id,
            "acs": own.acs,
            "slo": own.slo,
            "metadata": own.entity_id,
        },
        "apps": {app.id: _app_facts(login, app) for app in apps.values()},
    }


def _app_facts(login: str, app: App) -> dict[str, Any]:
    entity = f"{login}/saml/{app.id}"
    trust = app_metadata(app.saml) if app.saml is not None else None
    return {
        "name": app.name,
        "entity_id": entity,
        "sso": f"{entity}/sso",
        "slo": f"{entity}/slo",
        "metadata": f"{entity}/metadata",
        "app_entity_id": trust.entity_id if trust else "",
        "app_acs": list(trust.acs.values()) if trust else [],
        "start": f"{entity}/start" if app.saml and app.saml.idp_initiated else None,
    }


def _show(arguments: argparse.Namespace, settings: Settings, login: str, apps: dict[str, App], keys: Any) -> int:
    if arguments.app:
        apps = {arguments.app: _named(apps, arguments.app)}
    facts = _facts(settings, login, apps)
    fingerprint = keys.keys()[0].certificate.fingerprint(hashes.SHA256()).hex(":")
    if arguments.format == "json":
        print(json.dumps({**facts, "certificate_sha256": fingerprint}, indent=2))
        return 0
    if not arguments.app:
        ours = facts["identity_providers"]
        print(f"At the identity provider ({', '.join(ours['configured']) or 'none is configured'}), enter:")
        _rows(
            ("Entity id, audience", ours["entity_id"]), ("ACS, reply address", ours["acs"]), ("Sign-out", ours["slo"])
        )
        print()
    for app_id, each in facts["apps"].items():
        print(f"In {each['name']} ({app_id}), enter as its identity provider:")
        _rows(
            ("Entity id, issuer", each["entity_id"]),
            ("Sign-in address", each["sso"]),
            ("Sign-out address", each["slo"]),
            ("Metadata", each["metadata"]),
            ("Certificate, SHA-256", fingerprint),
        )
        print("  It calls itself, and is answered at:")
        _rows(("Entity id", each["app_entity_id"]), *(("ACS", url) for url in each["app_acs"]))
        print()
    if not facts["apps"] and not arguments.app:
        print("No app has a `saml` with metadata.")
    return 0


def _rows(*rows: tuple[str, str]) -> None:
    for label, value in rows:
        print(f"  {label:<22}{value}")


def _keys(keys: Any, *, as_json: bool) -> int:
    rows = [
        {
            "id": each.id,
            "signs": each.signs,
            "created": each.created,
            "expires": each.certificate.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
            "sha256": each.certificate.fingerprint(hashes.SHA256()).hex(":"),
            "certificate": each.certificate.public_bytes(Encoding.PEM).decode("ascii"),
        }
        for each in keys.keys()
    ]
    if as_json:
        print(json.dumps({"stage": keys.stage, "keys": rows}, indent=2))
        return 0
    print(f"Rollover: {keys.stage}")
    for each in rows:
        left = (datetime.fromisoformat(str(each["expires"])) - datetime.now(UTC)).days
        print(f"\n{each['id']}  {'signs' if each['signs'] else 'published'}, {left} days left")
        print(f"SHA-256 {each['sha256']}\n{each['certificate']}", end="")
    return 0
