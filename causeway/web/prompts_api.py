"""``/api/prompts``: versions and labels for programs; administrators alone."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse, Response

from causeway.prompts.changes import MOST_WHY, Known
from causeway.prompts.history import patch
from causeway.prompts.prompt import MOST_TEXT
from causeway.prompts.shelf import LIVE
from causeway.web.prompt_shapes import (
    EventShape,
    Label,
    MessageShape,
    PointerShape,
    PromptDesk,
    PromptName,
    StandingShape,
    VersionShape,
    Which,
    WholeVersion,
    event_shape,
    message_shapes,
    pointer_shape,
    standing_shape,
    usage_of,
    version_shape,
)
from causeway.web.sign_in import Admin, Parts

router = APIRouter(prefix="/api/prompts", tags=["Prompts"])

FOLDER = "causeway/prompts/texts"
"""Where the packaged files stand in the repository, which a patch names."""

Why = Annotated[str, Field(min_length=1, max_length=MOST_WHY, description="For those who read the history")]
WhichQuery = Annotated[str, Query(pattern="^([0-9]{1,9}|package|[a-z][a-z0-9_-]{0,39})$")]
PathQuery = Annotated[
    str,
    Query(
        max_length=200,
        pattern=r"^([A-Za-z0-9_-][A-Za-z0-9_.-]*/)*[A-Za-z0-9_-][A-Za-z0-9_.-]*\.prompt$",
        description="The file's path in the repository that the patch is for",
    ),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PublishBody(_Body):
    """A version to be."""

    text: str = Field(min_length=1, max_length=MOST_TEXT, description="A whole `.prompt` file")
    why: Why
    based_on: int | None = Field(
        default=None,
        ge=1,
        lt=2**31,
        description="The version that was edited; null takes the one in the file",
    )
    label: str | None = Field(default=None, max_length=40, description="Point this label to it as well")
    over: bool = Field(default=False, description="Publish although there is a newer version than `based_on`")


class CheckBody(_Body):
    """A text to check."""

    text: str = Field(max_length=MOST_TEXT)


class CheckAnswer(BaseModel):
    """What a check found: without problems the text may be published."""

    problems: list[str]
    warnings: list[str]
    messages: list[MessageShape]


class LabelBody(_Body):
    """Where a label is to point."""

    version: int = Field(ge=1, lt=2**31)
    percent: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="Give the version only to so many of a hundred conversations; 0 ends the trial, 100 is all",
    )
    why: Why


class WhyBody(_Body):
    """A change that needs no more than its reason."""

    why: Why


class RollbackBody(_Body):
    """A step back."""

    label: str = Field(default=LIVE, max_length=40)
    why: str = Field(default="", max_length=MOST_WHY)


class RenderBody(_Body):
    """What a prompt is filled with."""

    values: dict[str, Any] = Field(description="Text, numbers, lists and mappings by name")
    which: str = Field(
        default=LIVE, pattern="^([0-9]{1,9}|[a-z][a-z0-9_-]{0,39})$", description="A version or a label"
    )
    key: str | None = Field(
        default=None,
        max_length=200,
        description="The conversation's id: under a rollout the same key always gets the same version",
    )


class RenderAnswer(BaseModel):
    """The chat that a prompt makes."""

    prompt: str = Field(examples=["answer@3"])
    messages: list[MessageShape]


class PromptList(BaseModel):
    """Every prompt, by name."""

    prompts: list[StandingShape]


class PromptShape(BaseModel):
    """A prompt and its versions, newest first."""

    standing: StandingShape
    versions: list[VersionShape]


class EventList(BaseModel):
    """Changes, newest first."""

    events: list[EventShape]


@router.get("", name="api_prompts")
async def prompts(desk: PromptDesk) -> PromptList:
    """Every prompt: its labels, and what waits for a decision."""
    return PromptList(prompts=[standing_shape(each) for each in await desk.registry.standings()])


@router.post("", name="api_publish_prompt", status_code=201)
async def publish(body: PublishBody, parts: Parts, desk: PromptDesk, admin: Admin) -> WholeVersion:
    """Make a version; text that is a version already is that version."""
    version = await desk.registry.publish(
        body.text,
        by=admin,
        why=body.why,
        origin="api",
        known=Known(based_on=body.based_on, is_over=body.over),
        label=body.label,
    )
    return await _whole(desk, parts, version.name, str(version.version))


@router.post("/check", name="api_check_prompt")
async def check(body: CheckBody, desk: PromptDesk) -> CheckAnswer:
    """Whether a text may be published, and what it makes of its examples."""
    checked = desk.registry.check(body.text)
    return CheckAnswer(
        problems=list(checked.problems),
        warnings=list(checked.warnings),
        messages=message_shapes(checked.messages),
    )


@router.get("/{prompt}", name="api_prompt")
async def prompt(name: PromptName, parts: Parts, desk: PromptDesk) -> PromptShape:
    """One prompt: its labels, its versions and how they did."""
    standing = await desk.registry.standing(name)
    usage = await usage_of(desk, parts, name)
    versions = await desk.registry.versions(name)
    return PromptShape(
        standing=standing_shape(standing),
        versions=[version_shape(each, standing, usage) for each in versions],
    )


@router.get("/{prompt}/versions/{which}", name="api_prompt_version")
async def version(name: PromptName, which: Which, parts: Parts, desk: PromptDesk) -> WholeVersion:
    """One version, by its number or a label."""
    return await _whole(desk, parts, name, which)


@router.get("/{prompt}/events", name="api_prompt_events")
async def events(
    name: PromptName, desk: PromptDesk, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> EventList:
    """Who changed what, when and why."""
    await desk.registry.standing(name)
    return EventList(events=[event_shape(each) for each in await desk.registry.events(name, limit=limit)])


@router.get(
    "/{prompt}/patch",
    name="api_prompt_patch",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/x-diff": {"schema": {"type": "string"}}}}},
)
async def get_patch(
    name: PromptName,
    desk: PromptDesk,
    before: WhichQuery = "package",
    after: WhichQuery = LIVE,
    path: PathQuery | None = None,
) -> Response:
    """What differs, as a patch that `git apply` takes: by default the live version against the packaged file."""
    old = (
        desk.registry.packaged_text(name)
        if before == "package"
        else (await desk.registry.version(name, before)).text
    )
    new = (
        (desk.registry.packaged_text(name) or "")
        if after == "package"
        else (await desk.registry.version(name, after)).text
    )
    written = patch(old, new, path=path or f"{FOLDER}/{name}.prompt")
    headers = {"content-disposition": f'attachment; filename="{name}-{after}.patch"'}
    return PlainTextResponse(written, media_type="text/x-diff", headers=headers)


@router.put("/{prompt}/labels/{label}", name="api_label_prompt")
async def put_label(
    name: PromptName, label: Label, body: LabelBody, desk: PromptDesk, admin: Admin
) -> PointerShape:
    """Point a label to a version, for all conversations or for some."""
    if body.percent is None:
        pointer = await desk.registry.label(name, label, body.version, by=admin, why=body.why)
    else:
        pointer = await desk.registry.roll_out(
            name, body.version, body.percent, by=admin, why=body.why, label=label
        )
    return pointer_shape(pointer)


@router.delete("/{prompt}/labels/{label}", name="api_unlabel_prompt", status_code=204)
async def delete_label(
    name: PromptName,
    label: Label,
    desk: PromptDesk,
    admin: Admin,
    why: Annotated[str, Query(min_length=1, max_length=MOST_WHY)],
) -> None:
    """Take a label away; `live` stays."""
    await desk.registry.unlabel(name, label, by=admin, why=why)


@router.post("/{prompt}/rollback", name="api_roll_back_prompt")
async def roll_back(name: PromptName, body: RollbackBody, desk: PromptDesk, admin: Admin) -> PointerShape:
    """End a trial; without one, point the label to what it pointed to before."""
    return pointer_shape(await desk.registry.roll_back(name, by=admin, why=body.why, label=body.label))


@router.post("/{prompt}/follow", name="api_follow_package")
async def follow(name: PromptName, body: WhyBody, desk: PromptDesk, admin: Admin) -> PointerShape:
    """Make the packaged version live, and let it go along with newer ones."""
    return pointer_shape(await desk.registry.follow(name, by=admin, why=body.why))


@router.post("/{prompt}/render", name="api_render_prompt")
async def render(name: PromptName, body: RenderBody, desk: PromptDesk) -> RenderAnswer:
    """The chat that a prompt makes of values: for programs whose prompts are kept here."""
    found = desk.registry.shelf.get(f"{name}@{body.which}", key=body.key)
    return RenderAnswer(prompt=found.reference, messages=message_shapes(found.messages(body.values)))


async def _whole(desk: PromptDesk, parts: Parts, name: str, which: str) -> WholeVersion:
    standing = await desk.registry.standing(name)
    found = await desk.registry.version(name, which)
    usage = await usage_of(desk, parts, name)
    return WholeVersion(
        version=version_shape(found, standing, usage),
        text=found.text,
        messages=message_shapes(desk.registry.check(found.text).messages),
    )
