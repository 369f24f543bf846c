# ruff: noqa: S101 - a contract suite asserts
"""What every `ChunkIndex` must do; run each of ``CHECKS`` against an index of your own.

@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_index_keeps_the_contract(check, bench): await check(bench)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import delete

from causeway.contracts.identity import Principal, Scope
from causeway.contracts.vectors import Vectors
from causeway.errors import InvalidInputError
from causeway.knowledge.document import Chunk
from causeway.knowledge.index.filters import (
    EVERYTHING,
    And,
    Eq,
    Exists,
    Filter,
    In,
    Not,
    Or,
    Range,
    all_of,
)
from causeway.knowledge.index.stores import ChunkIndex, Match
from causeway.storage.database import Database
from causeway.storage.schema import collections, documents
from causeway.testing.documents import Sheet, SheetPile
from causeway.testing.gateway import bags_of_words

DIMENSIONS = 64
_NEAR = 1e-5
_ANN = Principal(id="user:ann", name="Ann", scopes=frozenset({Scope.ASK}), sees_as=frozenset({"user:ann"}))


@dataclass(frozen=True, slots=True)
class Bench:
    """An empty index under test, over a database of its own.

    Attributes:
        pile: Writes documents' rows, and through the index their chunks, with vectors of `DIMENSIONS` numbers.
        settle: Awaited after writes: lets the index come to rest, or leaves it as it is just after them.
    """

    index: ChunkIndex
    pile: SheetPile
    database: Database
    settle: Callable[[], Awaitable[None]]

    async def add(self, *sheets: Sheet) -> None:
        """Make documents searchable."""
        await self.pile.add(*sheets)
        await self.settle()

    async def edit(self, sheet: Sheet, revision: int) -> bool:
        """Give a document its next revision."""
        await self.pile.register(sheet, revision=revision)
        is_taken = await self.pile.index(sheet, revision=revision)
        await self.settle()
        return is_taken

    async def delete(self, document_id: str) -> None:
        """Delete a document's row, as the library does; nobody tells the index."""
        async with self.database.begin() as connection:
            await connection.execute(delete(documents).where(documents.c.id == document_id))

    async def near(self, words: str, k: int = 10, where: Filter = EVERYTHING) -> list[str]:
        """The chunks nearest to some words."""
        return _ids(await self.index.dense(bags_of_words([words], DIMENSIONS)[0], k, where))

    async def with_words(self, words: str, k: int = 10, where: Filter = EVERYTHING) -> list[str]:
        """The chunks that hold one of some words."""
        return _ids(await self.index.lexical(words, k, where))


Check = Callable[[Bench], Awaitable[None]]


def _ids(matches: Sequence[Match]) -> list[str]:
    return [match.chunk_id for match in matches]


# --- writing -------------------------------------------------------------------------------------------


async def what_is_written_is_found_by_vector_and_by_word(bench: Bench) -> None:
    """Nearest first, with its cosine; and read back as it was written."""
    await bench.add(
        Sheet(id="doc_a", title="t", texts=("tents", "stoves")),
        Sheet(id="doc_b", title="t", texts=("ropes",)),
    )
    matches = await bench.index.dense(bags_of_words(["t tents"], DIMENSIONS)[0], 3)
    assert matches[0].chunk_id == "chk_a_1_0"
    assert abs(matches[0].score - 1.0) < _NEAR
    assert [match.score for match in matches] == sorted((match.score for match in matches), reverse=True)
    assert len(matches) == 3
    assert await bench.with_words("stoves") == ["chk_a_1_1"]
    assert [chunk.text for chunk in await bench.index.chunks_of("doc_a")] == ["tents", "stoves"]
    placed = (await bench.index.get(["chk_a_1_1", "chk_none_1_0"]))["chk_a_1_1"]
    assert (placed.title, placed.collection, placed.chunk.ordinal) == ("t", "default", 1)
    assert set(await bench.index.get(["chk_none_1_0"])) == set()


