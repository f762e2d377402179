"""Every question compiles for every dialect; ClickHouse counts exactly. Answers are the contract suite's business."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from casb.store import discovery_expressions as ask

ROWS = ask.scope(["s"], date(2026, 1, 1), date(2026, 3, 1), apps=["a"], user='it\'s uniq("t1".x)')
QUESTIONS: dict[str, Any] = {
    "totals": ask.totals(ROWS),
    "trend": ask.trend(ROWS),
    "apps": ask.by_app(ROWS),
    "days": ask.by_app_and_day(ROWS),
    "users": ask.entity_page(ROWS, "user", search="a'b"),
    "count": ask.entity_count(ROWS, "ip"),
    "resources": ask.by_resource(ROWS),
    "risk": ask.by_fact(ROWS, "risk"),
    "categories": ask.by_category_and_standing(ROWS),
    "siem": ask.siem(ROWS),
    "streams": ask.streams_seen(),
}


@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "clickhouse", "pyspark"])
@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_compiles(name: str, dialect: str) -> None:
    assert "SELECT" in ask.sql_of(QUESTIONS[name], dialect)


def test_clickhouse_counts_people_exactly() -> None:
    sql = ask.sql_of(QUESTIONS["totals"], "clickhouse")
    assert sql.count("uniqExact(") == 4 and "uniq(" in sql.replace("uniqExact(", ""), "the text of a name stays"


def test_there_are_no_lists_of_anything_else() -> None:
    with pytest.raises(ValueError, match="no lists"):
        ask.by_entity(ROWS, "app")
