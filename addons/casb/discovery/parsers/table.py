"""The table of all log parsers."""

from __future__ import annotations

from casb.discovery.parser import Parsers
from casb.discovery.parsers import asa, checkpoint, fortinet, generic, paloalto, squid, w3c, zscaler

PARSERS = Parsers(
    *squid.PARSERS,
    *w3c.PARSERS,
    *zscaler.PARSERS,
    *paloalto.PARSERS,
    *fortinet.PARSERS,
    *checkpoint.PARSERS,
    *asa.PARSERS,
    *generic.PARSERS,
)
