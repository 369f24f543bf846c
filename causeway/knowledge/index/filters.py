"""Which documents a search may find: a small tree of conditions, and the SQL it becomes.

Field names are the document's own (`FIELDS`); any other name is a key of its metadata. Values are always bound, never
written into SQL, and a condition on something a document lacks is false rather than unknown, so `Not` keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, assert_never

from sqlalchemy import (
    ColumnElement,
    Numeric,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from causeway.errors import InvalidInputError
from causeway.storage.schema import collections, documents

_NUMBER = re.compile(r"-?[0-9]+(?:[.][0-9]+)?")
_MOST_DIGITS = 15
Scalar = str | int | float | bool | datetime


@dataclass(frozen=True, slots=True)
class Eq:
    """The field is this value, or is a metadata list that holds it."""

    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class In:
    """The field is one of these values."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The field is ``at_least`` or more, and less than ``below``; None leaves that end open."""

    field: str
    at_least: Scalar | None = None
    below: Scalar | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """The document has the field, and it is not empty."""

    field: str


@dataclass(frozen=True, slots=True)
class And:
    """Every part holds; with no parts, everything."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part holds; with no parts, nothing."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Filter


@dataclass(frozen=True, slots=True)
class ReadableBy:
    """One of these names may see the document; see `causeway.knowledge.access`. No caller's filter becomes one."""

    names: tuple[str, ...]


Filter = Eq | In | Range | Exists | And | Or | Not | ReadableBy

EVERYTHING: Final = And(())

_MOMENTS = {"modified": documents.c.modified_at, "created": documents.c.created_at}
_TEXTS = {
    "document": documents.c.id,
    "source": documents.c.source,
    "path": documents.c.path,
    "title": documents.c.title,
}
FIELDS: Final = ("collection", "folder", "type", *_TEXTS, *_MOMENTS)
"""``folder`` holds every path below it; ``type`` is a media type or its second half, such as ``pdf``; ``modified`` and
``created`` are moments; ``collection`` is its name."""

_MOST_VALUES = 1000


def all_of(*parts: Filter) -> Filter:
    """Every part holds; parts that hold for everything are left out."""
    kept = tuple(part for part in parts if part != EVERYTHING)
    return kept[0] if len(kept) == 1 else And(kept)


def readers_in(where: Filter) -> tuple[str, ...] | None:
    """The names by which a search is bound to what its caller may see; None for who sees everything."""
    parts = where.parts if isinstance(where, And) else (where,)
    return next((part.names for part in parts if isinstance(part, ReadableBy)), None)


def readable(names: tuple[str, ...] | None) -> Filter:
    """What one of ``names`` may read; None may read everything."""
    return EVERYTHING if names is None else ReadableBy(names)


def from_pairs(pairs: Mapping[str, object]) -> Filter:
    """The filter that ``--filter key=value`` and the API's ``filters`` mean: every pair holds.

    A list means one of its values. For ``modified`` and ``created`` a value is a day (``2026-11-23``), or a range of
    days ``FROM..TO`` whose ends are included and may be left out.

    Raises:
        InvalidInputError: A value cannot be used; the message names it.
    """
    return all_of(*(_from_pair(field, value) for field, value in pairs.items()))


def to_sql(where: Filter) -> ColumnElement[bool]:
    """``where`` as a condition over the table ``documents``."""
    match where:
        case Eq(field, value):
            return _equals(field, (value,))
        case In(field, values):
            return _equals(field, values)
        case Range(field, at_least, below):
            return and_(
                _compared(field, at_least, is_lower=True) if at_least is not None else true(),
                _compared(field, below, is_lower=False) if below is not None else true(),
            )
        case Exists(field):
            return _exists(field)
        case And(parts):
            return and_(true(), *map(to_sql, parts))
        case Or(parts):
            return or_(false(), *map(to_sql, parts))
        case Not(part):
            return not_(to_sql(part))
        case ReadableBy(names):
            return documents.c.readers.bool_op("&&")(literal(list(names), ARRAY(Text)))
        case _:
            assert_never(where)


def is_among_passing(document_id: ColumnElement[str], where: Filter) -> ColumnElement[bool]:
    """Whether the document of a row passes, asked so that the rows of those that do are looked up one document at a time.

    PostgreSQL cannot tell how many documents a filter of metadata passes, and takes it for many: as a join it would read the
    whole table of the rows. An array of ids it takes for a few, and uses the index.
    """
    passing = select(documents.c.id).where(to_sql(where)).scalar_subquery()
    return document_id == func.any(func.array(passing))


def has_statistics(where: Filter) -> bool:
    """Whether PostgreSQL can tell how many documents pass: by columns and access rules, not by metadata."""
    match where:
        case And(parts):
            return all(map(has_statistics, parts))
        case Eq(field) | In(field):
            return field == "collection" or field in _TEXTS
        case ReadableBy():
            return True
        case _:
            return False


