"""CORS preflights (Fetch section 4.8): asked without cookies, so by nobody we know, before a request that has them.

The application is asked, for the answer is its policy; with nothing but the question, and nothing but its answer to
the question comes back: no content, no cookie, no redirect is served without a session.
"""

from __future__ import annotations

from collections.abc import Mapping

from casb.rewrite.context import RewriteContext
from casb.rewrite.headers import Field, request_headers, response_headers
from casb.rewrite.hosts import HostMap

_ASKED = frozenset(
    b"host origin referer user-agent accept accept-language access-control-request-method "
    b"access-control-request-headers access-control-request-private-network sec-fetch-mode sec-fetch-site "
    b"sec-fetch-dest".split()
)
_TOLD = b"access-control-"


def is_preflight(method: str, fields: Mapping[bytes, bytes], hosts: HostMap) -> bool:
    """Is this a preflight on behalf of a page of one of our applications? `fields` have names in lower case."""
    origin = fields.get(b"origin", b"").decode("latin-1")
    return (
        method == "OPTIONS"
        and b"access-control-request-method" in fields
        and fields.get(b"content-length", b"0") == b"0"
        and b"transfer-encoding" not in fields
        and hosts.url_to_origin(origin) != origin
    )


def question(fields: list[Field], context: RewriteContext) -> list[Field]:
    """The request headers for the application."""
    return request_headers([pair for pair in fields if pair[0].lower() in _ASKED], context)


def answer(fields: list[Field], context: RewriteContext) -> list[Field]:
    """The response headers for the browser; the body stays out."""
    told = [pair for pair in fields if pair[0].lower().startswith(_TOLD) or pair[0].lower() == b"vary"]
    return [*response_headers(told, context), (b"Content-Length", b"0")]
