"""Spans and values as PostgreSQL takes them: it refuses U+0000 in text and JSON, and nothing takes lone surrogates; documents have both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec


class StoredSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A finished span as it is stored: what may not be kept is gone."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    started_at: datetime
    duration_s: float
    failure: str | None
    attributes: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]


def stored_json(value: object) -> str:
    """``value`` as JSON that PostgreSQL's jsonb takes."""
    try:
        written = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return msgspec.json.encode(cleaned(value)).decode()
    return msgspec.json.encode(cleaned(value)).decode() if "\\u0000" in written else written


def cleaned(value: Any) -> Any:
    """``value`` without what no column holds, in all its depth."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {cleaned(name): cleaned(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(entry) for entry in value]
    if isinstance(value, msgspec.Struct):
        return cleaned(msgspec.to_builtins(value))
    return value