async def an_edit_replaces_all_of_the_revision_before(bench: Bench) -> None:
    """Its chunks are found no more, by vector or by word, nor read."""
    await bench.add(Sheet(id="doc_a", title="t", texts=("tents and poles", "stoves", "ropes")))
    assert await bench.edit(Sheet(id="doc_a", title="t", texts=("lanterns",)), 2)
    assert await bench.with_words("tents stoves ropes") == []
    assert await bench.near("t stoves", 10) == await bench.near("t lanterns", 10)
    assert [chunk.text for chunk in await bench.index.chunks_of("doc_a")] == ["lanterns"]
    assert (await bench.pile.row("doc_a"))["ready_revision"] == 2


async def a_repeat_changes_nothing(bench: Bench) -> None:
    """Work that is run twice, as after a crash."""
    sheet = Sheet(id="doc_a", title="t", texts=("tents and poles", "stoves"))
    await bench.add(sheet)
    before = await bench.index.chunks_of("doc_a")
    assert await bench.pile.index(sheet)
    await bench.settle()
    assert await bench.index.chunks_of("doc_a") == before
    assert await bench.near("t stoves", 1) == ["chk_a_1_1"]
    assert len(await bench.near("t", 10)) == 2


async def an_overtaken_revision_is_refused(bench: Bench) -> None:
    """And so is a document that is gone; neither leaves a trace."""
    await bench.add(Sheet(id="doc_a", title="t", texts=("old tents",)))
    await bench.pile.register(Sheet(id="doc_a", texts=()), revision=2)
    assert not await bench.pile.index(Sheet(id="doc_a", title="t", texts=("late stoves",)), revision=1)
    assert not await bench.pile.index(Sheet(id="doc_gone", title="t", texts=("stoves",)))
    await bench.settle()
    assert await bench.with_words("stoves") == []
    assert len(await bench.near("t late stoves")) == 1


async def a_write_that_fails_leaves_the_revision_before_searchable(bench: Bench) -> None:
    """However late it fails: here at the last of its chunks, which no database can hold."""
    await bench.add(Sheet(id="doc_a", title="t", texts=("tents",)))
    broken = Sheet(id="doc_a", title="t", texts=(*["stoves"] * 20, "\ud800"))
    await bench.pile.register(broken, revision=2)
    vectors = bags_of_words(["t stoves"] * 21, DIMENSIONS)
    failure: Exception | None = None
    try:
        await bench.pile.index(broken, revision=2, vectors=vectors)
    except Exception as exc:  # noqa: BLE001 - whatever its driver says
        failure = exc
    assert failure is not None
    await bench.settle()
    assert await bench.with_words("stoves") == []
    assert await bench.with_words("tents") == ["chk_a_1_0"]
    assert await bench.near("t stoves") == ["chk_a_1_0"]


async def vectors_that_do_not_fit_are_refused(bench: Bench) -> None:
    """One for each chunk, of the collection's dimensions."""
    sheet = Sheet(id="doc_a", texts=("tents",))
    await bench.pile.register(sheet)
    for shape in ((2, DIMENSIONS), (1, 8), (0, DIMENSIONS)):
        refused = False
        try:
            await bench.pile.index(sheet, vectors=np.ones(shape, np.float32))
        except InvalidInputError:
            refused = True
        assert refused, shape


async def a_document_that_is_deleted_is_gone_at_once(bench: Bench) -> None:
    """Before the index is told or comes to rest."""
    await bench.add(
        Sheet(id="doc_a", title="t", texts=("tents",)), Sheet(id="doc_b", title="t", texts=("tents",))
    )
    await bench.delete("doc_a")
    for _ in range(2):
        assert await bench.near("t tents") == ["chk_b_1_0"]
        assert await bench.with_words("tents") == ["chk_b_1_0"]
        assert await bench.index.chunks_of("doc_a") == []
        assert set(await bench.index.get(["chk_a_1_0", "chk_b_1_0"])) == {"chk_b_1_0"}
        vector = bags_of_words(["t tents"], DIMENSIONS)[0]
        assert set(await bench.index.cosines(["chk_a_1_0", "chk_b_1_0"], vector)) == {"chk_b_1_0"}
        await bench.settle()


