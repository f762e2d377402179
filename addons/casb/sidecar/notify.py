"""Alerts by e-mail and webhook. What cannot be sent waits in the database and is tried again for a day."""

from __future__ import annotations

import hashlib
import hmac
import logging
import smtplib
import ssl
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from urllib.parse import urlsplit

import orjson

from casb.connectors.fetch import Fetcher
from casb.errors import ConnectorError, StoreError
from casb.model.record import rfc3339
from casb.settings import Mail, Settings, Webhook
from casb.sidecar.services import Services
from casb.store.alerts_sqlite import SEVERITIES, Alert, Notification

logger = logging.getLogger(__name__)

TIMEOUT = 10.0
_PAUSES = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=6))
MOST_TRIES = 8


class NotSent(Exception):
    """A message was not taken; the text says why, without addresses or contents."""


def watch(services: Services, over: threading.Event, every: float = 5.0) -> None:
    """Send what waits, until `over`."""
    while not over.is_set():
        try:
            send_due(services)
        except StoreError as error:
            logger.error("notifications cannot be read error=%r", str(error))
        over.wait(every)


def send_due(services: Services) -> int:
    """Send what is due now; how many were sent. Raises `StoreError`."""
    settings, now = services.settings.alerts, services.clock()
    sent = 0
    if settings.mail is None:
        services.alerts.drop_channel("email")
    else:
        for each in services.alerts.due("email", now):
            sent += _attempt(services, each, now, mail=settings.mail)
    if not settings.webhooks:
        services.alerts.drop_channel("webhook")
    for each in services.alerts.due("webhook", now):
        sent += _attempt(services, each, now, webhooks=settings.webhooks)
    return sent


def _attempt(
    services: Services, each: Notification, now: datetime, *, mail: Mail | None = None, webhooks: Sequence[Webhook] = ()
) -> bool:
    address = portal_address(services.settings, each.alert)
    try:
        if mail is not None:
            send_mail(mail, each, address, now)
        for hook in webhooks:
            if _severe(each.alert, hook.least):
                post(hook, each.alert, address)
    except NotSent as why:
        if each.tries + 1 >= MOST_TRIES:
            logger.error("notification given up alert=%s why=%r", each.alert.id, str(why))
            services.alerts.sent(each.seq)
        else:
            pause = _PAUSES[min(each.tries, len(_PAUSES) - 1)]
            logger.warning("notification not sent alert=%s why=%r again_in=%s", each.alert.id, str(why), pause)
            services.alerts.later(each.seq, now + pause)
        return False
    services.alerts.sent(each.seq)
    return True


def _severe(alert: Alert, least: str) -> bool:
    return SEVERITIES.index(alert.severity) >= SEVERITIES.index(least)


def portal_address(settings: Settings, alert: Alert) -> str:
    """Where the alert is in the portal."""
    base = settings.sidecar.public_url or settings.sidecar_url
    return f"{base.rstrip('/')}/alerts/{alert.id}"


def send_mail(mail: Mail, each: Notification, address: str, now: datetime) -> None:
    """One message to everybody who is to be told, each seeing only themselves. Raises `NotSent`."""
    to = dict.fromkeys([*(mail.to if _severe(each.alert, mail.least) else ()), *each.email])
    if not to:
        return
    host, _, port = mail.server.rpartition(":")
    context = ssl.create_default_context(cafile=mail.ca)
    try:
        if mail.tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host.strip("[]"), int(port), timeout=TIMEOUT, context=context)
        else:
            server = smtplib.SMTP(host.strip("[]"), int(port), timeout=TIMEOUT)
        with server:
            if mail.tls == "starttls":
                server.starttls(context=context)
            if mail.username and mail.password:
                server.login(mail.username, mail.password.reveal())
            for recipient in to:
                server.send_message(message(mail.sender, recipient, each.alert, address, now))
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise NotSent(f"mail server: {type(error).__name__}") from error


def message(sender: str, recipient: str, alert: Alert, address: str, now: datetime) -> EmailMessage:
    """The e-mail of an alert. Header values are made by the library, so that no title can add headers."""
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, recipient
    mail["Subject"] = f"[casb] {alert.severity}: {_line(alert.title)}"
    mail["Date"], mail["Message-ID"] = format_datetime(now), make_msgid(domain="casb.invalid")
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    lines = [
        f"{alert.title}",
        "",
        f"Severity  {alert.severity}",
        f"Policy    {alert.policy}",
        *([f"Person    {alert.user}"] if alert.user else []),
        *([f"App       {alert.app}"] if alert.app else []),
        *([f"Address   {alert.ip}"] if alert.ip else []),
        f"Time      {rfc3339(alert.time)}",
        "",
        address,
    ]
    mail.set_content("\n".join(_line(line) for line in lines) + "\n")
    return mail


def _line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:200]


def body(alert: Alert, address: str) -> bytes:
    """An alert as webhooks get it."""
    return orjson.dumps({**as_json(alert), "url": address})


def as_json(alert: Alert) -> dict[str, object]:
    """An alert as plain JSON data: `/v1/alerts`, webhooks and `casb alert` give the same."""
    return {
        "id": alert.id,
        "time": rfc3339(alert.time),
        "last": rfc3339(alert.last),
        "kind": alert.kind,
        "policy": alert.policy,
        "severity": alert.severity,
        "title": alert.title,
        "state": alert.state,
        "read": alert.read,
        "count": alert.count,
        "app": alert.app or None,
        "user": alert.user or None,
        "ip": alert.ip or None,
        "closed_by": alert.closed_by or None,
        "comment": alert.comment or None,
        "detail": dict(alert.detail),
        "activities": list(alert.activities),
    }


def signature(secret: str, content: bytes) -> str:
    """As in `X-Casb-Signature`: `sha256=` and the HMAC-SHA256 of the body in hexadecimal (RFC 2104)."""
    return "sha256=" + hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()


def post(hook: Webhook, alert: Alert, address: str) -> None:
    """Post an alert; only the configured host is ever talked to, redirects are not followed. Raises `NotSent`."""
    content = body(alert, address)
    headers = {"Content-Type": "application/json"}
    if hook.secret:
        headers["X-Casb-Signature"] = signature(hook.secret.reveal(), content)
    parts = urlsplit(hook.url)
    fetcher = Fetcher([parts.netloc], ca=hook.ca, timeout=TIMEOUT, limit=64 * 1024)
    try:
        fetcher.post(hook.url, data=content, headers=headers).raise_for_status()
    except ConnectorError as error:
        raise NotSent(f"webhook {parts.hostname}: {error.code}") from error
    finally:
        fetcher.close()
