"""Who may administer, and what over; and how the administrators' amounts and secrets are written."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from fastapi import Depends
from pydantic import AfterValidator, BaseModel, Field, SecretStr

from causeway.contracts.money import Micros, to_dollars, to_micros
from causeway.errors import NotFoundError
from causeway.web.parts import AdminParts
from causeway.web.sign_in import Admin, Parts

MASK = "***"
_MOST_DOLLARS = Decimal(1_000_000_000)

Dollars = Annotated[Decimal, Field(ge=0, le=_MOST_DOLLARS)]
"""An amount that somebody writes; a micro-dollar is the smallest that counts."""


def storable(text: str) -> str:
    """``text``, or a `ValueError` when PostgreSQL could not hold it."""
    if "\0" in text:
        msg = "holds the character NUL, which cannot be stored"
        raise ValueError(msg)
    return text


Storable = Annotated[str, AfterValidator(storable)]
"""Text that PostgreSQL can hold, and can be asked for."""


async def _desk(parts: Parts, _admin: Admin) -> AdminParts:
    if parts.admin is None:
        msg = "this Causeway has no gateway to administer"
        raise NotFoundError(msg)
    return parts.admin


Desk = Annotated[AdminParts, Depends(_desk)]
"""What an administrator works on; others are refused."""


def micros(dollars: Decimal | None) -> Micros | None:
    """An amount as it is kept."""
    return None if dollars is None else to_micros(dollars)


def usd(amount: Micros | None) -> float | None:
    """An amount as it is told."""
    return None if amount is None else to_dollars(amount)


def shown(value: object) -> Any:
    """A setting as JSON, without its secrets."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case SecretStr():
            return MASK if value.get_secret_value() else ""
        case BaseModel():
            return {
                key: shown(inner)
                for key, inner in value.model_dump(exclude_defaults=True).items()
                if inner is not None
            }
        case dict():
            return {str(key): shown(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [shown(inner) for inner in value]
        case _:
            return str(value)


def shown_setting(name: str, value: object) -> Any:
    """The same of a setting whose name tells that it may hold secrets: headers keep their names alone."""
    if name.endswith(".headers") and isinstance(value, dict):
        return dict.fromkeys(value, MASK)
    return shown(value)
