"""For all tests: how fast the machine is decides nothing. `CASB_THOROUGH=1` tries many more examples of a property."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import HealthCheck, settings

_LENIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("casb", _LENIENT, max_examples=40)
settings.register_profile("thorough", _LENIENT, max_examples=500)
settings.load_profile("thorough" if os.environ.get("CASB_THOROUGH") else "casb")

_RANDOM = re.compile(r"[A-Za-z0-9_-]{40,}")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Names of cases without what is made anew at each start: workers that run beside each other must agree on them.

    Bytes are named by their argument: what was packed or encrypted for the case holds the time or chance.
    """
    if isinstance(val, bytes) and (not val.isascii() or _RANDOM.search(val.decode())):
        return argname
    return _RANDOM.sub("made-anew", val) if isinstance(val, str) and _RANDOM.search(val) else None
