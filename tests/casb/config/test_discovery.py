"""The section `discovery:` of casb.yaml: values, and every mistake with its place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from casb.config import Draft, draft


def read(section: dict[str, Any]) -> Draft:
    text = json.dumps({"version": 1, "suffix": "casb.localhost", "discovery": section})
    return draft({"casb.yaml": text.encode()}, "/etc/casb")


def test_defaults_and_values() -> None:
    found = read(
        {
            "anonymize_users": True,
            "sources": [
                {"name": "udp", "receiver": "syslog-udp", "listen": "127.0.0.1:5514", "zone": "Europe/Berlin"},
                {"name": "tcp", "receiver": "syslog-tcp", "listen": "127.0.0.1:5514", "anonymize_users": False},
                {"name": "drop", "receiver": "directory", "path": "../drop"},
                {"name": "ftp", "receiver": "ftp", "user": "fw", "password": "env:PW"},
            ],
            "collector": {"ftp": "127.0.0.1:2121", "spool_limit": "1GB", "flush_after": "5s"},
        }
    )
    assert not found.errors and found.settings
    chosen = found.settings.discovery
    assert [each.anonymize_users for each in chosen.sources] == [True, False, True, True]
    assert chosen.sources[2].path == "/etc/drop"
    assert (chosen.retention_days, chosen.collector.spool_limit, chosen.collector.flush_seconds) == (90, 1024**3, 5)
    assert chosen.collector.hourly_limit == 50 * 1024**3


@pytest.mark.parametrize(
    ("section", "code"),
    [
        ({"retention_days": 0}, "C120"),
        ({"sources": [{"name": "a", "receiver": "syslog-udp"}]}, "C130"),
        ({"sources": [{"name": "a", "receiver": "syslog-tls", "listen": "127.0.0.1:6514"}]}, "C130"),
        ({"sources": [{"name": "a", "receiver": "directory"}]}, "C130"),
        ({"sources": [{"name": "a", "receiver": "ftp", "user": "x", "password": "env:PW"}]}, "C130"),
        ({"sources": [{"name": "", "receiver": "upload"}]}, "C130"),
        ({"sources": [{"name": "a/b"}]}, "C130"),
        ({"sources": [{"name": "a", "zone": "CEST"}]}, "C131"),
        ({"sources": [{"name": "a"}, {"name": "a"}]}, "C109"),
        ({"sources": [{"name": "a", "receiver": "syslog-udp", "listen": "5514"}]}, "C105"),
        ({"sources": [{"name": "a", "receiver": "syslog-udp", "listen": "127.0.0.1:5514"},
                      {"name": "b", "receiver": "syslog-udp", "listen": "127.0.0.1:5514"}]}, "C106"),
        ({"sources": [{"name": "a", "receiver": "ftp", "user": "x", "password": "hunter2"}],
          "collector": {"ftp": "127.0.0.1:21"}}, "C103"),
        ({"database": "postgres://u:p@h/d"}, "C103"),
        ({"collector": {"ftp_passive": [9, 5]}}, "C120"),
        ({"collector": {"url": "http://elsewhere.example"}}, "C116"),
        ({"collector": {"keep": -1}}, "C120"),
        ({"endpoints": {"bypass_hours": 0}}, "C120"),
        ({"endpoints": {"hunting_days": 181}}, "C120"),
        ({"endpoints": {"api": "http://api.example"}}, "C132"),
        ({"endpoints": {"blocked_url": "https://u@x.example"}}, "C132"),
        ({"endpoints": {"authority": "https://login.example/t"}}, "C132"),
    ],
)  # fmt: skip
def test_mistakes(section: dict[str, Any], code: str) -> None:
    found = read(section)
    assert {error.code for error in found.errors} == {code}
    assert found.errors[0].where is not None


def test_the_example_of_the_manual_is_right() -> None:
    manual = Path(__file__).parents[3] / "policies" / "README.md"
    part = manual.read_text().partition("## Shadow IT: logs of firewalls and proxies")[2]
    block = re.findall(r"^```yml\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)[0]
    found = read(yaml.safe_load(block)["discovery"])
    assert not found.errors and found.settings
    assert len(found.settings.discovery.sources) == 5


def test_endpoints() -> None:
    section = {"enforce": True, "authority": "https://login.example/t/", "client_id": "a", "client_secret": "env:S"}
    found = read({"endpoints": {**section, "severity": "high", "hunting_limit": "1GB", "directory": "drop"}})
    assert not found.errors and found.settings
    chosen = found.settings.discovery.endpoints
    assert (chosen.authority, chosen.hunting_limit, chosen.severity) == ("https://login.example/t", 1024**3, "high")
    assert (chosen.api, chosen.enforce) == ("https://api.security.microsoft.com", True)
    assert chosen.directory == "/etc/casb/drop"


def test_the_endpoints_of_the_manual_are_right() -> None:
    manual = (Path(__file__).parents[3] / "policies" / "README.md").read_text()
    part = manual.partition("## Devices with an endpoint agent")[2]
    found = read(yaml.safe_load(part.partition("```yaml deployment\n")[2].partition("```")[0])["discovery"])
    assert not found.errors and found.settings and found.settings.discovery.endpoints.bypass_hours == 8
