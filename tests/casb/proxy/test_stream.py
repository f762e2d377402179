"""What `proxy/stream.py` overrides inside mitmproxy is still what it was when it was written.

What the overrides do is shown over real sockets elsewhere; this tells an upgrade which of them to read again.
"""

from __future__ import annotations

import hashlib
import inspect

import pytest
from mitmproxy import version
from mitmproxy.proxy.layers.http import _http1

from casb.proxy import stream

ORIGINALS = {
    "check_body_size": "the limit of a held body",
    "state_wait_for_response_headers": "a response refused at the headers",
    "state_consume_request_body": "a refused upload",
    "state_stream_response_body": "a refusal in the middle of a stream",
    "state_done": "what was on its way when we hung up",
    "handle_protocol_error": "an origin that fails",
}


def test_the_version_is_the_one_that_was_read() -> None:
    assert version.VERSION == "12.2.3"


@pytest.mark.parametrize("name", ORIGINALS, ids=list(ORIGINALS.values()))
def test_what_is_overridden_exists_with_the_same_parameters(name: str) -> None:
    ours, theirs = getattr(stream.SealedStream, name), getattr(stream._original, name)
    assert ours is not theirs
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(inspect.unwrap(theirs)).parameters)


def test_nothing_else_is_overridden_unseen() -> None:
    public = {name for name in vars(stream.SealedStream) if not name.startswith("_")}
    inherited = {name for name in public if hasattr(stream._original, name)}
    assert inherited == set(ORIGINALS)


def test_the_originals_read_as_they_did() -> None:
    """Fails with the first upgrade: read the new originals, then write the new digest."""
    text = "".join(inspect.getsource(inspect.unwrap(getattr(stream._original, name))) for name in sorted(ORIGINALS))
    text += inspect.getsource(_http1.Http1Client.send)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "453c64aa6f54f6e6"
