"""Which passages an answer is written from: the best that fit the token budget."""

from __future__ import annotations

from collections.abc import Sequence

from causeway.knowledge.search.request import Hit


def choose(hits: Sequence[Hit], *, most: int, budget_tokens: int) -> tuple[Hit, ...]:
    """The best ``most`` hits that fit into ``budget_tokens`` together, in their order; the first always does.

    A hit that does not fit is passed over, so a shorter one behind it still can.
    """
    chosen: list[Hit] = []
    left = budget_tokens
    for hit in hits:
        if len(chosen) == most:
            break
        if hit.tokens <= left or not chosen:
            chosen.append(hit)
            left -= hit.tokens
    return tuple(chosen)
