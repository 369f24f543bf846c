"""The semantic layer: a YAML file a database, which says what is offered of it and what its owner's words mean.

Tables offered, columns hidden, row rules, synonyms, metrics with their SQL, terms, joins that no key tells of, what is
ambiguous, and verified questions. `draft` makes a first one of a schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from causeway.analyst.database import Reach
from causeway.analyst.offer import Offer, OfferedTable
from causeway.analyst.schema import Column, ForeignKey, Kind, Schema, Table
from causeway.contracts.identity import Principal
from causeway.errors import SettingsError
from causeway.seams import deferred

if TYPE_CHECKING:
    import sqlglot
else:
    sqlglot = deferred("sqlglot")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LayerColumn(_Part):
    """What a column means; ``kind`` is told of computed columns of views that are no numbers."""

    about: str = ""
    kind: Kind | None = None
    synonyms: list[str] = Field(default_factory=list)


class LayerTable(_Part):
    """A table that is offered; ``rows`` is a condition in SQL, with ``:asker`` and ``:team`` for who asks."""

    about: str = ""
    synonyms: list[str] = Field(default_factory=list)
    hidden: list[str] = Field(default_factory=list)
    rows: str = ""
    columns: dict[str, LayerColumn] = Field(default_factory=dict)


class LayerView(_Part):
    """A query with a name, asked as a table: joins and conditions that every question would need anew."""

    sql: str
    about: str = ""
    synonyms: list[str] = Field(default_factory=list)
    columns: dict[str, LayerColumn] = Field(default_factory=dict)


class Metric(_Part):
    """A number with a name, such as revenue, and the SQL that computes it."""

    sql: str
    about: str = ""
    synonyms: list[str] = Field(default_factory=list)
    tables: list[str] = Field(default_factory=list)


class Term(_Part):
    """A word of the business, such as active customer."""

    about: str
    synonyms: list[str] = Field(default_factory=list)
    tables: list[str] = Field(default_factory=list)


class Ambiguity(_Part):
    """Words that mean more than one thing, unless another word tells which."""

    words: list[str]
    unless: list[str] = Field(default_factory=list)
    ask: str


class Pair(_Part):
    """A question and SQL that somebody has found right."""

    question: str
    sql: str


class Layer(_Part):
    """The whole file. Without ``tables``, everything that the role may read is offered."""

    description: str = ""
    tables: dict[str, LayerTable] = Field(default_factory=dict)
    only_listed: bool = False
    views: dict[str, LayerView] = Field(default_factory=dict)
    metrics: dict[str, Metric] = Field(default_factory=dict)
    terms: dict[str, Term] = Field(default_factory=dict)
    joins: list[str] = Field(default_factory=list)
    ambiguous: list[Ambiguity] = Field(default_factory=list)
    examples: list[str] = Field(default_factory=list)
    pairs: list[Pair] = Field(default_factory=list)

    @model_validator(mode="after")
    def _joins_are_equalities(self) -> Self:
        for join in self.joins:
            _foreign_key(join)
        return self


def load(file: Path) -> Layer:
    """The layer in a file.

    Raises:
        SettingsError: It cannot be read, or is not as this module describes.
    """
    try:
        written = yaml.safe_load(file.expanduser().read_text(encoding="utf-8"))
        return Layer.model_validate(written or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise SettingsError(f"the semantic layer '{file}' cannot be read: {exc}") from exc
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"the semantic layer '{file}': {where}: {first['msg']}") from exc


def hidden(layer: Layer) -> Reach:
    """The hidden columns of each table, in lower case."""
    return {name.lower(): frozenset(map(str.lower, table.hidden)) for name, table in layer.tables.items()}


def require_fits(schema: Schema, layer: Layer) -> None:
    """Every table, column and row rule of the layer is there; else a rule would silently protect nothing.

    Raises:
        SettingsError: One is not; the message names it.
    """
    known = {name.lower(): table for name, table in schema.tables.items()}
    for name, table in layer.tables.items():
        found = known.get(name.lower())
        if found is None:
            raise SettingsError(
                f"the semantic layer names the table '{name}', which the database does not have"
            )
        for column in [*table.columns, *_readable(found, table.hidden)]:
            if found.column(column) is None:
                raise SettingsError(
                    f"the semantic layer names '{name}.{column}', which the database does not have"
                )
        if table.rows:
            try:
                sqlglot.parse_one(table.rows, read=schema.dialect, into=sqlglot.exp.Condition)
            except sqlglot.errors.SqlglotError as exc:
                raise SettingsError(f"the row rule of '{name}' cannot be read as SQL: {table.rows}") from exc


def _readable(table: Table, names: list[str]) -> list[str]:
    """Hidden columns that are checked for being there: none, where the role itself cannot see them."""
    return [name for name in names if table.column(name) is not None]


def offer(schema: Schema, layer: Layer, principal: Principal) -> Offer:
    """What ``principal`` is offered of ``schema``, without the layer's views."""
    by_name = {name.lower(): table for name, table in layer.tables.items()}
    tables: dict[str, OfferedTable] = {}
    for name, table in schema.tables.items():
        said = by_name.get(name.lower())
        if said is None and layer.only_listed:
            continue
        said = said or LayerTable()
        away = frozenset(map(str.lower, said.hidden))
        about = {column.lower(): part for column, part in said.columns.items()}
        columns = tuple(
            _told(_unsampled(column) if said.rows else column, about.get(column.name.lower()))
            for column in table.columns
            if column.name.lower() not in away
        )
        if columns:
            shown = replace(
                table,
                columns=columns,
                rows=None if said.rows else table.rows,
                primary_key=tuple(key for key in table.primary_key if key.lower() not in away),
                comment=said.about or table.comment,
            )
            tables[name] = OfferedTable(table=shown, hidden=away, rows=said.rows)
    keys = [*schema.foreign_keys, *map(_foreign_key, layer.joins)]
    asker = {
        "asker": principal.id,
        "asker_name": principal.name,
        **({"team": principal.team} if principal.team else {}),
    }
    return Offer(
        dialect=schema.dialect,
        tables=tables,
        foreign_keys=tuple(key for key in keys if key.table in tables and key.other in tables),
        asker=asker,
    )


