"""A draft: what the model is shown of the database, and the SQL in its reply."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from causeway.analyst.offer import Offer, OfferedTable
from causeway.analyst.schema import Column
from causeway.analyst.schema_linking import Linked
from causeway.analyst.semantic_layer import Layer, Pair
from causeway.contracts.chat import Message
from causeway.prompts.prompt import Prompt

_DIALECTS: Final = {"postgres": "PostgreSQL", "sqlite": "SQLite", "duckdb": "DuckDB", "mysql": "MySQL"}
_CHARS_A_TOKEN: Final = 3.4
_FENCE: Final = re.compile(
    r"```(?:sql|postgresql|sqlite|mysql|duckdb)?\s*\n?(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE
)
_START: Final = re.compile(r"\b(?:select|with)\b", re.IGNORECASE)
_CANNOT: Final = re.compile(r"^\W*CANNOT\b\W*(.*)", re.IGNORECASE | re.DOTALL)
_MOST_VALUES: Final = 8
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Earlier:
    """The question that this one follows, and what answered it."""

    question: str
    sql: str


@dataclass(frozen=True, slots=True)
class Drafted:
    """What a reply holds: SQL, or the reason why there is none."""

    sql: str = ""
    cannot: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """What a draft rests on besides the question."""

    offer: Offer
    layer: Layer
    linked: Linked
    pairs: Sequence[Pair] = ()
    earlier: Earlier | None = None


def values(question: str, background: Background, *, tokens: int) -> Mapping[str, object]:
    """What the prompt for a draft is filled with, about ``tokens`` long."""
    layer, linked = background.layer, background.linked
    pairs = [{"question": pair.question, "sql": pair.sql.strip()} for pair in background.pairs]
    glossary = [f"{name}: {layer.metrics[name].about} = {layer.metrics[name].sql}" for name in linked.metrics]
    glossary += [f"{name}: {layer.terms[name].about}" for name in linked.terms]
    spent = (
        sum(len(pair["question"]) + len(pair["sql"]) + 30 for pair in pairs) + sum(map(len, glossary)) + 700
    )
    room = max(900, int(tokens * _CHARS_A_TOKEN) - spent)
    return {
        "dialect": _DIALECTS[background.offer.dialect],
        "schema": _schema(background, room),
        "glossary": glossary,
        "hints": _hints(linked),
        "pairs": pairs,
        "earlier": {"question": background.earlier.question, "sql": background.earlier.sql}
        if background.earlier
        else None,
        "question": question,
    }


def repair_message(question: str, problem: str, hints: Sequence[str], prompt: Prompt) -> Message:
    """What follows a draft that did not work."""
    return prompt.messages({"question": question, "problem": problem, "hints": list(hints)})[-1]


def read(reply: str) -> Drafted:
    """The SQL of a reply, whatever stands around it."""
    found = _FENCE.search(reply)
    text = found[1] if found else reply
    begin = _START.search(text)
    cannot = _CANNOT.match(reply.strip())
    if begin is None or (cannot and not found):
        return Drafted(cannot=_line(cannot[1]) if cannot else "")
    sql = text[begin.start() :].strip()
    return Drafted(sql=sql.split("\n\n\n")[0].rstrip().rstrip(";").rstrip())


def _line(text: str) -> str:
    first = text.strip().splitlines()[0] if text.strip() else ""
    return first[:300]


def _schema(background: Background, room: int) -> str:
    """The linked tables as CREATE TABLE; where room is short, only keys and mentioned columns of the later ones."""
    written: list[str] = []
    linked = background.linked
    for place, name in enumerate(linked.tables):
        offered = background.offer.tables[name]
        whole = _table(offered, background, offered.table.columns)
        if len(whole) > room:
            mentioned = linked.columns.get(name, frozenset())
            keys = {
                column for key in background.offer.foreign_keys if key.table == name for column in key.columns
            }
            keys |= set(offered.table.primary_key)
            kept = [column for column in offered.table.columns if column.name in mentioned | keys]
            whole = _table(offered, background, kept or offered.table.columns[:6])
            if len(whole) > room and place > 1:
                continue
        room -= len(whole)
        written.append(whole)
    return "\n".join(written)


def _table(offered: OfferedTable, background: Background, columns: Iterable[Column]) -> str:
    table = offered.table
    columns = list(columns)
    comment = f" -- {clean(table.comment)}" if table.comment else ""
    mentioned = {
        (mention.column, mention.value)
        for mention in background.linked.mentions
        if mention.table == table.name
    }
    lines = [
        _column(column, [value for name, value in mentioned if name == column.name]) for column in columns
    ]
    names = {column.name for column in columns}
    lines += [
        f"  FOREIGN KEY ({', '.join(key.columns)}) REFERENCES {_name(key.other)} ({', '.join(key.other_columns)})"
        for key in background.offer.foreign_keys
        if key.table == table.name and set(key.columns) <= names and key.other in background.linked.tables
    ]
    return f"CREATE TABLE {_name(table.name)} ({comment}\n" + ",\n".join(lines) + "\n);"


def _column(column: Column, mentioned: Sequence[str]) -> str:
    notes: list[str] = []
    if column.comment:
        notes.append(clean(column.comment))
    few = column.distinct is not None and column.distinct <= 2 * _MOST_VALUES
    values = list(dict.fromkeys([*mentioned, *column.values[: _MOST_VALUES if few else 2]]))
    if values and not (column.comment and few and not mentioned):
        notes.append(", ".join("'" + clean(value)[:40].replace("'", "''") + "'" for value in values))
    if column.lowest and column.highest:
        notes.append(f"from {column.lowest[:10]} to {column.highest[:10]}")
    note = f" /* {'; '.join(notes).replace('*/', '')} */" if notes else ""
    return f"  {_name(column.name)} {column.type}{note}"


def clean(text: str) -> str:
    """Text of the database on one line, without what could end a comment or a fence: it is shown, never obeyed."""
    return (
        _UNSEEN.sub(" ", text)
        .replace("```", "'''")
        .replace("--", "-")
        .replace("/*", "")
        .replace("*/", "")[:160]
    )


def _name(name: str) -> str:
    return name if re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) and name.lower() == name else f'"{name}"'


def _hints(linked: Linked) -> list[str]:
    shown = linked.mentions[:6]
    return [f"'{clean(mention.value)}' is a value of {mention.table}.{mention.column}." for mention in shown]
