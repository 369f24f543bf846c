"""Makes a call that may fail succeed somewhere: tries again, goes on to the next route, and stops in time.

Waits between tries have full jitter (Brooker, https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/)
and are paid from a retry budget. A stream may change its route until its first chunk; from then on its error is the
caller's to see, because half of one answer and half of another are no answer. What the caller did wrong is never tried
again, and says nothing about the provider.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from random import Random
from typing import Generic, TypeVar

import msgspec

from causeway.contracts.chat import ChatChunk, ChatReply, ChatRequest
from causeway.contracts.clock import Clock
from causeway.errors import (
    BusyError,
    CausewayError,
    ContextLengthError,
    DeadlineError,
    InvalidInputError,
    OperatorError,
    TryLaterError,
    UnknownModelError,
    UpstreamRateLimitError,
)
from causeway.gateway.breaker import Breaker, Breakers, Permit
from causeway.gateway.call_deadline import Alarm, CallDeadline, WaitDeadline
from causeway.gateway.most_useful_error import most_useful_error
from causeway.gateway.retry_budget import RetryBudget
from causeway.gateway.routing import AnyProvider, Plan, Provider, Route
from causeway.gateway.turns import Turns
from causeway.models.provider import ChatProvider
from causeway.settings import GatewaySettings

Answer = TypeVar("Answer")
Sleep = Callable[[float], Awaitable[None]]

_FIRST_WAIT_S = 0.25
_LONGEST_WAIT_S = 8.0
_LONGEST_ASKED_S = 60.0
"""A provider that asks to wait longer is answered by telling the caller so."""
_PATIENCE_S = 1.0
"""A provider that asks to wait longer is left for the next route, if there is one."""
_MOST_BUDGETS = 4096


class Attempt(msgspec.Struct, frozen=True):
    """One try of a call, for traces and the ledger.

    Attributes:
        outcome: ``ok``, ``cancelled``, or the code of ``error``.
    """

    route: Route[AnyProvider]
    outcome: str
    seconds: float
    error: CausewayError | None = None


Attempted = Callable[[Attempt], None]


class Failover:
    """Makes calls along plans.

    Args:
        settings: Retries and their budget.
        breakers: What is left alone now.
        turns: How many calls a provider takes at a time; None bounds nothing.
        clock: Measures deadlines.
        random: Jitter.
        sleep: Waits between tries.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        breakers: Breakers,
        turns: Turns | None = None,
        clock: Clock,
        random: Random,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.settings = settings
        self.breakers = breakers
        self.turns = turns or Turns({}, clock=clock)
        self.clock = clock
        self.random = random
        self.sleep = sleep
        self._budgets: dict[str, RetryBudget] = {}
        self._alarm = Alarm()

    def complete(
        self,
        plan: Plan[ChatProvider],
        request: ChatRequest,
        *,
        deadline_s: float,
        attempted: Attempted | None = None,
        priority: int = 0,
    ) -> Awaitable[tuple[Route[ChatProvider], ChatReply]]:
        """The whole reply, and the route it came by.

        Raises:
            CausewayError: No route brought a reply; of all errors the one that helps the caller most.
        """
        return self.call(
            plan,
            lambda route: route.provider.complete(aimed(request, route)),
            deadline_s=deadline_s,
            attempted=attempted,
            priority=priority,
        )

    async def call(
        self,
        plan: Plan[Provider],
        make: Callable[[Route[Provider]], Awaitable[Answer]],
        *,
        deadline_s: float,
        attempted: Attempted | None = None,
        priority: int = 0,
    ) -> tuple[Route[Provider], Answer]:
        """What ``make`` brings from the first route that works, and that route.

        Args:
            plan: The routes.
            make: Makes the call on a route; may be called several times.
            deadline_s: The longest all tries together may take, waits included.
            attempted: Told of every try.
            priority: Where the call waits for a provider that takes only so many at a time, higher first.

        Raises:
            CausewayError: As for `complete`.
        """
        with plan.lease:
            run = _Run(self, plan, deadline_s, attempted)
            while True:
                route = await run.next_route()
                provider = route.provider.name
                try:
                    if self.turns.are_free(provider):
                        with WaitDeadline(run.left_s, self._alarm):
                            answer = await make(route)
                    else:
                        async with self.turns.turn(provider, priority, within_s=run.left_s):
                            with WaitDeadline(run.left_s, self._alarm):
                                answer = await make(route)
                except TimeoutError as exc:
                    run.ran_out_of_time(exc)
                except CausewayError as exc:
                    run.failed(exc)
                except BaseException:
                    run.abandoned()
                    raise
                else:
                    run.succeeded()
                    return route, answer

    async def stream(
        self,
        plan: Plan[ChatProvider],
        request: ChatRequest,
        *,
        deadline_s: float,
        attempted: Attempted | None = None,
        priority: int = 0,
    ) -> AsyncGenerator[tuple[Route[ChatProvider], ChatChunk], None]:
        """The reply as it is written, each chunk with its route, which is the same from the first chunk on.

        Closing it closes the provider's stream.

        Raises:
            CausewayError: Before the first chunk as for `complete`; after it the provider's own error.
        """
        with plan.lease:
            run = _Run(self, plan, deadline_s, attempted)
            while True:
                route = await run.next_route()
                turn = self.turns.turn(route.provider.name, priority, within_s=run.left_s)
                try:
                    async with turn, aclosing(route.provider.stream(aimed(request, route))) as chunks:
                        read = partial(anext, chunks, None)
                        with CallDeadline(run.left_s, self._alarm) as deadline:
                            while (chunk := await deadline.wait(read)) is not None:
                                run.began()
                                yield route, chunk
                except TimeoutError as exc:
                    run.ran_out_of_time(exc)
                except CausewayError as exc:
                    run.failed(exc)
                except BaseException:
                    run.abandoned()
                    raise
                else:
                    run.succeeded()
                    return

    def budget(self, name: str) -> RetryBudget:
        """The retries of ``provider/model``."""
        budget = self._budgets.get(name)
        if budget is None:
            if len(self._budgets) >= _MOST_BUDGETS:
                self._budgets.clear()
            budget = self._budgets[name] = RetryBudget(self.settings.retry_budget, self.clock)
        return budget


