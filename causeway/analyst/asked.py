"""The databases that may be asked: each opened when it is first wanted, its schema and semantic layer read and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from causeway.analyst import semantic_layer, shop_tables
from causeway.analyst.database import Reach, ReadOnlyDatabase
from causeway.analyst.kinds import open_read_only
from causeway.analyst.offer import Offer, OfferedTable
from causeway.analyst.schema import Schema
from causeway.analyst.semantic_layer import Layer
from causeway.contracts.clock import Clock
from causeway.contracts.identity import SYSTEM, Principal
from causeway.errors import NotFoundError
from causeway.product_sections import AnalystDatabaseSettings
from causeway.seams import deferred

if TYPE_CHECKING:
    from causeway.analyst import views
else:
    views = deferred("causeway.analyst.views")  # brings sqlglot

SHOP: Final = "shop"
"""The name of the sample shop."""
_SCHEMA_LIFE_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A database as one asker sees it."""

    name: str
    database: ReadOnlyDatabase
    schema: Schema
    layer: Layer
    offer: Offer
    reach: Reach


@dataclass(frozen=True, slots=True)
class _Known:
    database: ReadOnlyDatabase
    schema: Schema
    layer: Layer
    views: Mapping[str, OfferedTable]
    until: float


class AskedDatabases:
    """Databases by name; a schema is read anew every ten minutes."""

    def __init__(
        self, settings: Mapping[str, AnalystDatabaseSettings], *, folder: Path, clock: Clock
    ) -> None:
        self._settings = dict(settings)
        self._folder = folder
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    def names(self) -> list[str]:
        """Those that may be asked, the default first."""
        return list(self._settings)

    def offer_shop(self, settings: AnalystDatabaseSettings) -> None:
        """Add the sample shop, unless a database of the settings has its name."""
        self._settings.setdefault(SHOP, settings)

    async def asked(self, name: str | None, principal: Principal) -> Asked:
        """The database called ``name``, or the first, as ``principal`` sees it.

        Raises:
            NotFoundError: There is none.
            SettingsError: Its address or its semantic layer cannot be used.
            QueryFailedError: It cannot be reached.
        """
        if not self._settings:
            msg = "no database can be asked: name one in analyst.databases, or start 'causeway up --demo' for the sample shop"
            raise NotFoundError(msg)
        chosen = name or next(iter(self._settings))
        if chosen not in self._settings:
            raise NotFoundError(f"no database is called '{chosen}'; there are {', '.join(self._settings)}")
        known = await self._read(chosen)
        offered = views.with_views(semantic_layer.offer(known.schema, known.layer, principal), known.views)
        return Asked(
            name=chosen,
            database=known.database,
            schema=known.schema,
            layer=known.layer,
            offer=offered,
            reach=semantic_layer.reach(known.schema, offered),
        )

    async def close(self) -> None:
        """Let go of every database."""
        for known in self._known.values():
            await known.database.close()
        self._known.clear()

    async def _read(self, name: str) -> _Known:
        async with self._turns.setdefault(name, asyncio.Lock()):
            known = self._known.get(name)
            if known is not None and self._clock.monotonic() < known.until:
                return known
            settings = self._settings[name]
            layer = self._layer(name, settings)
            database = (
                known.database
                if known
                else await asyncio.to_thread(open_read_only, name, settings, self._folder)
            )
            schema = await database.read_schema(hidden=semantic_layer.hidden(layer))
            semantic_layer.require_fits(schema, layer)
            made = views.made_of(layer, semantic_layer.offer(schema, layer, SYSTEM))
            until = self._clock.monotonic() + _SCHEMA_LIFE_S
            self._known[name] = _Known(database, schema, layer, made, until)
            return self._known[name]

    def _layer(self, name: str, settings: AnalystDatabaseSettings) -> Layer:
        if settings.layer is not None:
            return semantic_layer.load(settings.layer)
        return (
            shop_layer()
            if name == SHOP and shop_tables.DATABASE in settings.url.get_secret_value()
            else Layer()
        )


def shop_layer() -> Layer:
    """The sample shop's semantic layer, which comes with Causeway."""
    return semantic_layer.load(Path(str(files("causeway.analyst") / "shop.yaml")))
