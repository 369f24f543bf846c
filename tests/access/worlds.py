"""Two worlds for one reader: one with other people's documents in it, and one without.

Whatever the reader does in both has to come out the same, or what they may not see shows through: as text, as a count, in
the order or score of a hit, by the wording of an error or by the work that the database was given.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx2
from sqlalchemy import event, insert, update

from causeway.accounts.users import User
from causeway.contracts.identity import Role, Scope
from causeway.contracts.model_gateway import Call
from causeway.gateway.edge_path import EdgePath
from causeway.knowledge import Answerer, AskRequest, Finished, KnowledgeAssistant, Library, Search, Uploads
from causeway.knowledge.collections import Collections, EmbeddingModel
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.ingest.control import IngestControl
from causeway.knowledge.ingest.progress import ProgressReader
from causeway.knowledge.originals import Originals
from causeway.observability.feedback import Feedback
from causeway.observability.spans import Spans
from causeway.observability.stats import Stats
from causeway.observability.trace_store import SpanWriter, TraceStore
from causeway.prompts.shelf import Shelf
from causeway.settings import GatewaySettings, KnowledgeSettings, ModelSettings
from causeway.storage.blobs import Blobs
from causeway.storage.durable import Durable
from causeway.storage.schema import collections, documents
from causeway.testing.clock import FrozenClock
from causeway.testing.documents import Sheet, SheetPile
from causeway.testing.gateway import FakeGateway
from causeway.web.app import build_app
from causeway.web.parts import IngestParts
from causeway.web.sign_in import COOKIE, csrf_token
from tests.accounts.people import PASSWORD
from tests.web.admin_site import AdminSite, admin_site

BOARD: Final = "board-nightfall"
IN_FOLDER: Final = f"doc_{'a1' * 16}"
BY_ITSELF: Final = f"doc_{'b2' * 16}"
IN_BOARD: Final = f"doc_{'c3' * 16}"
PAST: Final = f"doc_{'d4' * 16}"
"""It was deleted, and is kept for those who cited it."""
HIDDEN: Final = (IN_FOLDER, BY_ITSELF, IN_BOARD)
OPEN: Final = f"doc_{'0f' * 16}"

MARKS: Final = (
    "severance of project",
    "minutes of the board",
    "zebraquartz is 12 days",
    "ends the sale of tents",
    "agreed on zebraquartz",
    *HIDDEN,
)
"""What only the hidden documents say, and their ids; nobody asks in these words."""

_OPEN_SHEETS = (
    Sheet(
        id=OPEN,
        title="Returns",
        collection="handbook",
        path="returns.md",
        texts=("Tents may be returned within 45 days of delivery.", "Stoves are returned to the shop."),
        metadata={"author": "Dana"},
    ),
    Sheet(
        id=f"doc_{'1e' * 16}",
        title="Leave",
        collection="handbook",
        path="leave.md",
        texts=("A full-time colleague has 25 days of annual leave.",),
    ),
)
_HIDDEN_SHEETS = (
    Sheet(
        id=IN_FOLDER,
        title="Severance of project Nightfall",
        collection="handbook",
        path="hr/severance-nightfall.md",
        texts=(
            "The severance for zebraquartz is 12 days, and tents may be returned within 90 days of delivery.",
        ),
        metadata={"project": "nightfall"},
    ),
    Sheet(
        id=BY_ITSELF,
        title="Plan Nightfall",
        collection="handbook",
        path="plan-nightfall.md",
        texts=("Nightfall ends the sale of tents; annual leave is cancelled; zebraquartz.",),
        media_type="application/pdf",
    ),
    Sheet(
        id=IN_BOARD,
        title="Minutes of the board",
        collection=BOARD,
        path="minutes-nightfall.md",
        texts=("The board agreed on zebraquartz: severance for all, stoves are returned.",),
    ),
)


_GONE = Sheet(
    id=PAST,
    title="Old severance of project Nightfall",
    collection=BOARD,
    path="old-nightfall.md",
    texts=("The board agreed on zebraquartz before.",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A whole Causeway with people in it.

    Attributes:
        ann: Asks and adds; sees nothing of what is hidden.
        ben: Sees it all, by a folder's rule for his group, a document's own rule and a collection's rule.
        secrets: The ids that only this world knows, by the place in a path that takes them.
    """

    site: AdminSite
    ann: httpx2.AsyncClient
    ann_program: httpx2.AsyncClient
    ben: httpx2.AsyncClient
    search: Search
    users: Mapping[str, User]
    secrets: Mapping[str, str]
    statements: list[str]


