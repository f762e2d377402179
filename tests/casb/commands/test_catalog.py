import argparse
import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from casb.catalog.metrics import read_metrics
from casb.cli import main
from casb.commands import _catalog_change, _catalog_open, catalog
from casb.store import app_catalog, catalog_files, tag_file
from casb.store.learned_sqlite import LearnedHost, LearnedHosts

POLICIES = str(Path(__file__).parents[3] / "policies")


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "list", "--config", POLICIES]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ID", "NAME", "TAG", "CONTROLLED", "DOMAINS"]
    assert lines[1].split() == ["files", "Contoso", "files", "sanctioned", "yes", "files.contoso.example"]

    assert main(["catalog", "list", "--config", POLICIES, "--format", "json"]) == 0
    apps = json.loads(capsys.readouterr().out)
    assert [app["id"] for app in apps] == ["files", "flows"]


def test_match(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "match", "FILES.contoso.example.", "--config", POLICIES]) == 0
    assert capsys.readouterr().out == "files  Contoso files\n"
    assert main(["catalog", "match", "evil.test", "--config", POLICIES]) == 1
    assert capsys.readouterr().err == "no app owns evil.test\n"
    assert main(["catalog", "match", "evil.test", "--config", POLICIES, "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"host": "evil.test", "app": None}


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "show", "flows", "--config", POLICIES]) == 0
    assert "logout:\n  /auth/revoke\n" in capsys.readouterr().out
    assert main(["catalog", "show", "flows", "--config", POLICIES, "--format", "json"]) == 0
    app = json.loads(capsys.readouterr().out)
    assert (app["tag"], app["signatures"][0]["methods"]) == ("sanctioned", ["POST", "PUT"])
    assert main(["catalog", "show", "flws", "--config", POLICIES]) == 1
    assert "did you mean 'flows'?" in capsys.readouterr().err


def test_a_broken_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "casb.yaml").write_text("sufix: x")
    assert main(["catalog", "list", "--config", str(tmp_path)]) == 1
    assert "casb.yaml:1:1: C013 unknown key 'sufix'; did you mean 'suffix'?" in capsys.readouterr().err
    assert main(["catalog", "list", "--config", str(tmp_path / "nowhere")]) == 1
    assert "C121" in capsys.readouterr().err


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    (tmp_path / "apps").mkdir()
    (tmp_path / "casb.yaml").write_text("suffix: casb.example\ndata: data\n")
    (tmp_path / "apps/files.yaml").write_text("id: files\nname: F  # kept\ndomains:\n  - files.example\n")
    (tmp_path / "data").mkdir()
    return tmp_path


