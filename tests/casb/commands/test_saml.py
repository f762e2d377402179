"""`casb saml`: what admins enter on either side, and the signing key."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from casb.cli import main
from casb.identity.saml_metadata import OwnRole, read_idp, read_sp, write
from casb.identity.saml_signature import SigningKey
from saml_support import signer

KEY = SigningKey(key=signer("one").key, certificate=signer("one").certificate)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saml") / "config"
    (folder / "apps").mkdir(parents=True)
    (folder / "casb.yaml").write_text(
        "suffix: casb.example\ndata: ../data\npublic_port: 443\n"
        "providers:\n  - {id: adfs, kind: saml, saml: {metadata: idp.xml}}\n"
    )
    (folder / "idp.xml").write_bytes(write(OwnRole(entity_id="urn:idp", keys=[KEY], sso="https://idp.example/sso")))
    (folder / "wiki.xml").write_bytes(write(OwnRole(entity_id="urn:wiki", keys=[KEY], acs="https://wiki.example/acs")))
    (folder / "apps" / "wiki.yaml").write_text(
        "id: wiki\nname: Wiki\ndomains: [wiki.example]\nsaml: {metadata: wiki.xml}\n"
    )
    return folder


def run(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str) -> tuple[int, str, str]:
    code = main(["saml", *arguments, "--config", str(config)])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_show_tells_both_sides(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, config, "show")
    assert code == 0
    for line in (
        "https://login.casb.example/.casb/saml/metadata",
        "https://login.casb.example/.casb/saml/acs",
        "https://login.casb.example/saml/wiki/sso",
        "https://wiki.example/acs",
        "urn:wiki",
    ):
        assert line in out
    facts = json.loads(run(capsys, config, "show", "wiki", "--format", "json")[1])
    assert facts["apps"]["wiki"]["entity_id"] == "https://login.casb.example/saml/wiki"
    assert facts["identity_providers"]["configured"] == ["adfs"]
    code, _, told = run(capsys, config, "show", "wikki")
    assert code == 1 and "T061" in told and "wiki" in told


def test_metadata_for_apps_and_for_providers(
    config: Path, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    present = datetime.now(UTC)
    assert main(["saml", "metadata", "wiki", "--config", str(config), "--out", str(tmp_path / "x.xml")]) == 0
    assert read_idp((tmp_path / "x.xml").read_bytes(), present).sso_url == "https://login.casb.example/saml/wiki/sso"
    assert main(["saml", "metadata", "--config", str(config)]) == 0
    assert read_sp(capfdbinary.readouterr().out, present).default_acs == "https://login.casb.example/.casb/saml/acs"


def test_the_key_is_rolled_over_in_steps(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def stage() -> tuple[str, list[bool]]:
        told = json.loads(run(capsys, config, "keys", "--format", "json")[1])
        return told["stage"], [each["signs"] for each in told["keys"]]

    assert stage() == ("steady", [True])
    assert run(capsys, config, "rollover", "switch")[0] == 1
    assert run(capsys, config, "rollover", "begin")[0] == 0 and stage() == ("begun", [True, False])
    assert run(capsys, config, "rollover", "switch")[0] == 0 and stage() == ("switched", [True, False])
    assert run(capsys, config, "rollover", "finish")[0] == 0 and stage() == ("steady", [True])
    _, out, _ = run(capsys, config, "keys")
    assert "steady" in out and "BEGIN CERTIFICATE" in out and "PRIVATE" not in out


def test_check_tells_of_broken_metadata_with_its_place(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(config)]) == 0, capsys.readouterr()
    capsys.readouterr()
    (config / "wiki.xml").write_text("<html/>")
    assert main(["check", str(config)]) == 1
    told = capsys.readouterr()
    assert "apps/wiki.yaml:4" in told.out + told.err and "T059" in told.out + told.err
