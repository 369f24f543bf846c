"""Pinecone's API through its own SDK: vectors in, out and compared; the only file that knows it.

A collection is a namespace of an index that has its number of dimensions; a vector's record is named like its chunk and
says which document it is of. Nothing else goes there: no text, no title, no metadata, so that a record is a hundred
bytes where 40 KB are allowed, and nothing there can be out of date. The SDK is loaded when it is first used; it calls
the address it is given and those which that tells of its indexes, and no other.

Limits, from https://docs.pinecone.io/reference/api/database-limits: 1,000 records and 2 MB an upsert, 1,000 ids a
deletion, 10,000 matches a query, 10,000 values of an ``$in``. What was written is not there at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from causeway.contracts.vectors import Vectors
from causeway.errors import DeadlineError, OperatorError, SettingsError, UpstreamError, UpstreamRateLimitError
from causeway.knowledge.index.stores import Match
from causeway.seams import deferred, library
from causeway.settings import PineconeSettings

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

MOST_MATCHES: Final = 10_000
"""What one query may ask for."""
MOST_NAMED: Final = 1_000
"""Documents that one query's filter names: 36 KB."""
_MOST_RECORDS = 1_000
_MOST_UPSERT_BYTES = 1_800_000
_NUMBER_BYTES = 23
"""The longest that a number is in JSON, with its comma."""
_RECORD_BYTES = 300
_MOST_FETCHED = 100
"""Ids go into the address, which has a bound of its own."""


@dataclass(frozen=True, slots=True)
class Space:
    """Where a collection's vectors are: its id names the namespace."""

    collection_id: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class Record:
    """A chunk's vector on its way there."""

    chunk_id: str
    document_id: str
    vector: Vectors


