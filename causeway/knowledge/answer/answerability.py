"""How likely it is that the passages answer the question, from how sure the model is of it, twice.

Asked whether passages state an answer, a small model says yes too often, and no to what is put in other words; how sure
it is tells more than which of the two it says. So its log-odds of yes against no are read over all that it was shown,
before it writes, and over only the few statements that its first sentence rests on. Both weigh alike: the questions that
they were fitted to cannot tell their weights apart. ``bench/answerability.py`` fitted the coefficients, and
docs/adr/0007-when-to-refuse.md has the numbers, with what else was tried.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SUREST: Final = 3.0
"""Log-odds beyond it count as it: a model with a wider range than the one that was fitted is not surer than sure."""
_FLOOR: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Weights:
    """What a point of each signal is worth in log-odds; ``bias`` is what there is without any."""

    bias: float
    verdict: float
    unnamed: float


FITTED: Final = Weights(bias=-0.42, verdict=0.99, unnamed=-1.17)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What is known about one question.

    Attributes:
        told: Log-odds that the passages state the answer, by the model.
        confirmed: The same for the statements that the first sentence rests on; None until it is written.
        is_unnamed: Whether the passages that the first sentence rests on lack a proper name of the question.
    """

    told: float
    confirmed: float | None = None
    is_unnamed: bool = False

    @property
    def verdict(self) -> float:
        """The mean of both verdicts; while one is not known, with the best that it can be."""
        confirmed = SUREST if self.confirmed is None else self.confirmed
        return (_limited(self.told) + _limited(confirmed)) / 2


def probability(signals: Signals, weights: Weights = FITTED) -> float:
    """In [0, 1]; before ``confirmed`` is known, what it can be at most."""
    log_odds = weights.bias + weights.verdict * signals.verdict + weights.unnamed * float(signals.is_unnamed)
    return 1 / (1 + math.exp(-log_odds))


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
    return _limited(math.log(mass["yes"] / mass["no"]))


def likeliest(logprobs: Mapping[str, object] | None) -> dict[str, float]:
    """The likeliest first tokens of a reply with their log-probabilities; empty where its provider does not tell them.

    Args:
        logprobs: As OpenAI writes them; see `ChatChunk.logprobs`.
    """
    content = (logprobs or {}).get("content")
    first = content[0] if isinstance(content, list) and content else {}
    told = first.get("top_logprobs") if isinstance(first, dict) else None
    return {str(one["token"]): float(one["logprob"]) for one in told or () if isinstance(one, dict)}


def _limited(log_odds: float) -> float:
    return min(max(log_odds, -SUREST), SUREST)
