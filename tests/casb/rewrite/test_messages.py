"""WebSocket text messages: names mapped both ways, whatever they are framed in, and lengths kept true."""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.model.app import View
from casb.rewrite.hosts import HostMap
from casb.rewrite.messages import message_to_origin, message_to_suffix

HOSTS = HostMap("casb.test", 443, ["app.example", "cdn.example"])
OUT = "https://app.example.casb.test/x"
HOME = "https://app.example/x"

PAIRS = [
    (f'{{"url":"{HOME}","n":1}}', f'{{"url":"{OUT}","n":1}}', "JSON"),
    (f'42["go",{{"to":"{HOME}"}}]', f'42["go",{{"to":"{OUT}"}}]', "socket.io"),
    (f'42/chat,7["go","{HOME}"]', f'42/chat,7["go","{OUT}"]', "socket.io with a namespace and an acknowledgement"),
    (f'["{HOME}"]', f'["{OUT}"]', "an array"),
    (f'a["{{\\"u\\":\\"{HOME}\\"}}"]', f'a["{{\\"u\\":\\"{OUT}\\"}}"]', "SockJS around JSON"),
    (f'{{"t":1,"a":["{HOME}"]}}\x1e{{"u":"{HOME}"}}\x1e', f'{{"t":1,"a":["{OUT}"]}}\x1e{{"u":"{OUT}"}}\x1e', "SignalR"),
    (f'MESSAGE\ndestination:/q\ncontent-length:{len(HOME) + 8}\n\n{{"u":"{HOME}"}}\x00', f'MESSAGE\ndestination:/q\ncontent-length:{len(OUT) + 8}\n\n{{"u":"{OUT}"}}\x00', "STOMP with a length"),
    (f'MESSAGE\nid:1\n\n["{HOME}"]\x00\n', f'MESSAGE\nid:1\n\n["{OUT}"]\x00\n', "STOMP without"),
    (f'{len(HOME) + 6}:42["{HOME}"]1:2', f'{len(OUT) + 6}:42["{OUT}"]1:2', "engine.io 3"),
    (f'7:["😀é"]{len(HOME) + 4}:["{HOME}"]', f'7:["😀é"]{len(OUT) + 4}:["{OUT}"]', "lengths in UTF-16 code units"),
]  # fmt: skip


@pytest.mark.parametrize(("home", "out", "why"), PAIRS)
def test_framings_both_ways(home: str, out: str, why: str) -> None:
    assert message_to_suffix(home.encode(), HOSTS, View.SUFFIX).decode() == out, why
    assert message_to_origin(out.encode(), HOSTS).decode() == home, why


def test_framed_text_inside_sockjs() -> None:
    home = b'a["MESSAGE\\ncontent-length:25\\n\\n[\\"https://app.example/x\\"]\\u0000"]'
    out = message_to_suffix(home, HOSTS, View.SUFFIX)
    assert b'content-length:35\\n\\n[\\"https://app.example.casb.test/x\\"]' in out
    assert message_to_origin(out, HOSTS) == home


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("see https://app.example/x", "what people say to each other"),
        ('{"text":"look at https://app.example/x, please"}', "in JSON too"),
        ('{"url":"https://app.example.evil/"}', "somebody else"),
        ("", "nothing"),
    ],
)
def test_what_stays(text: str, why: str) -> None:
    data = text.encode()
    assert message_to_suffix(data, HOSTS, View.SUFFIX) == data, why
    assert message_to_origin(data, HOSTS) is data


def test_the_origin_view_gets_what_was_sent() -> None:
    data = b'{"url":"https://app.example/x"}'
    assert message_to_suffix(data, HOSTS, View.ORIGIN) is data


def test_what_people_type_is_stored_under_its_own_name() -> None:
    said = b"do look at https://app.example.casb.test/x and app.example.casb.test"
    assert message_to_origin(said, HOSTS) == b"do look at https://app.example/x and app.example"


pieces = st.sampled_from(
    ["https://app.example", OUT, "5:", "a[", '["', '"]', "SEND\n", "content-length:", "9", "\n\n", "\x00", "{", "}", '"', "é", "😀", ","]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(pieces, max_size=12).map("".join).map(str.encode) | st.binary(max_size=40))
def test_any_message_comes_through(data: bytes) -> None:
    out = message_to_suffix(data, HOSTS, View.SUFFIX)
    assert b"casb.test" in out or out == data
    home = message_to_origin(data, HOSTS)
    assert b"app.example.casb.test/" not in home
    assert message_to_origin(home, HOSTS) == home


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(alphabet='ab{"\\é😀', max_size=8) | st.sampled_from([f'["{HOME}"]', "x"]), max_size=4))
def test_netstrings_keep_their_lengths(texts: list[str]) -> None:
    def packed(parts: list[str]) -> bytes:
        return "".join(f"{len(part.encode('utf-16-le')) // 2}:{part}" for part in parts).encode()

    assert message_to_suffix(packed(texts), HOSTS, View.SUFFIX) == packed([text.replace(HOME, OUT) for text in texts])
