from __future__ import annotations

from collections.abc import Callable

import pytest

from casb.inspection.info_types import Matcher, Spec, compile_types
from casb.inspection.info_types.shipped import shipped

type Compiled = Callable[[str, str], Matcher]


@pytest.fixture(scope="session")
def compiled() -> Compiled:
    """The matcher of a category, or of all, for an engine: made once."""
    made: dict[tuple[str, str], Matcher] = {}

    def get(category: str, engine: str) -> Matcher:
        types = tuple(each for each in shipped().values() if category in ("", each.category))
        if (category, engine) not in made:
            made[category, engine] = compile_types(Spec(types=types), engine)
        return made[category, engine]

    return get
