from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from pydantic import SecretStr

from causeway.errors import NotFoundError, SettingsError
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.settings import DatabaseSettings
from causeway.storage.database import open_database
from causeway.testing.documents import Sheet, SheetPile
from tests.knowledge.index.pinecone_server import KEY, PineconeServer
from tests.knowledge.ingest.vendor_server import served

Run = Callable[..., Result]


@pytest.fixture
def pinecone(monkeypatch: pytest.MonkeyPatch) -> Iterator[PineconeServer]:
    """A local Pinecone in a thread of its own, since a command has the event loop to itself."""
    server, is_up, stop = PineconeServer(), threading.Event(), threading.Event()

    async def serve() -> None:
        async with served(server.answer) as address:
            server.address = address
            is_up.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert is_up.wait(10)
    monkeypatch.setenv("CAUSEWAY_PINECONE__API_KEY", KEY)
    monkeypatch.setenv("CAUSEWAY_PINECONE__HOST", server.address)
    yield server
    stop.set()
    thread.join()


@pytest.fixture
def filled(database_url: str, tmp_path: Path) -> None:
    async def fill() -> None:
        database = await open_database(DatabaseSettings(url=SecretStr(database_url)), tmp_path)
        index = PostgresIndex(database)
        await index.prepare()
        await SheetPile(database, index).add(Sheet(id="doc_a", texts=["tents"] * 5, collection="shop"))
        await database.close()

    asyncio.run(fill())


def test_a_move_is_asked_for_and_shown(run: Run, pinecone: PineconeServer, filled: None) -> None:
    asked = json.loads(run("collections", "move", "shop", "--to", "pinecone", "--no-wait", "--json").stdout)
    assert (asked["collection"], asked["target"], asked["state"]) == ("shop", "pinecone", "copying")
    assert run("collections", "moves").stdout == "shop: to pinecone, copied 0 of 0 vectors\n"
    assert json.loads(run("collections", "moves", "--json").stdout) == {"moves": [asked]}


def test_what_cannot_be_moved_is_told(run: Run, pinecone: PineconeServer) -> None:
    with pytest.raises(NotFoundError, match="no collection 'nothing'"):
        run("collections", "move", "nothing", "--to", "pinecone", "--no-wait")
    assert run("collections", "move", "shop", "--to", "weaviate").exit_code == 2


def test_without_a_key_nothing_moves(run: Run, filled: None) -> None:
    with pytest.raises(SettingsError, match=r"pinecone.api_key is empty"):
        run("collections", "move", "shop", "--to", "pinecone", "--no-wait")


def test_doctor_tells_whether_pinecone_answers(
    run: Run, pinecone: PineconeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> dict[str, str]:
        findings = json.loads(run("doctor", "--json").stdout)["findings"]
        (finding,) = [each for each in findings if each["what"] == "Pinecone"]
        return dict(finding)

    assert found()["state"] == "ok"
    monkeypatch.setenv("CAUSEWAY_PINECONE__API_KEY", "pcsk_other")
    assert (found()["state"], "refuses pinecone.api_key" in found()["found"]) == ("broken", True)
    monkeypatch.setenv("CAUSEWAY_PINECONE__API_KEY", "")
    assert found()["state"] == "off"
