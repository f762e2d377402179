"""What discovery policies may name: the catalog's categories and risk factors. Needs no engine of discovery."""

from __future__ import annotations

import functools

from casb.catalog.factors import CATEGORIES, FACTORS, Kind
from casb.discovery.policies import Words
from casb.discovery.query import Scales


@functools.cache
def words() -> Words:
    """Categories by id, factors by id, and the values of enumerations from worst to best."""
    enums = {name: factor.values for name, factor in FACTORS.items() if factor.kind is Kind.ENUM}
    return Words(categories=tuple(CATEGORIES), scales=Scales(factors=frozenset(FACTORS), enums=enums))
