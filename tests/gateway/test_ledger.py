from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select, text

from causeway.contracts.chat import Usage
from causeway.contracts.money import Micros
from causeway.errors import DeadlineError, DiskFullError, UpstreamError
from causeway.gateway import ledger as ledger_file
from causeway.gateway import ledger_table
from causeway.gateway.entries import encoded_opening, encoded_row
from causeway.gateway.journal import Journal
from causeway.gateway.ledger import Ledger, open_ledger
from causeway.storage import schema
from causeway.storage.database import Database
from tests.gateway.calls import BEGAN, an_entry, an_opening


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
async def ledger(database: Database, folder: Path) -> AsyncIterator[Ledger]:
    """A ledger that flushes when it is told to."""
    async with open_ledger(database, folder, flush_s=3600) as opened:
        yield opened


async def _rows(database: Database) -> dict[str, dict[str, Any]]:
    async with database.connect() as connection:
        return {row["id"]: dict(row) for row in (await connection.execute(select(schema.ledger))).mappings()}


async def _outcomes(database: Database) -> dict[str, str]:
    return {call: row["outcome"] for call, row in (await _rows(database)).items()}


@asynccontextmanager
async def _away(database: Database) -> AsyncIterator[None]:
    """A database that cannot take entries."""
    async with database.begin() as connection:
        await connection.execute(text("ALTER TABLE ledger RENAME TO elsewhere"))
    yield
    async with database.begin() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO ledger"))


def _files(folder: Path, pattern: str = "*") -> list[Path]:
    return list(folder.glob(pattern))


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.journal"))


def _leave(folder: Path, *, ended: list[str], under_way: list[str]) -> None:
    """What a process leaves that is killed."""
    journal = Journal(folder)
    for call in (*ended, *under_way):
        journal.opened(encoded_opening(an_opening(call)))
    for call in ended:
        journal.closed(encoded_row(an_entry(call)))
    journal.close(is_settled=False)


async def test_an_entry_reaches_the_database_whole(ledger: Ledger, database: Database) -> None:
    ledger.opened(an_opening("call_1"))
    ledger.closed(an_entry("call_1", cache="exact", saved=Micros(7)))
    await ledger.flush()
    assert (await _rows(database))["call_1"] == {
        "id": "call_1",
        "at": BEGAN,
        "principal_id": "key_1",
        "team": "team_1",
        "tier": "pro",
        "purpose": "api",
        "operation": "chat",
        "requested_model": "chat",
        "model": "words",
        "provider": "test",
        "prompt": "answer@3",
        "input_tokens": 90,
        "output_tokens": 200,
        "cached_input_tokens": 10,
        "reasoning_tokens": 20,
        "is_estimate": True,
        "cost_micros": 3_000,
        "saved_micros": 7,
        "outcome": "ok",
        "latency_ms": 1_200,
        "ttft_ms": 80,
        "attempts": 2,
        "cache": "exact",
        "is_stream": True,
        "route_reason": "alias",
        "trace_id": "ab" * 16,
    }


async def test_the_database_hears_of_entries_by_itself(
    database: Database, folder: Path, eventually: Any
) -> None:
    async with open_ledger(database, folder, flush_s=0.01) as ledger:
        ledger.closed(an_entry("call_1"))

        async def is_there() -> bool:
            return await _outcomes(database) == {"call_1": "ok"}

        await eventually(is_there)


async def test_a_full_batch_does_not_wait_for_its_time(
    database: Database, ledger: Ledger, eventually: Any
) -> None:
    for number in range(2_000):
        ledger.closed(an_entry(f"call_{number}"))

    async def are_there() -> bool:
        return len(await _rows(database)) == 2_000

    await eventually(are_there)


async def test_a_clean_stop_loses_nothing_and_leaves_no_journal(database: Database, folder: Path) -> None:
    async with open_ledger(database, folder, flush_s=3600) as ledger:
        for number in range(2_500):
            ledger.opened(an_opening(f"call_{number}"))
            ledger.closed(an_entry(f"call_{number}"))
    assert len(await _rows(database)) == 2_500
    assert _files(folder) == []


