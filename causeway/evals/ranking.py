"""How good a list of passages is: recall, precision and nDCG over documents, and how much evidence it holds how far up.

Documents are counted once, at the place of their first passage: several passages of one document do not make a list better
or worse. nDCG with binary relevance: Järvelin and Kekäläinen, https://doi.org/10.1145/582415.582418.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from causeway.evals.facts import has_quote


def recall(found: Sequence[str], gold: Collection[str]) -> float:
    """The share of ``gold`` that is among ``found``; 1 when nothing is wanted."""
    return len(set(found) & set(gold)) / len(set(gold)) if gold else 1.0


def precision(found: Sequence[str], gold: Collection[str]) -> float:
    """The share of the documents ``found`` that are ``gold``; 0 when nothing is found."""
    return len(set(found) & set(gold)) / len(set(found)) if found else 0.0


def ndcg(found: Sequence[str], gold: Collection[str]) -> float:
    """1 when the ``gold`` documents come first, less the further down they stand."""
    documents = list(dict.fromkeys(found))
    gained = sum(1 / math.log2(place + 2) for place, path in enumerate(documents) if path in gold)
    best = sum(1 / math.log2(place + 2) for place in range(len(set(gold))))
    return gained / best if best else 1.0


def evidence_share(texts: Sequence[str], quotes: Sequence[str]) -> float:
    """The share of ``quotes`` that one of the passages' ``texts`` has."""
    held = sum(any(has_quote(quote, text) for text in texts) for quote in quotes)
    return held / len(quotes) if quotes else 1.0


def evidence_rank(texts: Sequence[str], quotes: Sequence[str]) -> float:
    """The mean over ``quotes`` of one over the place of the first passage that has it; nothing for one that none has."""
    places = [
        next((n for n, text in enumerate(texts, start=1) if has_quote(quote, text)), None) for quote in quotes
    ]
    return sum(1 / place for place in places if place) / len(quotes) if quotes else 1.0