class PineconeApi:
    """The calls that an index is kept with; made by `open_pinecone`.

    Every call may raise:
        SettingsError: The key is refused.
        UpstreamRateLimitError: It asks for fewer calls.
        UpstreamError: It does not answer, or with a failure of its own; so `DeadlineError`, when it takes too long.
        OperatorError: It refuses what was asked for.
    """

    def __init__(self, client: Any, settings: PineconeSettings) -> None:
        self._client = client
        self._settings = settings
        self._indexes: dict[int, Any] = {}
        self._opening = asyncio.Lock()

    async def upsert(self, space: Space, records: Sequence[Record]) -> None:
        """Write vectors, over those of the same names."""
        index = await self._index(space.dimensions)
        size = _RECORD_BYTES + _NUMBER_BYTES * space.dimensions
        for batch in _batches(records, min(_MOST_RECORDS, max(1, _MOST_UPSERT_BYTES // size))):
            written = [
                (each.chunk_id, each.vector.tolist(), {"document": each.document_id}) for each in batch
            ]
            with _explained():
                await index.upsert(
                    vectors=written, namespace=space.collection_id, timeout=self._settings.timeout_s
                )

    async def query(
        self, space: Space, vector: Vectors, most: int, documents: Sequence[str] | None = None
    ) -> list[Match]:
        """The ``most`` nearest, nearest first; of these documents alone, at most `MOST_NAMED`, unless None."""
        index = await self._index(space.dimensions)
        named = None if documents is None else {"document": {"$in": list(documents)}}
        with _explained():
            answer = await index.query(
                vector=vector.tolist(),
                top_k=most,
                namespace=space.collection_id,
                filter=named,
                timeout=self._settings.timeout_s,
            )
        return [Match(str(each.id), float(each.score)) for each in answer.matches]

    async def fetch(self, space: Space, chunk_ids: Sequence[str]) -> dict[str, Vectors]:
        """Those of the vectors that are there by now."""
        index = await self._index(space.dimensions)
        found: dict[str, Vectors] = {}
        for batch in _batches(chunk_ids, _MOST_FETCHED):
            with _explained():
                answer = await index.fetch(
                    ids=list(batch), namespace=space.collection_id, timeout=self._settings.timeout_s
                )
            found |= {str(key): np.asarray(each.values, np.float32) for key, each in answer.vectors.items()}
        return found

    async def delete(self, space: Space, chunk_ids: Sequence[str]) -> None:
        """Take vectors away; those that are not there are no error."""
        index = await self._index(space.dimensions)
        for batch in _batches(chunk_ids, _MOST_RECORDS):
            with _explained(), _unless_missing():
                await index.delete(
                    ids=list(batch), namespace=space.collection_id, timeout=self._settings.timeout_s
                )

    async def forget(self, space: Space) -> None:
        """Take away all that a collection has there."""
        index = await self._index(space.dimensions)
        with _explained(), _unless_missing():
            await index.delete(
                delete_all=True, namespace=space.collection_id, timeout=self._settings.timeout_s
            )

    async def count(self, space: Space) -> int:
        """How many vectors a collection has there, as its statistics say, which run behind."""
        index = await self._index(space.dimensions)
        with _explained():
            answer = await index.describe_index_stats(timeout=self._settings.timeout_s)
        held = answer.namespaces.get(space.collection_id)
        return int(held.vector_count) if held is not None else 0

    async def check(self) -> list[str]:
        """The names of the key's indexes: whether the key works, for ``causeway doctor``."""
        with _explained():
            return [str(each.name) async for each in self._client.indexes.list()]

    async def close(self) -> None:
        """Let the connections go."""
        for index in self._indexes.values():
            await index.close()
        await self._client.close()

    async def _index(self, dimensions: int) -> Any:
        """The index for vectors of so many numbers; made when it is not there."""
        async with self._opening:
            if dimensions not in self._indexes:
                self._indexes[dimensions] = await self._open(dimensions)
            return self._indexes[dimensions]

    async def _open(self, dimensions: int) -> Any:
        name = f"{self._settings.index}-{dimensions}"
        errors = library("pinecone.errors.exceptions")
        with _explained():
            try:
                found = await self._client.indexes.describe(name)
            except errors.NotFoundError:
                found = await self._make(name, dimensions)
            if not found.status.ready or not found.host:
                raise UpstreamError(f"Pinecone is still making the index '{name}'")
            return await self._client.index(host=found.host)

    async def _make(self, name: str, dimensions: int) -> Any:
        errors = library("pinecone.errors.exceptions")
        vectors = {"type": "dense_vector", "dimension": dimensions, "metric": "cosine"}
        where = {
            "deployment_type": "managed",
            "cloud": self._settings.cloud,
            "region": self._settings.region,
        }
        try:
            return await self._client.indexes.create(
                name=name, schema={"fields": {"_values": vectors}}, deployment=where, timeout=-1
            )
        except errors.ConflictError:  # another process has just made it
            return await self._client.indexes.describe(name)


@asynccontextmanager
async def open_pinecone(settings: PineconeSettings) -> AsyncIterator[PineconeApi | None]:
    """The API, for the block; None when no key is set.

    Raises:
        MissingCapabilityError: The SDK is not installed.
        SettingsError: The key cannot be sent.
    """
    key = settings.api_key.get_secret_value()
    if not key:
        yield None
        return
    sdk = library("pinecone", extra="pinecone")
    with _explained():
        client = sdk.AsyncPinecone(api_key=key, host=settings.host, timeout=settings.timeout_s)
    api = PineconeApi(client, settings)
    try:
        yield api
    finally:
        await api.close()


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


@contextmanager
def _unless_missing() -> Iterator[None]:
    """A namespace comes with its first vector and goes with its last."""
    errors = library("pinecone.errors.exceptions")
    try:
        yield
    except errors.NotFoundError:
        return


@contextmanager
def _explained() -> Iterator[None]:
    """The SDK's errors as ours; none holds the key."""
    errors = library("pinecone.errors.exceptions")
    try:
        yield
    except (errors.UnauthorizedError, errors.ForbiddenError) as exc:
        raise SettingsError(f"Pinecone refuses pinecone.api_key ({_said(exc)}); set a valid one") from exc
    except errors.RateLimitError as exc:
        raise UpstreamRateLimitError("Pinecone asks for fewer calls").after(exc.retry_after) from exc
    except errors.PineconeTimeoutError as exc:
        raise DeadlineError(f"Pinecone did not answer in time: {_said(exc)}") from exc
    except (errors.PineconeConnectionError, errors.ServiceError, errors.ResponseParsingError) as exc:
        raise UpstreamError(f"Pinecone cannot be reached or fails: {_said(exc)}") from exc
    except errors.PineconeValueError as exc:
        raise SettingsError(f"Pinecone's SDK takes no such value; look at [pinecone]: {_said(exc)}") from exc
    except errors.ApiError as exc:
        if exc.status_code == 408:
            raise DeadlineError(f"Pinecone did not answer in time: {_said(exc)}") from exc
        raise OperatorError(f"Pinecone refuses a call: {_said(exc)}") from exc


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
