from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from causeway.contracts.clock import SystemClock
from causeway.errors import SharedStateUnavailableError
from causeway.settings import RedisSettings
from causeway.storage.process_state import ProcessState
from causeway.storage.redis_state import RedisState
from causeway.testing.clock import FrozenClock
from causeway.testing.shared_state_contract import level, take, total, window
from tests.conftest import RedisServer

Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


@pytest.fixture
async def state(redis_server: RedisServer) -> AsyncIterator[RedisState]:
    """At the server's time, as in production."""
    opened = RedisState(RedisSettings(url=SecretStr(redis_server.url)), clock=SystemClock())
    yield opened
    await opened.close()


@pytest.fixture
async def hasty(redis_server: RedisServer) -> AsyncIterator[RedisState]:
    """One that waits a third of a second only."""
    opened = RedisState(RedisSettings(url=SecretStr(redis_server.url), timeout_s=0.3), clock=SystemClock())
    yield opened
    await opened.close()


@contextlib.contextmanager
def _hanging(server: RedisServer) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(0, 130), st.integers(1, 40)),
        st.tuples(st.just("settle"), st.integers(0, 30), st.integers(0, 160)),
        st.tuples(st.just("wait"), st.sampled_from([1, 2, 12, 70, 239, 240, 244, 4000]), st.just(0)),
    ),
    max_size=40,
)


@given(steps=_STEPS)
@settings(max_examples=100, deadline=None)
def test_both_states_give_the_same_answers_to_any_history(
    redis_process: RedisServer, steps: list[tuple[str, int, int]]
) -> None:
    with redis.Redis.from_url(redis_process.url) as client:
        client.flushall()

    async def compare() -> None:
        clock = FrozenClock()
        meters = (
            window(200, key="minute"),
            window(400, key="hour", window_s=3600),
            level(4, key="at once"),
            total(1_500, clock.now().timestamp() + 7_000, key="money"),
        )
        there = RedisState(RedisSettings(url=SecretStr(redis_process.url)), clock=clock, time_from="clock")
        both = ProcessState(clock=clock), there
        for state in both:
            await state.load(meters[3], 100)
        for n, (step, amount, more) in enumerate(steps):
            if step == "wait":
                clock.advance(amount / 4)
            elif step == "take":
                here, away = [await take(state, f"r{n}", amount, *meters, lease_s=more) for state in both]
                assert here == away
            else:
                for state in both:
                    await state.settle(f"r{amount}", {"tokens": more, "micros": more})
        here, away = [await take(state, "end", 0, *meters) for state in both]
        assert here == away
        await there.close()

    asyncio.run(compare())


async def test_processes_together_never_exceed_a_limit_and_fill_it(
    state: RedisState, redis_server: RedisServer
) -> None:
    script = Path(__file__).with_name("reserve_target.py")
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            redis_server.url,
            str(number),
            stdout=asyncio.subprocess.PIPE,
        )
        for number in range(3)
    ]
    said = [(await process.communicate())[0].decode().split() for process in started]
    admitted, most_at_once = zip(*((int(first), int(second)) for first, second in said), strict=True)
    assert sum(admitted) == 100, "a hundred of 40 tokens fit, whatever was estimated for each"
    assert all(most <= 7 for most in most_at_once)
    meters = window(4_000, key="tokens"), level(7, key="at once")
    assert (await take(state, "last", 0, *meters)).remaining == (0, 6)


