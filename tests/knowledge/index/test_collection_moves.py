from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from sqlalchemy import text

from causeway.errors import InvalidInputError, NotFoundError, SettingsError
from causeway.knowledge.index.collection_moves import CollectionMoves
from causeway.knowledge.index.pinecone_upkeep import PineconeUpkeep
from causeway.knowledge.index.upkeep import tend
from causeway.storage.database import Database
from causeway.testing.clock import FrozenClock
from causeway.testing.documents import Sheet, SheetPile
from causeway.testing.gateway import bags_of_words
from tests.knowledge.index.conftest import Pinecone
from tests.knowledge.index.pinecone_server import refused

Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
TENTS = bags_of_words(["t tents"], 64)[0]


@pytest.fixture
async def pile(pinecone: Pinecone, database: Database) -> SheetPile:
    made = SheetPile(database, pinecone.index)
    for number in range(12):
        await made.add(Sheet(id=f"doc_{number:02}", title="t", texts=[f"tents {number}"] * 12))
    return made


async def found(pinecone: Pinecone) -> list[tuple[str, float]]:
    return sorted((match.chunk_id, round(match.score, 5)) for match in await pinecone.index.dense(TENTS, 200))


async def vectors_in(database: Database) -> str:
    async with database.connect() as connection:
        return str(await connection.scalar(text("SELECT vectors_in FROM collections")))


async def test_a_collection_moves_there_and_back_and_is_searchable_at_every_step(
    pile: SheetPile, pinecone: Pinecone, database: Database
) -> None:
    pinecone.server.lag = 2
    before = await found(pinecone)
    assert len(before) == 144
    for target, here in (("pinecone", 0), ("postgres", 144)):
        await pinecone.moves.request("default", target)
        for _ in range(60):
            await pinecone.moves.step()
            assert await found(pinecone) == before
            if (await pinecone.moves.status("default")).state == "done":
                break
        status = await pinecone.moves.status("default")
        assert (status.state, status.total, status.problem) == ("done", 144, None)
        assert await pinecone.here() == here
        assert await vectors_in(database) == target
    assert pinecone.server.ids() == set()


async def test_nothing_is_switched_before_all_is_there(
    pile: SheetPile, pinecone: Pinecone, database: Database
) -> None:
    pinecone.server.forgetful = {"chk_03_1_4"}
    await pinecone.moves.request("default", "pinecone")
    for _ in range(30):
        await pinecone.moves.step()
        pinecone.clock.advance(30)
    status = await pinecone.moves.status("default")
    assert (status.state, status.copied, status.total) == ("copying", 143, 144)
    assert (await vectors_in(database), await pinecone.here()) == ("postgres", 144)
    pinecone.server.forgetful = set()
    pinecone.clock.advance(120)
    await pinecone.settle()
    assert (await vectors_in(database), await pinecone.here()) == ("pinecone", 0)


async def test_a_vector_that_is_spoilt_there_is_found_by_the_last_look_and_sent_again(
    pile: SheetPile, pinecone: Pinecone, database: Database
) -> None:
    await pinecone.moves.request("default", "pinecone")
    while (await pinecone.moves.status("default")).copied < 144:
        await pinecone.moves.step()
    (index,) = pinecone.server.indexes.values()
    for stored in index.seen["col_default"].values():
        stored.values = [0.0] * 63 + [1.0]
    for _ in range(3):
        await pinecone.moves.step()
        if (await pinecone.moves.status("default")).problem:
            break
    assert "not as they were sent" in str((await pinecone.moves.status("default")).problem)
    assert await vectors_in(database) == "postgres"
    for _ in range(10):
        await pinecone.settle()
    assert (await vectors_in(database), await pinecone.here()) == ("pinecone", 0)


async def test_what_is_written_and_deleted_meanwhile_arrives_too(
    pile: SheetPile, pinecone: Pinecone, database: Database
) -> None:
    for target in ("pinecone", "postgres"):
        await pinecone.moves.request("default", target)
        for step in range(40):
            await pinecone.moves.step()
            if step < 6:
                name = f"{target}{step}"
                await pile.add(Sheet(id=f"doc_{name}", title="t", texts=("tents new",)))
                edited = Sheet(id="doc_00", title="t", texts=(f"tents edited {name}",) * 3)
                row = await pile.row("doc_00")
                revision = int(str(row["revision"])) + 1
                await pile.register(edited, revision=revision)
                assert await pile.index(edited, revision=revision)
        async with database.begin() as connection:
            await connection.execute(text("DELETE FROM documents WHERE id = 'doc_05'"))
        await pinecone.settle()
        assert (await pinecone.moves.status("default")).state == "done"
        ids = {chunk_id for chunk_id, _ in await found(pinecone)}
        assert len(ids) == 144 - 12 - 9 + (6 if target == "pinecone" else 12)
        assert all(f"chk_{target}{step}_1_0" in ids for step in range(6))
    assert pinecone.server.ids() == set()
    assert await pinecone.here() == 135


async def test_an_outage_is_told_and_waited_out(
    pile: SheetPile, pinecone: Pinecone, database: Database
) -> None:
    await pinecone.moves.request("default", "pinecone")
    pinecone.server.stumbles = [refused(503) for _ in range(4)]
    made = await pinecone.moves.step()
    assert made.waiting
    assert "cannot be reached" in str((await pinecone.moves.status("default")).problem)
    assert len(await found(pinecone)) == 144
    await pinecone.settle()
    assert (await vectors_in(database), (await pinecone.moves.status("default")).problem) == (
        "pinecone",
        None,
    )


