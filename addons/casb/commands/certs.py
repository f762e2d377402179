"""The certificate authority of the proxy: the one thing that browsers must be told to trust.

casb certs init                        make it, if there is none
casb certs show                        what it is, and how to trust it
casb certs export --out casb-ca.crt    the certificate, never the key (DER: --der)

An organisation's own issuing CA can be used instead: put its key, its certificate and the certificates above it into
`authority.pem` (mode 0600) in the folder that `authority` in casb.yaml names.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from casb.errors import Problems
from casb.settings import Settings
from casb.store import authority
from casb.store.atomic import replace_private
from casb.store.authority import PRIVATE_FILE, PUBLIC_FILE, Authority
from casb.store.folder import load_draft

TRUST = """\
How to trust it (browsers then accept every host of the proxy; compare the fingerprint first)

  Chrome, Edge     Settings > Privacy and security > Security > Manage certificates > Authorities > Import
  Firefox          Settings > Privacy & Security > View Certificates > Authorities > Import
  Windows, all     certutil -addstore -f Root {file}
  macOS, all       security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {file}
  Debian, Ubuntu   cp {file} /usr/local/share/ca-certificates/casb-ca.crt && update-ca-certificates
  Fedora, RHEL     cp {file} /etc/pki/ca-trust/source/anchors/ && update-ca-trust
  Chromium, Linux  certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n casb -i {file}
  curl             curl --cacert {file} https://…
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    verbs = parser.add_subparsers(dest="what", required=True, metavar="init | show | export")
    made = verbs.add_parser("init", help="make the authority, if there is none")
    shown = verbs.add_parser("show", help="what it is, and how to trust it")
    exported = verbs.add_parser("export", help="its certificate, for browsers; never the key")
    exported.add_argument("--out", metavar="FILE", help="where to (default: standard output)")
    exported.add_argument("--der", action="store_true", help="DER instead of PEM")
    for each in (made, shown, exported):
        each.add_argument(
            "--config", default="policies", metavar="DIR", help="configuration folder (default: policies)"
        )
    for each in (made, shown):
        each.add_argument("--format", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 done, 1 there is none or it cannot be used."""
    folder = Path(settings_of(arguments.config).authority)
    now = datetime.now(UTC)
    if arguments.what == "export":
        return _export(authority.load(folder, now), arguments.out, der=arguments.der)
    found = authority.load_or_create(folder, now) if arguments.what == "init" else authority.load(folder, now)
    print(json.dumps(_facts(found, folder), indent=2) if arguments.format == "json" else _page(found, folder, now))
    return 0


def settings_of(folder: str) -> Settings:
    """The deployment's settings, whatever else is wrong in the folder. Raises `Problems`."""
    draft = load_draft(folder)
    if draft.settings is None:
        raise Problems(list(draft.errors))
    return draft.settings


def _export(found: Authority, out: str | None, *, der: bool) -> int:
    data = found.anchor.public_bytes(Encoding.DER if der else Encoding.PEM)
    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        replace_private(Path(out), data, mode=0o644)
        print(f"{out}: SHA-256 {found.fingerprint}", file=sys.stderr)
    return 0


def _facts(found: Authority, folder: Path) -> dict[str, str | list[str]]:
    anchor, issuer = found.anchor, found.certificate
    return {
        "subject": anchor.subject.rfc4514_string(),
        "issuing": issuer.subject.rfc4514_string(),
        "not_before": issuer.not_valid_before_utc.isoformat().replace("+00:00", "Z"),
        "not_after": issuer.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
        "sha256": found.fingerprint,
        "certificate": str(folder / PUBLIC_FILE),
        "key": str(folder / PRIVATE_FILE),
        "chain": [each.subject.rfc4514_string() for each in found.chain],
    }


def _page(found: Authority, folder: Path, now: datetime) -> str:
    left = (found.certificate.not_valid_after_utc - now).days
    return (
        f"Trusted as    {found.anchor.subject.rfc4514_string()}\n"
        f"Valid until   {found.certificate.not_valid_after_utc:%Y-%m-%d} ({left} days)\n"
        f"SHA-256       {found.fingerprint}\n"
        f"Certificate   {folder / PUBLIC_FILE}\n"
        f"Key           {folder / PRIVATE_FILE}  (keep it secret; whoever has it can impersonate any site)\n\n"
        + TRUST.format(file=folder / PUBLIC_FILE)
    )