async def a_reader_sees_one_revision_whole_while_it_is_replaced(bench: Bench) -> None:
    """Twenty chunks of one revision, never some of two."""
    await bench.add(Sheet(id="doc_a", title="t", texts=["revision1 tents"] * 20))
    is_done = asyncio.Event()
    vector = bags_of_words(["t tents"], DIMENSIONS)[0]

    async def read() -> None:
        while not is_done.is_set():
            assert len({chunk.text for chunk in await bench.index.chunks_of("doc_a")}) == 1
            for matches in (await bench.index.lexical("tents", 50), await bench.index.dense(vector, 50)):
                placed = await bench.index.get(_ids(matches))
                assert len({each.chunk.text for each in placed.values()}) <= 1
            assert len(await bench.index.lexical("tents", 50)) == 20

    async def write() -> None:
        try:
            for revision in range(2, 6):
                assert await bench.edit(
                    Sheet(id="doc_a", title="t", texts=[f"revision{revision} tents"] * 20), revision
                )
        finally:
            is_done.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        tasks.create_task(write())
    assert len(await bench.index.dense(vector, 50)) == 20


async def two_writers_of_one_document_leave_one_of_them(bench: Bench) -> None:
    """Not a mixture."""
    one, other = (Sheet(id="doc_a", title="t", texts=[f"{word} tents"] * 10) for word in ("red", "blue"))
    await bench.pile.register(one)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bench.pile.index(one))
        tasks.create_task(bench.pile.index(other))
    await bench.settle()
    (text,) = {chunk.text for chunk in await bench.index.chunks_of("doc_a")}
    matches = await bench.index.dense(bags_of_words([f"t {text}"], DIMENSIONS)[0], 20)
    assert len(matches) == 10
    assert all(abs(match.score - 1.0) < _NEAR for match in matches)


async def many_writers_at_once_lose_nothing(bench: Bench) -> None:
    """Each of its own document."""
    async with asyncio.TaskGroup() as tasks:
        for number in range(12):
            tasks.create_task(bench.pile.add(Sheet(id=f"doc_{number}", title="t", texts=["tents"] * 5)))
    await bench.settle()
    assert len(await bench.near("t tents", 100)) == 60
    assert len(await bench.with_words("tents", 100)) == 60


# --- reading -------------------------------------------------------------------------------------------


async def cosines_are_told_of_chunks_that_were_found_otherwise(bench: Bench) -> None:
    """The same as ``dense`` gives; of none that does not pass."""
    await bench.add(
        Sheet(id="doc_a", title="t", texts=("tents", "stoves"), metadata={"team": "x"}),
        Sheet(id="doc_b", title="t", texts=("tents",), metadata={"team": "y"}),
    )
    vector = bags_of_words(["t tents"], DIMENSIONS)[0]
    by_search = {match.chunk_id: match.score for match in await bench.index.dense(vector, 10)}
    asked = await bench.index.cosines([*by_search, "chk_none_1_0"], vector)
    assert asked.keys() == by_search.keys()
    assert all(abs(asked[key] - by_search[key]) < _NEAR for key in asked)
    assert set(await bench.index.cosines(list(by_search), vector, Eq("team", "y"))) == {"chk_b_1_0"}


