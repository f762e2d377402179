"""The reference product's own names for factors, values and categories (Microsoft Graph beta: discoveredCloudAppInfo).

Its misspellings are kept: programs that read its API look for them.
"""

from __future__ import annotations

from collections.abc import Mapping

from casb.catalog.factors import CATEGORIES

GRAPH: Mapping[str, tuple[str, ...]] = {
    "headquarters": ("headquarters",),
    "data_centers": ("dataCenter",),
    "hosting_company": ("hostingCompany",),
    "founded": ("founded",),
    "holding": ("holding",),
    "domain_registered": ("domainRegistrationDateTime",),
    "logon_urls": ("logonUrls",),
    "data_types": ("dataTypes",),
    "disaster_recovery_plan": ("isDisasterRecoveryPlan",),
    "latest_breach": ("latestBreachDateTime",),
    "data_at_rest_encryption": ("dataAtRestEncryptionMethod",),
    "multi_factor_authentication": ("isMultiFactorAuthentication",),
    "ip_address_restriction": ("isIpAddressRestriction",),
    "user_audit_trail": ("isUserAuditTrail",),
    "admin_audit_trail": ("isAdminAuditTrail",),
    "data_audit_trail": ("isDataAuditTrail",),
    "user_can_upload_data": ("isUserCanUploadData",),
    "data_classification": ("isDataClassification",),
    "remember_password": ("isRememberPassword",),
    "user_roles": ("isUserRolesSupport",),
    "file_sharing": ("isFileSharing",),
    "valid_certificate_name": ("isValidCertificateName",),
    "trusted_certificate": ("isTrustedCertificate",),
    "encryption_protocol": ("tlsEncryptionProtocol",),
    "saml": ("isSupportsSaml",),
    "penetration_testing": ("isPenetrationTesting",),
    "requires_user_authentication": ("isRequiresUserAuthentication",),
    "finra": ("isFinraCompliant",),
    "fisma": ("isFismaCompliant",),
    "gaap": ("isGaapCompliant",),
    "hipaa": ("isHipaaCompliant",),
    "isae_3402": ("isIsae3402Compliant",),
    "iso_27001": ("isIso27001Compliant",),
    "itar": ("isItarCompliant",),
    "soc_1": ("isSoc1Compliant",),
    "soc_2": ("isSoc2Compliant",),
    "soc_3": ("isSoc3Compliant",),
    "sox": ("isSoxCompliant",),
    "sp_800_53": ("isSp80053Compliant",),
    "ssae_16": ("isSsae16Compliant",),
    "pci_dss_version": ("pciDssVersion",),
    "iso_27018": ("isIso27018Compliant",),
    "glba": ("isGlbaCompliant",),
    "fedramp_level": ("fedRampLevel",),
    "csa_star_level": ("csaStarLevel",),
    "privacy_shield": ("isPrivacyShieldCompliant",),
    "iso_27017": ("isIso27017Compliant",),
    "ffiec": ("isFfiecCompliant",),
    "cobit": ("isCobitCompliant",),
    "coppa": ("isCoppaCompliant",),
    "ferpa": ("isFerpaCompliant",),
    "hitrust_csf": ("isHitrustCsfCompliant",),
    "data_ownership": ("isDataOwnership",),
    "dmca": ("isDmca",),
    "data_retention_policy": ("dataRetentionPolicy",),
    "gdpr_readiness_statement": ("gdprReadinessStatement",),
    "gdpr_right_to_erasure": ("isGdprRightToErasure",),
    "gdpr_report_data_breaches": ("isGdprReportDataBreaches",),
    "gdpr_impact_assessment": ("isGdprImpactAssessment", "isGdprDataProtectionImpactAssessment"),
    "gdpr_secure_cross_border_transfer": (
        "isGdprSecureCrossBorderDataControl",
        "isGdprDataProtectionSecureCrossBorderDataTransfer",
    ),
    "gdpr_data_protection_officer": ("isGdprDataProtectionOfficer",),
    "gdpr_right_to_object": ("isGdprRightToObject",),
    "gdpr_right_to_access": ("isGdprRightToAccess",),
    "gdpr_right_to_data_portability": ("isGdprRightToDataPortablility",),
    "gdpr_right_to_be_informed": ("isGdprRightToBeInformed",),
    "gdpr_right_to_restriction": ("isGdprRightToRestrictionOfProcessing",),
    "gdpr_automated_decision_making": ("isGdprRightsRelatedToAutomatedDecisionMaking",),
    "gdpr_lawful_basis": ("isGdprLawfulBasisForProcessing",),
    "gdpr_right_to_rectification": ("isGdprRightToRectification",),
}
"""The properties that a factor is; factors that API lacks are absent."""

