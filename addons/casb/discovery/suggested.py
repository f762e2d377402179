"""Questions that everybody asks, ready to be asked (reference section 9.5), and the inventory's insights (9.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from casb.discovery.query import Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggested:
    """A question with a name. Several sets of rows mean any of them: an app is listed when one set takes it."""

    id: str
    name: str
    rows: tuple[tuple[Condition, ...], ...]


def _row(field: str, op: str, *values: object) -> Condition:
    return Condition(field=field, op=op, values=values)


_STORAGE = ("cloud_storage",)
_HIGH_TRAFFIC = 1024**3

SUGGESTED: Mapping[str, Suggested] = {
    each.id: each
    for each in (
        Suggested(
            id="anonymous-use",
            name="Cloud apps that allow anonymous use",
            rows=((_row("factor.requires_user_authentication", "equals", False),),),
        ),
        Suggested(
            id="csa-star",
            name="Cloud apps that are CSA STAR certified",
            rows=((_row("factor.csa_star_level", "at_least", "attestation"),),),
        ),
        Suggested(
            id="fedramp",
            name="Cloud apps that are FedRAMP compliant (high, moderate, low)",
            rows=((_row("factor.fedramp_level", "equals", "high", "moderate", "low"),),),
        ),
        Suggested(
            id="data-owned-by-vendor",
            name="Storage and collaboration apps in which the data is owned by the vendor",
            rows=(
                (
                    _row("category", "equals", *_STORAGE, "collaboration"),
                    _row("factor.data_ownership", "equals", False),
                ),
            ),
        ),
        Suggested(
            id="risky-storage",
            name="Cloud storage apps that are risky and non-compliant",
            rows=(
                (
                    _row("category", "equals", *_STORAGE),
                    _row("factor.soc_2", "not_equals", True),
                    _row("factor.hipaa", "not_equals", True),
                    _row("score", "le", 5),
                ),
            ),
        ),
        Suggested(
            id="weak-authentication",
            name="Enterprise cloud apps with weak authentication",
            rows=(
                (
                    _row("factor.saml", "not_equals", True),
                    _row("factor.password_policy", "unknown"),
                    _row("factor.multi_factor_authentication", "not_equals", True),
                ),
            ),
        ),
        Suggested(
            id="weak-encryption",
            name="Enterprise cloud apps with weak encryption",
            rows=(
                (_row("factor.data_at_rest_encryption", "equals", "not_supported"),),
                (_row("factor.encryption_protocol", "below", "tls1_2"),),
            ),
        ),
        Suggested(
            id="gdpr-ready",
            name="GDPR ready cloud apps",
            rows=((_row("factor.gdpr_readiness_statement", "known"),),),
        ),
        Suggested(
            id="untagged-risky",
            name="Untagged apps of high risk",
            rows=((_row("tag", "equals", "none"), _row("score", "between", 0, 3)),),
        ),
        Suggested(
            id="untagged-high-traffic",
            name="Untagged apps of more than 1 GB",
            rows=((_row("tag", "equals", "none"), _row("traffic", "gt", _HIGH_TRAFFIC)),),
        ),
        Suggested(
            id="untagged-generative-ai",
            name="Untagged generative AI apps",
            rows=((_row("tag", "equals", "none"), _row("category", "equals", "generative_ai")),),
        ),
    )
}
"""Id to question, in the order shown."""

INSIGHTS = ("untagged-risky", "untagged-high-traffic", "untagged-generative-ai")
"""Those that the inventory counts."""