async def test_spending_counts_what_the_database_has_and_what_it_has_not(
    ledger: Ledger, database: Database
) -> None:
    ledger.closed(an_entry("old", at=BEGAN - timedelta(days=1), cost=Micros(1)))
    ledger.closed(an_entry("flushed", cost=Micros(10)))
    await ledger.flush()
    ledger.closed(an_entry("pending", cost=Micros(100)))
    ledger.closed(an_entry("another_key", cost=Micros(1_000), principal_id="key_2"))
    ledger.closed(an_entry("another_team", cost=Micros(10_000), team=None))
    ledger.closed(an_entry("another_tier", cost=Micros(100_000), tier="free"))
    assert await ledger.spent("key", "key_1", BEGAN) == 110_110
    assert await ledger.spent("team", "team_1", BEGAN) == 101_110
    assert await ledger.spent("tier", "pro", BEGAN) == 11_110
    assert await ledger.spent("key", "key_1", BEGAN - timedelta(days=1)) == 110_111
    assert await ledger.spent("key", "key_9", BEGAN) == 0


async def test_calls_of_a_dead_process_are_settled_at_the_start_of_the_next(
    database: Database, folder: Path
) -> None:
    _leave(folder, ended=["ended"], under_way=["under_way"])
    told = []

    async def settle(call: str, cost: Micros, tokens: int) -> None:
        told.append((call, cost, tokens))

    async with open_ledger(database, folder, flush_s=3600, settle=settle):
        rows = await _rows(database)
        assert (rows["ended"]["outcome"], rows["under_way"]["outcome"]) == ("ok", "interrupted")
        assert rows["under_way"]["cost_micros"] == 5_000
        assert rows["under_way"]["is_estimate"]
        assert told == [("ended", 3_000, 290), ("under_way", 5_000, 500)]
    assert _files(folder) == []


async def test_adopting_twice_changes_and_settles_nothing_again(database: Database, folder: Path) -> None:
    told: list[str] = []

    async def settle(call: str, cost: Micros, tokens: int) -> None:
        told.append(call)

    for _ in range(2):  # the second finds what the first left when it was killed before it had deleted it
        _leave(folder, ended=["ended"], under_way=["under_way"])
        async with open_ledger(database, folder, flush_s=3600, settle=settle):
            pass
    assert told == ["ended", "under_way"]
    assert len(await _rows(database)) == 2


async def test_a_settlement_that_fails_does_not_hold_up_the_ledger(database: Database, folder: Path) -> None:
    async def settle(call: str, cost: Micros, tokens: int) -> None:
        msg = "away"
        raise UpstreamError(msg)

    _leave(folder, ended=[], under_way=["under_way"])
    async with open_ledger(database, folder, flush_s=3600, settle=settle):
        assert await _outcomes(database) == {"under_way": "interrupted"}
    assert _files(folder) == []


async def test_a_running_process_is_not_adopted(database: Database, folder: Path, ledger: Ledger) -> None:
    ledger.opened(an_opening("under_way"))
    async with open_ledger(database, folder, flush_s=3600):
        assert await _outcomes(database) == {}