async def vectors_are_told_of_many_chunks_and_cosines_with_them(bench: Bench) -> None:
    """A keyword search brings hundreds of chunks that the vectors did not."""
    words = [f"word{n % 7} tents" for n in range(130)]
    await bench.add(
        Sheet(id="doc_a", title="t", texts=words[:70], metadata={"team": "x"}),
        Sheet(id="doc_b", title="t", texts=words[70:], metadata={"team": "y"}),
    )
    ids = [f"chk_a_1_{n}" for n in range(70)] + [f"chk_b_1_{n}" for n in range(60)]
    vectors = bags_of_words([f"t\n{each}" for each in words], DIMENSIONS)
    query = bags_of_words(["t word3 tents"], DIMENSIONS)[0]
    cosines = await bench.index.cosines([*ids, "chk_none_1_0"], query)
    assert cosines.keys() == set(ids)
    told = await bench.index.embeddings([*ids, "chk_none_1_0"])
    assert told.keys() == set(ids)
    for chunk_id, vector in zip(ids, vectors, strict=True):
        assert abs(cosines[chunk_id] - float(vector @ query)) < _NEAR
        assert np.abs(told[chunk_id] - vector).max() < _NEAR
    assert (await bench.index.cosines(ids, query, Eq("team", "y"))).keys() == set(ids[70:])
    assert dict(await bench.index.embeddings([])) == {}


async def what_an_edit_left_alone_keeps_its_chunk_and_its_vector(bench: Bench) -> None:
    """The vectors of what a document says already are told, so that they need not be made again."""
    await bench.add(Sheet(id="doc_a", title="t", texts=("tents", "stoves", "ropes")))
    pieces = [
        Chunk(ordinal=n, heading="t", text=text, page=None, tokens=1)
        for n, text in enumerate(("lanterns", "ropes", "tents"))
    ]
    digests = [piece.digest("fake") for piece in pieces]
    known = await bench.index.vectors_of("doc_a", digests)
    assert known.keys() == set(digests[1:])
    for piece, digest in zip(pieces[1:], digests[1:], strict=True):
        assert np.abs(known[digest] - bags_of_words([piece.searchable], DIMENSIONS)[0]).max() < _NEAR
    assert await bench.edit(Sheet(id="doc_a", title="t", texts=("lanterns", "ropes", "tents")), 2)
    assert [chunk.id for chunk in await bench.index.chunks_of("doc_a")] == [
        "chk_a_2_0",
        "chk_a_1_2",
        "chk_a_1_0",
    ]
    for words, chunk_id in (("t lanterns", "chk_a_2_0"), ("t ropes", "chk_a_1_2"), ("t tents", "chk_a_1_0")):
        assert await bench.near(words, 1) == [chunk_id]
    assert dict(await bench.index.vectors_of("doc_none", digests)) == {}


async def two_collections_never_mix(bench: Bench) -> None:
    """Nor do those of other dimensions; both are found when none is named."""
    await bench.add(
        Sheet(id="doc_a", title="t", texts=("tents",), collection="one"),
        Sheet(id="doc_b", title="t", texts=("tents",), collection="two"),
    )
    small = SheetPile(bench.database, bench.index, dimensions=8)
    await small.add(Sheet(id="doc_s", title="t", texts=("tents",), collection="small"))
    await bench.settle()
    for name, chunk_id in (("one", "chk_a_1_0"), ("two", "chk_b_1_0")):
        where = Eq("collection", name)
        assert await bench.near("t tents", 10, where) == [chunk_id]
        assert await bench.with_words("tents", 10, where) == [chunk_id]
    both = In("collection", ("one", "two"))
    assert set(await bench.near("t tents", 10, both)) == {"chk_a_1_0", "chk_b_1_0"}
    short = bags_of_words(["t tents"], 8)[0]
    assert _ids(await bench.index.dense(short, 10, Eq("collection", "small"))) == ["chk_s_1_0"]
    assert [each.name for each in await bench.index.collections()] == ["one", "small", "two"]


