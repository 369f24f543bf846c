"""Openings and entries for the tests of the ledger and its journal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from causeway.contracts.chat import Usage
from causeway.contracts.money import Micros
from causeway.gateway.entries import Entry, Opening

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

_OPENING = Opening(
    id="call_1",
    at=BEGAN,
    principal_id="key_1",
    team="team_1",
    tier="pro",
    purpose="api",
    operation="chat",
    model="chat",
    input_tokens=100,
    output_tokens=400,
    cost=Micros(5_000),
    prompt="answer@3",
    trace_id="ab" * 16,
    is_stream=True,
)
_ENTRY = Entry(
    id="call_1",
    at=BEGAN,
    principal_id="key_1",
    team="team_1",
    tier="pro",
    purpose="api",
    operation="chat",
    requested_model="chat",
    model="words",
    provider="test",
    usage=Usage(90, 200, cached_input_tokens=10, reasoning_tokens=20, is_estimate=True),
    cost=Micros(3_000),
    outcome="ok",
    latency_ms=1_200,
    ttft_ms=80,
    attempts=2,
    saved=Micros(0),
    cache=None,
    is_stream=True,
    route_reason="alias",
    prompt="answer@3",
    trace_id="ab" * 16,
)


def an_opening(call_id: str, **changed: Any) -> Opening:
    return msgspec.structs.replace(_OPENING, id=call_id, **changed)


def an_entry(call_id: str, **changed: Any) -> Entry:
    return msgspec.structs.replace(_ENTRY, id=call_id, **changed)
