"""What administrators change on pages: one row a setting, over the file and the environment.

Owns the rows of ``setting_overrides`` and which settings they may hold. When they come into force is
`causeway.gateway.live_settings`'s matter.

The database never holds a provider's key. A page names where the key is, ``env:OPENAI_API_KEY`` or ``file:openai``, and
only variables whose names end in ``_API_KEY`` and files of the data folder's ``secrets`` can be named, so that whoever
may change settings cannot have the database's password sent to an address of their own.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.identity import Principal
from causeway.errors import InvalidInputError, SettingsError
from causeway.gateway import audit
from causeway.gateway.setting_names import LIVE_ALIASES, STARTED_ONLY
from causeway.settings import (
    GatewaySettings,
    GuardSettings,
    Layer,
    ModelSettings,
    ProviderSettings,
    RouteSettings,
    Section,
    TierSettings,
)
from causeway.storage.database import Database
from causeway.storage.schema import setting_overrides

_NAMED: dict[str, type[Section]] = {
    "providers": ProviderSettings,
    "routes": RouteSettings,
    "tiers": TierSettings,
}
_SINGLE: dict[str, type[Section]] = {
    "gateway": GatewaySettings,
    "guard": GuardSettings,
    "models": ModelSettings,
}
_ONLY = {"models": frozenset(LIVE_ALIASES)}
_NEVER = {"gateway": STARTED_ONLY, "providers": frozenset({"headers"})}
"""What would have to wait for a restart, and headers, which may carry secrets."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_REFERENCE = re.compile(r"env:[A-Za-z][A-Za-z0-9_]*_API_KEY|file:[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_REFERENCE_RULE = (
    "a page does not take the key itself; name where it is: env:OPENAI_API_KEY for a variable whose name ends in "
    "_API_KEY, or file:openai for a file in the data folder's secrets"
)
_LOCK = 7_310_562


class WrongFieldsError(SettingsError):
    """Values of a section cannot be used.

    Attributes:
        fields: What is wrong with each, by its key; shown beside it.
    """

    def __init__(self, section: str, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{section}.{key}: {wrong}" for key, wrong in fields.items()))
        self.fields = dict(fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of a section.

    Attributes:
        action: For the audit log: ``tier.update``.
        overrides: All that pages say of the section from now on; empty leaves it to file and environment.
        before: What changes, as it was in force.
        after: The same as it will be.
    """

    action: str
    overrides: Mapping[str, object]
    before: Mapping[str, object] | None
    after: Mapping[str, object] | None


def shape_of(section: str) -> type[Section]:
    """The settings of a section such as ``tiers.free`` or ``gateway``.

    Raises:
        InvalidInputError: Pages cannot change such a section, or a new one cannot have this name.
    """
    table, dot, name = section.partition(".")
    shape = _NAMED.get(table) if dot else _SINGLE.get(table)
    if shape is None:
        known = ", ".join([*_SINGLE, *(f"{each}.NAME" for each in _NAMED)])
        raise InvalidInputError(
            f"'{section}' cannot be changed here; {known} can, the rest in causeway.toml and with a restart"
        )
    if dot and not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"'{name}' cannot be a name of {table}; use small letters, digits, '-' and '_', 63 at most"
        )
    return shape


def is_changeable(section: str, key: str) -> bool:
    """Whether pages may change this key of the section."""
    table = section.partition(".")[0]
    if table in _ONLY:
        return key in _ONLY[table]
    return (table in _NAMED or table in _SINGLE) and key not in _NEVER.get(table, ())


def problems(section: str, values: Mapping[str, object], *, is_new: bool) -> dict[str, str]:
    """What is wrong with values for a section, by key; empty when nothing is. A new section needs its required keys.

    Raises:
        InvalidInputError: Pages cannot change such a section.
    """
    shape = shape_of(section)
    wrong = {
        key.encode("ascii", "backslashreplace").decode(): "holds what cannot be stored"
        for key, value in values.items()
        if not _is_storable({key: value})
    }
    if wrong:
        return wrong
    try:
        shape.model_validate(values if is_new else {**_least(section), **values})
    except ValidationError as exc:
        for problem in exc.errors(include_url=False, include_input=False, include_context=False):
            wrong.setdefault(str(problem["loc"][0]), _said(problem))
    for key, value in values.items():
        if key in shape.model_fields and not is_changeable(section, key):
            wrong[key] = "is changed in causeway.toml or the environment, not here"
        elif section.startswith("providers."):
            wrong |= _provider_problem(key, value)
    return wrong


class Overrides:
    """The rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> dict[str, dict[str, object]]:
        """Everything that was changed on pages, by section.

        Raises:
            DatabaseUnavailableError: The server cannot be reached.
        """
        async with self._database.connect() as connection:
            return await _read(connection)

    async def change(
        self, section: str, choose: Callable[[Layer], Awaitable[Change]], *, by: Principal
    ) -> None:
        """Replace a section's rows and note it in the audit log, in one transaction; changes go one after the other.

        Args:
            section: Such as ``tiers.free``.
            choose: Makes of all rows what becomes of the section; when it raises, nothing changes.
            by: Who does it.

        Raises:
            DatabaseUnavailableError: The server cannot be reached.
        """
        async with self._database.begin() as connection:
            await connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            layer = await _read(connection)
            change = await choose(layer)
            if change.overrides == layer.get(section, {}):
                return
            await connection.execute(delete(setting_overrides).where(setting_overrides.c.section == section))
            rows = [
                {"section": section, "name": key, "value": value, "updated_by": by.id}
                for key, value in change.overrides.items()
            ]
            if rows:
                await connection.execute(insert(setting_overrides), rows)
            await audit.record(
                connection, by, change.action, section, before=change.before, after=change.after
            )


async def _read(connection: AsyncConnection) -> dict[str, dict[str, object]]:
    layer: dict[str, dict[str, object]] = {}
    columns = (setting_overrides.c.section, setting_overrides.c.name, setting_overrides.c.value)
    for section, key, value in await connection.execute(select(*columns).order_by(*columns[:2])):
        layer.setdefault(section, {})[key] = value
    return layer


def _least(section: str) -> dict[str, object]:
    """What a section that is there cannot do without, in place of its present values."""
    return {"models": ["any"]} if section.startswith("routes.") else {}


def _is_storable(value: object) -> bool:
    """Whether PostgreSQL's JSON can hold a value: no NUL, no half of a surrogate pair, no infinite number."""
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, Mapping):
        return all(_is_storable(inner) for pair in value.items() for inner in pair)
    return all(map(_is_storable, value)) if isinstance(value, list) else True


def _said(problem: Mapping[str, Any]) -> str:
    if problem["type"] == "extra_forbidden":
        return "no such setting"
    if problem["type"] in ("missing", "too_short"):
        return "needs at least one"
    place = ".".join(str(part) for part in problem["loc"][1:])
    said = str(problem["msg"]).replace("Input should be", "must be")
    return f"{place}: {said}" if place else said


def _provider_problem(key: str, value: object) -> dict[str, str]:
    if key == "base_url" and isinstance(value, str) and value:
        return _address_problem(value)
    references = [value] if key == "api_key" else value if key == "api_keys" else []
    if not isinstance(references, list):
        return {}
    written = [each for each in references if isinstance(each, str) and each]
    return {} if all(_REFERENCE.fullmatch(each) for each in written) else {key: _REFERENCE_RULE}


def _address_problem(address: str) -> dict[str, str]:
    try:
        parts = urlsplit(address)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname)
        has_secret = parts.username is not None or bool(parts.query)
    except ValueError:
        is_whole = has_secret = False
    if not is_whole:
        return {"base_url": "is no address; it is like https://api.openai.com/v1"}
    if has_secret:
        return {"base_url": "may hold no password and no query; name the key in api_key"}
    return {}