async def test_a_vector_that_was_lost_there_keeps_the_collection_there_and_says_so(
    pile: SheetPile, pinecone: Pinecone, database: Database
) -> None:
    await pinecone.moves.request("default", "pinecone")
    await pinecone.settle()
    (index,) = pinecone.server.indexes.values()
    for spaces in (index.written, index.seen):
        del spaces["col_default"]["chk_03_1_4"]
    await pinecone.moves.request("default", "postgres")
    for _ in range(10):
        await pinecone.moves.step()
    status = await pinecone.moves.status("default")
    assert (status.state, status.copied) == ("copying", 143)
    assert "1 vectors cannot be fetched" in str(status.problem)
    assert await vectors_in(database) == "pinecone"


async def test_a_move_that_is_turned_round_leaves_nothing_there(
    pile: SheetPile, pinecone: Pinecone, database: Database
) -> None:
    before = await found(pinecone)
    await pinecone.moves.request("default", "pinecone")
    for _ in range(2):
        await pinecone.moves.step()
    assert pinecone.server.ids()
    await pinecone.moves.request("default", "postgres")
    await pinecone.settle()
    assert (pinecone.server.ids(), await pinecone.here()) == (set(), 144)
    assert await found(pinecone) == before


async def test_a_writer_that_was_late_is_followed(
    pile: SheetPile, pinecone: Pinecone, database: Database
) -> None:
    """Its transaction is open while the collection is to be switched: the switch waits for it."""
    await pinecone.moves.request("default", "pinecone")
    while (await pinecone.moves.status("default")).copied < 144:
        await pinecone.moves.step()
    late = Sheet(id="doc_late", title="t", texts=("tents",))
    await pile.register(late)
    async with asyncio.TaskGroup() as group:
        group.create_task(pile.index(late))
        for _ in range(6):
            group.create_task(pinecone.moves.step())
    await pinecone.settle()
    assert await pinecone.here() == 0
    assert "chk_late_1_0" in {chunk_id for chunk_id, _ in await found(pinecone)}


async def test_two_processes_do_not_work_at_the_same_time(
    pile: SheetPile, pinecone: Pinecone, database: Database
) -> None:
    other = PineconeUpkeep(database, pinecone.api, clock=FrozenClock())
    await pinecone.moves.request("default", "pinecone")
    async with other.alone() as is_free:
        assert is_free
        assert (await pinecone.moves.step()).done == 0
    assert (await pinecone.moves.step()).done


async def test_moves_are_refused_that_cannot_be(
    pile: SheetPile, pinecone: Pinecone, database: Database
) -> None:
    with pytest.raises(NotFoundError, match="no collection 'nowhere'"):
        await pinecone.moves.request("nowhere", "pinecone")
    with pytest.raises(InvalidInputError, match="'weaviate' is no place"):
        await pinecone.moves.request("default", "weaviate")
    with pytest.raises(NotFoundError, match="ever moved"):
        await pinecone.moves.status("default")
    without = CollectionMoves(database=database, api=None, upkeep=None, clock=pinecone.clock)
    with pytest.raises(SettingsError, match=r"pinecone.api_key is empty"):
        await without.request("default", "pinecone")
    assert await pinecone.moves.all() == []


async def test_vectors_come_back_as_they_were(
    pile: SheetPile, pinecone: Pinecone, database: Database
) -> None:
    async def stored() -> dict[str, list[float]]:
        async with database.connect() as connection:
            rows = await connection.execute(text("SELECT id, embedding::text FROM chunks"))
            return {row[0]: [float(x) for x in row[1].strip("[]").split(",")] for row in rows}

    before = await stored()
    for target in ("pinecone", "postgres"):
        await pinecone.moves.request("default", target)
        await pinecone.settle()
    after = await stored()
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[key], before[key]) for key in before)


async def test_a_collection_that_is_where_it_is_wanted_is_left_alone(
    pile: SheetPile, pinecone: Pinecone, database: Database
) -> None:
    await pinecone.moves.request("default", "postgres")
    await pinecone.settle()
    assert (await pinecone.moves.status("default")).state == "done"
    assert pinecone.server.asked == [], "no index is made for nothing"


async def test_the_worker_goes_on_after_failures_until_it_is_stopped(
    pile: SheetPile, pinecone: Pinecone, database: Database, eventually: Eventually
) -> None:
    await pinecone.moves.request("default", "pinecone")
    pinecone.server.stumbles = [refused(503) for _ in range(9)]
    stop = asyncio.Event()

    async def is_done() -> bool:
        return (await pinecone.moves.status("default")).state == "done"

    async with asyncio.TaskGroup() as group:
        group.create_task(tend(pinecone.index, pinecone.moves, stop=stop, waiting_s=0.01, idle_s=0.01))
        await eventually(is_done)
        await pile.add(Sheet(id="doc_new", title="t", texts=("tents",)))

        async def is_sent() -> bool:
            return await pinecone.here() == 0

        await eventually(is_sent)
        stop.set()
    assert "chk_new_1_0" in pinecone.server.ids()
