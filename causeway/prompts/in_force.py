"""Keeps a process's shelf equal to the registry: read at the start, and again whenever any process changes something."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from typing import Final

from sqlalchemy import select

from causeway.errors import CausewayError, InvalidInputError
from causeway.prompts import history
from causeway.prompts.prompt import Prompt, parse
from causeway.prompts.shelf import Shelf, Shelved
from causeway.storage.background import alongside
from causeway.storage.database import Database
from causeway.storage.notices import Notices
from causeway.storage.prompt_schema import prompt_versions

log = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 5.0
"""How old what is in force may be while changes of other processes are not heard."""
_RETRY_S: Final = 1.0


class InForce:
    """Loads the shelf, and follows changes."""

    def __init__(self, database: Database, shelf: Shelf, notices: Notices) -> None:
        self._database = database
        self._shelf = shelf
        self._notices = notices
        self._parsed: dict[tuple[str, int], Prompt] = {}
        self._stale: set[str | None] = set()
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        for table in ("prompt_versions", "prompt_labels"):
            notices.follow(table, self._heard)

    def following(self) -> AbstractAsyncContextManager[None]:
        """Follow changes until the block ends."""
        return alongside(self._follow())

    async def load(self, name: str | None = None) -> None:
        """Read a prompt anew, or all of them, and put them on the shelf."""
        query = select(prompt_versions.c.name, prompt_versions.c.version, prompt_versions.c.text)
        if name is not None:
            query = query.where(prompt_versions.c.name == name)
        async with self._turn:
            async with self._database.connect() as connection:
                rows = (await connection.execute(query)).all()
                labels = await history.read_labels(connection, name)
            found: dict[str, dict[int, Prompt]] = {}
            for row in rows:
                prompt = self._read(row.name, row.version, row.text)
                if prompt is not None:
                    found.setdefault(row.name, {})[row.version] = prompt
            for each, versions in found.items():
                self._shelf.put(each, Shelved(versions=versions, labels=labels.get(each, {})))

    def _read(self, name: str, version: int, text: str) -> Prompt | None:
        """A version's text, parsed once; None when this release cannot read it."""
        place = (name, version)
        if place not in self._parsed:
            try:
                prompt = parse(text, origin=f"{name}@{version}")
                prompt.names_used()
            except InvalidInputError as exc:
                about = {"prompt": f"{name}@{version}", "reason": exc.message}
                log.warning("a version of a prompt cannot be read", extra=about)
                return None
            self._parsed[place] = prompt
        return self._parsed[place]

    def _heard(self, name: str | None) -> None:
        self._stale.add(name)
        self._wake.set()

    async def _follow(self) -> None:
        while True:
            try:
                async with asyncio.timeout(None if self._notices.is_live else _LOOK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                self._stale.add(None)
            self._wake.clear()
            stale, self._stale = self._stale, set()
            try:
                for name in [None] if None in stale else sorted(filter(None, stale)):
                    await self.load(name)
            except CausewayError as exc:
                log.warning("changes of prompts could not be read", extra={"reason": exc.message})
                self._stale |= stale
                await asyncio.sleep(_RETRY_S)
                self._wake.set()
