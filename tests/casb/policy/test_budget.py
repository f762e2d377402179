import pytest

from casb.policy.budget import Spent, overdrawn
from casb.policy.document import Budget


@pytest.mark.parametrize(
    ("budget", "spent", "told", "reason"),
    [
        (Budget(blocks=3), Spent(3, 3), None, "as many as are allowed"),
        (Budget(blocks=3), Spent(4, 4), "it refused 4 activities within 24h, more than 3", "one too many"),
        (Budget(block_rate="5%"), Spent(19, 19), None, "too few to tell"),
        (Budget(block_rate="5%"), Spent(20, 1), None, "just five percent"),
        (
            Budget(block_rate="5%", window="1h"),
            Spent(20, 2),
            "it refused 2 of 20 activities within 1h (10.0 %), more than 5%",
            "ten percent",
        ),
        (Budget(block_rate="0.5%"), Spent(1000, 6), "(0.6 %), more than 0.5%", "shares below one percent"),
    ],
)
def test_budgets(budget: Budget, spent: Spent, told: str | None, reason: str) -> None:
    found = overdrawn(budget, spent)
    assert (found is None) if told is None else (found is not None and told in found), reason
