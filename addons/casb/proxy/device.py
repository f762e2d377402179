"""The way of a sign-in over `device.<suffix>`, where browsers are asked for a client certificate.

    login host   ask: a one-time token for the login and what waits; the browser goes to the device host
    device host  presented: the certificate is checked; the outcome is kept under another one-time token
    login host   take: only the browser whose login it is may fetch the outcome, which is kept with the login

Two tokens, and the login's own cookie at both ends: a link to the device host, sent to somebody with a managed device,
must not make the sender's session a managed one. Whatever goes wrong with a certificate makes the device unmanaged and
is recorded; it never keeps anybody from signing in (MDCA: "any failure: treated as unmanaged").
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from dataclasses import replace
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.serialization import Encoding
from mitmproxy import http

from casb.connectors.live import Login
from casb.control.asked import asks_for_certificates
from casb.control.pages import Page, redirect
from casb.errors import TokenError
from casb.identity.certificates import CertificateError, read_header, read_sent
from casb.identity.devices import RETRY, CertificateCheck, check_json, is_check_due
from casb.identity.sessions import PendingRequest, agent_digest, is_id
from casb.model.activity import ActivityType
from casb.model.identity import DeviceTag
from casb.proxy.faults import log_fault
from casb.proxy.incidents import incident
from casb.proxy.runtime import Runtime, now
from casb.proxy.sessions import Sessions
from casb.proxy.translate import State

logger = logging.getLogger(__name__)

DEVICE_PATH: Final = "/.casb/device"
LIFE: Final = 180.0  # seconds: a person may have to choose a certificate
_LATER: Final = frozenset({"I036", "I038", "fault"})  # what may be different soon


class DeviceHop:
    """Asks browsers for their certificate, once for a session."""

    def __init__(self, runtime: Runtime, sessions: Sessions) -> None:
        self.runtime, self.sessions = runtime, sessions

    def is_due(self, state: State, login: Login, pending: PendingRequest) -> bool:
        """Whether a browser on its way to an app must be asked first."""
        if self.runtime.certificates is None or not asks_for_certificates(state.snapshot, pending.app):
            return False
        return is_check_due(login.record.certificate, state.ip, _agent(state), now())

    async def ask(self, state: State, login: Login, pending_id: str) -> str:
        """Where to send the browser."""
        token = secrets.token_urlsafe(32)
        await self._keep("hop", token, {"login": login.key.hex(), "pending": pending_id})
        settings = state.snapshot.settings
        return f"{settings.address_of(settings.device_host)}{DEVICE_PATH}?t={token}"

    async def presented(self, flow: http.HTTPFlow, state: State) -> Page:
        """On the device host: check what the browser presents, and send it back."""
        waits = await self._taken("hop", flow.request.path)
        check = await self._checked(flow, state)
        token = secrets.token_urlsafe(32)
        await self._keep("seen", token, {**waits, "check": check_json(check)})
        settings = state.snapshot.settings
        url = f"{settings.address_of(settings.login_host)}{DEVICE_PATH}?r={token}"
        # The next question is answered on a connection of its own, and so by the certificate that is there then.
        return redirect(url, headers=(("connection", "close"), ("cache-control", "no-store")))

    async def take(self, flow: http.HTTPFlow, login_cookie: str | None) -> tuple[Login, str]:
        """Back on the login host: the login with the outcome, and what waits. `TokenError` for another browser."""
        seen = await self._taken("seen", flow.request.path)
        login = await self.runtime.sign_in.login_for(login_cookie)
        if login is None or login.key.hex() != seen["login"]:
            raise TokenError("I037", "the device check belongs to another browser or session")
        check = CertificateCheck(**seen["check"])
        if check.tags and check.device_id and self.runtime.directory is not None:
            user = login.record.user
            check = replace(check, tags={**self.runtime.directory.by_certificate(user, check.device_id), **check.tags})
        before = login.record.certificate
        if before is not None and before.fingerprint and before.fingerprint != check.fingerprint:
            self.runtime.counters["certificates_changed"] += 1
            logger.warning("device certificate changed session=%s", login.record.id)
        login = Login(key=login.key, record=replace(login.record, certificate=check))
        await self.runtime.sign_in.save(login)
        return login, str(seen["pending"])

    async def _checked(self, flow: http.HTTPFlow, state: State) -> CertificateCheck:
        present = now().timestamp()
        valid_for = state.snapshot.settings.client_certificates
        until = present + (valid_for.valid_for if valid_for else 0)
        check = CertificateCheck(at=present, until=until, ip=state.ip, agent=_agent(state))
        certificates = self.runtime.certificates
        try:
            if certificates is None:
                raise CertificateError("I038", "no authority for devices is configured")
            header = certificates.settings.header
            if header is None:
                kind, sent = "certificate", read_sent(_sent(flow))
            elif self.sessions.is_trusted_peer(flow, state):
                kind, sent = "header", read_header(header, _only(flow, header))
            else:
                raise CertificateError("I030", "the certificate header comes from nobody who may send it")
            proof = await certificates.check(sent)
        except CertificateError as error:
            return self._refused(state, check, error.code, error.message)
        except Exception:
            log_fault(logger, "a certificate could not be checked: the device counts as unmanaged")
            return self._refused(state, check, "fault", "the certificate could not be checked")
        finally:
            self._tell_problem()
        self.runtime.counters["certificates_proven"] += 1
        source = proof.source.replace("certificate:", f"{kind}:", 1)
        return replace(
            check,
            until=min(until, proof.ends.timestamp()),
            fingerprint=proof.fingerprint,
            device_id=proof.device_id,
            tags={DeviceTag.CLIENT_CERTIFICATE.value: source},
        )

    def _refused(self, state: State, check: CertificateCheck, code: str, why: str) -> CertificateCheck:
        self.runtime.counters[f"certificates_{code}"] += 1
        if code != "I030":  # Most devices have none, which is no news.
            agent = state.fields.get(b"user-agent", b"").decode("utf-8", "replace")
            incident(
                self.runtime, code=code, fact=why, ip=state.ip, facts=state.facts, agent=agent, kind=ActivityType.LOGON
            )
        later = min(check.until, check.at + RETRY)
        return replace(check, code=code, until=later if code in _LATER else check.until)

    def _tell_problem(self) -> None:
        certificates = self.runtime.certificates
        if certificates is not None and certificates.problem:
            self.runtime.checks["certificates"] = certificates.problem
        else:
            self.runtime.checks.pop("certificates", None)

    async def _keep(self, kind: str, token: str, value: dict[str, object]) -> None:
        await self.runtime.sessions.put(kind, _key(token), orjson.dumps(value), ttl=LIFE)

    async def _taken(self, kind: str, path: str) -> dict[str, Any]:
        token = path.partition("?")[2].partition("&")[0].partition("=")[2]
        data = await self.runtime.sessions.take(kind, _key(token)) if is_id(token) else None
        if data is None:
            raise TokenError("I037", "the device check was used before, is too old, or was never asked for")
        found: dict[str, Any] = orjson.loads(data)
        return found


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii", "replace")).digest()


def _agent(state: State) -> str:
    return agent_digest(state.fields.get(b"user-agent", b"").decode("utf-8", "replace"))


def _sent(flow: http.HTTPFlow) -> list[bytes]:
    """What the client sent in its handshake, DER, leaf first."""
    return [each.to_cryptography().public_bytes(Encoding.DER) for each in flow.client_conn.certificate_list]


def _only(flow: http.HTTPFlow, header: str) -> str:
    """The value of a header that may be there once."""
    values = flow.request.headers.get_all(header)
    if len(values) > 1:
        raise CertificateError("I031", "the certificate header is there more than once")
    return values[0] if values else ""
