"""Money on the command line: dollars as people write them, micros inside."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from causeway.contracts.money import Micros

_MOST = Decimal(1_000_000_000)


NONE: Literal["none"] = "none"
"""What is written to take a limit away."""


class Dollars(click.ParamType["Micros | Literal['none']"]):
    """An amount such as ``12.50``, in micros; with ``may_be_none`` also the word ``none``."""

    name = "usd"

    def __init__(self, *, may_be_none: bool = False) -> None:
        self._may_be_none = may_be_none

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> Micros | Literal["none"]:
        """The micros of what was written."""
        from causeway.contracts.money import MICROS_PER_DOLLAR, Micros, to_micros

        if isinstance(value, int):  # click converts twice
            return Micros(value)
        if self._may_be_none and value == NONE:
            return NONE
        try:
            amount = Decimal(value.removeprefix("$"))
        except InvalidOperation:
            self.fail(f"'{value}' is not an amount in dollars; write it like 12.50", param, ctx)
        if not amount.is_finite() or not 0 <= amount <= _MOST:
            self.fail(f"{value} dollars is no budget; use 0 to {_MOST:,}", param, ctx)
        if amount * MICROS_PER_DOLLAR % 1:
            self.fail(f"{value} has more than six decimals", param, ctx)
        return to_micros(amount)


def limit(written: Micros | Literal["none"] | None, present: Micros | None) -> Micros | None:
    """The limit that an option leaves: the ``present`` one when it was not given."""
    return present if written is None else None if written == NONE else written


def shown(micros: int | None) -> str:
    """An amount for people, exactly: ``12.50``; ``-`` for none."""
    if micros is None:
        return "-"
    cents = Decimal(micros).scaleb(-6)
    return format(cents.normalize() if cents % Decimal("0.01") else cents.quantize(Decimal("0.01")), "f")
