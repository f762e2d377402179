from casb.catalog.known import Source
from casb.catalog.overlay import NOTHING, Overlay, apply, overlay_from_plain, overlay_to_plain, with_facts, without_fact
from catalog_support import app, fact

SHIPPED = app("box", "box.com", "*.box.com", saml=False, latest_breach="2020-01-01")


def test_nothing_changes_nothing() -> None:
    assert apply(SHIPPED, NOTHING) is SHIPPED
    assert NOTHING.empty


def test_it_survives_an_upgrade_of_what_ships() -> None:
    overlay = with_facts(
        Overlay(business_unit="Sales", add_domains=("box.example",), remove_domains=("*.box.com",)),
        {"saml": fact("saml", True, Source.OPERATOR)},
    )
    upgraded = app("box", "box.com", "*.box.com", "box.net", saml=False, dmca=True, vendor="Box AG")
    found = apply(upgraded, overlay)
    assert found.domains == ("box.com", "box.net", "box.example")
    assert (found.business_unit, found.vendor) == ("Sales", "Box AG")
    assert (found.value("saml"), found.value("dmca")) == (True, True)


def test_whose_word_counts() -> None:
    overlay = NOTHING
    for source, value in ((Source.IMPORT, "tls1_0"), (Source.ATTESTATION, "tls1_1"), (Source.MEASURED, "tls1_2")):
        overlay = with_facts(overlay, {"encryption_protocol": fact("encryption_protocol", value, source)})
        assert apply(SHIPPED, overlay).value("encryption_protocol") == value
    overlay = with_facts(overlay, {"encryption_protocol": fact("encryption_protocol", "tls1_0", Source.ATTESTATION)})
    assert apply(SHIPPED, overlay).value("encryption_protocol") == "tls1_2", "measured beats attested, whenever said"
    overlay = with_facts(overlay, {"encryption_protocol": fact("encryption_protocol", "tls1_3", Source.OPERATOR)})
    assert apply(SHIPPED, overlay).facts["encryption_protocol"].source is Source.OPERATOR
    for source in (Source.OPERATOR, Source.MEASURED, Source.ATTESTATION, Source.IMPORT):
        overlay = without_fact(overlay, "encryption_protocol", source)
    assert overlay.empty
    assert apply(SHIPPED, overlay).value("encryption_protocol") is None


def test_the_latest_breach_is_the_latest_of_all() -> None:
    older = with_facts(NOTHING, {"latest_breach": fact("latest_breach", "2019-05-05", Source.BREACH_LIST)})
    newer = with_facts(NOTHING, {"latest_breach": fact("latest_breach", "2025-05-05", Source.BREACH_LIST)})
    assert apply(SHIPPED, older).value("latest_breach") == "2020-01-01"
    assert apply(SHIPPED, newer).value("latest_breach") == "2025-05-05"


def test_round_trip_and_a_factor_of_another_version() -> None:
    overlay = with_facts(
        Overlay(name="Box!", mdca_id=3, add_addresses=("192.0.2.0/24",)),
        {
            "saml": fact("saml", True, Source.OPERATOR),
            "password_policy": fact("password_policy", {"length_limit": True}),
        },
    )
    plain = overlay_to_plain(overlay)
    assert overlay_from_plain(plain) == overlay
    plain["facts"]["gone"] = [[True, "operator", "", "", ""]]
    assert overlay_from_plain(plain) == overlay