GRAPH_PARTS: Mapping[str, Mapping[str, str]] = {
    "http_security_headers": {
        "content_security_policy": "isHttpSecurityHeadersContentSecurityPolicy",
        "strict_transport_security": "isHttpSecurityHeadersStrictTransportSecurity",
        "x_content_type_options": "isHttpSecurityHeadersXContentTypeOptions",
        "x_frame_options": "isHttpSecurityHeadersXFrameOptions",
        "x_xss_protection": "isHttpSecurityHeadersXXssProtection",
    },
    "password_policy": {
        "length_limit": "isPasswordPolicyPasswordLengthLimit",
        "character_combination": "isPasswordPolicyCharacterCombination",
        "change_period": "isPasswordPolicyChangePasswordPeriod",
        "history_and_reuse": "isPasswordPolicyPasswordHistoryAndReuse",
        "personal_information": "isPasswordPolicyPersonalInformationUse",
    },
}
"""The properties that the flags of a composite are."""

VALUES: Mapping[str, Mapping[str, str]] = {
    "data_at_rest_encryption": {"bitlocker": "bitLocker", "rsa": "rsA", "not_supported": "notSupported"},
    "encryption_protocol": {"not_supported": "notSupported", "ssl3": "notSupported"},
    "pci_dss_version": {
        "not_supported": "notSupported",
        "1": "v1",
        "2": "v2",
        "3": "v3",
        "3.1": "v3_1",
        "3.2": "v3_2",
        "3.2.1": "v3_2_1",
        "4": "v4",
    },
    "fedramp_level": {"not_supported": "notSupported", "li_saas": "liSaaS"},
    "csa_star_level": {
        "self_assessment": "selfAssessment",
        "c_star_assessment": "cStarAssessment",
        "continuous_monitoring": "continuousMonitoring",
    },
    "data_retention_policy": {
        "data_retained": "dataRetained",
        "deleted_immediately": "deletedImmediately",
        "deleted_within_2_weeks": "deletedWithinTwoWeeks",
        "deleted_within_1_month": "deletedWithinOneMonth",
        "deleted_within_3_months": "deletedWithinThreeMonths",
        "deleted_after_more_than_3_months": "deletedWithinMoreThanThreeMonths",
    },
    "data_types": {
        "media_files": "mediaFiles",
        "coding_files": "codingFiles",
        "credit_cards": "creditCards",
        "database_files": "databaseFiles",
    },
}
"""Words that are spelt otherwise there."""

_ODD_CATEGORIES = {
    "ecommerce": "eCommerce",
    "webmail": "webemail",
    "vendor_management_system": "vendorManagementSystems",
    "unclassified": "unknown",
    "insurance_and_investments": "accountingAndFinance",
}
_ODD_CLASSIC = {
    "supply_chain_and_logistics": "SAASDB_CATEGORY_SUPLLY_CHAIN_AND_LOGISTICS",
    "insurance_and_investments": "SAASDB_SUBCATEGORY_INSURANCE_AND_INVESTMENTS",
}


def graph_category(category: str) -> str:
    """A category as Graph spells it: `cloud_storage` is `cloudStorage`."""
    if category in _ODD_CATEGORIES:
        return _ODD_CATEGORIES[category]
    first, *others = category.split("_")
    return first + "".join(each.capitalize() for each in others)


def classic_category(category: str) -> str:
    """A category as the older API spells it: `cloud_storage` is `SAASDB_CATEGORY_CLOUD_STORAGE`."""
    return _ODD_CLASSIC.get(category, f"SAASDB_CATEGORY_{category.upper()}")


def category_of(name: str) -> str | None:
    """Our id of a category in any of its spellings: ours, its display name, Graph's or the older API's."""
    return _CATEGORIES.get(name.casefold())


_CATEGORIES = {
    spelling.casefold(): ident
    for ident, display in reversed(CATEGORIES.items())
    for spelling in (graph_category(ident), classic_category(ident), display, ident)
    if not (ident == "insurance_and_investments" and spelling == "accountingAndFinance")
}
