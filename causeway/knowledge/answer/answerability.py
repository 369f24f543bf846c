"""How likely it is that the found statements answer the question.

First from the statements alone, which costs nothing: how well search likes the passage of each part's strongest statement,
and what the rules of `causeway.knowledge.answer.evidence` say of it. Then, where a chat model is asked whether the passages
state the answer, from how sure it is of its yes: a small model says yes too often, and no to what is put in other words,
so how sure it is tells more than which of the two it says. ``bench/answerability.py`` fitted the coefficients, but for those of a
strong model's verdict; docs/adr/0053-taught-to-tell.md and 0042-ask-before-quoting.md have the numbers, docs/adr/0007-when-to-refuse.md what else was tried.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from causeway.knowledge.answer.evidence import Traits

ADAPTER: Final = "answerability"
"""What a local model was taught for this: `bench/answerability_adapter.py`."""
SUREST: Final = 3.0
"""Log-odds beyond it count as it: a model with a wider range than the one that was fitted is not surer than sure."""
_FLOOR: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Weights:
    """What a point of each signal is worth in log-odds; ``bias`` is what there is without any."""

    bias: float
    score: float
    of_kind: float
    named: float
    dated: float
    of_another: float
    elsewhere: float
    numbered: float


@dataclass(frozen=True, slots=True)
class VerdictWeights:
    """The same where a model was asked too: its verdict, and what the statements by themselves are still worth."""

    bias: float
    told: float
    statements: float


FITTED: Final = Weights(
    bias=-15.46,
    score=12.44,
    of_kind=1.82,
    named=2.31,
    dated=2.22,
    of_another=-1.35,
    elsewhere=-2.1,
    numbered=1.85,
)
WITH_VERDICT: Final = VerdictWeights(bias=-0.5, told=0.9, statements=0.5)
OF_QUOTES: Final = VerdictWeights(bias=0.01, told=1.44, statements=1.19)
OF_TAUGHT: Final = VerdictWeights(bias=0.72, told=1.08, statements=1.1)
_MOST_OF_STATEMENTS: Final = 2.0
"""Log-odds: rules that are sure do not overrule a model that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What is known about one question: of its parts' strongest statements, the mean.

    Attributes:
        score: Of the statements' passages, by search.
        is_of_kind: Share of parts whose statement has a value of the kind that is asked for. The rest likewise; see
            `causeway.knowledge.answer.evidence.Traits`.
        told: Log-odds that the passages state the answer, by the model that is to write it; None when it was not asked.
        stated: The same of what is to be quoted, by a small model that was shown examples.
        taught: The same by one that was taught to tell, with the adapter `ADAPTER`.
    """

    score: float
    is_of_kind: float = 1.0
    is_named: float = 1.0
    is_dated: float = 1.0
    is_of_another: float = 0.0
    is_elsewhere: float = 0.0
    is_numbered: float = 1.0
    told: float | None = None
    stated: float | None = None
    taught: float | None = None

    @classmethod
    def of(cls, strongest: Sequence[Traits]) -> Signals:
        """The signals of the strongest statement of each part; there is at least one."""
        many = len(strongest)
        return cls(
            score=sum(one.score for one in strongest) / many,
            is_of_kind=sum(one.is_of_kind for one in strongest) / many,
            is_named=sum(one.is_named for one in strongest) / many,
            is_dated=sum(one.is_dated for one in strongest) / many,
            is_of_another=sum(one.is_of_another for one in strongest) / many,
            is_elsewhere=sum(one.is_elsewhere for one in strongest) / many,
            is_numbered=sum(one.is_numbered for one in strongest) / many,
        )

    @property
    def inputs(self) -> tuple[float, ...]:
        """What the statements tell, in the order of `Weights`, a one for its bias first."""
        return (
            1.0,
            self.score,
            self.is_of_kind,
            self.is_named,
            self.is_dated,
            self.is_of_another,
            self.is_elsewhere,
            self.is_numbered,
        )


def probability(
    signals: Signals,
    weights: Weights = FITTED,
    with_verdict: VerdictWeights = WITH_VERDICT,
    of_quotes: VerdictWeights = OF_QUOTES,
    of_taught: VerdictWeights = OF_TAUGHT,
) -> float:
    """That the statements answer, in [0, 1]."""
    log_odds = of_statements(signals, weights)
    verdicts = ((signals.told, with_verdict), (signals.stated, of_quotes), (signals.taught, of_taught))
    for told, worth in verdicts:
        if told is not None:
            log_odds = (
                worth.bias
                + worth.told * _limited(told, SUREST)
                + worth.statements * _limited(log_odds, _MOST_OF_STATEMENTS)
            )
    return 1 / (1 + math.exp(-log_odds))


def of_statements(signals: Signals, weights: Weights = FITTED) -> float:
    """Log-odds by the statements alone, whatever a model said of them."""
    worth = (
        weights.bias,
        weights.score,
        weights.of_kind,
        weights.named,
        weights.dated,
        weights.of_another,
        weights.elsewhere,
        weights.numbered,
    )
    return sum(a * b for a, b in zip(worth, signals.inputs, strict=True))


def log_odds_of_yes(said: str, likely: Mapping[str, float]) -> float:
    """How sure a model's reply is.

    Args:
        said: The reply, yes or no in its first word; anything else counts as no.
        likely: The likeliest first tokens with their log-probabilities; empty when the provider does not tell, and the
            reply then counts as sure.
    """
    if not likely:
        is_yes = said.strip().lower().startswith("yes")
        return SUREST if is_yes else -SUREST
    mass = {"yes": _FLOOR, "no": _FLOOR}
    for token, logprob in likely.items():
        word = token.strip().lower()
        if word in mass:
            mass[word] += math.exp(logprob)
    return _limited(math.log(mass["yes"] / mass["no"]), SUREST)


def likeliest(logprobs: Mapping[str, object] | None) -> dict[str, float]:
    """The likeliest first tokens of a reply with their log-probabilities; empty where its provider does not tell them.

    Args:
        logprobs: As OpenAI writes them; see `ChatChunk.logprobs`.
    """
    content = (logprobs or {}).get("content")
    first = content[0] if isinstance(content, list) and content else {}
    told = first.get("top_logprobs") if isinstance(first, dict) else None
    return {str(one["token"]): float(one["logprob"]) for one in told or () if isinstance(one, dict)}


def _limited(log_odds: float, most: float) -> float:
    return min(max(log_odds, -most), most)
