"""Prompts as JSON, and how well versions do as it is told: shares with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import Depends, Path
from pydantic import BaseModel, Field

from causeway.contracts.chat import Message
from causeway.contracts.money import to_dollars
from causeway.errors import NotFoundError
from causeway.evals.statistics import Interval, wilson
from causeway.prompts.history import Event, Version
from causeway.prompts.registry import Standing
from causeway.prompts.rollout import Pointer
from causeway.prompts.usage import Usage
from causeway.web.parts import PromptParts
from causeway.web.sign_in import Admin, Parts

USAGE_DAYS: Final = 30
"""Over how long versions are judged."""

PromptName = Annotated[str, Path(alias="prompt", pattern="^[a-z][a-z0-9_]{0,59}$", examples=["answer"])]
Label = Annotated[str, Path(pattern="^[a-z][a-z0-9_-]{0,39}$", examples=["live"])]
Which = Annotated[
    str,
    Path(pattern="^([0-9]{1,9}|[a-z][a-z0-9_-]{0,39})$", examples=["3"], description="A version or a label"),
]


def _desk(parts: Parts, _admin: Admin) -> PromptParts:
    if parts.prompts is None:
        msg = "this Causeway keeps no prompts"
        raise NotFoundError(msg)
    return parts.prompts


PromptDesk = Annotated[PromptParts, Depends(_desk)]
"""What an administrator works on; others are refused."""


class PointerShape(BaseModel):
    """What a label points to."""

    version: int
    trial: int | None = Field(description="A version that `percent` of the conversations get instead")
    percent: int
    follows_package: bool = Field(description="Nobody chose: it goes along with newer packaged prompts")


class StandingShape(BaseModel):
    """How a prompt stands."""

    name: str
    description: str
    newest: int
    versions: int
    labels: dict[str, PointerShape]
    packaged: int | None = Field(description="The version that this release comes with")
    is_behind: bool = Field(description="The packaged version changed; live is still yours")
    unfit: list[int] = Field(
        description="Live versions that this release cannot fill; the packaged one is used"
    )


class UsageShape(BaseModel):
    """How a version did over the last 30 days; evals and the playground left out."""

    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    latency_p50_ms: int
    latency_p95_ms: int
    last_at: datetime | None
    thumbs_up: int
    thumbs_down: int
    liked: tuple[float, float, float] | None = Field(
        description="The share of thumbs that were up, and the ends of its 95 % interval (Wilson)"
    )
    asked: int
    refused: int


class VersionShape(BaseModel):
    """A version, which never changes."""

    name: str
    version: int
    sha256: str = Field(description="Of its text, whatever its number")
    origin: str
    based_on: int | None
    why: str
    created_by: str
    created_at: datetime
    labels: list[str]
    usage: UsageShape


class MessageShape(BaseModel):
    """A message of a chat."""

    role: str
    content: str


class WholeVersion(BaseModel):
    """A version with its text."""

    version: VersionShape
    text: str
    messages: list[MessageShape] = Field(description="What it makes of its examples")


class EventShape(BaseModel):
    """Who changed what, when and why."""

    id: int
    at: datetime
    principal_id: str
    action: str
    label: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    why: str


def pointer_shape(pointer: Pointer) -> PointerShape:
    """A pointer as it is told."""
    return PointerShape(**asdict(pointer))


def standing_shape(standing: Standing) -> StandingShape:
    """A prompt's standing as it is told."""
    return StandingShape(
        name=standing.name,
        description=standing.description,
        newest=standing.newest,
        versions=standing.versions,
        labels={name: pointer_shape(each) for name, each in standing.labels.items()},
        packaged=standing.packaged,
        is_behind=standing.is_behind,
        unfit=list(standing.unfit),
    )


def usage_shape(usage: Usage) -> UsageShape:
    """Usage as it is told."""
    liked = liking(usage)
    return UsageShape(
        calls=usage.calls,
        errors=usage.errors,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=to_dollars(usage.cost),
        latency_p50_ms=usage.latency_p50_ms,
        latency_p95_ms=usage.latency_p95_ms,
        last_at=usage.last_at,
        thumbs_up=usage.ups,
        thumbs_down=usage.downs,
        liked=(liked.estimate, liked.low, liked.high) if liked else None,
        asked=usage.asked,
        refused=usage.refused,
    )


def version_shape(version: Version, standing: Standing, usage: Mapping[str, Usage]) -> VersionShape:
    """A version as it is told."""
    return VersionShape(
        name=version.name,
        version=version.version,
        sha256=version.content_sha256,
        origin=version.origin,
        based_on=version.based_on,
        why=version.why,
        created_by=version.created_by,
        created_at=version.created_at,
        labels=standing.labels_of(version.version),
        usage=usage_shape(usage.get(version.reference, Usage(reference=version.reference))),
    )


def message_shapes(messages: Sequence[Message]) -> list[MessageShape]:
    """Messages as they are told; a prompt's are text."""
    return [MessageShape(role=each.role, content=str(each.content)) for each in messages]


def event_shape(event: Event) -> EventShape:
    """An event as it is told."""
    return EventShape(
        id=event.id,
        at=event.at,
        principal_id=event.principal_id,
        action=event.action,
        label=event.label,
        before=dict(event.before) if event.before else None,
        after=dict(event.after) if event.after else None,
        why=event.why,
    )


def liking(usage: Usage) -> Interval | None:
    """The share of thumbs that were up; None without thumbs."""
    of = usage.ups + usage.downs
    return wilson(usage.ups, of) if of else None


async def usage_of(desk: PromptParts, parts: Parts, name: str | None = None) -> dict[str, Usage]:
    """How versions did lately, by ``name@version``."""
    return await desk.usage.since(parts.clock.now() - timedelta(days=USAGE_DAYS), name=name)
