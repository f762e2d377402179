"""Whether a policy refused more than it was believed to: then it goes back to shadow by itself."""

from __future__ import annotations

from dataclasses import dataclass

from casb.policy.document import Budget
from casb.policy.rollout import share

FEWEST = 20
"""Activities below which a share says nothing."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Within the budget's window: activities that the policy was asked about, and those that it refused."""

    asked: int
    refused: int
    appeals: int = 0  # requests for an exception


def overdrawn(budget: Budget, spent: Spent) -> str | None:
    """Why the policy is to be withdrawn, as a sentence; None while it is within its budget."""
    if budget.appeals is not None and spent.appeals > budget.appeals:
        return f"{spent.appeals} people asked for an exception within {budget.window}, more than {budget.appeals}"
    if budget.blocks is not None and spent.refused > budget.blocks:
        return f"it refused {spent.refused} activities within {budget.window}, more than {budget.blocks}"
    if budget.block_rate and spent.asked >= FEWEST and spent.refused * 10_000 > share(budget.block_rate) * spent.asked:
        percent = 100 * spent.refused / spent.asked
        return (
            f"it refused {spent.refused} of {spent.asked} activities within {budget.window} ({percent:.1f} %), "
            f"more than {budget.block_rate}"
        )
    return None
