"""Sources that were taken out of the settings: what they left behind stays until somebody says that it is to go.

A section can be gone by mistake, or for an hour; documents, their feedback and what cites them would be lost with it. So
nothing is deleted by itself, and what was left is shown until it is decided on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from causeway.errors import InvalidInputError, NotFoundError
from causeway.knowledge.ingest.in_parallel import in_parallel
from causeway.knowledge.ingest.source_runs import SourceRun, SourceRuns
from causeway.knowledge.library import Library

_AT_ONCE = 4
_NAMED_KINDS = ("notion", "slack", "web", "mail")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftSource:
    """A source that is in the settings no more.

    Attributes:
        source: What its documents have as theirs.
        documents: How many there are that no source of the settings has too.
    """

    name: str
    source: str
    collection: str
    documents: int

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "name": self.name,
            "source": self.source,
            "collection": self.collection,
            "documents": self.documents,
        }


Place = tuple[str, str]
"""A collection's name, and the source of some of its documents."""


class LeftSources:
    """Finds what was left, and forgets it."""

    def __init__(self, *, library: Library, runs: SourceRuns, current: Mapping[str, Place]) -> None:
        """``current``: where each source of the settings has its documents."""
        self._library = library
        self._runs = runs
        self._current = current

    async def all(self) -> tuple[LeftSource, ...]:
        """Every source that ran and is in the settings no more, by name."""
        found = [await self._left(run) for run in await self._runs.others(list(self._current))]
        return tuple(found)

    async def forget(self, name: str, *, documents: bool) -> LeftSource:
        """Show a source no more; with ``documents``, delete what it left first.

        Raises:
            NotFoundError: There is none of that name.
            InvalidInputError: The settings still have it.
        """
        if name in self._current:
            raise InvalidInputError(
                f"source '{name}' is in the settings, and its next sync would bring all of it back; take its section"
                " out, start Causeway again, and remove it then"
            )
        known = {run.name: run for run in await self._runs.others(list(self._current))}
        if name not in known:
            raise NotFoundError(f"there is no source '{name}' that was taken out of the settings")
        left = await self._left(known[name])
        if documents:
            ids = await self._documents(left.collection, left.source)
            await in_parallel((self._delete(document_id) for document_id in ids), at_once=_AT_ONCE)
        await self._runs.forget(name)
        return left

    async def _left(self, run: SourceRun) -> LeftSource:
        collection, source = await self._place(run)
        ids = await self._documents(collection, source)
        return LeftSource(name=run.name, source=source, collection=collection, documents=len(ids))

    async def _place(self, run: SourceRun) -> Place:
        """Where it had its documents; a run of an earlier release did not note it, so its name is looked for."""
        if run.source:
            return run.collection, run.source
        for collection in await self._library.collections():
            for source in await self._library.sources(collection.name):
                if source in {f"{kind}:{run.name}" for kind in _NAMED_KINDS}:
                    return collection.name, source
        return "", ""

    async def _documents(self, collection: str, source: str) -> Sequence[str]:
        if not source or (collection, source) in self._current.values():
            return ()
        known = await self._library.known(collection, source)
        return [each.document_id for each in known.values()]

    async def _delete(self, document_id: str) -> None:
        try:
            await self._library.delete(document_id)
        except NotFoundError:
            return
