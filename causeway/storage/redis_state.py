"""Shared state on a Redis, for many processes: one Lua script a step, the server's time, one round trip.

A single Redis 7 or Valkey, or a primary behind one address. A cluster gains nothing here: all keys carry one hash tag and
so live on one node. `docs/adr/0009-exact-limits.md` says what happens when it restarts, loses its memory or is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError

from causeway.contracts.clock import Clock
from causeway.errors import SharedStateUnavailableError
from causeway.settings import RedisSettings
from causeway.storage import redis_scripts
from causeway.storage.gauges import told
from causeway.storage.shared_state import LATE_SETTLEMENT_S, Meter, Reserved

log = logging.getLogger(__name__)

_PREFIX = "{causeway}"
_CONNECTIONS = 64
_REST_S = 1.0
"""How long values are not asked for after a failure, so that calls do not each wait for a server that hangs."""
_MOST_OWED = 10_000
"""Settlements kept while the server is away; the oldest beyond them stand as they were reserved."""
_BARRED_MS = 600_000
"""How long a reservation that was given up cannot be made by a script that comes late."""

Answer = TypeVar("Answer")

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


@dataclass(frozen=True, slots=True)
class _Settlement:
    reservation: str
    amounts: Mapping[str, int]
    barred_ms: int = 0


class RedisState:
    """The `SharedState` on a server.

    Args:
        settings: Its ``url``, and the longest wait for an answer.
        clock: When to try a server again that was away.
        time_from: Whose time windows and leases follow; ``clock`` is for tests, hosts' clocks differ.
    """

    def __init__(
        self, settings: RedisSettings, *, clock: Clock, time_from: Literal["server", "clock"] = "server"
    ) -> None:
        url = settings.url.get_secret_value()
        self._timeout_s = settings.timeout_s
        self._clock = clock
        self._time_from = time_from
        parts = urlsplit(url)
        self._place = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path
        self._redis = Redis.from_pool(
            BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                # `_ask` sets one deadline for the connection, the question and the answer together
                timeout=None,
                socket_timeout=None,
                socket_connect_timeout=None,
                # a connection that broke while idle; every script but ADD and APPEND may run twice and count once
                retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
                client_name="causeway",
            )
        )
        self._reserve = self._redis.register_script(redis_scripts.RESERVE)
        self._settle = self._redis.register_script(redis_scripts.SETTLE)
        self._load = self._redis.register_script(redis_scripts.LOAD)
        self._add = self._redis.register_script(redis_scripts.ADD)
        self._append = self._redis.register_script(redis_scripts.APPEND)
        self._under_way: set[asyncio.Future[None]] = set()
        self._owed: deque[_Settlement] = deque(maxlen=_MOST_OWED)
        self._owed_back: deque[_Settlement] = deque(maxlen=_MOST_OWED)
        self._is_away = False
        self._rests_until = float("-inf")

    async def reserve(
        self, reservation: str, meters: Sequence[Meter], amounts: Mapping[str, int], *, lease_s: float
    ) -> Reserved:
        """Take every meter's share or nothing; see `SharedState.reserve`.

        Raises:
            SharedStateUnavailableError: The server cannot be reached.
        """
        keys = [_key("reservation", reservation), *(_key(meter.kind, meter.key) for meter in meters)]
        asked = [
            (meter.kind, meter.unit, meter.limit, amounts[meter.unit], meter.window_s, meter.ends_at)
            for meter in meters
        ]
        argument = _pack([self._time(), lease_s, LATE_SETTLEMENT_S, reservation, asked])
        try:
            answer = await self._ask(lambda: self._reserve(keys, [argument]))
        except BaseException:
            # the script may have run, or may still run: the server reads what it was sent before it sees us gone
            nothing = dict.fromkeys(amounts, 0)
            _ = self._started(self._pay(_Settlement(reservation, nothing, barred_ms=_BARRED_MS)))
            raise
        return _reserved(meters, answer)

    async def settle(self, reservation: str, amounts: Mapping[str, int]) -> None:
        """Replace amounts by what was really used; see `SharedState.settle`."""
        await asyncio.shield(self._started(self._pay(_Settlement(reservation, amounts))))

    async def load(self, meter: Meter, used: int) -> None:
        """Make a total known; see `SharedState.load`.

        Raises:
            SharedStateUnavailableError: The server cannot be reached.
        """
        argument = _pack([self._time(), used, meter.ends_at + LATE_SETTLEMENT_S])
        await self._ask(lambda: self._load([_key("total", meter.key)], [argument]))

    async def get(self, key: str) -> bytes | None:
        """A value, or None; see `SharedState.get`."""
        return await self._ask_lightly(lambda: self._redis.get(_key("value", key)), None)

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Keep a value for a while."""
        await self._ask_lightly(lambda: self._redis.set(_key("value", key), value, px=_ms(ttl_s)), None)

    async def delete(self, key: str) -> None:
        """Forget a value, a counter and a log."""
        names = [_key(kind, key) for kind in ("value", "counter", "log")]
        await self._ask_lightly(lambda: self._redis.unlink(*names), None)

    async def add(self, key: str, amount: int, *, ttl_s: float) -> int:
        """Add to a counter, which begins anew each time while out of reach; see `SharedState.add`."""
        return await self._ask_lightly(
            lambda: self._add([_key("counter", key)], [amount, _ms(ttl_s)]), amount
        )

    async def append(self, key: str, value: bytes, *, ttl_s: float, most: int) -> None:
        """Add to a log; see `SharedState.append`."""
        await self._ask_lightly(lambda: self._append([_key("log", key)], [value, most, _ms(ttl_s)]), None)

    async def entries(self, key: str, *, after: str = "") -> Sequence[tuple[str, bytes]]:
        """A log's values behind a position; see `SharedState.entries`."""
        behind = f"({after}" if after else "-"
        found: Sequence[tuple[bytes, Mapping[bytes, bytes]]] = await self._ask_lightly(
            lambda: self._redis.xrange(_key("log", key), min=behind), ()
        )
        return [(position.decode(), fields[b"v"]) for position, fields in found]

    async def close(self) -> None:
        """Finish what is under way, within the deadline of an answer, and let go of connections."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=self._timeout_s)
        if self._owed:
            log.error("settlements stand as reserved: Redis is not back", extra={"count": len(self._owed)})
        await self._redis.aclose()

    def _time(self) -> float:
        """What a script is told: zero lets it look itself."""
        return 0.0 if self._time_from == "server" else self._clock.now().timestamp()

    async def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any:
        """The answer, within the deadline.

        Raises:
            SharedStateUnavailableError: There is none.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await question()
        except (RedisError, OSError, TimeoutError) as exc:
            reason = str(exc) or f"no answer within {self._timeout_s:g} s"
            if not self._is_away:
                log.warning("Redis is out of reach", extra={"place": self._place, "reason": reason})
            self._is_away = True
            if isinstance(
                exc, ReadOnlyError
            ):  # a primary that is a replica now: its address may lead elsewhere
                await self._redis.connection_pool.disconnect(inuse_connections=False)
            self._rests_until = self._clock.monotonic() + _REST_S
            raise SharedStateUnavailableError(
                f"limits and budgets cannot be checked: Redis at {self._place} is out of reach ({reason}); "
                "try again, and see that it runs and that CAUSEWAY_REDIS__URL is right"
            ).after(_REST_S) from exc
        if self._is_away:
            log.warning("Redis is back", extra={"place": self._place})
            self._is_away = False
        if self._owed or self._owed_back:
            _ = self._started(self._pay((self._owed or self._owed_back).popleft()))
        return answer

    async def _ask_lightly(self, question: Callable[[], Awaitable[Any]], missing: Answer) -> Answer:
        """The answer, or ``missing`` when the server is out of reach."""
        if self._is_away and self._clock.monotonic() < self._rests_until:
            return missing
        try:
            answer: Answer = await self._ask(question)
        except SharedStateUnavailableError:
            return missing
        return answer

    async def _pay(self, settlement: _Settlement) -> None:
        """Settle, or owe it until the server is back; each payment that succeeds pays the next one owed."""
        key = _key("reservation", settlement.reservation)
        argument = _pack(
            [self._time(), settlement.reservation, settlement.barred_ms, dict(settlement.amounts)]
        )
        try:
            await self._ask(lambda: self._settle([key], [argument]))
        except SharedStateUnavailableError:
            (self._owed_back if settlement.barred_ms else self._owed).append(settlement)

    def _started(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        """Work that goes on when its caller is cancelled; `close` waits for it."""
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task


def _key(kind: str, name: str) -> str:
    return f"{_PREFIX}:{kind}:{name}"


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _reserved(meters: Sequence[Meter], answer: bytes) -> Reserved:
    unknown, refused, wait_s, remaining, resets = _unpack(answer)
    return Reserved(
        remaining=tuple(remaining),
        resets_in_s=tuple(float(seconds) for seconds in resets),
        refused=meters[refused] if refused >= 0 else None,
        retry_after_s=told(wait_s) if refused >= 0 else None,
        unknown=tuple(meters[place] for place in unknown),
    )
