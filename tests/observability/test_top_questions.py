from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import delete, insert, select, update

from causeway.contracts.vectors import Vectors
from causeway.observability.average_linkage import groups_of
from causeway.observability.question_labels import frequencies, label_of, words_of
from causeway.observability.top_questions import TopQuestions
from causeway.storage.database import Database
from causeway.storage.stats_schema import clustered_questions, question_clusters
from causeway.storage.telemetry_schema import trace_summaries
from causeway.testing.clock import FrozenClock
from tests.observability.test_stats import a_trace, put

_TOPICS = {"return": 0, "leave": 1, "invoice": 2, "tent": 3}


def unit(vectors: Vectors) -> Vectors:
    found: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


async def by_topic(texts: Sequence[str]) -> Vectors:
    """Questions that hold the same topic's word are near each other."""
    found = np.zeros((len(texts), 8), np.float32)
    for row, text in enumerate(texts):
        for word, place in _TOPICS.items():
            found[row, place] += word in text
        found[row, 4 + len(text) % 4] += 0.2
    return unit(found)


def made(database: Database, clock: FrozenClock) -> TopQuestions:
    return TopQuestions(
        database,
        embed=by_topic,
        space="topics",
        mask=lambda text: text.replace("ann@example.com", "[EMAIL]"),
        distance=0.2,
        clock=clock,
    )


async def ask(database: Database, at: datetime, *questions: str, first: int = 0) -> None:
    rows = [
        a_trace(f"{first + place:032x}", at + timedelta(seconds=place), question=question)
        for place, question in enumerate(questions)
    ]
    await put(database, trace_summaries, rows)


async def grouped(database: Database) -> list[set[str]]:
    groups: dict[str, set[str]] = {}
    async with database.connect() as connection:
        for row in await connection.execute(select(clustered_questions)):
            groups.setdefault(row.cluster_id, set()).add(row.question)
    return sorted(groups.values(), key=sorted)


async def test_questions_that_mean_the_same_are_one_group(database: Database, clock: FrozenClock) -> None:
    top = made(database, clock)
    await ask(
        database,
        clock.now(),
        "may I return it?",
        "how do I return a stove to ann@example.com?",
        "how much leave do I have?",
        "return it",
    )
    assert await top.take_in() == 4
    assert await top.take_in() == 0
    assert await grouped(database) == [
        {"how do I return a stove to [EMAIL]?", "may I return it?", "return it"},
        {"how much leave do I have?"},
    ]
    async with database.connect() as connection:
        clusters = {row.size: row for row in await connection.execute(select(question_clusters))}
    assert set(clusters) == {1, 3}
    assert "return" in clusters[3].label
    assert "leave" in clusters[1].label
    await ask(database, clock.now(), "annual leave of a colleague", first=10)
    await top.take_in()
    assert len(await grouped(database)) == 2


async def test_grouping_anew_keeps_ids_and_mends_what_the_order_spoilt(
    database: Database, clock: FrozenClock
) -> None:
    top = made(database, clock)
    await ask(database, clock.now(), "return a", "return b", "return c", "invoice a", "leave a")
    await top.take_in()
    async with database.begin() as connection:
        rows = (await connection.execute(select(clustered_questions))).all()
        right = {row.question: row.cluster_id for row in rows}
        wrong = update(clustered_questions).where(clustered_questions.c.question == "return c")
        await connection.execute(wrong.values(cluster_id=right["leave a"]))
    assert await top.regroup() == 3
    async with database.connect() as connection:
        after = {
            row.question: row.cluster_id for row in await connection.execute(select(clustered_questions))
        }
        sizes = {row.id: row.size for row in await connection.execute(select(question_clusters))}
    assert after == right
    assert sizes == {right["return a"]: 3, right["invoice a"]: 1, right["leave a"]: 1}


async def test_a_question_goes_with_its_trace(database: Database, clock: FrozenClock) -> None:
    top = made(database, clock)
    await ask(database, clock.now(), "return the red one", "return one", "leave")
    await top.take_in()
    async with database.begin() as connection:
        gone = trace_summaries.c.question.in_(["return the red one", "leave"])
        await connection.execute(delete(trace_summaries).where(gone))
    assert await top.forget() == 2
    async with database.connect() as connection:
        (left,) = (await connection.execute(select(question_clusters))).all()
    assert (left.example, left.size) == ("return one", 1)


async def test_two_processes_take_in_each_question_once(database: Database, clock: FrozenClock) -> None:
    first, second = made(database, clock), made(database, clock)
    await ask(database, clock.now(), "return a", "leave b")
    async with database.begin() as connection:
        assert await first._turn(connection) is not None
        assert await second.take_in() == 0
    assert await first.take_in() + await second.take_in() == 2


async def test_what_evals_ask_and_what_is_too_long_is_left_out(
    database: Database, clock: FrozenClock
) -> None:
    now = clock.now()
    rows = [
        a_trace("1" * 32, now, product="evals"),
        a_trace("2" * 32, now, question="x" * 2_000),
        a_trace("3" * 32, now, question=None),
        a_trace("4" * 32, now, question="  "),
        a_trace("5" * 32, now, question="return?", product=None),
    ]
    async with database.begin() as connection:
        await connection.execute(insert(trace_summaries), rows)
    assert await made(database, clock).take_in() == 1


def plainly(vectors: Vectors, within: float) -> list[list[int]]:
    """Average linkage as it is defined: join the two nearest until none are near enough."""
    groups = [[row] for row in range(len(vectors))]
    distances = 1.0 - vectors @ vectors.T
    while len(groups) > 1:
        pairs = [
            (float(distances[np.ix_(a, b)].mean()), i, j)
            for i, a in enumerate(groups)
            for j, b in enumerate(groups)
            if i < j
        ]
        nearest, i, j = min(pairs)
        if nearest > within:
            break
        groups[i] += groups.pop(j)
    return sorted((sorted(rows) for rows in groups), key=lambda rows: (-len(rows), rows[0]))


@pytest.mark.parametrize("seed", range(8))
def test_chains_find_the_groups_that_the_definition_does(seed: int) -> None:
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(6, 12))
    vectors = unit(
        (centres[chance.integers(0, 6, 60)] + chance.normal(size=(60, 12)) * 0.5).astype(np.float32)
    )
    for within in (0.1, 0.3, 0.6, 1.5):
        assert groups_of(vectors, within=within) == plainly(vectors, within)


def test_equal_and_single_questions_are_grouped_too() -> None:
    same = unit(np.ones((5, 3), np.float32))
    assert groups_of(same, within=0.1) == [[0, 1, 2, 3, 4]]
    assert groups_of(same[:1], within=0.1) == [[0]]


def test_a_label_is_of_words_that_set_a_group_apart() -> None:
    questions = ["How do I return a tent?", "Can I return this tent?", "return policy for tents"]
    others = ["How do I clean a tent?", "Where is my order?", "Which tent is the lightest?"]
    known, of = frequencies([*others, questions[0]])
    assert label_of(questions, questions[0], known=known, of=of).split()[0] == "return"
    assert label_of(["?!"], "?!", known=known, of=of) == "?!"
    assert words_of("What's the café's opening time, the TIME?") == ["café's", "opening", "time"]
    random.Random(0).shuffle(questions)
    assert "return" in label_of(questions, questions[0], known=known, of=of)
