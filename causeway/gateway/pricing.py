"""What a call cost."""

from __future__ import annotations

from causeway.contracts.chat import Usage
from causeway.contracts.money import Micros, token_cost
from causeway.settings import PriceSettings


def cost(usage: Usage, price: PriceSettings) -> Micros:
    """The price of ``usage``, each side rounded to the micro-dollar."""
    return Micros(token_cost(usage.input_tokens, price.input) + token_cost(usage.output_tokens, price.output))
