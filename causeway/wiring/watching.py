"""Top questions and alerts: what they need of the gateway and the guard, which observability may not know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from causeway.contracts.clock import Clock
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.contracts.vectors import EmbedRequest, Vectors
from causeway.guard.pii import Finder
from causeway.guard.restore import Placeholders
from causeway.observability.alert_channels import Channel, channels_of
from causeway.observability.top_questions import TopQuestions
from causeway.seams import deferred
from causeway.settings import Settings
from causeway.storage.database import Database

if TYPE_CHECKING:
    from causeway.guard import guarded_post
else:
    guarded_post = deferred("causeway.guard.guarded_post")  # brings aiohttp


def top_questions(
    settings: Settings, database: Database, gateway: ModelGateway, *, space: str, clock: Clock
) -> TopQuestions:
    """Groups questions with the embedding model ``space``, as the system, without the personal data in them."""
    finder = Finder(settings.guard)

    async def embed(questions: Sequence[str]) -> Vectors:
        request = EmbedRequest(model="embed", texts=tuple(questions))
        return (await gateway.embed(request, Call(principal=SYSTEM, purpose="top_questions"))).vectors

    return TopQuestions(
        database,
        embed=embed,
        space=space,
        mask=lambda question: Placeholders().mask(question, finder.find(question)),
        distance=settings.telemetry.question_distance,
        clock=clock,
    )


def alert_channels(settings: Callable[[], Settings], clock: Clock) -> Callable[[], Mapping[str, Channel]]:
    """The channels of the settings in force."""
    return lambda: channels_of(
        settings().alerts, post=lambda allow: guarded_post.guarded_post(allow), clock=clock
    )