def reach(schema: Schema, offered: Offer) -> Reach:
    """What queries over ``offered`` may read: its columns, and those that row rules name."""
    found: dict[str, frozenset[str]] = {}
    for name, table in offered.tables.items():
        if table.view:
            continue
        columns = {column.name.lower() for column in table.table.columns}
        if table.rows:
            rule = sqlglot.parse_one(table.rows, read=schema.dialect, into=sqlglot.exp.Condition)
            columns |= {column.name.lower() for column in rule.find_all(sqlglot.exp.Column)}
        found[name.lower()] = frozenset(columns)
    return found


def _unsampled(column: Column) -> Column:
    """A column without what was read of its rows: under a row rule these are other people's too."""
    return replace(column, values=(), distinct=None, lowest=None, highest=None)


def _told(column: Column, said: LayerColumn | None) -> Column:
    if said is None or not said.about:
        return column
    return replace(column, comment=said.about)


def _foreign_key(join: str) -> ForeignKey:
    left, equals, right = (part.strip() for part in join.partition("="))
    if not equals or left.count(".") != 1 or right.count(".") != 1:
        raise ValueError(f"'{join}' is not of the form orders.customer_id = customers.customer_id")
    (table, column), (other, theirs) = left.split("."), right.split(".")
    return ForeignKey(table, (column,), other, (theirs,))


def draft(schema: Schema) -> str:
    """A first layer for ``schema``, as YAML: every table, with columns hidden whose names sound personal."""
    tables: dict[str, Any] = {}
    for name, table in schema.tables.items():
        entry: dict[str, Any] = {"about": table.comment, "synonyms": []}
        personal = [column.name for column in table.columns if _sounds_personal(column.name)]
        if personal:
            entry["hidden"] = personal
        unclear = {
            column.name: {"about": "", "synonyms": []}
            for column in table.columns
            if column.kind == "text" and not column.comment and 0 < len(column.values) <= 12
        }
        if unclear:
            entry["columns"] = unclear
        tables[name] = entry
    written: Mapping[str, Any] = {
        "description": "",
        "tables": tables,
        "views": {},
        "metrics": {},
        "terms": {},
        "joins": [],
        "ambiguous": [],
        "examples": [],
        "pairs": [],
    }
    return yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=110)


def _sounds_personal(name: str) -> bool:
    words = (
        "email",
        "mail",
        "phone",
        "mobile",
        "ssn",
        "password",
        "passwd",
        "secret",
        "token",
        "iban",
        "birth",
        "street",
    )
    return any(word in name.lower() for word in words)
