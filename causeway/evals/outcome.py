"""What became of one case: what the subject said, what it was shown, and what that took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Shown(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A passage that was retrieved; its number in citations is its place, from 1."""

    path: str
    collection: str = ""
    heading: str = ""
    page: int | None = None
    text: str = ""
    score: float = 0.0


class Mark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A citation in the answer: the passage's number, its document, and the words that it rests on."""

    n: int
    path: str
    page: int | None = None
    quote: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a subject did with one case.

    Attributes:
        fault: Why there is no answer, as ``code: message``; such a case is never counted as passed.
        label: What a classifier or the router chose.
        certainty: How sure a judge was, in log-odds of yes.
        rows: What a query returned.
        left_out: Sentences that a model wrote and no passage supports, which nobody was shown.
        harm: What was changed or reached that may not be, whatever was said of it; empty when nothing was.
        first_text_ms: Until the first words; None when nothing was written.
        reused_from: The run whose outcome this is, when the same subject had been asked the same before.
    """

    text: str = ""
    refused: bool = False
    shown: tuple[Shown, ...] = ()
    marks: tuple[Mark, ...] = ()
    label: str | None = None
    certainty: float | None = None
    rows: tuple[tuple[Any, ...], ...] | None = None
    left_out: int = 0
    harm: str = ""
    fault: str | None = None
    trace_id: str | None = None
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micros: int = 0
    took_ms: int = 0
    first_text_ms: int | None = None
    reused_from: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values, as they are stored."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> Outcome:
        """What `as_json` made."""
        return msgspec.convert(stored, cls)


class Score(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one check found.

    Attributes:
        value: From 0, all wrong, to 1, all right; None when it could not be told.
        passed: Whether that is good enough; None for a check that only informs.
        reason: What is missing or wrong, in a few words; empty when nothing is.
    """

    name: str
    value: float | None
    passed: bool | None = None
    reason: str = ""
