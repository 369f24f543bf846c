"""The services that need more than their parts: what records, the analyst's databases, the embedding model, the Slack bot."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial

from causeway.accounts.users import Users
from causeway.analyst import shop_tables
from causeway.analyst.asked import AskedDatabases
from causeway.contracts.clock import Clock
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import EmbedRequest
from causeway.gateway.gateway import Gateway
from causeway.gateway.providers import Providers, vector_space
from causeway.guard.pii import Finder
from causeway.guard.restore import Placeholders
from causeway.knowledge import (
    ConversingAnswerer,
)
from causeway.knowledge.collections import EmbeddingModel
from causeway.knowledge.ingest.slack_calls import open_slack_calls
from causeway.knowledge.slack_bot import SlackBot
from causeway.knowledge.slack_rows import SlackQuestions
from causeway.observability.feedback import Feedback
from causeway.observability.telemetry import Telemetry, open_telemetry
from causeway.settings import KnowledgeSettings, Settings
from causeway.storage.data_folder import DataFolder
from causeway.storage.database import Database
from causeway.storage.durable import Durable

_SMALL_MODEL_BYTES = 4_000_000_000
"""Of weights; the models that quotes have been measured against have 0.1 to 1.1 billion bytes."""


def observing(settings: Settings, database: Database, clock: Clock) -> AbstractAsyncContextManager[Telemetry]:
    """What records, with the guard's placeholders for whatever may not be stored as it is."""
    finder = Finder(settings.guard)

    def mask(text: str) -> str:
        return Placeholders().mask(text, finder.find(text))

    return open_telemetry(settings.telemetry, database, clock, mask=mask)


async def asked_databases(
    settings: Settings, folder: DataFolder, database: Database, clock: Clock, opened: AsyncExitStack
) -> AskedDatabases:
    """What the analyst may be asked about: the settings' databases, and the sample shop where it was loaded."""
    asked = AskedDatabases(settings.analyst.databases, folder=folder.root / "analyst", clock=clock)
    opened.push_async_callback(asked.close)
    if database.capabilities.kind == "embedded" and await asyncio.to_thread(
        shop_tables.is_loaded, database.url
    ):
        asked.offer_shop(shop_tables.reader(database.url))
    return asked


async def embedding_model(settings: Settings, providers: Providers, gateway: Gateway) -> EmbeddingModel:
    """What a collection's vectors are made with: a local model and its file, or a provider's, which has to be asked."""
    card = providers.local_card("embed")
    if card is not None:
        return EmbeddingModel(name=vector_space(card), dimensions=card.dimensions)
    request = EmbedRequest(model="embed", texts=("How many numbers?",))
    probe = await gateway.embed(request, Call(principal=SYSTEM, purpose="start"))
    return EmbeddingModel(name=settings.models.embed, dimensions=probe.vectors.shape[1])


async def slack_bot(
    settings: Settings,
    database: Database,
    durable: Durable,
    answerer: ConversingAnswerer,
    feedback: Feedback,
    *,
    clock: Clock,
    opened: AsyncExitStack,
) -> SlackBot | None:
    """The bot; None where Slack is not set up."""
    if not settings.slack.is_on:
        return None
    calls = await opened.enter_async_context(
        open_slack_calls(
            base_url=settings.slack.base_url,
            token=settings.slack.token,
            section="slack",
            clock=clock,
            every_s=0.0,
            timeout_s=settings.slack.timeout_s,
        )
    )
    users = Users(database, clock)
    return SlackBot(
        settings.slack,
        calls=calls,
        questions=SlackQuestions(database, durable),
        answerer=answerer,
        who_is=partial(users.principal, tier=settings.gateway.default_tier),
        votes=feedback,
        clock=clock,
    )


def answering_settings(settings: Settings, providers: Providers) -> KnowledgeSettings:
    """How to answer with the chat model of the moment: a small one of this machine had better not write."""
    card = providers.local_card("chat")
    if settings.knowledge.answers != "auto" or card is None or card.size_bytes >= _SMALL_MODEL_BYTES:
        return settings.knowledge
    return settings.knowledge.model_copy(update={"answers": "quoted"})
