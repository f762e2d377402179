import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.factors import FACTORS
from casb.catalog.tables import FORMS, column, form_of, read_rows
from casb.errors import CatalogError


def rows(text: str, form: str = "csv") -> list[tuple[dict[str, object], dict[str, object], tuple[str, ...]]]:
    return [(dict(each.fields), dict(each.facts), each.problems) for each in read_rows(text.encode(), "t", form)]


@pytest.mark.parametrize(
    ("name", "about"),
    [
        ("SOC 2", "soc_2"),
        ("soc_2", "soc_2"),
        ("isSoc2Compliant", "soc_2"),
        ("Data-at-rest encryption method", "data_at_rest_encryption"),
        ("tlsEncryptionProtocol", "encryption_protocol"),
        ("isGdprRightToDataPortablility", "gdpr_right_to_data_portability"),
        ("isPasswordPolicyPasswordLengthLimit", "password_policy.length_limit"),
        ("http_security_headers.x_frame_options", "http_security_headers.x_frame_options"),
        ("dr_plan", "disaster_recovery_plan"),
        ("hosting", "hosting_company"),
        ("App name", "name"),
        ("Description", "about"),
        ("ipv6", "addresses"),
        ("anything else", None),
    ],
)
def test_columns(name: str, about: str | None) -> None:
    assert column(name) == about


def test_every_factor_is_a_column_by_id_and_name() -> None:
    for factor in FACTORS.values():
        assert column(factor.id) == factor.id
        assert column(factor.name) == factor.id


def test_a_spreadsheet() -> None:
    text = (
        "id;name;vendor;category;domains;headquarters;SOC 2;HIPAA;Latest breach;data_types;encryption_protocol;"
        "password_policy;pci\n"
        'acme;Acme;"Acme; Inc.";CRM;"acme.example;*.acme.example";US;Yes;N/A;Feb-24-2024;documents;TLS1.2;'
        "length_limit;\n"
        "zed;Zed;;Cloud storage;zed.example;;no;unknown;;;not supported;no;\n"
    )
    first, second = rows(text)
    assert first == (
        {"id": "acme", "name": "Acme", "vendor": "Acme; Inc.", "category": "crm",
         "domains": ("acme.example", "*.acme.example")},
        {"headquarters": "US", "soc_2": True, "hipaa": "n/a", "latest_breach": "2024-02-24",
         "data_types": ("documents",), "encryption_protocol": "tls1_2",
         "password_policy": (("length_limit", True), ("character_combination", False), ("change_period", False),
                             ("history_and_reuse", False), ("personal_information", False))},
        (),
    )  # fmt: skip
    assert second[0]["category"] == "cloud_storage"
    assert second[1]["soc_2"] is False
    assert second[1]["encryption_protocol"] == "not_supported"
    assert "hipaa" not in second[1]


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ("a,maybe", "'maybe' is neither yes nor no"),
        ("a,yes,extra", "3 cells under 2 columns"),
    ],
)
def test_what_is_wrong_with_a_row_stands_in_it(cells: str, problem: str) -> None:
    ((_, _, problems),) = rows(f"name,soc_2\n{cells}\n")
    assert problem in problems[0]


def test_other_mistakes_of_a_row() -> None:
    ((_, _, problems),) = rows("name,Latest breach,founded,score,founding\nA,Foo-24-2024,old,x,1\n")
    assert [each.split(":")[0] for each in problems] == [
        "'Foo-24-2024' names no month",
        "'founded' is a year, not 'old'",
        "'score' is a whole number, not 'x'",
        "'founding' is no column or factor",
    ]


def test_a_questionnaire_in_two_columns() -> None:
    text = "Question,Answer\nname,Acme\nData types,documents; media_files\nSAML,yes\nattested_on,Mar-01-2026\n"
    ((fields, facts, problems),) = rows(text)
    assert fields == {"name": "Acme", "attested_on": "2026-03-01"}
    assert facts == {"data_types": ("documents", "media_files"), "saml": True}
    assert problems == ()


def test_json_and_yaml_in_every_form_that_we_write() -> None:
    grouped = '{"as_of": "2025-06", "category": "crm", "apps": [{"id": "a", "facts": {"press": {"saml": true}}}]}'
    with_source = '[{"id": "a", "facts": {"saml": {"value": true, "source": "press"}}}]'
    flat = '[{"id": "a", "saml": true}]'
    for text in (grouped, with_source, flat):
        ((_, facts, problems),) = rows(text, "json")
        assert (facts, problems) == ({"saml": True}, ())
        ((_, facts, problems),) = rows(text, "yaml")
        assert (facts, problems) == ({"saml": True}, ())
    (row,) = read_rows(with_source.encode(), "t", "json")
    assert row.sources == {"saml": "press"}


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("", "csv"),
        ("a,b\n1,2\n", "csv"),
        ("[", "json"),
        ("3", "json"),
        ("- [", "yaml"),
        ("x: 1", "yaml"),
        ("- &a {id: a}\n- *a", "yaml"),
        ("id\0", "csv"),
    ],
)
def test_what_is_no_table(text: str, form: str) -> None:
    with pytest.raises(CatalogError, match="C232"):
        rows(text, form)


def test_an_ampersand_is_no_alias() -> None:
    ((fields, _, problems),) = rows("- {id: a, vendor: 'R &D'}\n", "yaml")
    assert (fields["vendor"], problems) == ("R &D", ())


def test_forms_by_name() -> None:
    assert [form_of(each) for each in ("a.CSV", "b.yml", "c.json")] == ["csv", "yaml", "json"]
    with pytest.raises(CatalogError, match="C232"):
        form_of("a.xlsx")


def test_the_quote_before_a_formula_is_taken_off() -> None:
    ((fields, _, _),) = rows("name\n'=1+1\n")
    assert fields["name"] == "=1+1"


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(FORMS),
    st.binary(max_size=200) | st.text(max_size=120).map(lambda text: f"id,soc_2\n{text}".encode()),
)
def test_any_bytes_are_rows_or_one_error(form: str, text: bytes) -> None:
    try:
        read_rows(text, "t", form)
    except CatalogError as error:
        assert error.code == "C232"
