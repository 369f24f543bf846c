"""What values the documents have that somebody may see: types, folders, authors, tags, languages, collections."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Select, String, Text, cast, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.knowledge.sight import Sight
from causeway.storage.schema import collections, documents

_MOST: Final = 2000
"""Values of a field that are read; a field that has more is no field to name in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldValues:
    """Values as the documents have them; ``types`` are media types, ``folders`` paths, parents among them."""

    types: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    authors: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()
    collections: frozenset[str] = frozenset()


async def field_values(
    sight: Sight, wanted: Collection[str], *, collection: str | None = None
) -> FieldValues:
    """The values of what may be seen, of one collection or of all; only of the ``wanted`` fields, others stay empty."""
    values: dict[str, frozenset[str]] = {}
    if not wanted:
        return FieldValues()
    async with sight.connect() as connection:
        for name in wanted:
            values[name] = frozenset(await _values_of(connection, sight, name, collection))
    return FieldValues(**values)


async def _values_of(
    connection: AsyncConnection, sight: Sight, name: str, collection: str | None
) -> Iterable[str]:
    match name:
        case "folders":
            above = func.regexp_replace(documents.c.path, "/?[^/]*$", "")
            folders = await _distinct(connection, sight, above, collection)
            return (part for folder in folders for part in _with_parents(folder))
        case "collections":
            return (await connection.scalars(select(collections.c.name).where(sight.collections))).all()
        case "tags":
            return await _tags(connection, sight, collection)
        case "types":
            return await _distinct(connection, sight, documents.c.media_type, collection)
        case _:
            held = documents.c.metadata[name.removesuffix("s")].astext
            return await _distinct(connection, sight, held, collection)


async def _distinct(
    connection: AsyncConnection, sight: Sight, value: object, collection: str | None
) -> Sequence[str]:
    text = cast(value, Text).label("value")
    found = _of(select(text).select_from(documents), sight, collection).distinct().limit(_MOST)
    return [row for row in (await connection.scalars(found)).all() if row]


async def _tags(connection: AsyncConnection, sight: Sight, collection: str | None) -> Sequence[str]:
    """Of lists each entry, else the text."""
    held = documents.c.metadata["tags"]
    is_list = func.jsonb_typeof(held) == "array"
    entry = func.jsonb_array_elements_text(held).table_valued("value").lateral()
    listed = _of(
        select(cast(entry.c.value, String)).select_from(documents.join(entry, literal_column("true"))),
        sight,
        collection,
    )
    single = _of(select(held.astext).select_from(documents), sight, collection)
    lists = await connection.scalars(listed.where(is_list).distinct().limit(_MOST))
    texts = await connection.scalars(
        single.where(func.jsonb_typeof(held) == "string").distinct().limit(_MOST)
    )
    return [*lists.all(), *(text for text in texts.all() if text)]


def _of(query: Select[str], sight: Sight, collection: str | None) -> Select[str]:
    query = query.where(documents.c.ready_revision.is_not(None), sight.documents)
    if collection is None:
        return query
    named = select(collections.c.id).where(collections.c.name == collection).scalar_subquery()
    return query.where(documents.c.collection_id == named)


def _with_parents(folder: str) -> list[str]:
    parts = folder.strip("/").split("/")
    return ["/".join(parts[: count + 1]) for count in range(len(parts)) if parts[0]]