@asynccontextmanager
async def world(
    database_url: str,
    folder: Path,
    clock: FrozenClock,
    *,
    holds_hidden: bool,
    secrets: Mapping[str, str] | None = None,
) -> AsyncIterator[World]:
    """Open one; ``secrets`` are those of the other world, for the one that has none."""
    async with admin_site(database_url, folder, environment={}, clock=clock) as site:
        spans = Spans(SpanWriter(site.database.url))
        durable = Durable(site.database.url, executor_id="exe_test")
        try:
            site, library, search, answerer = _furnished(site, folder, clock, spans, durable)
            users = await _people(site)
            await _documents(site, library, users, holds_hidden=holds_hidden)
            secrets = await _secrets(answerer, site, users) if holds_hidden else secrets or {}
            app = build_app(site.parts)
            ann, ben = await _browser(app, site, users["ann"]), await _browser(app, site, users["ben"])
            key = await site.admin.keys.create(
                "ann's", [Scope.ASK, Scope.INGEST, Scope.MODELS], user=users["ann"].id
            )
            program = _client(app)
            program.headers["authorization"] = f"Bearer {key.secret}"
            with _watched(site) as statements:
                yield World(
                    site=site,
                    ann=ann,
                    ann_program=program,
                    ben=ben,
                    search=search,
                    users=users,
                    secrets=secrets,
                    statements=statements,
                )
        finally:
            await durable.close()
            spans.close()


def _furnished(
    site: AdminSite, folder: Path, clock: FrozenClock, spans: Spans, durable: Durable
) -> tuple[AdminSite, Library, Search, Answerer]:
    gateway = ListedFake(replies=("Tents may be returned within 45 days of delivery [1].",))
    settings = KnowledgeSettings(check="off", collection="handbook")
    index = PostgresIndex(site.database)
    search = Search(index, gateway, settings, models=ModelSettings(), spans=spans, clock=clock)
    answerer = Answerer(
        search=search,
        gateway=gateway,
        prompts=Shelf.packaged(),
        spans=spans,
        clock=clock,
        settings=lambda: settings,
    )
    blobs = Blobs(folder / "blobs")
    originals = Originals(database=site.database, blobs=blobs)
    embedding = EmbeddingModel(name="fake", dimensions=64)
    shelves = Collections(database=site.database, embedding=embedding, settings=settings)
    library = Library(
        database=site.database,
        collections=shelves,
        originals=originals,
        durable=durable,
    )
    edge = EdgePath(
        gateway=gateway,
        keys=site.admin.keys,
        clock=clock,
        assistants={"knowledge": KnowledgeAssistant(answerer)},
        settings=GatewaySettings(),
    )
    parts = replace(
        site.parts,
        library=library,
        uploads=Uploads(library=library, originals=originals, clock=clock, max_bytes=10_000),
        blobs=blobs,
        search=search,
        answerer=answerer,
        traces=TraceStore(site.database, spans),
        feedback=Feedback(site.database, spans),
        stats=Stats(site.database, spans, flush=site.ledger.flush),
        edge=edge,
        ingest=IngestParts(
            collections=shelves,
            control=IngestControl(database=site.database, durable=durable),
            progress=ProgressReader(site.database),
        ),
        examples={"handbook": ("How long may I return a tent?",), BOARD: ("What is Nightfall?",)},
    )
    return replace(site, parts=parts), library, search, answerer


class ListedFake(FakeGateway):
    """The fake, with the name of a model to list."""

    model_names: Sequence[str] = ("chat",)


