"""Facets: what the documents that a search found have in common, with how many have it.

Counted are the documents of all passages that either arm brought, not only those of the hits: hundreds where there are as
many. Only what the caller may see is among them, so no count tells of anything else. A value is what a filter of the same
field takes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, Text, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from causeway.errors import InvalidInputError
from causeway.knowledge.sight import Sight
from causeway.storage.schema import chunks, collections, documents

MOST_FACETS: Final = 12
MOST_VALUES: Final = 20
_LONGEST_FIELD: Final = 100
_LONGEST_VALUE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetValue:
    """A value of a field, and how many of the documents have it."""

    value: str
    count: int


def check_fields(fields: Sequence[str]) -> None:
    """Pass, or refuse.

    Raises:
        InvalidInputError: They are too many, or one is empty or too long.
    """
    if len(fields) > MOST_FACETS:
        raise InvalidInputError(f"{len(fields)} facets are asked for; ask for {MOST_FACETS} or fewer")
    for field in fields:
        if not field.strip() or len(field) > _LONGEST_FIELD:
            raise InvalidInputError(f"'{field[:40]}' is no field; name one, such as type, folder or author")


async def count_facets(
    sight: Sight, fields: Sequence[str], chunk_ids: Sequence[str]
) -> Mapping[str, tuple[FacetValue, ...]]:
    """Field -> its values among the documents of ``chunk_ids`` that are seen, the most frequent first."""
    theirs = select(chunks.c.document_id).where(
        chunks.c.id == func.any(literal(list(chunk_ids), ARRAY(Text)))
    )
    wanted = (
        select(
            collections.c.name.label("collection"),
            documents.c.path,
            documents.c.media_type,
            documents.c.source,
            documents.c.modified_at,
            documents.c.created_at,
            documents.c.metadata,
        )
        .join_from(documents, collections, documents.c.collection_id == collections.c.id)
        .where(documents.c.id.in_(theirs), sight.documents)
    )
    async with sight.glance() as connection:
        rows = (await connection.execute(wanted)).all()
    return {field: _counted(field, rows) for field in dict.fromkeys(fields)}


def _counted(field: str, rows: Sequence[Row[*tuple[Any, ...]]]) -> tuple[FacetValue, ...]:
    counts = Counter(value for row in rows for value in dict.fromkeys(_values(field, row)))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(FacetValue(value=value, count=count) for value, count in ordered[:MOST_VALUES])


def _values(field: str, row: Row[*tuple[Any, ...]]) -> Iterator[str]:
    match field:
        case "collection" | "source":
            yield row._mapping[field]
        case "type":
            if row.media_type:
                yield row.media_type
        case "folder":
            parts = row.path.split("/")[:-1]
            yield from ("/".join(parts[: depth + 1]) for depth in range(len(parts)) if parts[0])
        case "modified" | "created":
            year = row._mapping[f"{field}_at"].year
            yield f"{year}-01-01..{year}-12-31"
        case _:
            held = row.metadata.get(field)
            for value in held if isinstance(held, list) else [held]:
                if isinstance(value, bool):
                    yield str(value).lower()
                elif isinstance(value, str | int | float) and value != "":
                    yield str(value)[:_LONGEST_VALUE]
