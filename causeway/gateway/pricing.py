"""What calls cost: the packaged price table, the operator's own prices before it, and estimates before a call.

Money is exact: a call's parts are added up as decimals and rounded once, half to even, to the micro-dollar.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from importlib import resources
from typing import Self

from causeway.contracts.chat import ChatRequest, Usage
from causeway.contracts.money import MICROS_PER_DOLLAR, Micros
from causeway.models.token_estimate import request_tokens
from causeway.settings import PriceSettings

FREE = PriceSettings()
"""What a model of this machine costs."""

_DATED = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
_ONE = Decimal(1)
_FACTS = ("name", "context_tokens", "most_output_tokens")
_MARGIN = 1.35
"""Above the usual count. Claude's tokenisers since 4.7 make 30 % more of the same text than the one that was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A row of the table: what a model costs, the longest input it takes and the longest reply it writes."""

    price: PriceSettings = FREE
    context_tokens: int | None = None
    most_output_tokens: int | None = None


class PriceTable:
    """The packaged prices, by the provider's own name of a model."""

    def __init__(self, models: Mapping[str, KnownModel], *, updated: date) -> None:
        self._models = models
        self.updated = updated
        """When the table was written."""

    @classmethod
    def packaged(cls) -> Self:
        """The table that comes with Causeway."""
        text = resources.files("causeway.gateway").joinpath("prices.toml").read_text(encoding="utf-8")
        written = tomllib.loads(text)
        return cls(
            {
                row["name"]: KnownModel(
                    price=PriceSettings.model_validate(
                        {name: value for name, value in row.items() if name not in _FACTS}
                    ),
                    context_tokens=row.get("context_tokens"),
                    most_output_tokens=row.get("most_output_tokens"),
                )
                for row in written["model"]
            },
            updated=written["updated"],
        )

    def find(self, model: str) -> KnownModel | None:
        """The row of ``model``; a name with a date or ``-latest`` behind it is the same model's."""
        return self._models.get(model) or self._models.get(_DATED.sub("", model))


def cost(usage: Usage, price: PriceSettings, *, images: int = 0) -> Micros:
    """The price of a call, exact to the micro-dollar; dollars per million tokens are micro-dollars per token."""
    cached, written = usage.cached_input_tokens, usage.cache_write_tokens
    if not (cached or written or images or price.long_prompt_tokens):
        return _plain_cost(usage.input_tokens, usage.output_tokens, price)
    dear = price.input if price.cache_write is None else price.cache_write
    cheap = price.input if price.cached_input is None else price.cached_input
    taken = (usage.input_tokens - cached - written) * price.input + cached * cheap + written * dear
    made = usage.output_tokens * price.output
    if price.long_prompt_tokens is not None and usage.input_tokens > price.long_prompt_tokens:
        taken *= price.long_input_factor
        made *= price.long_output_factor
    micros = taken + made
    if images:
        micros += images * price.image * MICROS_PER_DOLLAR
    return Micros(int(micros.quantize(_ONE, ROUND_HALF_EVEN)))


def _plain_cost(input_tokens: int, output_tokens: int, price: PriceSettings) -> Micros:
    """The same where every token in costs the same, in integers: decimals take thrice as long."""
    taken, made, scale = price.per_token
    micros, rest = divmod(input_tokens * taken + output_tokens * made, scale)
    return Micros(micros + (2 * rest > scale or (2 * rest == scale and micros % 2)))


def estimate(request: ChatRequest, *, most_output: int) -> tuple[int, int]:
    """Input and output tokens that ``request`` may use, rather too many than too few, in about a microsecond.

    The output is what the request or ``most_output`` allows. The input is counted from bytes, with a margin. Against
    three tokenisers (OpenAI's o200k and cl100k, and the one Anthropic once published) it is 1.3 times the count for
    English, 1.3 to 1.4 for Python, 1.0 to 1.2 for JSON, 1.1 to 1.7 for German and Chinese, 1.7 to 3.6 for Russian, 1.2 for base64. It
    can be too low: 0.6 for tables of bare numbers, 0.7 for emoji, 0.8 for Thai, and for pictures sent to OpenAI's small
    models, which charge them many times over. The truth is settled after the call, so an error lasts as long as it.
    """
    limit = request.max_tokens
    return request_tokens(request, margin=_MARGIN), most_output if limit is None else min(limit, most_output)


def most_cost(input_tokens: int, output_tokens: int, prices: Iterable[PriceSettings]) -> Micros:
    """The most that a call of so many tokens can cost on any model of a plan, whatever the provider caches."""
    dearest = Micros(0)
    for price in prices:
        is_dearer = price.cache_write is not None and price.cache_write > price.input
        written = input_tokens if is_dearer else 0
        spent = cost(Usage(input_tokens, output_tokens, cache_write_tokens=written), price)
        if spent > dearest:
            dearest = spent
    return dearest