def test_what_was_learned_is_listed_until_it_is_attached(deployment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = datetime(2026, 3, 2, 8, tzinfo=UTC)
    found = LearnedHost(
        app="files",
        host="cdn.example",
        first=start,
        last=start,
        count=3,
        page="files.example/a",
        kinds=frozenset({"font"}),
    )
    LearnedHosts(deployment / "data").add([found])
    config = ["--config", str(deployment)]
    assert main(["catalog", "learned", *config]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [
        *("cdn.example", "files", "3", "font", "2026-03-02T08:00:00.000Z", "files.example/a")
    ]
    assert main(["catalog", "learned", "--format", "csv", "--app", "files", *config]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("cdn.example,files,3,font,")
    assert main(["catalog", "attach", "cdn.example", "--app", "files", *config]) == 0
    assert (
        (deployment / "apps/files.yaml").read_text().endswith("# kept\ndomains:\n  - files.example\n  - cdn.example\n")
    )
    noted = json.loads((deployment / "data/audit.jsonl").read_text())
    assert (noted["what"], noted["detail"]["host"]) == ("host attached", "cdn.example")
    capsys.readouterr()
    assert main(["catalog", "attach", "cdn.example", "--app", "files", *config]) == 0
    assert "already" in capsys.readouterr().out
    assert main(["catalog", "learned", "--format", "json", *config]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_wildcard_over_a_public_suffix_is_refused(deployment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (deployment / "apps/files.yaml").read_text()
    assert main(["catalog", "attach", "*.github.io", "--app", "files", "--config", str(deployment)]) == 1
    assert "C112" in capsys.readouterr().err
    assert (deployment / "apps/files.yaml").read_text() == before


APPS = """
as_of: 2025-06
apps:
- id: box
  name: Box
  vendor: Box, Inc.
  about: Files
  mdca_id: 10489
  domains: [box.com, "*.box.com"]
  facts: {vendor-documentation: {saml: true, soc_2: true, founded: 2005}}
- id: dropbox
  name: Dropbox
  vendor: Dropbox, Inc.
  about: Files
  domains: [dropbox.com, "*.dropbox.com"]
  facts: {vendor-documentation: {saml: false, hipaa: n/a}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A deployment whose shipped catalog has two apps."""
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "cloud_storage.yaml").write_text(APPS)
    loaded = catalog_files.load_shipped(tmp_path / "cache", shipped)
    for module in (app_catalog, _catalog_open):
        monkeypatch.setattr(module, "load_shipped", lambda cache=None: loaded)
    config = tmp_path / "policies"
    (config / "apps").mkdir(parents=True)
    (config / "casb.yaml").write_text("version: 1\nsuffix: casb.example\ndata: ../var\n")
    (config / "apps/files.yaml").write_text("id: files\nname: Files\ndomains: [files.contoso.example]\n")
    return str(config)


class Run:
    def __init__(self, folder: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.errors = ""

    def __call__(self, *words: str, status: int = 0) -> str:
        assert main(["catalog", *words, "--config", self.folder]) == status
        shown = self.capsys.readouterr()
        self.errors = shown.err
        return shown.out

    def json(self, *words: str, status: int = 0) -> Any:
        return json.loads(self(*words, "--format", "json", status=status))


@pytest.fixture
def run(folder: str, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(folder, capsys)


def test_search(run: Run, folder: str) -> None:
    lines = run("search", "box", "--sort", "risk").splitlines()
    assert [line.split()[0] for line in lines] == ["ID", "dropbox", "box"]
    found = run.json("search", "--where", "factor:saml=true", "--where", "score>=8")
    assert [app["id"] for app in found["apps"]] == ["box"]
    assert found["total"] == 1
    assert [app["id"] for app in run.json("search", "--alternatives", "dropbox")["apps"]] == ["box"]
    run("search", "nothing-like-it", status=1)
    run("search", "--where", "catgory=crm", status=1)
    assert "C230 there is no filter 'catgory'; did you mean 'category'?" in run.errors
    run("search", "--where", "nonsense", status=1)
    assert "C230" in run.errors
    assert not (Path(folder).parent / "var").exists(), "looking makes nothing"


def test_match_and_show_fall_back_to_the_catalog(run: Run) -> None:
    assert run("match", "www.box.com:443") == "box  Box  (cloud_storage, catalog)\n"
    found = run.json("match", "www.box.com")
    assert (found["app"], found["known"]["id"]) == (None, "box")
    assert "known" not in run.json("match", "files.contoso.example")
    assert run.json("show", "box")["facts"]["saml"]["source"] == "vendor-documentation"
    assert "  saml: yes  (vendor-documentation 2025-06)" in run("show", "box")


def test_score(run: Run) -> None:
    assert run("score", "box").startswith("Box: 10 (low risk)\n")
    explained = run("score", "dropbox", "--explain")
    assert "hipaa" in explained
    assert "n/a, excluded" in explained
    found = run.json("score", "box", "--explain")
    assert [family["family"] for family in found["families"]] == ["general", "security", "compliance", "legal"]
    run("edit", "box", "--score", "3", "--note", "breached")
    assert "3 (high risk)" in run("score", "box")
    assert run.json("score", "box")["computed"]["total"] == 10.0
    run("edit", "box", "--score", "computed")
    assert run.json("score", "box")["score"] == 10
    run("edit", "box", "--score", "many", status=1)
    assert "C229" in run.errors
    run("score", "bx", status=1)
    assert "C221 there is no app 'bx'; did you mean 'box'?" in run.errors


def test_tag(run: Run, folder: str) -> None:
    assert run("tag", "unsanctioned", "dropbox", "--profile", "sales", "--include", "s") == "dropbox  unsanctioned\n"
    run("tag", "Finance apps", "box", "--create")
    assert run.json("tag", "finance apps", "box")[0]["tags"] == ["Finance apps"]
    assert run.json("tag") == {"sanctioned": 1, "unsanctioned": 1, "monitored": 0, "Finance apps": 1}
    run("tag", "sanctioned", "box")
    run("tag", "Finance apps", "box", "--remove")
    run("tag", "Finance apps", "--delete")
    assert run.json("tag") == {"sanctioned": 2, "unsanctioned": 1, "monitored": 0}
    tags = tag_file.read(Path(folder).parent / "var" / tag_file.FILE)
    assert [(app.id, app.profile and app.profile.name) for app in tags.apps] == [("dropbox", "sales")]
    run("tag", "custom app", "box", status=1)
    assert "C222" in run.errors
    run("tag", "--publish")
    run("protect", "login.dropbox.com")
    run("tag", "unsanctioned", "dropbox", status=1)
    assert "C223" in run.errors
    assert "login.dropbox.com" in run.json("protect")
    run("protect", "login.dropbox.com", "--remove")


def test_edit(run: Run) -> None:
    run("edit", "box", "--business-unit", "Sales", "--add-domain", "box.contoso.example", "--fact", "soc_3=yes")
    assert run("match", "box.contoso.example").startswith("box ")
    found = run.json("edit", "box", "--forget", "soc_3", "--note", "hello")
    assert ("soc_3" in found["facts"], found["business_unit"], found["notes"]) == (False, "Sales", 1)
    run("edit", "box", "--fact", "soc_3", status=1)
    assert "C224" in run.errors
    run("edit", "box", "--delete", status=1)


def test_import_and_export(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "apps.csv"
    path.write_text(run("export", "--format", "csv", "--where", "app=box"))
    run("import", str(path))
    assert "1 rows: 0 added, 0 changed, 1 the same" in run.errors
    path.write_text("id,name,category,domains,saml\nnew,New,crm,new.example,yes\nbox,,,,no\n")
    assert run("import", str(path), "--dry-run") == "+ new: New\n~ box: saml yes becomes no\n"
    assert "1 would be added, 1 would be changed" in run.errors
    assert run.json("import", str(path))["added"] == ["new"]
    assert run("match", "new.example").startswith("new ")
    path.write_text("id,saml\nbox,maybe\n")
    run("import", str(path), status=1)
    assert "apps.csv:2:1: C226 'maybe' is neither yes nor no" in run.errors
    run("import", str(tmp_path / "no.csv"), status=1)
    assert "C232" in run.errors


def test_suggest(run: Run) -> None:
    assert run("suggest", "they have SOC 3", "--app", "box", "--kind", "score_update") == "suggestion 1\n"
    assert run.json("suggest", "--kind", "new_app", "--name", "A", "--domain", "a.example") == {"number": 2}
    assert [each["seq"] for each in run.json("suggest", "--list")] == [2, 1]
    run("suggest", "thanks", "--decide", "1", "--state", "accepted")
    assert "accepted" in run("suggest", "--list")


def test_recalculate(run: Run, tmp_path: Path) -> None:
    assert run.json("recalculate")["state"] == "done"
    path = tmp_path / "weights.yaml"
    path.write_text("factors: {hipaa: {exclude_na: false}}\n")
    assert run.json("recalculate", "--weights", str(path))["changed"] == 0, "0 of compliance where nothing counted"
    path.write_text("factors: {hippa: {exclude_na: false}}\n")
    run("recalculate", "--weights", str(path), status=1)
    assert "weights.yaml:1:11: C220 'hippa' is no factor; did you mean 'hipaa'?" in run.errors
    assert run.json("recalculate", "--print")["factors"] == {"hipaa": {"importance": "medium", "exclude_na": False}}
    assert "done" in run("recalculate", "--defaults")
    assert run.json("recalculate", "--print")["factors"] == {}


def test_lists(run: Run) -> None:
    assert {each["id"]: each["total"] for each in run.json("categories")}["cloud_storage"] == 2
    assert main(["catalog", "factors"]) == 0
    assert "multi_factor_authentication" in run.capsys.readouterr().out


def test_a_probe_needs_leave(run: Run) -> None:
    run("probe", "box", status=1)
    assert "C231 probing asks hosts outside; say --allow-network" in run.errors


def test_hosts_of_patterns() -> None:
    assert _catalog_change.hosts_of(("*.a.example", "b.example", "c.example/x", "a.example")) == [
        "b.example",
        "a.example",
    ]


def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "crm.yaml"
    path.write_text(APPS)
    assert main(["catalog", "check", str(path)]) == 0
    assert "1 files, 2 apps, 5 values: all sound" in capsys.readouterr().err
    path.write_text(APPS.replace("saml: true", "samml: true"))
    assert main(["catalog", "check", str(tmp_path)]) == 1
    assert f"{tmp_path}/crm.yaml:10:34: C209 'samml' is no factor; did you mean 'saml'?" in capsys.readouterr().out


def _documented() -> list[str]:
    """The commands that the help and the admin's manual show."""
    manual = (Path(POLICIES) / "README.md").read_text()
    lines = [*(catalog.__doc__ or "").splitlines(), *manual.splitlines()]
    return sorted({re.split(r"\s{3,}| > ", line)[0].strip() for line in lines if line.startswith("casb catalog")})


@pytest.mark.parametrize("line", _documented())
def test_what_is_documented_can_be_typed(line: str) -> None:
    parser = argparse.ArgumentParser()
    catalog.add_arguments(parser)
    words = shlex.split(line)
    assert words[:2] == ["casb", "catalog"]
    arguments = parser.parse_args(words[2:])
    if getattr(arguments, "where", None):
        assert _catalog_open.conditions(arguments)


def test_enough_is_documented() -> None:
    assert len(_documented()) > 20


def test_the_manuals_weights_can_be_read() -> None:
    manual = (Path(POLICIES) / "README.md").read_text()
    found = re.search(r"```\n(categories:.*?)```", manual, re.DOTALL)
    assert found is not None
    assert not read_metrics(found[1].encode(), "manual").multiplier(
        read_metrics(found[1].encode(), "m").factor("hipaa")
    )


def test_block_scripts(run: Run, tmp_path: Path) -> None:
    run("tag", "unsanctioned", "dropbox")
    assert run("block-script", "--format", "bluecoat").splitlines()[-1] == "url.domain=dropbox.com deny"
    assert "custom-url-category CASB-Unsanctioned list *.dropbox.com/\n" in run("block-script", "--format", "112")
    assert "juniper-srx  129" in run("block-script")
    assert run("block-script", "--format", "cisco-asa", "--output", str(tmp_path)) == ""
    assert "left out: *.dropbox.com (dropbox) this format has no wildcards" in run.errors
    kept = next(tmp_path.glob("*_CAS_Cisco_ASA_block_script.txt"))
    assert " fqdn dropbox.com\n" in kept.read_text()
    run("block-script", "--format", "junos", status=1)
    assert "C234" in run.errors
