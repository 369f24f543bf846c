"""Opens the gateway: the state that processes share, the ledger, the providers, and the steps that calls go through.

`Assembly.build` is the one place where settings become steps, at the start and whenever they change;
`causeway.gateway.live_settings` says when.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from uuid import uuid4

from causeway import seams
from causeway.contracts.clock import Clock
from causeway.gateway.admission import Admission, settle_call
from causeway.gateway.auto_route import AutoRoute
from causeway.gateway.breaker import Breakers
from causeway.gateway.call_record import Books
from causeway.gateway.failover import Failover
from causeway.gateway.gateway import Gateway, Steps
from causeway.gateway.ledger import Ledger, open_ledger
from causeway.gateway.live_settings import LiveSettings
from causeway.gateway.overrides import Overrides
from causeway.gateway.providers import Providers
from causeway.gateway.reply_cache import ReplyCache
from causeway.gateway.screening import Screening
from causeway.gateway.tiers import Tiers
from causeway.gateway.turns import Turns
from causeway.observability.lone_calls import LoneCalls
from causeway.observability.spans import Spans
from causeway.observability.trace_policy import TracePolicy
from causeway.settings import Settings, Source
from causeway.storage.background import alongside
from causeway.storage.database import Database
from causeway.storage.notices import Notices
from causeway.storage.process_state import ProcessState
from causeway.storage.shared_state import SharedState

log = logging.getLogger(__name__)

_LEASE_MARGIN_S = 60.0
"""A reservation outlives the longest call by this, so that none is given up while its call is under way."""
_DISCOVER_EVERY_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What settings have become; a `causeway.gateway.live_settings.Generation`."""

    settings: Settings
    providers: Providers
    steps: Steps

    async def retire(self) -> None:
        """Wait until the calls of these steps have ended, as long as a call may take, and close what nobody took over."""
        await self.providers.retire(longest_s=self.settings.gateway.deadline_s)

    async def close(self) -> None:
        """Close what nobody took over."""
        await self.providers.close()


