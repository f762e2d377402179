from dataclasses import replace

from casb.catalog.inventory import Local, Override
from casb.catalog.metrics import DEFAULTS
from casb.catalog.score import Scorer
from casb.catalog.tagging import TagState
from casb.catalog.views import (
    categories,
    classic_app,
    detail,
    explanation,
    find_numbered,
    graph_app,
    graph_info,
    graph_score,
    summary,
)
from casb.model.app import AppTag
from catalog_support import DAY, app, inventory

BOX = replace(
    app("box", "box.com", saml=True, soc_2=False, hipaa="n/a", encryption_protocol="tls1_3", pci_dss_version="3.2.1",
        latest_breach="2020-01-02", data_types=["documents", "media_files"], founded=2005, headquarters="US",
        password_policy={"length_limit": True, "change_period": False}, logon_urls=["https://account.box.com"],
        gdpr_right_to_data_portability=True, gdpr_impact_assessment=True),
    mdca_id=10489,
)  # fmt: skip
KNOWN = inventory(
    BOX,
    app("mute", "mute.example"),
    local=Local(
        states={"box": TagState(tag=AppTag.SANCTIONED, by="ada", at="2026-03-01T00:00:00.000Z")},
        overrides={"box": Override(score=3, note="why", by="ada", at="2026-03-01T00:00:00.000Z")},
    ),
)
ENTRY = KNOWN.entries["box"]


def test_a_line_and_a_page() -> None:
    assert summary(ENTRY, KNOWN)["score"] == 3
    page = detail(ENTRY, KNOWN)
    assert page["facts"]["saml"] == {
        "name": "Supports SAML", "value": True, "source": "vendor-documentation", "as_of": "2025-06"
    }  # fmt: skip
    assert page["facts"]["password_policy"]["value"] == {"length_limit": True, "change_period": False}
    assert page["scores"]["computed"]["total"] > 3
    assert page["scores"]["override"] == {"score": 3, "note": "why", "by": "ada", "at": "2026-03-01T00:00:00.000Z"}


def test_graph_has_every_property_and_only_its_own_words() -> None:
    info = graph_info(BOX)
    assert info["id"] == "10489"
    assert info["isSupportsSaml"] == "true"
    assert info["isSoc2Compliant"] == "false"
    assert info["isHipaaCompliant"] == "unknown", "there is no n/a in that API"
    assert info["isDmca"] == "unknown"
    assert info["tlsEncryptionProtocol"] == "tls1_3"
    assert info["pciDssVersion"] == "v3_2_1"
    assert info["latestBreachDateTime"] == "2020-01-02T00:00:00Z"
    assert info["domainRegistrationDateTime"] is None
    assert info["dataTypes"] == "documents,mediaFiles"
    assert info["logonUrls"] == "https://account.box.com"
    assert info["founded"] == 2005
    assert info["isGdprRightToDataPortablility"] == "true"
    assert info["isGdprImpactAssessment"] == info["isGdprDataProtectionImpactAssessment"] == "true"
    assert info["isPasswordPolicy"] == info["isPasswordPolicyPasswordLengthLimit"] == "true"
    assert info["isPasswordPolicyChangePasswordPeriod"] == "false"
    assert info["isHttpSecurityHeadersXFrameOptions"] == "unknown"
    assert len(info) == 85, "every property of discoveredCloudAppInfo, its id and its type"


def test_graph_says_that_a_protocol_does_not_apply() -> None:
    assert graph_info(app("x", encryption_protocol="n/a"))["tlsEncryptionProtocol"] == "notApplicable"
    assert graph_info(app("x"))["tlsEncryptionProtocol"] == "unknown"


def test_scores_there() -> None:
    assert graph_score(ENTRY)["total"] == 3.0, "an override is the total everywhere"
    assert set(graph_score(ENTRY)) == {"total", "provider", "security", "compliance", "legal"}
    assert graph_app(ENTRY)["category"] == "cloudStorage"
    assert graph_score(KNOWN.entries["mute"])["total"] is None


def test_the_older_api() -> None:
    found = classic_app(ENTRY)
    assert (found["appId"], found["category"], found["sanctioned"]) == (10489, "SAASDB_CATEGORY_CLOUD_STORAGE", True)
    assert found["revised_score"]["total"] == 3.0
    assert classic_app(KNOWN.entries["mute"])["appId"] == "mute"


def test_by_number() -> None:
    assert find_numbered(KNOWN, "10489") is ENTRY
    assert find_numbered(KNOWN, "box") is ENTRY
    assert find_numbered(KNOWN, "99999") is None
    assert find_numbered(KNOWN, "²") is None


def test_an_explanation_as_json() -> None:
    found = explanation(Scorer(DEFAULTS, DAY).explain(BOX), ENTRY)
    security = next(each for each in found["families"] if each["family"] == "security")
    saml = next(each for each in security["factors"] if each["factor"] == "saml")
    assert (saml["score"], saml["source"], saml["handling"]) == (10.0, "vendor-documentation", "counted")
    assert (found["score"], found["override"]["score"]) == (3, 3)
    hipaa = next(each for each in found["families"][2]["factors"] if each["factor"] == "hipaa")
    assert (hipaa["value"], hipaa["score"], hipaa["handling"]) == ("n/a", None, "n/a, excluded")


def test_categories_with_totals() -> None:
    found = {each["id"]: each["total"] for each in categories(KNOWN)}
    assert (found["cloud_storage"], found["crm"], len(found)) == (2, 0, 47)
