"""`casb <verb>`: one program. Each verb is a module of `casb.commands` and is imported when asked for."""

from __future__ import annotations

import argparse
import importlib
import sys

from casb import __version__
from casb.errors import CasbError, Problems

VERBS = {
    "up": "proxy and sidecar together, supervised",
    "proxy": "the session-control proxy",
    "serve": "the sidecar: activity log, catalog, portal",
    "check": "every error of every policy and configuration file",
    "new": "begin a policy from a template",
    "test": "run the *_test.yaml kept beside policies",
    "exception": "exceptions to policies: list, approve, deny, revoke, sign",
    "explain": "an error code, or a decision by its activity id",
    "diff": "what a change of the policies means, in words",
    "replay": "recorded flows through the decision path",
    "discover": "firewall and proxy logs to discovered apps",
    "discovery": "kept usage: streams, reports, uploads, names behind pseudonyms",
    "endpoint": "devices with an endpoint agent: events, hunting, blocking",
    "collect": "the log collector: syslog, folders and FTP",
    "push": "put a folder in force on every node that follows",
    "record": "capture sessions for replay, secrets left out",
    "alert": "list, show and close alerts",
    "activity": "search and export the activity log",
    "sessions": "end sessions at once; rotate their key",
    "lab": "an application directly and through the suffix, compared",
    "catalog": "the apps and which of them owns a host",
    "certs": "the certificate authority: make, show, export",
    "geo": "countries of addresses: fetch the free database, ask it",
    "saml": "SAML: what to enter at providers and apps, and the signing key",
    "open": "open a file that was handed over encrypted",
    "inspect": "what is in a file: type, label, sensitive information; lists of types",
    "keys": "the key ring of protected files: list, rotate, retire",
    "quarantine": "refused uploads that are kept: list, show, release, delete, fetch",
    "protected": "files that were handed over protected: list, revoke, expire",
    "schema": "the JSON Schema of policy and configuration files",
}


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 the answer is no, 2 the call is wrong."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="casb",
        description="An open, self-hosted cloud access security broker.",
        epilog="verbs:\n" + "\n".join(f"  {verb:<10} {text}" for verb, text in VERBS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="casb <verb> [options]; casb <verb> --help",
    )
    parser.add_argument("--version", action="version", version=f"casb {__version__}")
    parser.add_argument("verb", choices=VERBS, metavar="verb", help=argparse.SUPPRESS)
    verb = parser.parse_args(arguments[:1]).verb
    module = importlib.import_module(f"casb.commands.{verb}")
    inner = argparse.ArgumentParser(
        prog=f"casb {verb}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(inner)
    try:
        return int(module.run(inner.parse_args(arguments[1:])) or 0)
    except (CasbError, Problems) as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
