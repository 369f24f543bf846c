"""Reserves from the limits that other processes of this script use at the same time, until nothing is left of them.

Usage: reserve_target.py REDIS_URL NUMBER; says how many calls it had admitted, and the most it had at once.
"""

from __future__ import annotations

import asyncio
import sys

from pydantic import SecretStr

from causeway.contracts.clock import SystemClock
from causeway.settings import RedisSettings
from causeway.storage.redis_state import RedisState
from causeway.testing.shared_state_contract import level, take, window

_ESTIMATE = 160
_USED = 40


async def _run(url: str, number: str) -> None:
    state = RedisState(RedisSettings(url=SecretStr(url)), clock=SystemClock())
    tokens, held = window(4_000, key="tokens"), level(7, key="at once")
    admitted = under_way = most = 0

    async def caller(name: str) -> None:
        nonlocal admitted, under_way, most
        tries = 0
        amount = _ESTIMATE
        while True:
            tries += 1
            reservation = f"{number}-{name}-{tries}"
            outcome = await take(state, reservation, amount, tokens, held)
            if outcome.refused is None:
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(0)
                under_way -= 1
                await state.settle(reservation, {"tokens": _USED})
                admitted += 1
            elif outcome.refused == tokens:
                if outcome.remaining[0] <= 0 and outcome.remaining[1] == held.limit:
                    return  # all is used and nobody is under way who could give back
                amount = _USED

    async with asyncio.TaskGroup() as group:
        for name in "abcdefghijkl":
            group.create_task(caller(name))
    await state.close()
    sys.stdout.write(f"{admitted} {most}\n")


asyncio.run(_run(sys.argv[1], sys.argv[2]))