async def test_a_server_that_is_not_there_refuses_limits_and_forgets_values(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"redis://:s3cret@127.0.0.1:{port}/0"
    state = RedisState(RedisSettings(url=SecretStr(address)), clock=SystemClock())
    with caplog.at_level(logging.WARNING):
        with pytest.raises(SharedStateUnavailableError) as refused:
            await take(state, "a", 1, window(1))
        with pytest.raises(SharedStateUnavailableError):
            await state.load(total(1, 2e9), 0)
        await state.put("k", b"v", ttl_s=9)
        await state.append("k", b"v", ttl_s=9, most=9)
        await state.delete("k")
        assert await state.get("k") is None
        assert await state.add("k", 2, ttl_s=9) == 2
        assert list(await state.entries("k")) == []
        await state.settle("a", {"tokens": 1})
        await state.close()
    assert refused.value.http_status == 503
    assert f"Redis at 127.0.0.1:{port} is out of reach" in refused.value.message
    assert "s3cret" not in refused.value.message + caplog.text
    assert [record.message for record in caplog.records].count("Redis is out of reach") == 1


async def test_a_server_that_hangs_is_waited_for_no_longer_than_its_deadline(
    hasty: RedisState, redis_server: RedisServer
) -> None:
    await hasty.put("k", b"v", ttl_s=60)
    with _hanging(redis_server):
        with pytest.raises(SharedStateUnavailableError, match="no answer within"):
            await take(hasty, "a", 1, window(1))
        assert await hasty.get("k") is None


async def test_what_a_hanging_server_took_after_all_is_given_back(
    hasty: RedisState, redis_server: RedisServer, eventually: Eventually
) -> None:
    meters = window(100), level(1)
    await take(hasty, "warm", 0, meters[0])
    with _hanging(redis_server), pytest.raises(SharedStateUnavailableError):
        await take(hasty, "a", 100, *meters)

    async def all_is_back() -> bool:
        return (await take(hasty, "probe", 0, window(100), level(1))).remaining == (100, 0)

    await eventually(lambda: _without_error(all_is_back))


async def test_a_settlement_during_an_outage_counts_once_the_server_is_back(
    hasty: RedisState, redis_server: RedisServer, eventually: Eventually
) -> None:
    meter = window(100)
    await take(hasty, "a", 90, meter)
    await take(hasty, "b", 10, meter)
    with _hanging(redis_server):
        await hasty.settle("a", {"tokens": 20})
        await hasty.settle("b", {"tokens": 5})

    async def counts() -> bool:
        return (await take(hasty, "probe", 0, meter)).remaining == (75,)

    await eventually(lambda: _without_error(counts))


async def test_a_caller_that_leaves_while_it_reserves_holds_nothing(
    state: RedisState, redis_server: RedisServer, eventually: Eventually
) -> None:
    meters = window(100), level(1)
    await take(state, "warm", 0, meters[0])
    with _hanging(redis_server):
        leaving = asyncio.ensure_future(take(state, "a", 100, *meters))
        done, _ = await asyncio.wait([leaving], timeout=0.05)
        assert not done
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving

    async def all_is_back() -> bool:
        return (await take(state, "probe", 0, *meters)).remaining == (100, 0)

    await eventually(all_is_back)


async def test_a_reservation_given_up_cannot_be_made_by_a_script_that_comes_late(
    state: RedisState, redis_server: RedisServer, eventually: Eventually
) -> None:
    meters = window(100), level(1)
    leaving = asyncio.ensure_future(take(state, "a", 100, *meters))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving

    async def is_given_up() -> bool:
        with redis.Redis.from_url(redis_server.url) as client:
            return bool(client.get("{causeway}:reservation:a") == b"")

    await eventually(is_given_up)
    assert (await take(state, "a", 100, *meters)).remaining == (100, 1)


async def test_settling_finishes_though_its_task_is_cancelled_before_a_byte_is_sent(
    state: RedisState, redis_server: RedisServer, eventually: Eventually
) -> None:
    meters = window(100), level(1)
    await take(state, "a", 90, *meters)
    unconnected = RedisState(RedisSettings(url=SecretStr(redis_server.url)), clock=SystemClock())
    settling = asyncio.ensure_future(unconnected.settle("a", {"tokens": 10}))
    await asyncio.sleep(0)
    settling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settling

    async def is_settled() -> bool:
        return (await take(state, "probe", 0, window(100))).remaining == (90,)

    await eventually(is_settled)
    await unconnected.close()


async def test_a_server_that_lost_its_memory_asks_for_budgets_again(
    state: RedisState, redis_server: RedisServer
) -> None:
    meter = total(1_000, 4e9)
    await state.load(meter, 400)
    await take(state, "a", 100, meter)
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        client.script_flush()
    await state.settle("a", {"micros": 50})
    assert (await take(state, "b", 1, meter)).unknown == (meter,)


async def test_a_primary_that_became_a_replica_is_left_for_the_one_behind_its_address(
    state: RedisState, redis_server: RedisServer
) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        await take(state, "a", 1, window(100))
        known = {one["id"] for one in client.client_list() if one["name"] == "causeway"}
        client.replicaof("127.0.0.1", "1")
        try:
            with pytest.raises(SharedStateUnavailableError, match="read only replica"):
                await take(state, "b", 1, window(100))
        finally:
            client.replicaof("NO", "ONE")
        assert (await take(state, "c", 1, window(100))).refused is None
        assert known.isdisjoint({one["id"] for one in client.client_list()})


async def test_every_key_has_an_end(state: RedisState, redis_server: RedisServer) -> None:
    await state.load(total(1_000, 4e9), 0)
    await take(state, "a", 10, window(100), level(2), total(1_000, 4e9))
    await take(state, "b", 10, window(100))
    await state.settle("b", {"tokens": 20})
    await state.settle("nobody", {"tokens": 20})
    await state.put("k", b"v", ttl_s=9)
    await state.add("k", 1, ttl_s=9)
    await state.append("k", b"v", ttl_s=9, most=9)
    with redis.Redis.from_url(redis_server.url) as client:
        lives = {key: client.pttl(key) for key in client.scan_iter()}
    assert len(lives) == 7
    assert all(key.startswith(b"{causeway}:") and life > 0 for key, life in lives.items()), lives


async def _without_error(condition: Callable[[], Awaitable[bool]]) -> bool:
    """False as long as the server is still out of reach."""
    try:
        return await condition()
    except SharedStateUnavailableError:
        return False
