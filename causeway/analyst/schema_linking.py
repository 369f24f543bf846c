"""Which tables, columns, values and terms a question speaks of: what a draft is shown, and what it may be refused for.

By words alone: names and comments of tables and columns, their synonyms, values that stand in the question. Tables that
lie between the found ones on the way of foreign keys are added. It keeps the prompt of a small model short: about 500 tokens
for the sample shop, whose whole schema has three times as many.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from causeway.analyst.offer import Offer
from causeway.analyst.schema import Column
from causeway.analyst.semantic_layer import Layer, LayerColumn, LayerTable, LayerView
from causeway.analyst.words import STOP_WORDS, content_words, name_words, words

_MOST_TABLES = 7
_LEAST_SHARE = 0.3
_SHORTEST_PART = 4
_TABLE, _COLUMN, _COMMENT, _VALUE, _METRIC = 4.0, 1.5, 0.4, 2.5, 3.0


@dataclass(frozen=True, slots=True)
class Mention:
    """A value of a column that stands in the question."""

    table: str
    column: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """What a question is about.

    Attributes:
        tables: In the order of how much is said of them; bridging tables last.
        columns: Of each table those that are mentioned.
        unknown: Content words that nothing in the database or its glossary is called.
        known: How many content words something is called by.
    """

    tables: tuple[str, ...]
    columns: Mapping[str, frozenset[str]]
    mentions: tuple[Mention, ...]
    metrics: tuple[str, ...]
    terms: tuple[str, ...]
    unknown: tuple[str, ...]
    known: int


def link(question: str, offer: Offer, layer: Layer) -> Linked:
    """What ``question`` is about."""
    asked = words(question)
    bag = frozenset(asked)
    line = f" {' '.join(asked)} "
    scores: dict[str, float] = {}
    columns: dict[str, set[str]] = {name: set() for name in offer.tables}
    mentions: list[Mention] = []
    known: set[str] = set()
    for name, offered in offer.tables.items():
        said = _said(layer, name)
        score = _name_score(name, said.synonyms, line, bag, known)
        score += _COMMENT * _shared(offered.table.comment, bag, known)
        for column in offered.table.columns:
            gained = _column_score(column, name, said.columns.get(column.name), (line, bag), known)
            for value in _values_in(column, line):
                mentions.append(Mention(name, column.name, value))
                known.update(words(value))
                gained += _VALUE
            if gained >= _COLUMN:
                columns[name].add(column.name)
            score += gained
        scores[name] = score
    metrics = [
        name for name, metric in layer.metrics.items() if _is_said(line, [name, *metric.synonyms], known)
    ]
    terms = [name for name, term in layer.terms.items() if _is_said(line, [name, *term.synonyms], known)]
    means = [layer.metrics[name].tables for name in metrics] + [layer.terms[name].tables for name in terms]
    needed = frozenset(table for each in means for table in each if table in scores)
    for table in needed:
        scores[table] += _METRIC
    content = content_words(question)
    return Linked(
        tables=_chosen(_Weighed(scores, needed, columns), offer),
        columns={name: frozenset(found) for name, found in columns.items()},
        mentions=tuple(mentions),
        metrics=tuple(metrics),
        terms=tuple(terms),
        unknown=tuple(dict.fromkeys(word for word in content if word not in known)),
        known=sum(word in known for word in content),
    )


def _said(layer: Layer, name: str) -> LayerTable | LayerView:
    every: dict[str, LayerTable | LayerView] = {**layer.tables, **layer.views}
    return next((part for known, part in every.items() if known.lower() == name.lower()), LayerTable())


def _name_score(name: str, synonyms: Iterable[str], line: str, bag: frozenset[str], known: set[str]) -> float:
    parts = name_words(name)
    shared = [part for part in parts if part in bag]
    known.update(shared)
    score = _TABLE * len(shared) / max(1, len(parts)) or _TABLE * 0.6 * _within(name, bag, known)
    return max(score, _TABLE) if _is_said(line, synonyms, known) else score


def _column_score(
    column: Column, table: str, said: LayerColumn | None, asked: tuple[str, frozenset[str]], known: set[str]
) -> float:
    line, bag = asked
    of_table = frozenset(name_words(table))
    parts = [part for part in name_words(column.name) if part not in ("id", "is", "at", "on")]
    own = [part for part in parts if part not in of_table] or parts
    shared = [part for part in own if part in bag]
    known.update(shared)
    score = _COLUMN * len(shared) / max(1, len(own)) or _COLUMN * 0.7 * _within(column.name, bag, known)
    if said is not None and _is_said(line, said.synonyms, known):
        score = max(score, _COLUMN)
    return score + _COMMENT * min(2, _shared(column.comment, bag, known))


def _within(name: str, bag: frozenset[str], known: set[str]) -> bool:
    """Whether a word of the question is part of a name that runs words together, such as ``sbtransaction``."""
    found = [
        word
        for word in bag
        if len(word) >= _SHORTEST_PART and word in name.lower() and word not in STOP_WORDS
    ]
    known.update(found)
    return bool(found)


def _shared(text: str, bag: frozenset[str], known: set[str]) -> int:
    found = bag.intersection(content_words(text))
    known.update(found)
    return len(found)


def _is_said(line: str, phrases: Iterable[str], known: set[str]) -> bool:
    is_said = False
    for phrase in phrases:
        parts = words(phrase.replace("_", " "))
        if parts and f" {' '.join(parts)} " in line:
            known.update(parts)
            is_said = True
    return is_said


def _values_in(column: Column, line: str) -> list[str]:
    found = []
    for value in column.values:
        parts = words(value)
        if parts and len(value) > 1 and not value.isdigit() and f" {' '.join(parts)} " in line:
            found.append(value)
    return found


@dataclass(frozen=True, slots=True)
class _Weighed:
    """What a question says of tables: how much of each, which its metrics and terms need, which columns it mentions."""

    scores: Mapping[str, float]
    needed: frozenset[str]
    columns: Mapping[str, Collection[str]]


def _chosen(said: _Weighed, offer: Offer) -> tuple[str, ...]:
    """The tables that most is said of, and those between them."""
    scores = said.scores
    ranked = sorted(scores, key=lambda name: (-scores[name], name))
    best = scores[ranked[0]] if ranked else 0.0
    if best <= 0:
        return tuple(ranked[:_MOST_TABLES])
    least = max(0.8, _LEAST_SHARE * best)
    kept = [name for name in ranked if scores[name] >= least or name in said.needed]
    kept = _either_view_or_tables(kept, said, offer)[:_MOST_TABLES]
    bridges: list[str] = []
    for other in kept[1:]:
        if offer.tables[kept[0]].view and offer.tables[other].view:
            continue  # they have the names of what they would be joined by
        bridges += [
            name for name in _between(kept[0], other, offer) if name not in kept and name not in bridges
        ]
    return (*kept, *bridges[:3])


def _either_view_or_tables(kept: list[str], said: _Weighed, offer: Offer) -> list[str]:
    """Without views that say less of the question than a table they read, and without tables that a view stands for."""
    views = [name for name in kept if offer.tables[name].view and _is_best(name, kept, said, offer)]
    if not any(name in said.needed for name in views):
        views = views[:1]
    return [name for name in kept if name in views or _adds(name, views, said, offer)]


def _adds(table: str, views: Sequence[str], said: _Weighed, offer: Offer) -> bool:
    """Whether a table has something of the question that no chosen view reads of it."""
    offered = offer.tables[table]
    if offered.view or (said.needed.intersection(views) and said.scores[table] < _TABLE):
        return False  # what a metric is computed from will do, unless the table is named
    reading = [offer.tables[view].reads[table] for view in views if table in offer.tables[view].reads]
    keys = {name for key in offer.foreign_keys if key.table == table for name in key.columns}
    missing = set(said.columns[table]) - keys - set(offered.table.primary_key)
    return not reading or bool(missing.difference(*reading))


def _is_best(view: str, kept: list[str], said: _Weighed, offer: Offer) -> bool:
    """Whether a view is what the question is about, and not one of the tables that it reads."""
    if said.needed:
        return view in said.needed
    return all(said.scores[table] <= said.scores[view] for table in offer.tables[view].reads if table in kept)


def _between(start: str, end: str, offer: Offer) -> list[str]:
    """The tables on the shortest way of foreign keys between two."""
    near: dict[str, list[str]] = {}
    for key in offer.foreign_keys:
        near.setdefault(key.table, []).append(key.other)
        near.setdefault(key.other, []).append(key.table)
    came_from = {start: ""}
    waiting = deque([start])
    while waiting:
        current = waiting.popleft()
        if current == end:
            break
        for neighbour in near.get(current, ()):
            if neighbour not in came_from:
                came_from[neighbour] = current
                waiting.append(neighbour)
    way: list[str] = []
    current = came_from.get(end, "")
    while current and current != start:
        way.append(current)
        current = came_from[current]
    return way[::-1]
