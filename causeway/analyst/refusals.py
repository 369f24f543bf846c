"""Questions that no query should be drafted for: told so plainly, before a model is called.

Requests to change something, questions about what has not happened, questions about nothing that the database holds, and
those that mean several things. The words are English; a question in another language names nothing known, and is told so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from causeway.analyst.offer import Offer
from causeway.analyst.schema_linking import Linked
from causeway.analyst.semantic_layer import Layer
from causeway.analyst.words import words

_CHANGE: Final = re.compile(
    r"^\W*(?:please\W+|can you\W+|could you\W+|now\W+|just\W+|go and\W+)*"
    r"(delete|remove|drop|truncate|erase|wipe|destroy|update|modify|change|insert|add|create|alter|rename|grant|revoke|set)\b"
    r"(?!\s+(?:up\b|of\b))",
    re.IGNORECASE,
)
_ALSO_CHANGE: Final = re.compile(
    r"\b(?:and|then|;)\s+(?:delete|drop|truncate|erase|wipe|update|insert|alter|grant|revoke)\b",
    re.IGNORECASE,
)
_STATEMENT: Final = re.compile(
    r"\b(?:drop\s+(?:table|database|schema)|delete\s+from|insert\s+into|truncate\s+table|update\s+\w+\s+set)\b",
    re.IGNORECASE,
)
_FUTURE: Final = re.compile(
    r"\bwill\s+(?:we|i|they|it|be|sales|revenue|our|the|you|customers|orders|\w+\s+(?:be|sell|grow|buy|order|reach))\b"
    r"|\b(?:forecast|predict|prediction|projected|projection|extrapolate)\b"
    r"|\bgoing to (?:sell|be|grow|buy|order|earn|lose|have)\b|\bnext (?:year|quarter|month|week|season|summer|winter|spring|autumn)\b"
    r"|\bin the (?:future|coming)\b|\bthe coming (?:year|month|week|quarter)s?\b",
    re.IGNORECASE,
)

Reason = Literal["change", "future", "unknown", "unclear"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no answer, for the person who asked; ``unclear`` is a question back."""

    reason: Reason
    message: str


def refusal(
    question: str, offer: Offer, layer: Layer, linked: Linked, *, is_follow_up: bool = False
) -> Refusal | None:
    """Why ``question`` is not drafted for; None when it may be."""
    if _CHANGE.search(question) or _ALSO_CHANGE.search(question) or _STATEMENT.search(question):
        return Refusal(
            "change", "I only read. Nothing in the database was changed, and nothing can be through me."
        )
    if _FUTURE.search(question):
        latest = _latest(offer, linked)
        until = f" Its newest entries are of {latest}." if latest else ""
        return Refusal(
            "future",
            f"The data holds what has happened, not what will.{until} Ask about a time that is over.",
        )
    if linked.known == 0 and not is_follow_up:
        return Refusal("unknown", f"The data does not hold this. {_holds(offer)}")
    back = _ambiguity(question, layer)
    return Refusal("unclear", back) if back else None


def _latest(offer: Offer, linked: Linked) -> str:
    ends = [
        column.highest[:10]
        for name in (linked.tables if linked.known else offer.tables)
        for column in offer.tables[name].table.columns
        if column.kind == "time" and column.highest
    ]
    return max(ends, default="")


def _holds(offer: Offer) -> str:
    names = [name.replace("_", " ") for name in offer.tables]
    shown = ", ".join(names[:12]) + (" and more" if len(names) > 12 else "")
    return f"It holds {shown}. Ask about one of these, in English."


def _ambiguity(question: str, layer: Layer) -> str:
    line = f" {' '.join(words(question))} "
    for each in layer.ambiguous:
        is_said = any(f" {' '.join(words(phrase))} " in line for phrase in each.words)
        is_settled = any(f" {' '.join(words(phrase))} " in line for phrase in each.unless)
        if is_said and not is_settled:
            return each.ask
    return ""
