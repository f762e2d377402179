import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.entries import category_of, check, compile_apps, version_of
from casb.catalog.known import Source
from casb.errors import ConfigError

GOOD = b"""\
as_of: 2025-06
apps:
- id: dropbox
  name: Dropbox
  vendor: Dropbox, Inc.
  about: File storage and sharing
  mdca_id: 11627
  domains: [dropbox.com, "*.dropbox.com", "dropboxusercontent.com/s/\xe2\x80\xa6"]
  addresses: [162.125.0.0/16]
  also: [content_sharing]
  facts:
    company-profile: {headquarters: "NO", founded: 2007, holding: public}
    vendor-documentation: {saml: true, password_policy: {length_limit: true}}
    certification-register: {fedramp_level: moderate, pci_dss_version: 3.2}
    press: {latest_breach: 2024-04-24}
    service-nature: {data_types: [documents]}
"""


def told(text: str, name: str = "cloud_storage.yaml") -> list[str]:
    return [str(error) for error in check({name: text.encode()})]


def one(**changes: str) -> str:
    """An app as YAML, with a line of it replaced or added."""
    lines = {
        "id": "a",
        "name": "A",
        "vendor": "V",
        "about": "x",
        "domains": "[a.example]",
        "facts": "{}",
        **changes,
    }
    return "as_of: 2025-06\napps:\n- " + "\n  ".join(f"{name}: {value}" for name, value in lines.items()) + "\n"


def test_a_sound_file() -> None:
    assert check({"cloud_storage.yaml": GOOD}) == []
    known = compile_apps({"cloud_storage.yaml": GOOD})
    app = known.by_id["dropbox"]
    assert app.category == "cloud_storage"
    assert app.domains == ("dropbox.com", "*.dropbox.com", "dropboxusercontent.com/s")
    assert app.addresses == ("162.125.0.0/16",)
    assert (app.mdca_id, app.also) == (11627, ("content_sharing",))
    assert app.value("headquarters") == "NO"
    assert app.value("latest_breach") == "2024-04-24"
    assert app.value("pci_dss_version") == "3.2"
    assert app.facts["saml"].source is Source.VENDOR_DOCUMENTATION
    assert app.facts["saml"].as_of == "2025-06"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (one(id="A_b"), "3:7: C203 'A_b' is not an id"),
        (one(name="''"), "4:9: C202 'name' is a text"),
        (one(domains="[]"), "7:12: C204 an app needs a domain"),
        (one(domains="[https://a.example/]"), "7:13: C204 'https:"),
        (one(domains="['*.com']"), "C204 '*.com' covers a whole top-level domain"),
        (one(domains="[gov.uk]"), "C205 'gov.uk' is or covers a public suffix"),
        (one(domains="['*.gov.uk']"), "C204 '*.gov.uk' covers"),
        (one(domains="[a.example, A.example]"), "7:24: C207 'a.example' belongs to 'a' already; the first is at"),
        (one(domains="['*.a.example', b.a.example]"), "7:28: C212 'b.a.example' lies below '*.a.example' of the same"),
        (one(addresses="[10.0.0.0/8]"), "C204 '10.0.0.0/8' is no public network"),
        (one(addresses="[8.8.8.1/24]"), "C204 '8.8.8.1/24' has bits set"),
        (one(also="[crmm]"), "C201 'crmm' is no category"),
        (one(also="[cloud_storage]"), "C201 'cloud_storage' is the category of this file"),
        (one(facts="{wiki: {saml: true}}"), "8:11: C208 'wiki' is no kind of source"),
        (one(facts="{press: {samml: true}}"), "8:19: C209 'samml' is no factor; did you mean 'saml'?"),
        (one(facts="{press: {saml: maybe}}"), "8:25: C210 'saml' is true or false"),
        (one(facts="{press: {holding: publik}}"), "did you mean 'public'?"),
        (one(facts="{press: {saml: true}, vendor-documentation: {saml: true}}"), "C211 'saml' stands under 'press'"),
        (one(facts="{company-profile: {headquarters: NO}}"), "C011 plain NO may be read as false"),
        (one(colour="red"), "C013 unknown key 'colour'"),
        (one().replace("2025-06", "June"), "1:8: C202 'June' is no month or date"),
    ],
)  # fmt: skip
def test_mistakes_have_places(text: str, expected: str) -> None:
    assert any(expected in line for line in told(text)), told(text)


def test_an_unknown_category_is_the_files_name() -> None:
    assert "C201 'cloudstorage' is no category; did you mean 'cloud_storage'?" in told(one(), "cloudstorage.yaml")[0]
    assert category_of("x/y/crm.yaml") == "crm"


def test_between_files() -> None:
    texts = {
        "crm.yaml": one(domains="['*.a.example']", mdca_id="7").encode(),
        "sales.yaml": one(domains="[b.a.example]", vendor="W", mdca_id="7").encode(),
    }
    lines = [str(error) for error in check(texts, "apps")]
    assert any(
        "apps/sales.yaml:3:7: C206 the id 'a' is taken; the first is at apps/crm.yaml:3:7" in each for each in lines
    )
    assert any("C206 the name 'A' is taken" in each for each in lines)
    assert any("C206 mdca_id 7 is taken" in each for each in lines)
    assert any("C212 'b.a.example' lies below '*.a.example' of 'a', another vendor's" in each for each in lines)


def test_a_hosting_companys_customers_are_rightly_others() -> None:
    texts = {
        "crm.yaml": one(id="host", name="Host", domains="['*.github.io', '*.amazonaws.com']", vendor="Host").encode(),
        "sales.yaml": one(domains="[us.github.io, trello.s3.amazonaws.com]").encode(),
    }
    assert check(texts) == []


def test_version_changes_with_every_byte() -> None:
    assert version_of({"a": b"1"}) != version_of({"a": b"2"})
    assert version_of({"a": b"1", "b": b""}) != version_of({"a": b"", "b": b"1"})


def test_what_was_not_checked_does_not_compile() -> None:
    for text in (b"as_of: x\napps: [{id: a}]", b"[", b"as_of: x\napps:\n- {id: a, name: A, domains: ['*.com']}"):
        with pytest.raises(ConfigError, match="C213"):
            compile_apps({"crm.yaml": text})


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet="as_of: \n-{}[]idname'\"0", max_size=120).map(str.encode))
def test_any_file_is_checked_or_told(text: bytes) -> None:
    errors = check({"crm.yaml": text})
    if not errors:
        compile_apps({"crm.yaml": text})
