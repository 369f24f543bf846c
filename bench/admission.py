"""What an admission costs: reserve and settle against five meters, in this process and on a Redis.

    redis-server --port 7399 --bind 127.0.0.1 --save "" --appendonly no &
    python -m bench.admission --redis redis://127.0.0.1:7399/0

Prints processor microseconds a call: without limits; with requests, tokens, calls at once and two budgets; with its
headers; and on the Redis, where it also prints how many calls a second one process gets through, 64 at once.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal

from pydantic import SecretStr

from bench.machine import describe
from causeway.contracts.clock import SystemClock
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.money import Micros
from causeway.gateway.admission import Admission, Demand
from causeway.gateway.tiers import Tiers
from causeway.settings import RedisSettings, TierSettings
from causeway.storage.process_state import ProcessState
from causeway.storage.redis_state import RedisState
from causeway.storage.shared_state import SharedState

_CALLER = Principal("key_1", "bench", frozenset({Scope.MODELS}), tier="t")
_DEMAND = Demand(tokens=1_200, cost_micros=Micros(900))
_AT_ONCE = 64
_ROUNDS = 5
_LIMITED = TierSettings(
    requests_per_minute=10_000_000,
    tokens_per_minute=1_000_000_000,
    concurrent_requests=100_000,
    key_budget_usd_per_day=Decimal(1_000_000),
    budget_usd_per_month=Decimal(1_000_000),
)


async def _nothing_spent(scope: str, name: str, start: datetime) -> Micros:  # noqa: ARG001
    return Micros(0)


def _admission(state: SharedState, tier: TierSettings) -> Admission:
    return Admission(state=state, tiers=Tiers({"t": tier}), spent=_nothing_spent, clock=SystemClock())


async def _calls(admission: Admission, names: list[str], *, with_headers: bool = False) -> None:
    for name in names:
        admitted = await admission.admit(_CALLER, _DEMAND, name)
        if with_headers:
            _ = admitted.headers
        await admitted.settle(tokens=700, cost_micros=Micros(500))


async def _in_process(tier: TierSettings, calls: int, *, with_headers: bool = False) -> float:
    """Processor microseconds a call, the best of five rounds."""
    admission = _admission(ProcessState(clock=SystemClock()), tier)
    best = float("inf")
    for attempt in range(_ROUNDS):
        names = [f"{attempt}-{n}" for n in range(calls)]
        began = time.process_time()
        await _calls(admission, names, with_headers=with_headers)
        best = min(best, (time.process_time() - began) / calls * 1e6)
    return best


async def _on_redis(url: str, calls: int) -> tuple[float, float]:
    """Processor microseconds a call in this process, and calls a second; the best of five rounds."""
    async with _opened(url) as state:
        admission = _admission(state, _LIMITED)
        best, fastest = float("inf"), 0.0
        for attempt in range(_ROUNDS):
            began, woke = time.process_time(), time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for task in range(_AT_ONCE):
                    names = [f"{attempt}-{task}-{n}" for n in range(calls // _AT_ONCE)]
                    group.create_task(_calls(admission, names))
            done = calls // _AT_ONCE * _AT_ONCE
            best = min(best, (time.process_time() - began) / done * 1e6)
            fastest = max(fastest, done / (time.perf_counter() - woke))
    return best, fastest


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[RedisState]:
    state = RedisState(RedisSettings(url=SecretStr(url)), clock=SystemClock())
    yield state
    await state.close()


async def _run(calls: int, redis_url: str) -> None:
    rows = [
        ("no limits", f"{await _in_process(TierSettings(), calls):.1f}"),
        ("five meters", f"{await _in_process(_LIMITED, calls):.1f}"),
        ("five meters, headers read", f"{await _in_process(_LIMITED, calls, with_headers=True):.1f}"),
    ]
    if redis_url:
        microseconds, a_second = await _on_redis(redis_url, max(_AT_ONCE, calls // 20))
        rows.append(
            (
                f"five meters on Redis, {_AT_ONCE} at once: {a_second:.0f} calls a second",
                f"{microseconds:.0f}",
            )
        )
    print(describe())
    print("\n| admit and settle | processor us a call |\n|---|---:|")
    for name, cost in rows:
        print(f"| {name} | {cost} |")


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--redis", default="", help="redis://127.0.0.1:6379/0")
    asked = parser.parse_args()
    asyncio.run(_run(asked.calls, asked.redis))


if __name__ == "__main__":
    main()
