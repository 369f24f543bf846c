"""What an admission costs: reserve and settle against five meters, in this process.

    python -m bench.admission [--calls 100000]

Prints processor microseconds a call: without limits, with requests, tokens, calls at once and two budgets, with its headers, and,
when ``--redis URL`` is given, the same on a Redis.
"""

from __future__ import annotations

import argparse
import asyncio
import time
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

_LIMITED = TierSettings(
    requests_per_minute=10_000_000,
    tokens_per_minute=1_000_000_000,
    concurrent_requests=100_000,
    key_budget_usd_per_day=Decimal(1_000_000),
    budget_usd_per_month=Decimal(1_000_000),
)


async def _nothing_spent(scope: str, name: str, start: datetime) -> Micros:  # noqa: ARG001
    return Micros(0)


async def _measure(
    state: SharedState, tier: TierSettings, calls: int, *, with_headers: bool = False
) -> float:
    """Processor microseconds a call, the best of five rounds; on a Redis those of this process alone."""
    clock = SystemClock()
    admission = Admission(state=state, tiers=Tiers({"t": tier}), spent=_nothing_spent, clock=clock)
    caller = Principal("key_1", "bench", frozenset({Scope.MODELS}), tier="t")
    demand = Demand(tokens=1_200, cost_micros=Micros(900))
    best = float("inf")
    for attempt in range(5):
        names = [f"{attempt}-{n}" for n in range(calls)]
        began = time.process_time()
        for name in names:
            admitted = await admission.admit(caller, demand, name)
            if with_headers:
                _ = admitted.headers
            await admitted.settle(tokens=700, cost_micros=Micros(500))
        best = min(best, (time.process_time() - began) / calls * 1e6)
    return best


async def _run(calls: int, redis_url: str) -> None:
    clock = SystemClock()
    rows = {
        "no limits": await _measure(ProcessState(clock=clock), TierSettings(), calls),
        "five meters": await _measure(ProcessState(clock=clock), _LIMITED, calls),
        "five meters, headers read": await _measure(
            ProcessState(clock=clock), _LIMITED, calls, with_headers=True
        ),
    }
    if redis_url:
        state = RedisState(RedisSettings(url=SecretStr(redis_url)), clock=clock)
        rows["five meters on Redis, one after the other"] = await _measure(
            state, _LIMITED, max(1, calls // 50)
        )
        await state.close()
    print(describe())
    print("\n| admit and settle | us a call |\n|---|---:|")
    for name, microseconds in rows.items():
        print(f"| {name} | {microseconds:.1f} |")


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--redis", default="", help="redis://127.0.0.1:6379/0")
    asked = parser.parse_args()
    asyncio.run(_run(asked.calls, asked.redis))


if __name__ == "__main__":
    main()
