"""One model call under way: what was reserved for it, what it has used, and how it is written down when it ends.

However a call ends (answered, refused, failed, left by its client), its reservation is settled, its line in the ledger
written and its span ended, once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from causeway.contracts.chat import ChatReply, ChatRequest, Usage
from causeway.contracts.clock import Clock
from causeway.contracts.identity import Operation
from causeway.contracts.model_gateway import Call
from causeway.contracts.money import Micros
from causeway.errors import CausewayError
from causeway.gateway.admission import Admission, Admitted, Demand
from causeway.gateway.entries import Opening, Row
from causeway.gateway.failover import Attempt
from causeway.gateway.ledger import Ledger, new_call_id
from causeway.gateway.pricing import cost
from causeway.gateway.routing import Route
from causeway.observability import genai_names as names
from causeway.observability.call_facts import CallContent, CallFacts
from causeway.observability.lone_calls import LoneCalls
from causeway.observability.spans import Spans

_CHARACTERS_PER_TOKEN = 4
"""Counts the output of a reply that broke off before its provider counted it; a piece is a token at least."""


def _nothing(_purpose: str, _team: str | None) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Where calls are written down.

    Attributes:
        captures: Whether traces hold what was said in a call, by its purpose and team.
        lone_calls: Who says which calls are written down with the ledger's row and have no span.
    """

    ledger: Ledger
    spans: Spans
    clock: Clock
    captures: Callable[[str, str | None], bool] = _nothing
    lone_calls: LoneCalls | None = None


class Reservation(msgspec.Struct, frozen=True):
    """The most that a call may use: tokens in and out, and what they cost."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: Micros = Micros(0)


_NOTHING = Reservation()
_UNUSED = Usage()


class CallRecord:
    """A call from its first step to its line in the ledger; ``async with`` ends it.

    Attributes:
        route: What answered, or was tried last; None before anything was.
        usage: What was used, as the provider counted it; None until it has.
        cost: What it cost.
        said_characters: How much of a streamed reply has come.
        reason: Why this model was chosen, when the gateway chose it.
        headers: What a door may tell the caller about the call.
        keeps_content: Whether its trace holds what is said in it.
    """

    route: Route[Any] | None = None
    usage: Usage | None = None
    cost = Micros(0)
    reason: str | None = None
    said_characters = 0
    _outcome = "cancelled"
    _attempts = 0
    _first_piece_s: float | None = None
    _said_pieces = 0
    _reserved = _NOTHING
    _admitted: Admitted | None = None
    _cache: Literal["exact", "semantic"] | None = None
    _would_have_used = _UNUSED
    _asked: ChatRequest | None = None
    _finish_reason: str | None = None
    _content: CallContent | None = None

    def __init__(
        self, operation: Operation, requested_model: str, call: Call, books: Books, *, is_stream: bool = False
    ) -> None:
        self.call = call
        self.headers: dict[str, str] = {}
        self.keeps_content = books.captures(call.purpose, call.principal.team)
        self.span = books.spans.start(operation, kind="client", parent=call.traceparent)
        self._id = new_call_id()
        self._books = books
        self._operation: Operation = operation
        self._requested_model = requested_model
        self._is_stream = is_stream
        self._began_s = books.clock.monotonic()

    def asked(self, request: ChatRequest) -> None:
        """What the provider is asked, masked, for the trace."""
        self._asked = request
        if self.keeps_content:
            self._content = CallContent(asked=request.messages)

    def replied(self, text: str, reply: ChatReply | None) -> None:
        """What came back, as far as it came; masked, as the provider wrote it."""
        if reply is not None:
            self._finish_reason = reply.stop_reason
        if self._content is not None:
            self._content.said = text
            self._content.called = () if reply is None else reply.tool_calls

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
        with self.span:
            if isinstance(error, Exception):
                self.span.fail(error)
            try:
                if self._admitted is not None:
                    tokens = self.usage.total_tokens if self.usage else 0
                    await self._admitted.settle(tokens=tokens, cost_micros=self.cost)
            finally:
                self._write_down(is_usual=error is None or isinstance(error, CausewayError))

    def _broken_off(self) -> Usage:
        """What a call used whose provider never counted: what it sent, if it sent it, and what had come back by then.

        A provider that refuses or fails before it has written anything bills nothing.
        """
        is_billed = self.said_characters > 0 or (self._outcome == "cancelled" and self.route is not None)
        if not is_billed:
            return Usage()
        written = max(self._said_pieces, self.said_characters // _CHARACTERS_PER_TOKEN)
        return Usage(self._reserved.input_tokens, written, is_estimate=True)

    def _write_down(self, *, is_usual: bool) -> None:
        """In the ledger, and in the trace: with the ledger's row where the call is all there is of its trace, else as a span."""
        row, books, call = self._row(), self._books, self.call
        lone_calls = books.lone_calls if is_usual else None
        if lone_calls is not None and lone_calls.tell(
            row, self.span, call.principal.team, self._asked, self._finish_reason, self._content
        ):
            row.conversation_id = call.conversation_id
            if call.principal.owner != row.principal_id:
                row.owner = call.principal.owner
            self.span.leave()
            books.ledger.closed(row)
            lone_calls.count(row)
            return
        if books.spans.is_kept:
            self._describe(self.usage or _UNUSED)
        books.ledger.closed(row)

    def _describe(self, usage: Usage) -> None:
        call, route, asked, principal = self.call, self.route, self._asked, self.call.principal
        model = route.model if route else self._requested_model
        prompt, _, version = (call.prompt or "").partition("@")
        self.span.name = f"{self._operation} {model}"
        facts = CallFacts(  # in the fields' order: by name it takes twice as long
            self._operation,
            self._requested_model,
            model,
            usage.input_tokens,
            usage.output_tokens,
            self.cost,
            principal.id,
            principal.owner,
            principal.tier,
            call.purpose,
            route.provider.name if route else None,
            principal.team,
            self._is_stream,
            asked.temperature if asked else None,
            asked.max_tokens if asked else None,
            self._finish_reason,
            self._first_piece_s,
            call.conversation_id,
            self._cache,
            max(self._attempts, 1),
            usage.cached_input_tokens,
            usage.reasoning_tokens,
            self.reason,
            prompt or None,
            version or None,
        )
        self.span.describe(facts, self._content)

    def _row(self) -> Row:
        call, route, usage = self.call, self.route, self.usage or _UNUSED
        saved = Micros(0)
        if self._cache is not None and route is not None:
            saved = cost(self._would_have_used, route.price)
        return Row(  # in the columns' order: by name it takes twice as long
            self._id,
            self.span.started_at,
            call.principal.id,
            call.purpose,
            self._operation,
            route.model if route else "",
            route.provider.name if route else "",
            call.prompt,
            usage.input_tokens,
            usage.output_tokens,
            self.cost,
            self._outcome,
            self.span.trace_id,
            call.principal.team,
            call.principal.tier,
            self._requested_model,
            usage.cached_input_tokens,
            usage.reasoning_tokens,
            usage.is_estimate,
            saved,
            round((self._books.clock.monotonic() - self._began_s) * 1000),
            None if self._first_piece_s is None else round(self._first_piece_s * 1000),
            self._attempts,
            self._cache,
            self._is_stream,
            self.reason,
        )
