"""Openings and entries for the tests of the ledger and its journal, and a shared state that is away."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import Any

import msgspec
from pydantic import SecretStr

from causeway.contracts.chat import Usage
from causeway.contracts.clock import Clock
from causeway.contracts.money import Micros
from causeway.gateway.entries import Opening, Row
from causeway.settings import RedisSettings
from causeway.storage.redis_state import RedisState

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
_ROW = Row(
    id="call_1",
    at=BEGAN,
    principal_id="key_1",
    purpose="api",
    operation="chat",
    model="words",
    provider="test",
    prompt="answer@3",
    input_tokens=90,
    output_tokens=200,
    cost_micros=3_000,
    outcome="ok",
    trace_id="ab" * 16,
    team="team_1",
    tier="pro",
    requested_model="chat",
    cached_input_tokens=10,
    reasoning_tokens=20,
    is_estimate=True,
    saved_micros=0,
    latency_ms=1_200,
    ttft_ms=80,
    attempts=2,
    cache=None,
    is_stream=True,
    route_reason="alias",
)


def an_opening(call_id: str, **changed: Any) -> Opening:
    return msgspec.structs.replace(_OPENING, id=call_id, **changed)


def an_entry(call_id: str, *, usage: Usage | None = None, **changed: Any) -> Row:
    """A call that has ended; ``cost`` and ``saved`` are micro-dollars."""
    for amount in {"cost", "saved"} & changed.keys():
        changed[f"{amount}_micros"] = changed.pop(amount)
    if usage is not None:
        changed |= {
            name: count for name, count in msgspec.structs.asdict(usage).items() if hasattr(_ROW, name)
        }
    return msgspec.structs.replace(_ROW, id=call_id, **changed)


def state_out_of_reach(clock: Clock) -> RedisState:
    """A shared state whose server is away."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return RedisState(RedisSettings(url=SecretStr(f"redis://127.0.0.1:{port}")), clock=clock)
