"""`casb certs`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509

from casb.cli import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "policies").mkdir()
    text = f"version: 1\nsuffix: casb.test\nauthority: {tmp_path / 'certs'}\n"
    (tmp_path / "policies" / "casb.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_init_show_export(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["certs", "init"]) == 0
    assert b"update-ca-certificates" in capfdbinary.readouterr().out
    before = (folder / "certs" / "authority.pem").read_bytes()
    assert main(["certs", "init"]) == 0
    assert (folder / "certs" / "authority.pem").read_bytes() == before
    capfdbinary.readouterr()
    assert main(["certs", "show", "--format", "json"]) == 0
    facts = json.loads(capfdbinary.readouterr().out)
    assert main(["certs", "export"]) == 0
    pem = capfdbinary.readouterr().out
    assert b"PRIVATE" not in pem
    certificate = x509.load_pem_x509_certificate(pem)
    assert certificate.subject.rfc4514_string() == facts["subject"]
    assert main(["certs", "export", "--der", "--out", "ca.crt"]) == 0
    assert x509.load_der_x509_certificate((folder / "ca.crt").read_bytes()) == certificate
    assert facts["sha256"] in capfdbinary.readouterr().err.decode()


@pytest.mark.parametrize("verb", ["show", "export"])
def test_only_init_makes_one(verb: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", verb]) == 1
    assert "A001" in capsys.readouterr().err
    assert not (folder / "certs").exists()


def test_a_broken_policy_does_not_matter_a_broken_deployment_does(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "policies" / "broken.yaml").write_text("[")
    assert main(["certs", "init"]) == 0
    (folder / "policies" / "casb.yaml").write_text("nonsense: 1\n")
    assert main(["certs", "show"]) == 1
    assert "casb.yaml" in capsys.readouterr().err
