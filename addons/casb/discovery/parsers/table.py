"""The table of all log parsers."""

from __future__ import annotations

from casb.discovery.parser import Parsers
from casb.discovery.parsers import (
    asa,
    checkpoint,
    firewalls,
    forcepoint,
    fortinet,
    gateways,
    generic,
    ironport,
    juniper,
    meraki,
    neighbours,
    netskope,
    paloalto,
    skyhigh,
    sonicwall,
    sophos,
    squid,
    umbrella,
    w3c,
    webfilters,
    zscaler,
)

PARSERS = Parsers(
    *squid.PARSERS,
    *w3c.PARSERS,
    *ironport.PARSERS,
    *zscaler.PARSERS,
    *paloalto.PARSERS,
    *fortinet.PARSERS,
    *checkpoint.PARSERS,
    *asa.PARSERS,
    *meraki.PARSERS,
    *umbrella.PARSERS,
    *juniper.PARSERS,
    *sophos.PARSERS,
    *sonicwall.PARSERS,
    *firewalls.PARSERS,
    *forcepoint.PARSERS,
    *skyhigh.PARSERS,
    *netskope.PARSERS,
    *gateways.PARSERS,
    *webfilters.PARSERS,
    *neighbours.PARSERS,
    *generic.PARSERS,
)
