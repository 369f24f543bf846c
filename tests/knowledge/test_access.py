from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import insert, select, text, update

from causeway.contracts.identity import EVERYONE
from causeway.errors import InvalidInputError, NotFoundError
from causeway.gateway.audit import Audit, record
from causeway.knowledge.access import AccessRules
from causeway.storage.database import Database
from causeway.storage.schema import collections, documents

HR, DANA = "group:grp_hr", "user:usr_dana"


@pytest.fixture
def rules(database: Database) -> AccessRules:
    return AccessRules(database, record)


@pytest.fixture
async def shelf(database: Database) -> None:
    """A collection of three documents."""
    async with database.begin() as connection:
        await connection.execute(
            insert(collections).values(id="col_a", name="handbook", embedding_model="small", dimensions=2)
        )
        for path in ("leave.md", "hr/salaries.md", "hr/board/bonus.md"):
            await connection.execute(insert(documents).values(_row(path)))


def _row(path: str) -> dict[str, object]:
    return {
        "id": path,
        "collection_id": "col_a",
        "source": "upload",
        "path": path,
        "title": path,
        "size_bytes": 1,
        "blob": "b",
        "modified_at": text("now()"),
        "state": "ready",
    }


async def readers(database: Database) -> dict[str, Sequence[str]]:
    async with database.connect() as connection:
        rows = await connection.execute(select(documents.c.id, documents.c.readers))
        return {row.id: sorted(row.readers) for row in rows}


@pytest.mark.usefixtures("shelf")
async def test_the_nearest_rule_decides(database: Database, rules: AccessRules) -> None:
    assert set(map(tuple, (await readers(database)).values())) == {(EVERYONE,)}
    await rules.allow_collection("handbook", [DANA])
    await rules.allow_folder("handbook", "/hr/", [HR])
    await rules.allow_folder("handbook", "hr/board", [])
    assert await readers(database) == {"leave.md": [DANA], "hr/salaries.md": [HR], "hr/board/bonus.md": []}
    await rules.allow_document("hr/board/bonus.md", [DANA, HR])
    await rules.allow_folder("handbook", "hr", None)
    assert await readers(database) == {
        "leave.md": [DANA],
        "hr/salaries.md": [DANA],
        "hr/board/bonus.md": [HR, DANA],
    }
    await rules.allow_document("hr/board/bonus.md", None)
    assert (await readers(database))["hr/board/bonus.md"] == []


@pytest.mark.usefixtures("shelf")
async def test_a_folder_is_a_whole_part_of_a_path(database: Database, rules: AccessRules) -> None:
    await rules.allow_folder("handbook", "hr/sal", [])
    await rules.allow_folder("handbook", "leave.md", [])
    await rules.allow_folder("handbook", "h_", [])
    assert set(map(tuple, (await readers(database)).values())) == {(EVERYONE,)}


@pytest.mark.usefixtures("shelf")
async def test_a_document_that_moves_gets_the_rule_of_where_it_goes(
    database: Database, rules: AccessRules
) -> None:
    await rules.allow_folder("handbook", "hr", [HR])
    async with database.begin() as connection:
        moved = update(documents).where(documents.c.id == "leave.md")
        await connection.execute(moved.values(path="hr/leave.md"))
        await connection.execute(insert(documents).values(_row("hr/new.md")))
    assert (await readers(database))["leave.md"] == [HR]
    assert (await readers(database))["hr/new.md"] == [HR]


@pytest.mark.usefixtures("shelf")
async def test_nobody_writes_the_readers_of_a_document_by_hand(
    database: Database, rules: AccessRules
) -> None:
    await rules.allow_collection("handbook", [HR])
    async with database.begin() as connection:
        await connection.execute(update(documents).values(readers=[EVERYONE]))
        await connection.execute(insert(documents).values({**_row("sly.md"), "readers": [EVERYONE]}))
    assert set(map(tuple, (await readers(database)).values())) == {(HR,)}


@pytest.mark.usefixtures("shelf")
async def test_a_document_added_while_a_rule_changes_gets_the_new_rule(
    database: Database, rules: AccessRules
) -> None:
    waits = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    async with asyncio.TaskGroup() as group, database.begin() as adding:
        await adding.execute(insert(documents).values(_row("late.md")))
        group.create_task(rules.allow_collection("handbook", []))
        async with database.connect() as watching:
            while not await watching.scalar(waits):
                await watching.rollback()
    assert (await readers(database))["late.md"] == []


@pytest.mark.usefixtures("shelf")
async def test_every_change_of_a_rule_is_in_the_audit_log(database: Database, rules: AccessRules) -> None:
    await rules.allow_collection("handbook", [HR])
    await rules.allow_folder("handbook", "hr", [])
    await rules.allow_folder("handbook", "hr", None)
    await rules.allow_document("leave.md", [DANA])
    lines = [(line.action, line.subject, line.before, line.after) for line in await Audit(database).list()]
    assert lines[::-1] == [
        ("access.collection", "col_a", {"readers": [EVERYONE]}, {"readers": [HR]}),
        ("access.folder", "col_a", {"folder": "hr", "readers": None}, {"folder": "hr", "readers": []}),
        ("access.folder", "col_a", {"folder": "hr", "readers": []}, {"folder": "hr", "readers": None}),
        ("access.document", "leave.md", {"readers": None}, {"readers": [DANA]}),
    ]


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("name", ["", "dana", "user:", "group:", "role:admin", "user:a\x00b", "EVERYONE"])
async def test_what_no_rule_can_name_is_refused(rules: AccessRules, name: str) -> None:
    with pytest.raises(InvalidInputError, match="none of a rule's names"):
        await rules.allow_collection("handbook", [name])


@pytest.mark.usefixtures("shelf")
async def test_rules_of_what_is_not_there_are_refused(rules: AccessRules) -> None:
    with pytest.raises(NotFoundError, match="no collection 'other'"):
        await rules.allow_collection("other", [])
    with pytest.raises(NotFoundError, match="has no rule of its own"):
        await rules.allow_folder("handbook", "hr", None)
    with pytest.raises(NotFoundError, match="no document 'none'"):
        await rules.allow_document("none", [])
    with pytest.raises(InvalidInputError, match="is no folder"):
        await rules.allow_folder("handbook", " / ", [])