async def test_entries_wait_while_the_database_is_away_which_is_said_once(
    database: Database, folder: Path, eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[str] = []
    event.listen(
        database.engine.sync_engine, "before_cursor_execute", lambda _c, _cursor, said, *_: tries.append(said)
    )

    async def has_tried_often() -> bool:
        return sum("INSERT INTO ledger" in said for said in tries) > 5

    async def is_there() -> bool:
        return await _outcomes(database) == {"call_1": "ok"}

    async with open_ledger(database, folder, flush_s=0.01) as ledger:
        async with _away(database):
            ledger.closed(an_entry("call_1"))
            await eventually(has_tried_often)
        await eventually(is_there)
    assert [record.getMessage() for record in caplog.records] == ["the ledger waits in its journal"]


async def test_what_a_clean_stop_cannot_flush_the_next_start_does(database: Database, folder: Path) -> None:
    async with _away(database), open_ledger(database, folder, flush_s=3600) as ledger:
        ledger.closed(an_entry("call_1"))
    async with open_ledger(database, folder, flush_s=3600):
        assert await _outcomes(database) == {"call_1": "ok"}


async def test_memory_is_bounded_while_the_database_is_away_and_nothing_is_lost(
    ledger: Ledger, database: Database, folder: Path
) -> None:
    count, most = 45_000, 0
    async with _away(database):
        ledger.opened(an_opening("under_way"))
        for number in range(count):
            ledger.closed(an_entry(f"call_{number}"))
            most = max(most, ledger.waiting)
    assert most < 20_000
    assert len(_files(folder, "*.journal")) == 3
    await ledger.flush()
    assert len(await _rows(database)) == count
    assert len(_files(folder, "*.journal")) == 1
    ledger.closed(an_entry("under_way"))
    await ledger.flush()
    assert _size(folder) == 0


async def test_the_journal_shrinks_while_calls_are_always_under_way(database: Database, folder: Path) -> None:
    journal = Journal(folder)
    ledger = Ledger(database, journal, folder, settle=None)
    ledger.opened(an_opening("under_way"))
    sizes = []
    for turn in range(5):
        for number in range(8_000):
            ledger.closed(an_entry(f"call_{turn}_{number}"))
        await ledger.flush()
        sizes.append(_size(folder))
    assert max(sizes) < 15_000_000
    assert len(await _rows(database)) == 40_000
    journal.close(is_settled=False)
    async with open_ledger(database, folder, flush_s=3600):
        assert (await _outcomes(database))["under_way"] == "interrupted"


async def test_a_row_that_the_database_refuses_is_set_aside_and_holds_up_no_other(
    ledger: Ledger, database: Database, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(7):
        usage = Usage(2**63 + 5 if number == 3 else number, 0)
        ledger.closed(an_entry(f"call_{number}", usage=usage))
    await ledger.flush()
    assert set(await _rows(database)) == {f"call_{number}" for number in range(7)} - {"call_3"}
    assert b'"id":"call_3"' in (folder / "unstorable.jsonl").read_bytes()
    assert "the database refuses a row of the ledger" in caplog.text


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 100_000, "a\\u0000b", "\\\0"])
async def test_any_name_a_caller_sends_can_be_stored(ledger: Ledger, database: Database, name: str) -> None:
    ledger.opened(an_opening("call_1", model=name))
    ledger.closed(an_entry("call_1", requested_model=name))
    await ledger.flush()
    assert len((await _rows(database))["call_1"]["requested_model"]) in range(1, 501)


async def test_a_full_disk_refuses_calls_and_forgets_none_that_was_made(
    small_disk: Path, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    made = 0
    async with open_ledger(database, small_disk, flush_s=3600) as ledger:
        with pytest.raises(DiskFullError, match="free some on its disk"):  # noqa: PT012 - until it is full
            for made in range(1_000):
                ledger.opened(an_opening(f"call_{made}"))
        with pytest.raises(DiskFullError):
            ledger.opened(an_opening("refused"))
        for number in range(made):
            ledger.closed(an_entry(f"call_{number}"))
        said = [record.getMessage() for record in caplog.records]
        assert said == ["calls are refused: they cannot be written down"]
        await ledger.flush()
        assert set((await _outcomes(database)).values()) == {"ok"}
        assert len(await _rows(database)) == made
        ledger.opened(an_opening("call_again"))
        ledger.closed(an_entry("call_again"))
    assert "call_again" in await _rows(database)


async def test_endless_refusals_while_nothing_can_be_written_stay_bounded(
    small_disk: Path, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger_file, "_MOST_PENDING", 100)
    async with open_ledger(database, small_disk, flush_s=3600) as ledger:
        while True:
            try:
                ledger.opened(an_opening("call"))
            except DiskFullError:
                break
        for number in range(500):
            ledger.closed(an_entry(f"refused_{number}", outcome="disk_full", cost=Micros(0)))
        assert caplog.text.count("entries of refused calls are lost") == 1
    assert len(await _rows(database)) == 100


async def test_readers_who_flush_at_once_do_not_write_twice(ledger: Ledger, database: Database) -> None:
    for number in range(50):
        ledger.closed(an_entry(f"call_{number}"))
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(ledger.flush())
    assert len(await _rows(database)) == 50


async def test_a_database_that_hangs_holds_up_a_flush_only_so_long_and_loses_nothing(
    ledger: Ledger, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_table, "_DEADLINE_S", 0.1)
    ledger.closed(an_entry("call_1"))
    async with database.begin() as connection:
        await connection.execute(text("LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(DeadlineError, match="wait in the journal"):
            await ledger.flush()
        assert ledger.waiting == 1
    monkeypatch.undo()
    await ledger.flush()
    assert await _outcomes(database) == {"call_1": "ok"}
