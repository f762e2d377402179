"""What is said to chat applications: found in the shapes that are known, and in any other by the general rule."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.chat import LONGEST, is_prompt, text_of
from casb.model.activity import RequestFacts, RequestMode


def request(path: str, method: str = "POST", kind: str = "application/json", **more: object) -> RequestFacts:
    return RequestFacts(method=method, scheme="https", host="h", port=443, path=path, content_type=kind, **more)  # type: ignore[arg-type]  # facts of a table


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (request("/v1/chat/completions"), True),
        (request("/openai/deployments/gpt/chat/completions"), True),
        (request("/v1/messages"), True),
        (request("/v1beta/models/gemini-pro:streamGenerateContent"), True),
        (request("/backend-api/f/conversation"), True),
        (request("/api/organizations/1/chat_conversations/2/completion"), True),
        (request("/v1/chat/completions", "GET"), False),
        (request("/v1/chat/completions", kind="image/png"), False),
        (request("/v1/models"), False),
        (request("/c/api/chat", "GET", "", mode=RequestMode.WEBSOCKET), True),
        (request("/socket", "GET", "", mode=RequestMode.WEBSOCKET), False),
    ],
)
def test_where_it_is_said(facts: RequestFacts, expected: bool) -> None:
    assert is_prompt(facts) is expected


SHAPES = {
    "openai": ({"model": "gpt", "messages": [{"role": "user", "content": "hello"}]}, "hello"),
    "history": ({"messages": [{"role": "assistant", "content": "no"}, {"role": "user", "content": "yes"}]}, "yes"),
    "parts": ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"text": "b"}]}]}, "a\nb"),
    "anthropic": ({"system": "be kind", "messages": [{"role": "user", "content": "hi"}]}, "hi\nbe kind"),
    "gemini": ({"contents": [{"parts": [{"text": "x"}]}, {"role": "model", "parts": [{"text": "y"}]}]}, "x"),
    "responses": ({"input": "tell me", "instructions": "shortly"}, "tell me\nshortly"),
    "chatgpt-web": ({"messages": [{"author": {"role": "user"}, "content": {"parts": ["q"]}}]}, "q"),
    "tool": ({"messages": [{"role": "tool", "content": "result"}]}, "result"),
    "unknown": ({"a": {"b": ["two words", "id-1"]}, "n": 7}, "two words"),
    "nested": ({"payload": json.dumps([["some words"]])}, "some words"),
    "nothing": ({"typing": True}, ""),
}


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_the_text_in_it(name: str) -> None:
    value, expected = SHAPES[name]
    assert text_of(json.dumps(value).encode(), "application/json") == expected


def test_what_cannot_be_read() -> None:
    assert text_of(b"{broken", "application/json") is None
    assert text_of(b"\xff\xfe", "text/plain") is None
    assert text_of(json.dumps({"prompt": "x" * (LONGEST + 1)}).encode()) is None
    assert text_of(b"plain words", "text/plain") == "plain words"


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["application/json", "application/x-www-form-urlencoded", ""]))
def test_any_bytes_give_a_text_or_none(body: bytes, kind: str) -> None:
    assert text_of(body, kind) is None or isinstance(text_of(body, kind), str)
