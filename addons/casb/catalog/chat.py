"""Chat applications: which requests carry what somebody says to one, and the text in them.

By the public shapes of their interfaces (OpenAI and whatever is compatible with it, Anthropic, Gemini, the web pages of
some) and, for anything else that an app's signatures call `send_item`, by a general rule: what reads like text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import translate
from typing import Any
from urllib.parse import parse_qsl

import orjson

from casb.model.activity import RequestFacts, RequestMode

PATHS = (
    "*/v1/chat/completions",
    "*/v1/completions",
    "*/v1/responses",
    "*/chat/completions",  # Azure OpenAI, OpenRouter, vLLM
    "*/v1/messages",
    "*/v1/complete",
    "*:generateContent",
    "*:streamGenerateContent",
    "*/backend-api/conversation",
    "*/backend-api/f/conversation",
    "*/backend-anon/conversation",
    "*/api/organizations/*/chat_conversations/*/completion",
    "*/BardFrontendService/StreamGenerate",
    "*/c/api/chat",
    "*/api/chat",
    "*/api/generate",
    "*/turing/conversation/*",
)
"""Addresses at which chat applications take what is said to them."""

LONGEST = 1_000_000
"""Characters of a text that are looked at; a longer one counts as not told (`unscannable`)."""

_SENDING = re.compile("|".join(translate(each) for each in PATHS))
_TYPES = frozenset({"application/json", "application/x-www-form-urlencoded", "text/plain", ""})
_SAID = frozenset({"messages", "contents", "prompt", "input", "instructions", "system", "systemInstruction", "query"})
_TEXTS = frozenset({"content", "text", "parts", "prompt", "input", "query", "message", "value", "output"})
_OTHERS = frozenset({"assistant", "model", "bot"})
_DEEPEST = 40


def is_prompt(request: RequestFacts) -> bool:
    """Whether a request goes where a chat application takes what is said to it."""
    if request.mode is RequestMode.WEBSOCKET:
        return _SENDING.match(request.path) is not None
    return request.method == "POST" and request.content_type in _TYPES and _SENDING.match(request.path) is not None


def text_of(body: bytes, content_type: str = "") -> str | None:
    """What somebody says in a body; "" when it holds none, None when it cannot be read or is too long.

    Answers of the application that are sent back as history are left out.
    """
    if content_type == "application/x-www-form-urlencoded":
        try:
            pairs = parse_qsl(body.decode("utf-8"), max_num_fields=1000)
        except ValueError:
            return None
        found = "\n".join(text for _, value in pairs for text in _of_string(value))
        return found if len(found) <= LONGEST else None
    try:
        data = orjson.loads(body)
    except ValueError:
        return None if content_type == "application/json" else _plain(body)
    found = "\n".join(_of(data))
    return found if len(found) <= LONGEST else None


def _plain(body: bytes) -> str | None:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if len(text) <= LONGEST else None


def _of(data: Any) -> Iterator[str]:
    if isinstance(data, dict) and (known := _SAID & data.keys()):
        for name in sorted(known):
            yield from _said(data[name], 0)
    else:
        yield from _readable(data, 0)


def _said(value: Any, depth: int) -> Iterator[str]:
    """The texts below a place where texts stand."""
    if isinstance(value, str):
        yield value
    elif depth > _DEEPEST:
        yield orjson.dumps(value).decode()
    elif isinstance(value, list):
        for each in value:
            yield from _said(each, depth + 1)
    elif isinstance(value, dict):
        role = value.get("role") or (value.get("author") or {}).get("role") if _has_role(value) else None
        if role in _OTHERS:
            return
        for name, each in value.items():
            if name in _TEXTS or isinstance(each, dict | list):
                yield from _said(each, depth + 1)


def _has_role(value: dict[str, Any]) -> bool:
    return "role" in value or isinstance(value.get("author"), dict)


def _readable(value: Any, depth: int) -> Iterator[str]:
    """Every string that reads like text: with a space in it, or long."""
    if isinstance(value, str):
        yield from _of_string(value)
    elif depth > _DEEPEST:
        yield orjson.dumps(value).decode()
    elif isinstance(value, list):
        for each in value:
            yield from _readable(each, depth + 1)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _readable(each, depth + 1)


def _of_string(value: str) -> Iterator[str]:
    if value[:1] in ("{", "["):
        try:
            yield from _readable(orjson.loads(value), 1)
        except ValueError:
            yield value
    elif " " in value.strip() or len(value) >= 8:
        yield value
