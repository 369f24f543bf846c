"""Collections over a real database and a real queue, with the scripted Causeway around them.

``python -m tests.web.shelf_site [PORT]`` serves some collections to whoever works on the pages.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn
from pydantic import SecretStr

from causeway.contracts.clock import SystemClock
from causeway.gateway import audit
from causeway.knowledge.collections import Collections, EmbeddingModel
from causeway.knowledge.holds import Selection
from causeway.knowledge.index.collection_moves import CollectionMoves
from causeway.knowledge.index.pinecone_api import PineconeApi
from causeway.knowledge.ingest.control import IngestControl
from causeway.knowledge.ingest.progress import ProgressReader
from causeway.knowledge.ingest.upload import Uploads
from causeway.knowledge.originals import Originals
from causeway.settings import DatabaseSettings, KnowledgeSettings, PineconeSettings
from causeway.storage import embedded_postgres
from causeway.storage.blobs import Blobs
from causeway.storage.database import Database, open_database
from causeway.web.app import build_app
from causeway.web.parts import IngestParts, WebParts
from tests.knowledge.ingest.worksite import DIMENSIONS, Worksite
from tests.web.scripted import Scripted, scripted


@dataclass(frozen=True, slots=True)
class ShelfSite:
    """Everything a test may want to touch."""

    parts: WebParts
    worksite: Worksite
    script: Scripted


@asynccontextmanager
async def shelf_site(database: Database, folder: Path) -> AsyncIterator[ShelfSite]:
    """The site over a database at the newest revision."""
    blobs = Blobs(folder / "blobs")
    originals = Originals(database=database, blobs=blobs)
    collections = Collections(
        database=database,
        embedding=EmbeddingModel(name="bge-small-en@0123456789ab", dimensions=DIMENSIONS),
        settings=KnowledgeSettings(),
        originals=originals,
        record=audit.record,
    )
    worksite = Worksite(database, collections, originals, folder)
    await worksite.open()
    script = scripted(folder)
    parts = replace(
        script.parts,
        library=worksite.library,
        blobs=blobs,
        uploads=Uploads(
            library=worksite.library, originals=originals, clock=SystemClock(), max_bytes=10_000_000
        ),
        ingest=IngestParts(
            collections=collections,
            control=IngestControl(database=database, durable=worksite.durable, record=audit.record),
            progress=ProgressReader(database),
        ),
        moves=_moves(database),
    )
    try:
        yield ShelfSite(parts, worksite, script)
    finally:
        await worksite.close()


def _moves(database: Database) -> CollectionMoves:
    """Moves that can be asked for and are never made: nothing takes their steps, so Pinecone is not called."""
    return CollectionMoves(
        database=database,
        api=PineconeApi(None, PineconeSettings(api_key=SecretStr("pc-test"))),
        upkeep=None,
        clock=SystemClock(),
        record=audit.record,
    )


async def furnish(site: ShelfSite) -> None:
    """Collections in every state that the pages show."""
    work = site.worksite
    for name, count in (("handbook", 14), ("contracts", 9), ("support mail", 6), ("archive", 5)):
        for number in range(count):
            text = f"# {name.title()} {number}\n\n" + f"Line {number} of the {name}. " * (20 * (number + 1))
            added = await work.add(text, f"{name}/{number:02}.md", source="folder:/srv", collection=name)
            if name != "archive":
                await work.ingest(added)
    await work.options({"chunking": {"strategy": "parent_child"}}, collection="handbook")
    await work.options({"pii": {"action": "mask"}}, collection="support mail")
    await work.add(
        "# Mail\n\nFrom anna@example.org, card 4111 1111 1111 1111.", "mail.md", collection="people"
    )
    await work.options({"pii": {"action": "refuse"}}, collection="people")
    await work.control.requeue("")
    for document in (await work.library.documents(collection="people")).documents:
        await work.ingest_newest(document.id)
    for document in (await work.library.documents(collection="support mail")).documents:
        await work.ingest_newest(document.id)
    archive = await work.collections.id_of("archive")
    await work.control.pause(Selection(collection_id=archive))


async def _serve(port: int, folder: Path) -> None:
    with_server = embedded_postgres.start(folder / "postgres")
    try:
        settings = DatabaseSettings(url=SecretStr(with_server.url()))
        database = await open_database(settings, folder)
        async with shelf_site(database, folder) as site:
            await furnish(site)
            config = uvicorn.Config(build_app(site.parts), port=port, lifespan="off")
            await uvicorn.Server(config).serve()
        await database.close()
    finally:
        with_server.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="causeway-") as name:
        asyncio.run(_serve(int(sys.argv[1]) if len(sys.argv) > 1 else 8090, Path(name)))
