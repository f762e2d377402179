"""Rows as an endpoint agent tells them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


def row(host: str | None = "www.dropbox.com", *, at: datetime = NOW, **facts: Any) -> dict[str, Any]:
    """A row of DeviceNetworkEvents as advanced hunting gives it."""
    return {
        "Timestamp": at.isoformat().replace("+00:00", "Z"),
        "DeviceId": "d1",
        "DeviceName": "PC1.corp.example",
        "ActionType": "ConnectionSuccess",
        "RemoteUrl": host,
        "RemoteIP": "198.51.100.7",
        "RemotePort": 443,
        "LocalIP": "10.0.0.5",
        "LocalPort": 50001,
        "Protocol": "Tcp",
        "InitiatingProcessAccountUpn": "ada@corp.example",
        "InitiatingProcessFileName": "chrome.exe",
        **facts,
    }


def blocked(host: str, *, at: datetime = NOW, category: str = "CasbPolicy", **facts: Any) -> dict[str, Any]:
    """A row of DeviceEvents: network protection blocked it."""
    return {
        "$table": "DeviceEvents",
        "Timestamp": at.isoformat(),
        "DeviceId": "d1",
        "DeviceName": "PC1.corp.example",
        "ActionType": "ExploitGuardNetworkProtectionBlocked",
        "RemoteUrl": host,
        "InitiatingProcessAccountUpn": "ada@corp.example",
        "AdditionalFields": json.dumps({"IsAudit": "false", "ResponseCategory": category}),
        **facts,
    }


def device(ident: str = "d1", *, at: datetime = NOW, **facts: Any) -> dict[str, Any]:
    """A row of DeviceInfo."""
    return {
        "Timestamp": at.isoformat(),
        "DeviceId": ident,
        "DeviceName": "PC1.corp.example",
        "OSPlatform": "Windows11",
        "MachineGroup": "Sales",
        "ExposureLevel": "Low",
        "PublicIP": "203.0.113.1",
        "LoggedOnUsers": '[{"UserName":"ada","DomainName":"CORP"}]',
        **facts,
    }


def streamed(properties: dict[str, Any], table: str = "DeviceNetworkEvents") -> dict[str, Any]:
    """A record of the streaming API."""
    return {
        "time": (NOW + timedelta(minutes=1)).isoformat(),
        "tenantId": "00000000-0000-0000-0000-000000000001",
        "operationName": "Publish",
        "category": f"AdvancedHunting-{table}",
        "properties": properties,
    }
