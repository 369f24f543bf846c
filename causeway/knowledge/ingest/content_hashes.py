"""The hashes of items' content, as it is now: files are read in threads, several a trip, since the trip outweighs a small one.

An item that cannot be read has none, and whoever takes it says why.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.ingest.connector import Connector, Fetched, Item
from causeway.knowledge.ingest.in_parallel import in_parallel

_FILES_A_TRIP = 32
_BYTES_A_TRIP = 16_000_000


@dataclass(slots=True)
class Hashes:
    """What reading items told.

    Attributes:
        by_path: The sha256 of each that could be read; empty where it comes in pieces, which cannot be read twice.
        plain: Paths of those whose content is a file of which nothing else is said.
        gone: Paths of those that are not there any more.
    """

    by_path: dict[str, str] = field(default_factory=dict)
    plain: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)


async def hashes_of(connector: Connector, items: Iterable[Item]) -> Hashes:
    """Read ``items``, in their order, as many trips to a thread at once as the source bears fetches.

    Raises:
        TryLaterError: The source does not answer.
    """
    hashes = Hashes()
    await in_parallel((_read(connector, trip, hashes) for trip in _trips(items)), at_once=connector.at_once)
    return hashes


def _trips(items: Iterable[Item]) -> Iterator[list[Item]]:
    trip: list[Item] = []
    size_bytes = 0
    for item in items:
        trip.append(item)
        size_bytes += item.size_bytes or 0
        if len(trip) >= _FILES_A_TRIP or size_bytes >= _BYTES_A_TRIP:
            yield trip
            trip, size_bytes = [], 0
    if trip:
        yield trip


async def _read(connector: Connector, items: list[Item], hashes: Hashes) -> None:
    files: dict[str, Path] = {}
    for item in items:
        try:
            fetched = await connector.fetch(item)
        except (OSError, UnreadableDocumentError) as exc:
            if isinstance(exc, FileNotFoundError) or isinstance(exc.__cause__, FileNotFoundError):
                hashes.gone.add(item.path)
            continue
        match fetched.content:
            case Path() as file:
                files[item.path] = file
                if fetched == Fetched(content=file):
                    hashes.plain.add(item.path)
            case bytes() as content:
                hashes.by_path[item.path] = hashlib.sha256(content).hexdigest()
            case pieces:
                await pieces.aclose()
                hashes.by_path[item.path] = ""
    digests = await asyncio.to_thread(_digests, list(files.values())) if files else []
    for path, told in zip(files, digests, strict=True):
        if isinstance(told, str):
            hashes.by_path[path] = told
        elif isinstance(told, FileNotFoundError):
            hashes.gone.add(path)


def _digests(files: list[Path]) -> list[str | OSError]:
    """The sha256 of each, or why it cannot be read; blocks."""
    told: list[str | OSError] = []
    for file in files:
        try:
            with file.open("rb") as stream:
                told.append(hashlib.file_digest(stream, "sha256").hexdigest())
        except OSError as exc:
            told.append(exc)
    return told
