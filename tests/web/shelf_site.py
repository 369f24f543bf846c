"""Collections over a real database and a real queue, with the scripted Causeway around them.

``python -m tests.web.shelf_site [PORT]`` serves some collections to whoever works on the pages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

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
from causeway.storage.blobs import Blobs
from causeway.storage.database import Database, open_database
from causeway.web.parts import IngestParts, WebParts
from tests.knowledge.ingest.worksite import DIMENSIONS, Worksite
from tests.web.scripted import ADMIN_KEY, Scripted, scripted
from tests.web.serving import serve_until_stopped, serving


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


@contextmanager
def serving_collections(database_url: str, folder: Path, *, port: int = 0) -> Iterator[tuple[str, ShelfSite]]:
    """Serve the furnished site from a thread with a loop of its own; its address."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[ShelfSite]:
        database = await open_database(DatabaseSettings(url=SecretStr(database_url)), folder)
        async with shelf_site(database, folder) as site:
            await furnish(site)
            yield site
        await database.close()

    with serving(opened, port=port) as served:
        yield served


def main() -> None:
    """Serve until stopped."""
    serve_until_stopped(
        lambda url, folder, port: serving_collections(url, folder, port=port),
        port=8090,
        key=lambda _: ADMIN_KEY,
    )


if __name__ == "__main__":
    main()
