"""Messages and passages as spans keep them: JSON in the shapes in use, read for people and for search.

Content of strangers' programs comes here too. What is no list of messages is shown as the text it is; nothing is lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A tool that a message asks for."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A message of a chat; ``tools`` are those it asks for."""

    role: str
    text: str
    tools: tuple[ToolUse, ...] = ()


def messages(value: object) -> tuple[Said, ...]:
    """The messages of ``value``: OpenAI's ``content`` and ``tool_calls``, and OpenTelemetry's ``parts``."""
    found = listed(value)
    if not found:
        return (Said(role="text", text=value),) if isinstance(value, str) and value not in ("", "[]") else ()
    return tuple(_said(each) for each in found)


def listed(value: object) -> list[Any]:
    """A list that may be JSON; whatever else programs store is no list."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (ValueError, RecursionError):  # also JSON that was cut
            return []
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _said(message: object) -> Said:
    if not isinstance(message, dict):
        return Said(role="text", text=as_text(message))
    content = message.get("content")
    if content is None or content == "":
        content = message.get("parts")
    texts, tools = [], []
    for part in content if isinstance(content, list) else [content]:
        if part is None:
            continue
        if (tool := _tool_use(part)) is not None:
            tools.append(tool)
        else:
            texts.append(_part(part))
    calls = message.get("tool_calls")
    tools += [tool for each in (calls if isinstance(calls, list) else ()) if (tool := _tool_use(each))]
    return Said(role=str(message.get("role", "")), text="\n".join(texts), tools=tuple(tools))


def _part(part: object) -> str:
    if isinstance(part, dict):
        for name in ("text", "content", "response", "result"):
            if part.get(name) is not None:
                return as_text(part[name])
    return as_text(part)


def _tool_use(part: object) -> ToolUse | None:
    """A tool that is asked for: OpenAI's ``function``, OpenTelemetry's part ``tool_call``, Anthropic's ``tool_use``."""
    if not isinstance(part, dict):
        return None
    function = part.get("function")
    called: Mapping[str, Any] = function if isinstance(function, dict) else part
    arguments = called.get("arguments", called.get("input"))
    if "name" not in called or (arguments is None and part.get("type") not in ("tool_call", "tool_use")):
        return None
    return ToolUse(name=str(called["name"]), arguments="" if arguments is None else as_text(arguments))
