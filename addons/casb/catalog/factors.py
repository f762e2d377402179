"""The risk factors an app of the catalog is described and scored by.

Families, kinds and the scored set follow the reference product's catalog (general, security, compliance, legal). A value
is one of: absent (unknown), `"n/a"` where the factor allows it, or a value of the factor's kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Family(StrEnum):
    """The four sub-scores."""

    GENERAL = "general"
    SECURITY = "security"
    COMPLIANCE = "compliance"
    LEGAL = "legal"


class Kind(StrEnum):
    """What a value of the factor looks like in YAML."""

    FLAG = "flag"  # true, false
    TEXT = "text"
    ENUM = "enum"  # one of `values`, worst first
    DATE = "date"  # YYYY-MM-DD
    YEAR = "year"
    NUMBER = "number"  # 0 to 10
    URL = "url"
    LIST = "list"  # of texts; of `values` where given
    FLAGS = "flags"  # mapping of each of `values` to true or false: the share that is true counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One row of the table. `values` of an enum are ordered from worst to best."""

    id: str
    name: str
    family: Family
    kind: Kind
    about: str
    scored: bool = False
    not_applicable: bool = False
    values: tuple[str, ...] = ()


_GENERAL = """
headquarters|Headquarters|text|country of the provider's head office, ISO 3166 alpha-2
data_centers|Data centers|list|countries customer data is kept in, ISO 3166 alpha-2
hosting_company|Hosting company|text|whose machines the service runs on
founded|Founded|year*|year the provider was founded; older is better
holding|Holding|enum*|private or publicly traded|private,public
domain_registered|Domain registration date|date*|when the main domain was registered; older is better
consumer_popularity|Consumer popularity|number*|how widely the app is used, 0 to 10
terms_of_service|Terms of service|url|
privacy_policy|Privacy policy|url|
logon_urls|Logon URL|list|
data_types|Data types|list|what users keep in it|documents,media_files,coding_files,credit_cards,database_files,none
homepage|Homepage|url|
disaster_recovery_plan|Disaster recovery plan|flag*|the provider has a backup and restore strategy
"""

_SECURITY = """
latest_breach|Latest breach|date|the last publicly known loss of customer data
data_at_rest_encryption|Data-at-rest encryption method|enum*-|how stored data is encrypted|not_supported,rc4,des,des3,blowfish,rsa,bitlocker,aes
multi_factor_authentication|Multi-factor authentication|flag*|
ip_address_restriction|IP address restriction|flag*|access can be limited to addresses
user_audit_trail|User audit trail|flag*|what each account did is logged
admin_audit_trail|Admin audit trail|flag*|
data_audit_trail|Data audit trail|flag*|
user_can_upload_data|User can upload data|flag|
data_classification|Data classification|flag*|uploaded data can be classified
remember_password|Remember password|flag|
user_roles|User-roles support|flag*|roles and permission levels
file_sharing|File sharing|flag|users can share files with each other
valid_certificate_name|Valid certificate name|flag*|
trusted_certificate|Trusted certificate|flag*|
encryption_protocol|Encryption protocol|enum*-|best transport protocol spoken|not_supported,ssl3,tls1_0,tls1_1,tls1_2,tls1_3
heartbleed_patched|Heartbleed patched|flag*|
http_security_headers|HTTP security headers|flags*|sent on the main page|content_security_policy,strict_transport_security,x_content_type_options,x_frame_options,x_xss_protection
saml|Supports SAML|flag*|
enforce_transport_encryption|Enforce transport encryption|flag*|plain HTTP is sent to HTTPS
drown_protected|Protected against DROWN|flag*|
penetration_testing|Penetration testing|flag*|
requires_user_authentication|Requires user authentication|flag*|false: anonymous use is possible
caa_record|CAA record|flag|DNS says which authorities may issue certificates
dmarc_policy|DMARC policy|enum|what DNS asks receivers to do with forged mail|not_supported,none,quarantine,reject
spf_record|SPF record|flag|DNS says which machines may send mail
password_policy|Password policy|flags*|what the app enforces or lets admins enforce|length_limit,character_combination,change_period,history_and_reuse,personal_information
"""

_COMPLIANCE = """
finra|FINRA|flag*-|rules for US securities firms
fisma|FISMA|flag*-|US federal information security
gaap|GAAP|flag*-|accounting principles
hipaa|HIPAA|flag*-|US health data
isae_3402|ISAE 3402|flag*-|assurance on a service organisation
iso_27001|ISO 27001|flag*|
itar|ITAR|flag*-|US arms export
soc_1|SOC 1|flag*-|
soc_2|SOC 2|flag*|
soc_3|SOC 3|flag*|
sox|SOX|flag*-|
sp_800_53|SP 800-53|flag*|
ssae_16|SSAE 16|flag*-|
safe_harbor|Safe Harbor|flag*-|superseded by Privacy Shield
pci_dss_version|PCI DSS version|enum*-||not_supported,1,2,3,3.1,3.2,3.2.1,4
iso_27018|ISO 27018|flag*-|personal data in public clouds
glba|GLBA|flag*-|
fedramp_level|FedRAMP level|enum*||not_supported,li_saas,low,moderate,high
csa_star_level|CSA STAR level|enum*-||self_assessment,c_star_assessment,attestation,certification,continuous_monitoring
privacy_shield|Privacy Shield|flag*-|
iso_27017|ISO 27017|flag*|
iso_27002|ISO 27002|flag*-|
ffiec|FFIEC|flag*-|
gapp|GAPP|flag*-|generally accepted privacy principles
cobit|COBIT|flag*|
coppa|COPPA|flag*-|children under 13
ferpa|FERPA|flag*-|student records
hitrust_csf|HITRUST CSF|flag*-|
jericho_forum|Jericho Forum commandments|flag*|
"""

