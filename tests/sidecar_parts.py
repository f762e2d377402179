"""A clock that tests move, and a deployment that is what they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from casb.sidecar.deployment import PolicyView, View
from sample_records import FILES, NOTES, START

TOKEN = "proxy-token-" + "x" * 32


@dataclass
class Hands:
    """A clock that tests move."""

    now: datetime = START + timedelta(hours=4)

    def __call__(self) -> datetime:
        return self.now


def policy_view(policy_id: str = "block-downloads-on-unmanaged-devices") -> PolicyView:
    return PolicyView(
        id=policy_id,
        name="Block downloads",
        kind="session",
        action="block",
        severity="high",
        file="policies/unmanaged.yaml",
        line=3,
    )


@dataclass
class FixedDeployment:
    """A deployment that is what tests say."""

    present: View = field(
        default_factory=lambda: View(
            version="3f2a91c0",
            apps=(FILES, NOTES),
            policies=(policy_view(),),
            files=(),
            read=datetime(2026, 3, 2, tzinfo=UTC),
        )
    )

    def view(self) -> View:
        return self.present