_SHEETS = (
    Sheet(
        id="doc_leave",
        texts=("days off",),
        source="folder:/srv/docs",
        path="handbook/leave.md",
        media_type="text/markdown",
        modified_at=datetime(2026, 3, 1, tzinfo=UTC),
        metadata={"author": "Ana", "year": 2026, "tags": ["hr", "time off"]},
    ),
    Sheet(
        id="doc_travel",
        texts=("days off",),
        path="handbook/travel/2025.pdf",
        media_type="application/pdf",
        modified_at=datetime(2025, 12, 31, tzinfo=UTC),
        metadata={"author": "Ben", "year": 2025, "tags": ["hr"]},
    ),
    Sheet(
        id="doc_prices",
        texts=("days off",),
        path="handbook_old/prices.csv",
        media_type="text/csv",
        modified_at=datetime(2026, 3, 2, tzinfo=UTC),
        metadata={"year": "unknown", "empty": ""},
    ),
)
_FILTERS: tuple[tuple[Filter, set[str]], ...] = (
    (EVERYTHING, {"leave", "travel", "prices"}),
    (Eq("author", "Ana"), {"leave"}),
    (Eq("year", 2025), {"travel"}),
    (Eq("tags", "time off"), {"leave"}),
    (Eq("folder", "handbook"), {"leave", "travel"}),
    (In("type", ("pdf", "text/csv")), {"travel", "prices"}),
    (In("document", ("doc_leave", "doc_prices")), {"leave", "prices"}),
    (Range("modified", datetime(2026, 1, 1, tzinfo=UTC), None), {"leave", "prices"}),
    (Range("year", 2025, 2026), {"travel"}),
    (Exists("author"), {"leave", "travel"}),
    (Exists("empty"), set()),
    (Not(Eq("author", "Ana")), {"travel", "prices"}),
    (Not(Exists("author")), {"prices"}),
    (And((Eq("tags", "hr"), Not(Eq("year", 2025)))), {"leave"}),
    (Or((Eq("author", "Ben"), Eq("year", "unknown"))), {"travel", "prices"}),
    (Or(()), set()),
    (And(()), {"leave", "travel", "prices"}),
    (Eq("author", "Ana' OR 1=1 --"), set()),
    (Eq("no such field", "x"), set()),
)


async def a_filter_decides_exactly(bench: Bench) -> None:
    """In both arms and in ``cosines``, whatever its form; a field that is not there is false, and its Not true."""
    await bench.add(*_SHEETS)
    every = [f"chk_{sheet.id.removeprefix('doc_')}_1_0" for sheet in _SHEETS]
    vector = bags_of_words(["days off"], DIMENSIONS)[0]
    for where, wanted in _FILTERS:
        ids = {f"chk_{name}_1_0" for name in wanted}
        assert set(await bench.near("days off", 10, where)) == ids, where
        assert set(await bench.with_words("days", 10, where)) == ids, where
        assert set(await bench.index.cosines(every, vector, where)) == ids, where


async def what_a_document_says_of_itself_is_filtered_by_as_it_is_now(bench: Bench) -> None:
    """Metadata change without a new revision: a moved file, a source that tells more."""
    await bench.add(Sheet(id="doc_a", title="t", texts=("tents",), metadata={"team": "x"}))
    async with bench.database.begin() as connection:
        row = documents.update().where(documents.c.id == "doc_a")
        await connection.execute(row.values(metadata={"team": "y"}, path="moved/a.txt"))
    assert await bench.near("t tents", 10, Eq("team", "x")) == []
    assert await bench.near("t tents", 10, And((Eq("team", "y"), Eq("folder", "moved")))) == ["chk_a_1_0"]


