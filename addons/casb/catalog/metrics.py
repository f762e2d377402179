"""How much each factor and each family counts in a score: the settings an admin turns.

Five steps of importance, for factors and families alike, and what to do with values that do not apply.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal

from casb.catalog.factors import FACTORS, Factor, Family
from casb.errors import ConfigError, Problems
from casb.yamlfile import did_you_mean, examine


class Importance(StrEnum):
    """The five steps of the slider."""

    IGNORED = "ignored"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    VERY_HIGH = "very_high"


class Band(StrEnum):
    """How risky an app is, in a word."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    UNSCORED = "unscored"


MULTIPLIERS: Mapping[Importance, float] = MappingProxyType(
    {
        Importance.IGNORED: 0.0,
        Importance.LOW: 1.0,
        Importance.MEDIUM: 2.0,
        Importance.HIGH: 4.0,
        Importance.VERY_HIGH: 8.0,
    }
)
"""What each step counts unless set otherwise."""

HEAVIEST = 1000.0

SCORED: Mapping[str, Factor] = MappingProxyType({name: factor for name, factor in FACTORS.items() if factor.scored})
"""The factors that a score is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """The setting of a factor or a family. With `exclude_na` what does not apply is left out, else it counts as 0."""

    importance: Importance = Importance.MEDIUM
    exclude_na: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """Where risk bands begin, by the rounded score: from `low` the risk is low, from `medium` it is medium."""

    low: int = 8
    medium: int = 4

    def of(self, score: int | None) -> Band:
        """The band of a rounded score; None is unscored."""
        if score is None:
            return Band.UNSCORED
        return Band.LOW if score >= self.low else Band.MEDIUM if score >= self.medium else Band.HIGH


def _families() -> Mapping[Family, Weight]:
    return MappingProxyType(
        {
            Family.GENERAL: Weight(importance=Importance.LOW),
            Family.SECURITY: Weight(),
            Family.COMPLIANCE: Weight(),
            Family.LEGAL: Weight(),
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """All settings. A factor that is not named has the default weight."""

    factors: Mapping[str, Weight] = field(default_factory=lambda: MappingProxyType({}))
    families: Mapping[Family, Weight] = field(default_factory=_families)
    multipliers: Mapping[Importance, float] = MULTIPLIERS
    bands: Bands = field(default_factory=Bands)

    def factor(self, name: str) -> Weight:
        """The setting of a factor."""
        return self.factors.get(name, _DEFAULT)

    def multiplier(self, weight: Weight) -> float:
        """What a setting multiplies with."""
        return self.multipliers[weight.importance]

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits that change with every setting that changes a score or band."""
        return hashlib.sha256(json.dumps(metrics_to_plain(self), sort_keys=True).encode()).hexdigest()[:12]


_DEFAULT = Weight()

DEFAULTS = Metrics()
"""Every factor medium and without what does not apply; general low, the other families medium."""


def metrics_to_plain(metrics: Metrics) -> dict[str, Any]:
    """The settings as JSON and YAML have them; `read_metrics` reads them back. Factors at the default are left out."""
    return {
        "categories": {family.value: _weight(metrics.families[family]) for family in Family},
        "factors": {name: _weight(weight) for name, weight in sorted(metrics.factors.items()) if weight != _DEFAULT},
        "multipliers": {step.value: metrics.multipliers[step] for step in Importance},
        "bands": {"low": metrics.bands.low, "medium": metrics.bands.medium},
    }


def _weight(weight: Weight) -> dict[str, Any]:
    return {"importance": weight.importance.value, "exclude_na": weight.exclude_na}


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightShape:
    """One setting as it is written."""

    importance: Literal["ignored", "low", "medium", "high", "very_high"] = "medium"
    exclude_na: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BandsShape:
    """Where bands begin, as it is written."""

    low: int = 8
    medium: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsFile:
    """A file of settings. What is left out keeps its default."""

    categories: Mapping[str, WeightShape] = field(default_factory=dict)
    factors: Mapping[str, WeightShape] = field(default_factory=dict)
    multipliers: Mapping[str, int | float] = field(default_factory=dict)
    bands: BandsShape | None = None


def read_metrics(text: bytes, file: str) -> Metrics:
    """The settings in a YAML (or JSON) text. Raises `Problems` with every error and its place."""
    shape, marks, report = examine(MetricsFile, text, file, prefix="C")
    errors = report.sorted()
    if shape is None or marks is None:
        raise Problems(errors)

    def wrong(message: str, *path: str, hint: str = "") -> None:
        errors.append(ConfigError("C220", message, marks.where(path, key=not hint.startswith("from")), hint))

    for name in shape.factors:
        if name not in SCORED:
            known = "is information only and has no weight" if name in FACTORS else "is no factor"
            wrong(f"'{name}' {known}", "factors", name, hint=did_you_mean(name, SCORED) or "choose a scored factor")
    for name in shape.categories:
        if name not in [each.value for each in Family]:
            wrong(f"'{name}' is no family of factors", "categories", name, hint=did_you_mean(name, Family))
    for name, number in shape.multipliers.items():
        if name not in [each.value for each in Importance]:
            wrong(f"'{name}' is no step of importance", "multipliers", name, hint=did_you_mean(name, Importance))
        elif not 0 <= number <= HEAVIEST or (name == Importance.IGNORED and number != 0):
            wrong(
                f"{number} cannot be the multiplier of '{name}'", "multipliers", name, hint="from 0 to 1000; ignored 0"
            )
    bands = shape.bands or BandsShape()
    if not 0 < bands.medium < bands.low <= 10:
        wrong("bands begin at 0 < medium < low <= 10", "bands", hint="from 0 to 10")
    if errors:
        raise Problems(errors)
    return Metrics(
        factors={name: _read(each) for name, each in shape.factors.items()},
        families={**_families(), **{Family(name): _read(each) for name, each in shape.categories.items()}},
        multipliers={**MULTIPLIERS, **{Importance(name): float(each) for name, each in shape.multipliers.items()}},
        bands=Bands(low=bands.low, medium=bands.medium),
    )


def _read(shape: WeightShape) -> Weight:
    return Weight(importance=Importance(shape.importance), exclude_na=shape.exclude_na)