def _from_pair(field: str, value: object) -> Filter:
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if not values or len(values) > _MOST_VALUES:
        raise InvalidInputError(f"filter '{field}' has {len(values)} values; give 1 to {_MOST_VALUES}")
    scalars: list[Scalar] = []
    for one in values:
        if not isinstance(one, str | int | float | bool | datetime):
            raise InvalidInputError(
                f"filter '{field}' is {type(one).__name__}; give text, a number, true or false, or a list of these"
            )
        scalars.append(one.replace("\x00", "") if isinstance(one, str) else one)
    if field in _MOMENTS:
        return Or(tuple(_days(field, one) for one in scalars))
    return Eq(field, scalars[0]) if len(scalars) == 1 else In(field, tuple(scalars))


def _days(field: str, value: Scalar) -> Filter:
    """``2026-11-23`` or ``2026-11-01..2026-11-30``, both ends included."""
    if isinstance(value, datetime):
        return Eq(field, value)
    first, dots, last = str(value).partition("..")
    try:
        begin = _start_of(first) if first else None
        end = _start_of(last if dots else first) + timedelta(days=1) if last or not dots else None
    except ValueError as exc:
        raise InvalidInputError(
            f"'{field}={value}' is not a day; write 2026-11-23, or a range such as 2026-11-01..2026-11-30"
        ) from exc
    return Range(field, begin, end)


def _start_of(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day.strip()), time.min, tzinfo=UTC)


def _equals(field: str, values: Sequence[Scalar]) -> ColumnElement[bool]:
    if field in _MOMENTS:
        return _MOMENTS[field].in_([_moment(field, value) for value in values])
    texts = [_as_text(value) for value in values]
    if field in _TEXTS:
        return _TEXTS[field].in_(texts)
    if field == "collection":
        named = select(collections.c.id).where(collections.c.name.in_(texts))
        return documents.c.collection_id.in_(named)
    if field == "folder":
        return or_(*(_is_below(text) for text in texts))
    if field == "type":
        subtype = func.split_part(documents.c.media_type, "/", 2)
        return or_(documents.c.media_type.in_(texts), subtype.in_(texts))
    held = documents.c.metadata[field]
    listed = {*values, *texts}
    holds = func.coalesce(
        or_(held.astext.in_(texts), *(held.contains(_as_json(value)) for value in listed)), false()
    )
    written = [_written_forms(text) for text in texts]
    if not all(written):
        return holds
    # said twice: what holds can be found in the index of all metadata, and is then asked exactly
    forms = [*map(_plain, values), *(form for each in written for form in each)]
    pairs = [pair for form in forms for pair in ({field: form}, {field: [form]})]
    found = or_(*(documents.c.metadata.contains(literal(pair, JSONB)) for pair in pairs))
    return and_(found, holds)


def _written_forms(text: str) -> Sequence[object]:
    """What in JSON ``->>`` may show as ``text``; none where that is a list, an object or a number beyond a double's digits."""
    is_number = _NUMBER.fullmatch(text) is not None
    if text[:1] in {"[", "{"} or (is_number and len(text) > _MOST_DIGITS):
        return ()
    if text in {"true", "false"}:
        return (text, text == "true")
    return (text, float(text) if "." in text else int(text)) if is_number else (text,)


def _is_below(folder: str) -> ColumnElement[bool]:
    prefix = folder.strip("/")
    return documents.c.path.startswith(f"{prefix}/", autoescape=True) if prefix else true()


def _compared(field: str, bound: Scalar, *, is_lower: bool) -> ColumnElement[bool]:
    column: ColumnElement[object]
    value: ColumnElement[object]
    if field in _MOMENTS:
        column, value = _MOMENTS[field], literal(_moment(field, bound))
    elif field in _TEXTS:
        column, value = _TEXTS[field], literal(_as_text(bound))
    elif field in FIELDS:
        raise InvalidInputError(
            f"'{field}' has no order, so it cannot be filtered by a range; give its value"
        )
    elif isinstance(bound, int | float):
        held = documents.c.metadata[field]
        column = case((func.jsonb_typeof(held) == "number", cast(held.astext, Numeric)))
        value = literal(bound, Numeric)
    else:
        # "C" compares bytes, so that ISO dates and times in metadata are in the order of time
        column = documents.c.metadata[field].astext.collate("C")
        value = literal(_as_text(bound), Text)
    return func.coalesce(column >= value if is_lower else column < value, false())


def _exists(field: str) -> ColumnElement[bool]:
    if field in _TEXTS:
        return _TEXTS[field] != ""
    if field == "type":
        return documents.c.media_type != ""
    if field in FIELDS:
        return true()
    held = documents.c.metadata[field].astext
    return func.coalesce(held != "", false())


def _moment(field: str, value: Scalar) -> datetime:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as exc:
        raise InvalidInputError(f"'{field}={value}' is not a moment; write 2026-11-23T12:00:00Z") from exc
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _as_json(value: Scalar) -> ColumnElement[object]:
    return literal(_plain(value), JSONB)


def _plain(value: Scalar) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _as_text(value: Scalar) -> str:
    """``value`` as ``->>`` shows it in JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)
