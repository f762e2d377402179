"""The Prometheus page."""

from __future__ import annotations

import re
from datetime import timedelta

from casb.sidecar.metrics import exposition
from casb.sidecar.services import Counters
from casb.store.portal_sqlite import ProxyStatus
from sample_records import START
from sidecar_parts import FixedDeployment

LINE = re.compile(r'[a-z_]+(\{([a-z]+="([^"\\]|\\.)*",?)*\})? [-+0-9.e]+')


def test_every_line_is_of_the_format() -> None:
    proxies = [
        ProxyStatus(name='a"\\\nb', time=START, facts={"spool": {"pending_bytes": 7, "lag": 1.5}}),
        ProxyStatus(name="odd", time=START, facts={"spool": "nonsense"}),
        ProxyStatus(name="odder", time=START, facts={"spool": {"lag": "much"}}),
    ]
    text = exposition(
        Counters(accepted=5, duplicates=2),
        stored=5,
        view=FixedDeployment().present,
        proxies=proxies,
        now=START + timedelta(seconds=9),
    )
    for line in text.splitlines():
        assert line.startswith("# ") or LINE.fullmatch(line), line
    assert 'casb_records_received_total{outcome="accepted"} 5' in text
    assert "casb_configuration_valid 1" in text
    assert 'casb_proxy_last_seen_seconds{proxy="odd"} 9' in text
    assert 'casb_spool_pending_bytes{proxy="a\\"\\\\\\nb"} 7' in text
    assert 'casb_spool_lag_seconds{proxy="odder"} 0' in text