class Assembly:
    """Makes steps of settings, over what stays the same while settings change.

    Args:
        state: Where limits, budgets, the cache and the breakers are.
        is_shared: Whether other processes use ``state`` too.
        ledger: Knows what was spent.
        clock: For everything that measures time.
        run_dir: Where local models keep their addresses.
    """

    def __init__(
        self, *, state: SharedState, is_shared: bool, ledger: Ledger, clock: Clock, run_dir: Path
    ) -> None:
        self._state = state
        self._shared = state if is_shared else None
        self._ledger = ledger
        self._clock = clock
        self._run_dir = run_dir
        self._random = Random()  # noqa: S311 - spreads calls and retries; nothing to guess
        self._auto = AutoRoute.packaged()
        self._turns = Turns({}, clock=clock)
        self._process = uuid4().hex

    def build(self, settings: Settings, before: Built | None = None) -> Built:
        """The steps that ``settings`` ask for; what has not changed goes on being used.

        Nothing is in force yet: `adopt` does what concerns calls that are under way.

        Raises:
            SettingsError: A name leads nowhere, or a value cannot be used; nothing of ``before`` is changed then.
            CausewayError: A guard or a provider cannot be opened.
        """
        screening = Screening(settings.guard)
        tiers = Tiers(settings.tiers)
        breakers = self._breakers(settings, before)
        cache = self._cache(settings, before)
        providers = Providers(
            settings,
            run_dir=self._run_dir,
            clock=self._clock,
            random=self._random,
            before=before.providers if before else None,
        )
        routes = providers.routes()
        steps = Steps(
            settings=settings.gateway,
            tiers=tiers,
            routes=routes,
            embedder=routes.embed("embed").first.name if routes.knows("embed") else "",
            auto=self._auto,
            screening=screening,
            admission=Admission(
                state=self._state,
                tiers=tiers,
                spent=self._ledger.spent,
                clock=self._clock,
                lease_s=settings.gateway.deadline_s + _LEASE_MARGIN_S,
            ),
            cache=cache,
            failover=Failover(
                settings.gateway,
                breakers=breakers,
                turns=self._turns,
                clock=self._clock,
                random=self._random,
            ),
        )
        return Built(settings=settings, providers=providers, steps=steps)

    def adopt(self, built: Built) -> None:
        """Let calls take turns as the settings of ``built`` say."""
        providers = built.settings.providers
        self._turns.set_bounds({name: one.max_concurrent for name, one in providers.items()})

    def _breakers(self, settings: Settings, before: Built | None) -> Breakers:
        now = settings.gateway
        if before is not None:
            then = before.settings.gateway
            if (now.breaker_failures, now.breaker_rest_s) == (then.breaker_failures, then.breaker_rest_s):
                return before.steps.failover.breakers
        return Breakers(
            failures=now.breaker_failures,
            rest_s=now.breaker_rest_s,
            clock=self._clock,
            shared=self._shared,
            process=self._process,
        )

    def _cache(self, settings: Settings, before: Built | None) -> ReplyCache:
        now = settings.gateway
        if before is not None:
            then = before.settings.gateway
            if (now.cache_ttl_s, now.cache_bytes) == (then.cache_ttl_s, then.cache_bytes):
                return before.steps.cache
        return ReplyCache(
            clock=self._clock, ttl_s=now.cache_ttl_s, most_bytes=now.cache_bytes, shared=self._shared
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenGateway:
    """The gateway of this process and what it stands on."""

    gateway: Gateway
    live: LiveSettings[Built]
    ledger: Ledger
    state: SharedState


@asynccontextmanager
async def open_gateway(
    settings: Settings,
    *,
    source: Source,
    database: Database,
    notices: Notices,
    run_dir: Path,
    spans: Spans,
    lone_calls: LoneCalls | None,
) -> AsyncIterator[OpenGateway]:
    """The gateway, until the block ends; nothing is connected to a provider or loaded yet.

    Args:
        settings: What this process was started with.
        source: Where they are read anew when they change.
        database: Holds the ledger and what was changed on pages.
        notices: Tells of changes that other processes make.
        run_dir: The journal, and local models' addresses.
        spans: Records traces; its clock is for everything that measures time.
        lone_calls: Says which calls have no span.

    Raises:
        SettingsError: A setting cannot be used.
        DiskFullError: There is no room for the journal.
        CausewayError: The shared state or the ledger cannot be opened.
    """
    async with AsyncExitStack() as opened:
        clock = spans.clock
        is_shared = bool(settings.redis.url.get_secret_value())
        state: SharedState = ProcessState(clock=clock)
        if is_shared:
            state = seams.library("causeway.storage.redis_state").RedisState(settings.redis, clock=clock)
        opened.push_async_callback(state.close)
        ledger = await opened.enter_async_context(
            open_ledger(
                database,
                run_dir / "journal",
                flush_s=settings.gateway.ledger_flush_s,
                settle=partial(settle_call, state),
            )
        )
        assembly = Assembly(state=state, is_shared=is_shared, ledger=ledger, clock=clock, run_dir=run_dir)
        live = LiveSettings(
            settings, source=source, overrides=Overrides(database), build=assembly.build, notices=notices
        )
        await opened.enter_async_context(live.running())
        captures = TracePolicy(settings.telemetry).captures_call
        books = Books(ledger=ledger, spans=spans, clock=clock, captures=captures, lone_calls=lone_calls)
        gateway = Gateway(live.built.steps, books)

        def adopt(built: Built) -> None:
            assembly.adopt(built)
            gateway.steps = built.steps

        live.follow(adopt)
        assembly.adopt(live.built)
        await opened.enter_async_context(alongside(_keep_breakers_in_step(live), _keep_discovering(live)))
        yield OpenGateway(gateway=gateway, live=live, ledger=ledger, state=state)


async def _keep_breakers_in_step(live: LiveSettings[Built]) -> None:
    """Tell other processes of the breakers in force and learn of theirs."""
    renewed = asyncio.Event()
    live.follow(lambda _: renewed.set())
    while True:
        renewed.clear()
        await live.built.steps.failover.breakers.follow(renewed)  # returns at once where nothing is shared
        await renewed.wait()


async def _keep_discovering(live: LiveSettings[Built]) -> None:
    """Ask open servers what they offer, so that bare names of their models can be called."""
    renewed = asyncio.Event()
    live.follow(lambda _: renewed.set())
    while True:
        renewed.clear()
        for name, failure in (await live.built.providers.discover()).items():
            if failure is not None:
                log.info("models not listed", extra={"provider": name, "reason": failure.message})
        try:
            async with asyncio.timeout(_DISCOVER_EVERY_S):
                await renewed.wait()
        except TimeoutError:
            continue