_LEGAL = """
data_ownership|Data ownership|flag*|users keep full ownership of what they upload
dmca|DMCA|flag*|
data_retention_policy|Data retention policy|enum*|what happens to data after the contract ends|data_retained,deleted_after_more_than_3_months,deleted_within_3_months,deleted_within_1_month,deleted_within_2_weeks,deleted_immediately
gdpr_readiness_statement|GDPR readiness statement|url|
gdpr_right_to_erasure|GDPR right to erasure|flag*-|
gdpr_report_data_breaches|GDPR report data breaches|flag*-|to authority and individuals within 72 hours
gdpr_impact_assessment|GDPR impact assessment|flag*-|
gdpr_secure_cross_border_transfer|GDPR secure cross-border data transfer|flag*-|
gdpr_data_protection_officer|GDPR data protection officer|flag*-|
gdpr_right_to_object|GDPR right to object|flag*-|
gdpr_right_to_access|GDPR right to access|flag*-|
gdpr_right_to_data_portability|GDPR right to data portability|flag*-|
gdpr_right_to_be_informed|GDPR right to be informed|flag*-|
gdpr_right_to_restriction|GDPR right to restriction of processing|flag*-|
gdpr_automated_decision_making|GDPR rights on automated decision making|flag*-|
gdpr_lawful_basis|GDPR lawful basis for processing|flag*-|
gdpr_right_to_rectification|GDPR right to rectification|flag*-|
"""


def _table(family: Family, rows: str) -> list[Factor]:
    """`id|name|kind|about|values`; behind the kind `*` means scored and `-` that it may be not applicable."""
    factors = []
    for row in rows.strip().splitlines():
        ident, name, kind, about, *values = row.split("|")
        factors.append(
            Factor(
                id=ident,
                name=name,
                family=family,
                kind=Kind(kind.rstrip("*-")),
                about=about,
                scored="*" in kind,
                not_applicable="-" in kind,
                values=tuple(values[0].split(",")) if values else (),
            )
        )
    return factors


FACTORS: dict[str, Factor] = {
    factor.id: factor
    for family, rows in (
        (Family.GENERAL, _GENERAL),
        (Family.SECURITY, _SECURITY),
        (Family.COMPLIANCE, _COMPLIANCE),
        (Family.LEGAL, _LEGAL),
    )
    for factor in _table(family, rows)
}
"""Every factor by id, in the order of the reference."""

CATEGORIES: dict[str, str] = {
    "accounting_and_finance": "Accounting and finance",
    "advertising": "Advertising",
    "business_intelligence": "Business intelligence",
    "business_management": "Business management",
    "cloud_computing_platform": "Cloud computing platform",
    "cloud_storage": "Cloud storage",
    "code_hosting": "Code hosting",
    "collaboration": "Collaboration",
    "communications": "Communications",
    "consumer": "Consumer",
    "content_management": "Content management",
    "content_sharing": "Content sharing",
    "crm": "CRM",
    "customer_support": "Customer support",
    "data_analytics": "Data analytics",
    "development_tools": "Development tools",
    "ecommerce": "E-commerce",
    "education": "Education",
    "forums": "Forums",
    "generative_ai": "Generative AI",
    "health": "Health",
    "hosting_services": "Hosting services",
    "human_resource_management": "Human resource management",
    "internet_of_things": "Internet of things",
    "it_services": "IT services",
    "marketing": "Marketing",
    "media": "Media",
    "news_and_entertainment": "News and entertainment",
    "online_meetings": "Online meetings",
    "operations_management": "Operations management",
    "personal_instant_messaging": "Personal instant messaging",
    "product_design": "Product design",
    "productivity": "Productivity",
    "project_management": "Project management",
    "property_management": "Property management",
    "sales": "Sales",
    "security": "Security",
    "social_network": "Social network",
    "supply_chain_and_logistics": "Supply chain and logistics",
    "time_tracking": "Time tracking",
    "transportation_and_travel": "Transportation and travel",
    "unclassified": "Unclassified",
    "vendor_management_system": "Vendor management system",
    "web_analytics": "Web analytics",
    "webmail": "Webmail",
    "website_monitoring": "Website monitoring",
    "insurance_and_investments": "Insurance and investments",
}
"""Category ids (the reference product's, lower-case, its misspelling mended) and the names people read."""