async def few_that_pass_are_found_as_surely_as_many(bench: Bench) -> None:
    """The trap of approximate indexes: 1 % of the chunks pass, and all of the nearest are wanted."""
    random = np.random.default_rng(7)
    vectors = random.normal(size=(1000, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    kinds = {"rare": vectors[:10], "some": vectors[10:200], "most": vectors[200:]}
    for kind, members in kinds.items():
        sheet = Sheet(id=f"doc_{kind}", title="t", texts=["x"] * len(members), metadata={"kind": kind})
        await bench.pile.register(sheet)
        assert await bench.pile.index(sheet, vectors=members)
    await bench.settle()
    for kind, members in kinds.items():
        for query in vectors[::100]:
            best = _best(kind, members, query)
            assert set(_ids(await bench.index.dense(query, 5, Eq("kind", kind)))) == best
    assert len(await bench.index.dense(vectors[0], 700)) == 700


def _best(kind: str, members: Vectors, query: Vectors) -> set[str]:
    order = np.argsort(-(members @ query))[:5]
    return {f"chk_{kind}_1_{number}" for number in order}


async def any_script_is_stored_and_found(bench: Bench) -> None:
    """Text, titles, paths and values of filters; a NUL, which PostgreSQL cannot hold, is left out."""
    await bench.add(
        Sheet(id="doc_a", title="Zelte ⛺", texts=("Überdachung für Größe XL",), path="ordner/größe.txt"),
        Sheet(id="doc_b", title="帐篷", texts=("帐篷 需要 木桩",), metadata={"作者": "李"}),
        Sheet(id="doc_c", title="خيمة", texts=("tents \x00 stoves 𠮷",)),
    )
    assert await bench.with_words("größe") == ["chk_a_1_0"]
    assert await bench.near("帐篷 帐篷 需要 木桩", 1) == ["chk_b_1_0"]
    assert await bench.near("tents", 10, Eq("作者", "李")) == ["chk_b_1_0"]
    assert await bench.with_words("größe", 10, Eq("folder", "ordner")) == ["chk_a_1_0"]
    (chunk,) = await bench.index.chunks_of("doc_c")
    assert chunk.text == "tents  stoves 𠮷"
    assert (await bench.index.get(["chk_b_1_0"]))["chk_b_1_0"].title == "帐篷"


async def nothing_in_gives_nothing_out(bench: Bench) -> None:
    """An empty index, a document without chunks, empty queries and empty lists of ids."""
    vector = bags_of_words(["tents"], DIMENSIONS)[0]
    assert list(await bench.index.dense(vector, 10)) == []
    assert list(await bench.index.lexical("tents", 10)) == []
    assert list(await bench.index.chunks_of("doc_none")) == []
    assert dict(await bench.index.get([])) == {}
    assert dict(await bench.index.cosines([], vector)) == {}
    assert list(await bench.index.stats()) == []
    await bench.add(Sheet(id="doc_a", title="t", texts=()), Sheet(id="doc_b", title="t", texts=("tents",)))
    assert list(await bench.index.lexical("", 10)) == []
    assert list(await bench.index.lexical("the of and", 10)) == []
    assert await bench.near("t tents") == ["chk_b_1_0"]
    assert (await bench.pile.row("doc_a"))["state"] == "ready"


async def as_many_as_asked_for_are_found_after_many_edits(bench: Bench) -> None:
    """What was replaced takes nobody's place among the nearest."""
    for revision in range(1, 5):
        for name in ("a", "b", "c"):
            sheet = Sheet(id=f"doc_{name}", title="t", texts=[f"tents {revision}"] * 15)
            await bench.pile.register(sheet, revision=revision)
            assert await bench.pile.index(sheet, revision=revision)
    await bench.settle()
    found = await bench.near("t tents 1", 45)
    assert len(found) == 45
    assert all(chunk_id.split("_")[2] == "4" for chunk_id in found)


async def what_a_caller_may_not_see_is_not_there(bench: Bench) -> None:
    """In no search, by no id, in no collection's name; and the little that they see is found among much that they do not."""
    sheets = [Sheet(id=f"doc_{n}", title="t", texts=("tents", f"ropes {n}")) for n in range(12)]
    await bench.add(*sheets, Sheet(id="doc_board", title="t", texts=("tents",), collection="board"))
    async with bench.database.begin() as connection:
        await connection.execute(collections.update().values(readers=[]))
        for_ann = documents.update().where(documents.c.id.in_(["doc_3", "doc_7"]))
        await connection.execute(for_ann.values(own_readers=["user:ann"]))
    seen = bench.index.seen_by(_ANN)
    ids = [f"chk_{n}_1_{ordinal}" for n in (*range(12), "board") for ordinal in (0, 1)]
    theirs = {"chk_3_1_0", "chk_3_1_1", "chk_7_1_0", "chk_7_1_1"}
    vector = bags_of_words(["t tents"], DIMENSIONS)[0]
    for where in (EVERYTHING, Eq("collection", "default"), Not(Eq("collection", "board"))):
        assert set(_ids(await seen.dense(vector, 100, where))) == theirs
        assert set(_ids(await seen.dense(vector, 2, where))) == {"chk_3_1_0", "chk_7_1_0"}
        assert set(_ids(await seen.lexical("tents ropes", 100, where))) == theirs
        assert set(await seen.cosines(ids, vector, where)) == theirs
    assert set(await seen.embeddings(ids)) == theirs
    assert set(await seen.get(ids)) == theirs
    assert list(await seen.chunks_of("doc_board")) == list(await seen.chunks_of("doc_0")) == []
    assert _ids(await seen.dense(vector, 100, Eq("collection", "board"))) == []
    assert [each.name for each in await seen.collections()] == ["default"]
    assert len(await bench.index.dense(vector, 100)) == 25


async def stats_count_what_is_searchable(bench: Bench) -> None:
    """Of each collection."""
    await bench.add(
        Sheet(id="doc_a", texts=("a", "b"), collection="one"),
        Sheet(id="doc_b", texts=("c",), collection="two"),
    )
    await bench.edit(Sheet(id="doc_a", texts=("d",), collection="one"), 2)
    told = {each.collection: (each.documents, each.chunks) for each in await bench.index.stats()}
    assert told == {"one": (1, 1), "two": (1, 1)}


async def maintaining_comes_to_an_end_and_changes_no_answer(bench: Bench) -> None:
    """Also while others search and delete."""
    await bench.pile.add(*(Sheet(id=f"doc_{n}", title="t", texts=["tents"] * 3) for n in range(10)))
    before = await bench.near("t tents", 100)
    for _ in range(100):
        upkeep = await bench.index.maintain()
        assert await bench.near("t tents", 100) == before
        if not upkeep.done and not upkeep.waiting:
            break
    else:
        msg = "it never came to rest"
        raise AssertionError(msg)
    await bench.delete("doc_3")
    assert len(await bench.near("t tents", 100)) == 27


async def filters_join(bench: Bench) -> None:
    """A collection and a condition, as every search of a collection has them."""
    await bench.add(
        Sheet(id="doc_a", title="t", texts=("tents",), collection="one", metadata={"team": "x"}),
        Sheet(id="doc_b", title="t", texts=("tents",), collection="one", metadata={"team": "y"}),
        Sheet(id="doc_c", title="t", texts=("tents",), collection="two", metadata={"team": "x"}),
    )
    where = all_of(Eq("collection", "one"), Eq("team", "x"))
    assert await bench.near("t tents", 10, where) == ["chk_a_1_0"]
    assert await bench.with_words("tents", 10, where) == ["chk_a_1_0"]


CHECKS: tuple[Check, ...] = (
    what_is_written_is_found_by_vector_and_by_word,
    an_edit_replaces_all_of_the_revision_before,
    a_repeat_changes_nothing,
    an_overtaken_revision_is_refused,
    a_write_that_fails_leaves_the_revision_before_searchable,
    vectors_that_do_not_fit_are_refused,
    a_document_that_is_deleted_is_gone_at_once,
    a_reader_sees_one_revision_whole_while_it_is_replaced,
    two_writers_of_one_document_leave_one_of_them,
    many_writers_at_once_lose_nothing,
    cosines_are_told_of_chunks_that_were_found_otherwise,
    vectors_are_told_of_many_chunks_and_cosines_with_them,
    what_an_edit_left_alone_keeps_its_chunk_and_its_vector,
    two_collections_never_mix,
    a_filter_decides_exactly,
    what_a_document_says_of_itself_is_filtered_by_as_it_is_now,
    few_that_pass_are_found_as_surely_as_many,
    any_script_is_stored_and_found,
    nothing_in_gives_nothing_out,
    as_many_as_asked_for_are_found_after_many_edits,
    what_a_caller_may_not_see_is_not_there,
    stats_count_what_is_searchable,
    maintaining_comes_to_an_end_and_changes_no_answer,
    filters_join,
)
