"""Money as integers, so that budgets add up exactly: a micro is a millionth of a US dollar."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import NewType

Micros = NewType("Micros", int)

MICROS_PER_DOLLAR = 1_000_000


def token_cost(tokens: int, dollars_per_million_tokens: Decimal) -> Micros:
    """The price of ``tokens`` at a published price per million tokens, rounded half to even."""
    micros = (Decimal(tokens) * dollars_per_million_tokens).quantize(Decimal(1), ROUND_HALF_EVEN)
    return Micros(int(micros))


def to_micros(dollars: Decimal) -> Micros:
    """An amount as people write it, rounded half to even."""
    return Micros(int((dollars * MICROS_PER_DOLLAR).quantize(Decimal(1), ROUND_HALF_EVEN)))


def to_dollars(micros: int) -> float:
    """Micros as dollars, for people and for JSON; never add these up."""
    return micros / MICROS_PER_DOLLAR