def aimed(request: ChatRequest, route: Route[ChatProvider]) -> ChatRequest:
    """``request`` under the name that the route's provider knows."""
    if request.model == route.model:
        return request
    return msgspec.structs.replace(request, model=route.model)


class _Run(Generic[Provider]):
    """One call on its way along a plan."""

    _place = 0
    _tries = 0
    _wait_s = 0.0
    _has_begun = False
    _route: Route[Provider]
    _breaker: Breaker
    _permit: Permit = "pass"
    _errors: tuple[tuple[str, CausewayError], ...] = ()
    _resting: tuple[Breaker, ...] = ()

    def __init__(
        self, failover: Failover, plan: Plan[Provider], deadline_s: float, attempted: Attempted | None
    ) -> None:
        self._failover = failover
        self._plan = plan
        self._attempted = attempted
        self._deadline_s = deadline_s
        self._started_at = failover.clock.monotonic()
        self._ends_at = self._started_at + deadline_s

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self._ends_at - self._failover.clock.monotonic()

    async def next_route(self) -> Route[Provider]:
        """The route to try now, after the wait that a retry needs.

        Raises:
            CausewayError: No route is left.
        """
        if self._wait_s:
            await self._failover.sleep(self._wait_s)
            self._wait_s = 0.0
        breakers = self._failover.breakers
        while self._place < len(self._plan.routes):
            self._route = self._plan.routes[self._place]
            self._breaker = breakers.of(self._route.name)
            self._permit = self._breaker.permit()
            if self._permit == "pass" or (
                self._permit == "probe" and await breakers.may_probe(self._breaker)
            ):
                if not self._tries:
                    self._failover.budget(self._route.name).earn()
                self._started_at = self._failover.clock.monotonic()
                return self._route
            self._resting = (*self._resting, self._breaker)
            self._go_on()
        raise most_useful_error(self._plan.asked, self._errors, self._resting)

    def began(self) -> None:
        """The first chunk came: the route is fixed, and a probe has its verdict."""
        if not self._has_begun:
            self._has_begun = True
            if self._permit == "probe":
                self._breaker.succeeded("probe")
                self._permit = "pass"

    def succeeded(self) -> None:
        """The call ended well."""
        self._breaker.succeeded(self._permit)
        self._report("ok")

    def abandoned(self) -> None:
        """The caller left, or something broke that is not the provider's."""
        self._breaker.abandoned(self._permit)
        self._report("cancelled")

    def ran_out_of_time(self, cause: TimeoutError) -> None:
        """The deadline passed; nothing is learnt of the provider, which may only be slower than its caller's patience.

        Raises:
            CausewayError: Always.
        """
        self._breaker.abandoned(self._permit)
        error = DeadlineError(f"'{self._plan.asked}' did not answer within {self._deadline_s:g} s; try again")
        self._report(error.code, error)
        self._errors = (*self._errors, (self._route.name, error))
        raise most_useful_error(self._plan.asked, self._errors, self._resting) from cause

    def failed(self, error: CausewayError) -> None:
        """Decide what comes next: the same route again, another one, or the end.

        Raises:
            CausewayError: The end.
        """
        self._judge(error)
        self._report(error.code, error)
        if self._has_begun or not _may_help_elsewhere(error):
            raise error
        self._errors = (*self._errors, (self._route.name, error))
        wait_s = self._wait_before_again(error)
        if wait_s is None:
            self._go_on(error)
        else:
            self._tries += 1
            self._wait_s = wait_s

    def _report(self, outcome: str, error: CausewayError | None = None) -> None:
        if self._attempted is not None:
            seconds = self._failover.clock.monotonic() - self._started_at
            self._attempted(Attempt(self._route, outcome, seconds, error))

    def _judge(self, error: CausewayError) -> None:
        """What the error says of the provider: a refused key is as good a reason to leave it alone as an outage is."""
        match error:
            case UpstreamRateLimitError() if self._permit == "probe":
                self._breaker.succeeded(self._permit)
            case UpstreamRateLimitError() | BusyError():
                self._breaker.abandoned(self._permit)
            case TryLaterError():
                self._breaker.failed(self._permit, error.message)
            case InvalidInputError():
                self._breaker.succeeded(self._permit)
            case _ if type(error) is OperatorError:
                self._breaker.failed(self._permit, error.message)
            case _:
                self._breaker.abandoned(self._permit)

    def _wait_before_again(self, error: CausewayError) -> float | None:
        """Seconds to wait before the same route is tried again; None when it should not be."""
        failover = self._failover
        if not error.retryable or self._tries >= failover.settings.retries or self._breaker.is_open:
            return None
        is_last = self._place + 1 == len(self._plan.routes)
        asked_s = error.retry_after_s
        if asked_s is not None:
            if asked_s > (_LONGEST_ASKED_S if is_last else _PATIENCE_S):
                return None
            wait_s = asked_s + failover.random.uniform(0.0, _FIRST_WAIT_S)
        elif not is_last and isinstance(error, UpstreamRateLimitError | DeadlineError | BusyError):
            return None
        else:
            wait_s = failover.random.uniform(0.0, min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**self._tries))
        if wait_s >= self.left_s or not failover.budget(self._route.name).spend():
            return None
        return wait_s

    def _go_on(self, error: CausewayError | None = None) -> None:
        """To the next route; after too long a request only to one that takes more, or may."""
        self._tries = 0
        self._place += 1
        if isinstance(error, ContextLengthError):
            routes = self._plan.routes
            while self._place < len(routes) and not _may_take_more(routes[self._place], self._route):
                self._place += 1


def _may_help_elsewhere(error: CausewayError) -> bool:
    """Whether another provider or model may do what this one did not."""
    if isinstance(error, TryLaterError):
        return error.retryable
    return isinstance(error, OperatorError | UnknownModelError | ContextLengthError)


def _may_take_more(route: Route[Provider], failed: Route[Provider]) -> bool:
    if route.context_tokens is None or failed.context_tokens is None:
        return route.model != failed.model
    return route.context_tokens > failed.context_tokens