async def _people(site: AdminSite) -> dict[str, User]:
    users = site.admin.users
    await site.admin.groups.create("HR")
    made = {}
    for name, role, groups in (("ann", Role.EDITOR, ()), ("ben", Role.READER, ("HR",))):
        invitation = await users.create(f"{name}@example.com", name=name, role=role, groups=groups)
        made[name] = await users.accept(invitation.token, PASSWORD)
    return made


async def _documents(
    site: AdminSite, library: Library, users: Mapping[str, User], *, holds_hidden: bool
) -> None:
    index = PostgresIndex(site.database)
    await index.prepare()
    pile = SheetPile(site.database, index)
    async with site.database.begin() as connection:
        row = {"id": "col_handbook", "name": "handbook", "embedding_model": "fake", "dimensions": 64}
        await connection.execute(insert(collections).values(row))
        if holds_hidden:
            await connection.execute(insert(collections).values({**row, "id": f"col_{BOARD}", "name": BOARD}))
    access, ben = site.admin.access, f"user:{users['ben'].id}"
    hr = await site.admin.groups.find("HR")
    await access.allow_folder("handbook", "hr", [f"group:{hr.id}"])
    if holds_hidden:
        await access.allow_collection(BOARD, [ben])
        await pile.add(*_HIDDEN_SHEETS)
        await access.allow_document(BY_ITSELF, [ben])
        await pile.add(_GONE)
        async with site.database.begin() as connection:
            stored = update(documents).where(documents.c.id == PAST)
            await connection.execute(stored.values(blob="ab" * 32, ready_blob="ab" * 32))
        await library.delete(PAST)
    await pile.add(*_OPEN_SHEETS)


async def _secrets(answerer: Answerer, site: AdminSite, users: Mapping[str, User]) -> dict[str, str]:
    """Ben asks, which makes a trace."""
    ben = await site.admin.users.principal(users["ben"].id, tier="pro")
    events = answerer.ask(AskRequest(question="What is Nightfall?"), Call(principal=ben, purpose="ask"))
    ended = [each async for each in events if isinstance(each, Finished)]
    return {"trace_id": ended[0].trace_id, "owner": ben.owner}


async def _browser(app: Any, site: AdminSite, user: User) -> httpx2.AsyncClient:
    client = _client(app)
    token = await site.parts.sessions.open_for(user.id)
    client.cookies.set(COOKIE, token)
    client.headers["x-csrf-token"] = csrf_token(token)
    return client


def _client(app: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://causeway.test")


@contextmanager
def _watched(site: AdminSite) -> Iterator[list[str]]:
    """Every statement that the database is sent."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        sent.append(statement)

    engine = site.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


# --- what a caller can see of an answer --------------------------------------------------------------

_COUNTED_HEADERS = (
    "location",
    "content-type",
    "content-disposition",
    "etag",
    "cache-control",
    "www-authenticate",
)
_CHANGING = (
    (re.compile(r"upload:[0-9a-f]{16}"), "upload:<made up>"),
    (re.compile(r"[0-9a-f]{64}"), "<token>"),
    (re.compile(r"[0-9a-f]{32}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?"), "<time>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d%3A\d\d%3A\d\d[\d.]*%2B00%3A00"), "<time>"),
    (re.compile(r"\d\d \w{3} \d{4} \d\d:\d\d UTC"), "<time>"),
    (re.compile(r'("(took_ms|duration_ms|created)": ?)\d+'), r"\1<time>"),
    (re.compile(r"\d+ ms|\d+\.\d s\b"), "<time>"),
    (re.compile(r'"(chatcmpl|span_id|parent_id)[^"]*"(: ?"[0-9a-f]{16}")?'), "<id>"),
)


def seen_of(answer: httpx2.Response, asked: str, *, known: Sequence[str] = (OPEN,)) -> tuple[object, ...]:
    """Status, headers and body without what changes from call to call; ids that both worlds know stay."""
    body = answer.text
    for number, each in enumerate(known):
        body = body.replace(each, f"<known {number}>")
    for pattern, put in _CHANGING:
        body = pattern.sub(put, body)
    headers = tuple((name, answer.headers.get(name)) for name in _COUNTED_HEADERS)
    return asked, answer.status_code, headers, body
