"""One model call under way: what was reserved for it, what it has used, and how it is written down when it ends.

However a call ends (answered, refused, failed, left by its client), its reservation is settled, its line in the ledger
written and its span ended, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from causeway.contracts.chat import Usage
from causeway.contracts.clock import Clock
from causeway.contracts.identity import Operation
from causeway.contracts.model_gateway import Call
from causeway.contracts.money import Micros
from causeway.errors import CausewayError
from causeway.gateway.admission import Admission, Admitted, Demand
from causeway.gateway.entries import Entry, Opening
from causeway.gateway.failover import Attempt
from causeway.gateway.ledger import Ledger, new_call_id
from causeway.gateway.pricing import cost
from causeway.gateway.routing import Route
from causeway.observability import genai_names as names
from causeway.observability.spans import Spans

_CHARACTERS_PER_TOKEN = 4
"""Counts the output of a reply that broke off before its provider counted it; a piece is a token at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Where calls are written down."""

    ledger: Ledger
    spans: Spans
    clock: Clock


@dataclass(frozen=True, slots=True)
class Reservation:
    """The most that a call may use: tokens in and out, and what they cost."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: Micros = Micros(0)  # noqa: RUF009 - an int, immutable


class CallRecord:
    """A call from its first step to its line in the ledger; ``async with`` ends it.

    Attributes:
        route: What answered, or was tried last; None before anything was.
        usage: What was used, as the provider counted it; None until it has.
        cost: What it cost.
        said_characters: How much of a streamed reply has come.
        reason: Why this model was chosen, when the gateway chose it.
        headers: What a door may tell the caller about the call.
    """

    def __init__(
        self, operation: Operation, requested_model: str, call: Call, books: Books, *, is_stream: bool = False
    ) -> None:
        self.call = call
        self.route: Route[Any] | None = None
        self.usage: Usage | None = None
        self.cost = Micros(0)
        self.reason: str | None = None
        self.headers: dict[str, str] = {}
        self.span = books.spans.start(operation, kind="client", parent=call.traceparent)
        self._id = new_call_id()
        self._books = books
        self._operation: Operation = operation
        self._requested_model = requested_model
        self._is_stream = is_stream
        self._outcome = "cancelled"
        self._attempts = 0
        self._began_s = books.clock.monotonic()
        self._first_piece_s: float | None = None
        self._said_pieces = 0
        self.said_characters = 0
        self._reserved = Reservation()
        self._admitted: Admitted | None = None
        self._cache: Literal["exact", "semantic"] | None = None
        self._would_have_used = Usage()

    async def admit(self, reservation: Reservation, admission: Admission) -> None:
        """Reserve the most that the call may use, and write down that it begins; nothing is spent before this.

        Raises:
            RateLimitedError: A limit of the caller's tier is reached.
            BudgetSpentError: A budget has too little left.
            CausewayError: Limits cannot be checked, or the call cannot be written down.
        """
        books, principal = self._books, self.call.principal
        demand = Demand(reservation.input_tokens + reservation.output_tokens, reservation.cost)
        self._admitted = await admission.admit(principal, demand, self._id)
        self._reserved = reservation
        self.headers |= self._admitted.headers
        books.ledger.opened(
            Opening(
                id=self._id,
                at=self.span.started_at,
                principal_id=principal.id,
                team=principal.team,
                tier=principal.tier,
                purpose=self.call.purpose,
                operation=self._operation,
                model=self._requested_model,
                input_tokens=reservation.input_tokens,
                output_tokens=reservation.output_tokens,
                cost=reservation.cost,
                prompt=self.call.prompt,
                trace_id=self.span.trace_id,
                is_stream=self._is_stream,
            )
        )

    def attempted(self, attempt: Attempt) -> None:
        """A provider was called; what failed is told in the trace."""
        self._attempts += 1
        self.route = attempt.route
        if attempt.error is not None:
            self.span.event(
                "attempt failed",
                {
                    names.REQUEST_MODEL: attempt.route.name,
                    names.ERROR_TYPE: attempt.outcome,
                    "causeway.seconds": round(attempt.seconds, 3),
                },
            )

    def used(self, usage: Usage, *, images: int = 0) -> None:
        """The provider has counted."""
        self.usage = usage
        self.cost = cost(usage, self.route.price, images=images) if self.route else Micros(0)

    def said(self, text: str) -> None:
        """A piece of the reply has come."""
        if self._first_piece_s is None:
            self._first_piece_s = self._books.clock.monotonic() - self._began_s
            self.span.set({names.TIME_TO_FIRST_CHUNK: self._first_piece_s})
        self._said_pieces += bool(text)
        self.said_characters += len(text)

    def served_from_cache(self, kind: Literal["exact", "semantic"], usage: Usage, route: Route[Any]) -> None:
        """A stored reply answers: it costs nothing, and saves what ``usage`` would have cost on ``route``."""
        self._cache, self._would_have_used = kind, usage
        self.route, self.usage = route, Usage()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if error is None:
            self._outcome = "ok"
        elif isinstance(error, Exception):
            self._outcome = error.code if isinstance(error, CausewayError) else "internal_error"
        if self.usage is None:
            self.used(self._broken_off())
        self._describe()
        with self.span:
            if isinstance(error, Exception):
                self.span.fail(error)
            try:
                if self._admitted is not None:
                    tokens = self.usage.total_tokens if self.usage else 0
                    await self._admitted.settle(tokens=tokens, cost_micros=self.cost)
            finally:
                self._books.ledger.closed(self._entry())

    def _broken_off(self) -> Usage:
        """What a call used whose provider never counted: what it sent, if it sent it, and what had come back by then.

        A provider that refuses or fails before it has written anything bills nothing.
        """
        is_billed = self.said_characters > 0 or (self._outcome == "cancelled" and self.route is not None)
        if not is_billed:
            return Usage()
        written = max(self._said_pieces, self.said_characters // _CHARACTERS_PER_TOKEN)
        return Usage(self._reserved.input_tokens, written, is_estimate=True)

    def _describe(self) -> None:
        call, route, usage = self.call, self.route, self.usage or Usage()
        model = route.model if route else self._requested_model
        span = self.span
        span.name = f"{self._operation} {model}"
        attributes = span.attributes  # written directly: `Span.set` looks at each value
        attributes[names.OPERATION] = self._operation
        attributes[names.REQUEST_MODEL] = self._requested_model
        attributes[names.RESPONSE_MODEL] = model
        attributes[names.INPUT_TOKENS] = usage.input_tokens
        attributes[names.OUTPUT_TOKENS] = usage.output_tokens
        attributes[names.COST_MICROS] = self.cost
        attributes[names.PRINCIPAL] = call.principal.id
        attributes[names.OWNER] = call.principal.owner
        attributes[names.TIER] = call.principal.tier
        attributes[names.PURPOSE] = call.purpose
        if route is not None:
            attributes[names.PROVIDER] = route.provider.name
        if self._is_stream:
            attributes[names.REQUEST_STREAM] = True
        if call.principal.team is not None:
            attributes[names.TEAM] = call.principal.team
        if call.conversation_id is not None:
            attributes[names.CONVERSATION] = call.conversation_id
        if self._cache is not None:
            attributes[names.CACHE] = self._cache
        if self._attempts > 1:
            attributes[names.ATTEMPTS] = self._attempts
        self._describe_what_is_rare(usage)

    def _describe_what_is_rare(self, usage: Usage) -> None:
        attributes = self.span.attributes
        if usage.cached_input_tokens:
            attributes[names.CACHED_INPUT_TOKENS] = usage.cached_input_tokens
        if usage.reasoning_tokens:
            attributes[names.REASONING_TOKENS] = usage.reasoning_tokens
        if self.reason is not None:
            attributes[names.ROUTE_REASON] = self.reason
        if self.call.prompt:
            prompt, _, version = self.call.prompt.partition("@")
            self.span.set({names.PROMPT: prompt or None, names.PROMPT_VERSION: version or None})

    def _entry(self) -> Entry:
        call, route, usage = self.call, self.route, self.usage or Usage()
        saved = Micros(0)
        if self._cache is not None and route is not None:
            saved = cost(self._would_have_used, route.price)
        return Entry(
            id=self._id,
            at=self.span.started_at,
            principal_id=call.principal.id,
            team=call.principal.team,
            tier=call.principal.tier,
            purpose=call.purpose,
            operation=self._operation,
            requested_model=self._requested_model,
            model=route.model if route else "",
            provider=route.provider.name if route else "",
            usage=usage,
            cost=self.cost,
            outcome=self._outcome,
            latency_ms=round((self._books.clock.monotonic() - self._began_s) * 1000),
            ttft_ms=None if self._first_piece_s is None else round(self._first_piece_s * 1000),
            attempts=self._attempts,
            saved=saved,
            cache=self._cache,
            is_stream=self._is_stream,
            route_reason=self.reason,
            prompt=call.prompt,
            trace_id=self.span.trace_id,
        )
