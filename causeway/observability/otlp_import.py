"""Takes in other programs' spans: named as here, masked, bounded, under the owner whose key sent them.

A span that comes twice is stored once. One that claims to be part of another owner's trace is refused, with the reason; the
rest of its request is stored all the same.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from causeway.contracts.identity import Principal, Scope
from causeway.errors import BusyError
from causeway.observability import genai_names as names
from causeway.observability.foreign_names import CONTENT_EVENTS, brought_home
from causeway.observability.messages import as_text
from causeway.observability.otlp_decode import SentEvent, SentSpan, decoded
from causeway.observability.storable import StoredSpan
from causeway.observability.trace_policy import TracePolicy, share
from causeway.observability.trace_store import SpanWriter

_AT_ONCE: Final = 2
_MOST_WAITING: Final = 16
_RESOURCE: Final = (
    "service.name",
    "service.version",
    "deployment.environment.name",
    "telemetry.sdk.language",
)
_LONGEST_SERVICE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of a request.

    Attributes:
        stored: Spans that are new here.
        known: Spans that were here already.
        left_out: Spans of traces that the project's sampling leaves out.
        rejected: Spans that cannot be kept.
        reasons: Why, in words; empty when none was rejected.
    """

    stored: int
    known: int
    left_out: int
    rejected: int
    reasons: str


class TraceImport:
    """The own traces' door for other programs' spans."""

    def __init__(self, writer: SpanWriter, policy: TracePolicy) -> None:
        self._writer = writer
        self._policy = policy
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def take(self, body: bytes, *, is_json: bool, sender: Principal) -> Imported:
        """Store the spans of an OTLP request.

        Args:
            body: Unpacked.
            is_json: Whether it is JSON; else it is protobuf.
            sender: Whose they are.

        Raises:
            InvalidInputError: It is no OTLP request.
            BusyError: Too many requests wait; the sender's exporter tries again.
        """
        if self._waiting >= _MOST_WAITING:
            msg = "too many spans are being stored; send them again in some seconds, in fewer requests"
            raise BusyError(msg)
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(self._take, body, is_json, sender)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Close the connections."""
        self._writer.close()

    def _take(self, body: bytes, is_json: bool, sender: Principal) -> Imported:
        sent = decoded(body, is_json=is_json)
        spans = [self._kept(each, sender) for each in sent.spans]
        drawn = [span for span in spans if self._is_drawn(span)]
        owner = None if sender.may(Scope.ADMIN) else sender.owner
        added = self._writer.add(drawn, owner=owner) if drawn else None
        rejected = sent.rejected.copy()
        if added is not None and added.refused:
            rejected["it is of a trace that belongs to another owner"] = added.refused
        return Imported(
            stored=added.stored if added else 0,
            known=added.known if added else 0,
            left_out=len(spans) - len(drawn),
            rejected=rejected.total(),
            reasons="; ".join(f"{count} rejected: {reason}" for reason, count in rejected.most_common(5)),
        )

    def _is_drawn(self, span: StoredSpan) -> bool:
        """By the trace's id, and failures always; other programs' traces come in pieces, so nothing is held back."""
        sample = self._policy.sample(self._policy.project(span.attributes))
        return span.failure is not None or share(span.trace_id) < sample

    def _kept(self, span: SentSpan, sender: Principal) -> StoredSpan:
        events = [(each.name, each.attributes) for each in span.events]
        attributes = brought_home(span.attributes, events, is_root=span.parent_id is None)
        for name in _RESOURCE:
            if (value := span.resource.get(name)) is not None:
                attributes.setdefault(name, as_text(value)[:_LONGEST_SERVICE])
        attributes[names.SERVICE] = str(span.resource.get("service.name") or "unknown")[:_LONGEST_SERVICE]
        attributes |= {names.OWNER: sender.owner, names.PRINCIPAL: sender.id, names.TIER: sender.tier}
        if sender.team is not None:
            attributes[names.TEAM] = sender.team
        if span.scope:
            attributes["otel.scope.name"] = span.scope[:_LONGEST_SERVICE]
        return StoredSpan(
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_id=span.parent_id,
            name=span.name,
            kind=span.kind,
            started_at=span.started_at,
            duration_s=span.duration_s,
            failure=span.failure,
            attributes=self._policy.kept(attributes, is_own=False),
            events=[self._event(each) for each in span.events if each.name not in CONTENT_EVENTS],
        )

    def _event(self, event: SentEvent) -> dict[str, Any]:
        noted = {
            name: value if isinstance(value, bool | int | float) else as_text(value)
            for name, value in event.attributes.items()
        }
        return {
            "name": event.name,
            "at": event.at.isoformat(),
            "attributes": dict(self._policy.kept(noted, is_own=False)),
        }
