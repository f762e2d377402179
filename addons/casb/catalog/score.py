"""An app's facts to its score, 0 (riskiest) to 10, and why it is what it is.

Three weighted means (reference: score metrics of Cloud Discovery): values of a family's factors to a sub-score,
sub-scores to the total. What is unknown does not count; an app of which nothing counts has no score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from casb.catalog.curves import property_score
from casb.catalog.factors import FACTORS, Factor, Family
from casb.catalog.known import NOT_APPLICABLE, Fact, KnownApp, Value
from casb.catalog.metrics import SCORED, Metrics

_FAMILIES = tuple(Family)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppScore:
    """The total and its four parts, exact; None where nothing counts."""

    total: float | None = None
    general: float | None = None
    security: float | None = None
    compliance: float | None = None
    legal: float | None = None

    @property
    def rounded(self) -> int | None:
        """The total as people see and filter it."""
        return rounded(self.total)

    def family(self, family: Family) -> float | None:
        """One part."""
        part: float | None = getattr(self, family.value)
        return part


UNSCORED = AppScore()


def rounded(score: float | None) -> int | None:
    """Half a point and more goes up."""
    return None if score is None else int(score + 0.5)


class Handling(StrEnum):
    """Why a factor counts in an app's score, or does not."""

    COUNTED = "counted"
    UNKNOWN = "unknown"
    NA_EXCLUDED = "n/a, excluded"
    NA_AS_ZERO = "n/a, counted as 0"
    IGNORED = "ignored"
    INFORMATION = "information only"


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorScore:
    """One factor of one app. Percentages are of the factor's family."""

    factor: Factor
    fact: Fact | None
    score: float | None  # 0 to 10; None when it does not count
    weight: float  # percent the settings give it
    share: float  # percent it has among the factors that count for this app
    handling: Handling


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyScore:
    """One sub-score. Percentages are of the total."""

    family: Family
    score: float | None
    weight: float
    share: float
    handling: Handling
    factors: tuple[FactorScore, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A computed score, taken apart."""

    score: AppScore
    families: tuple[FamilyScore, ...]
    on: date
    metrics_version: str


class Scorer:
    """Scores apps by one setting on one day. It remembers what each value is worth."""

    def __init__(self, metrics: Metrics, on: date) -> None:
        self.metrics = metrics
        self.on = on
        self._fields: dict[str, tuple[int, float, bool]] = {}
        for name, factor in SCORED.items():
            weight = metrics.factor(name)
            multiplier = metrics.multiplier(weight)
            if multiplier:
                self._fields[name] = (_FAMILIES.index(factor.family), multiplier, weight.exclude_na)
        self._families = [metrics.multiplier(metrics.families[family]) for family in _FAMILIES]
        self._na_families = [not metrics.families[family].exclude_na for family in _FAMILIES]
        self._worth: dict[tuple[str, Value], float] = {}

    def score(self, app: KnownApp) -> AppScore:
        """The computed score; what an admin fixed or overrode is not looked at."""
        return self.of_facts(app.facts)

    def of_facts(self, facts: Mapping[str, Fact]) -> AppScore:
        """As `score`, of facts alone."""
        sums = [0.0] * len(_FAMILIES)
        weights = [0.0] * len(_FAMILIES)
        not_applicable = [False] * len(_FAMILIES)
        fields = self._fields
        for name, fact in facts.items():
            row = fields.get(name)
            if row is None:
                continue
            family, multiplier, exclude = row
            if fact.value == NOT_APPLICABLE:
                not_applicable[family] = True
                if not exclude:
                    weights[family] += multiplier
                continue
            sums[family] += multiplier * self._value(name, fact.value)
            weights[family] += multiplier
        parts = [
            total / weight if weight else 0.0 if void and counts else None
            for total, weight, void, counts in zip(sums, weights, not_applicable, self._na_families, strict=True)
        ]
        return AppScore(
            total=_mean(zip(parts, self._families, strict=True)),
            general=parts[0],
            security=parts[1],
            compliance=parts[2],
            legal=parts[3],
        )

    def explain(self, app: KnownApp) -> Explanation:
        """Every factor of the app, what it is worth and how much it counts."""
        score = self.score(app)
        configured = sum(self._families)
        counting = sum(
            weight for family, weight in zip(_FAMILIES, self._families, strict=True) if score.family(family) is not None
        )
        families = []
        for family, weight in zip(_FAMILIES, self._families, strict=True):
            part = score.family(family)
            factors = self._factors(app, family)
            counts = part is not None and weight > 0
            families.append(
                FamilyScore(
                    family=family,
                    score=part,
                    weight=_percent(weight, configured),
                    share=_percent(weight, counting) if counts else 0.0,
                    handling=_family_handling(part, weight, factors),
                    factors=factors,
                )
            )
        return Explanation(score=score, families=tuple(families), on=self.on, metrics_version=self.metrics.version)

    def _factors(self, app: KnownApp, family: Family) -> tuple[FactorScore, ...]:
        factors = [factor for factor in FACTORS.values() if factor.family is family]
        judged = [(factor, *self._judged(factor, app.facts.get(factor.id))) for factor in factors]
        weights = {factor.id: self._fields.get(factor.id, (0, 0.0, True))[1] for factor in factors}
        configured = sum(weights.values())
        counting = sum(weights[factor.id] for factor, score, _ in judged if score is not None)
        return tuple(
            FactorScore(
                factor=factor,
                fact=app.facts.get(factor.id),
                score=score,
                weight=_percent(weights[factor.id], configured),
                share=_percent(weights[factor.id], counting) if score is not None else 0.0,
                handling=handling,
            )
            for factor, score, handling in judged
        )

    def _judged(self, factor: Factor, fact: Fact | None) -> tuple[float | None, Handling]:
        if not factor.scored:
            return None, Handling.INFORMATION
        row = self._fields.get(factor.id)
        if row is None:
            return None, Handling.IGNORED
        if fact is None:
            return None, Handling.UNKNOWN
        if fact.value == NOT_APPLICABLE:
            return (None, Handling.NA_EXCLUDED) if row[2] else (0.0, Handling.NA_AS_ZERO)
        return self._value(factor.id, fact.value), Handling.COUNTED

    def _value(self, name: str, value: Value) -> float:
        # 1 and True are equal as keys; a factor's values are of one type, so they never meet.
        key = (name, value)
        worth = self._worth.get(key)
        if worth is None:
            worth = property_score(FACTORS[name], value, self.on) or 0.0
            self._worth[key] = worth
        return worth


def _family_handling(part: float | None, weight: float, factors: Iterable[FactorScore]) -> Handling:
    if not weight:
        return Handling.IGNORED
    handlings = {each.handling for each in factors}
    void = Handling.NA_EXCLUDED in handlings and not handlings & {Handling.COUNTED, Handling.NA_AS_ZERO}
    if part is None:
        return Handling.NA_EXCLUDED if void else Handling.UNKNOWN
    return Handling.NA_AS_ZERO if void else Handling.COUNTED


def _mean(parts: Iterable[tuple[float | None, float]]) -> float | None:
    total = weights = 0.0
    for part, weight in parts:
        if part is not None and weight:
            total += part * weight
            weights += weight
    return total / weights if weights else None


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole else 0.0
