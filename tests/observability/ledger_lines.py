"""Lines of a ledger by the thousand, for the tests of what is read from it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert

from causeway.storage.database import Database
from causeway.storage.schema import ledger


def a_line(number: int, at: datetime, **changed: Any) -> dict[str, Any]:
    """One call; what is not said is usual."""
    return {
        "id": f"call_{number}",
        "at": at,
        "principal_id": "key_1",
        "purpose": "api",
        "operation": "chat",
        "model": "words",
        "provider": "test",
        "prompt": None,
        "input_tokens": 90,
        "output_tokens": 10,
        "cost_micros": 1_000,
        "outcome": "ok",
        "trace_id": None,
        "team": None,
        "tier": "pro",
        "requested_model": "chat",
        "cached_input_tokens": 0,
        "reasoning_tokens": 0,
        "is_estimate": False,
        "saved_micros": 0,
        "latency_ms": 100,
        "ttft_ms": None,
        "attempts": 1,
        "cache": None,
        "is_stream": False,
        "route_reason": None,
        **changed,
    }


def mixed_lines(count: int, *, since: datetime, until: datetime, seed: int = 7) -> list[dict[str, Any]]:
    """Calls of all kinds, spread over a time."""
    chance = random.Random(seed)
    span_s = (until - since).total_seconds()
    lines = []
    for number in range(count):
        purpose, prompt = chance.choice(
            [("api", None), ("answer", "answer@1"), ("ask", None), ("analyst", "sql@2")]
        )
        cache = chance.choice([None, None, None, "exact", "semantic"])
        lines.append(
            a_line(
                number,
                since + timedelta(seconds=chance.random() * span_s),
                principal_id=chance.choice(["key_1", "key_2", "usr_1"]),
                purpose=purpose,
                prompt=prompt,
                operation="embeddings" if purpose == "ask" else "chat",
                model=chance.choice(["words", "large"]),
                team=chance.choice([None, "team_1", "team_2"]),
                tier=chance.choice(["free", "pro"]),
                input_tokens=chance.randrange(0, 3_000),
                output_tokens=chance.randrange(0, 900),
                cost_micros=0 if cache else chance.randrange(1, 5_000),
                saved_micros=chance.randrange(1, 5_000) if cache else 0,
                cache=cache,
                attempts=chance.choice([1, 1, 1, 2, 3]),
                outcome=chance.choice(["ok"] * 8 + ["cancelled", "rate_limited", "upstream_error"]),
                latency_ms=int(chance.lognormvariate(6, 1.5)),
                ttft_ms=chance.choice([None, int(chance.lognormvariate(4, 1))]),
            )
        )
    return lines


async def add(database: Database, lines: Sequence[dict[str, Any]]) -> None:
    """Put them into the ledger."""
    async with database.begin() as connection:
        await connection.execute(insert(ledger), list(lines))
