"""Prompts for people: what is live, versions and how they did, side by side, edited, labelled, rolled out and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Form, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import RedirectResponse, Response

from causeway.contracts.money import Micros
from causeway.errors import CausewayError, InvalidInputError, StaleEditError
from causeway.evals.statistics import Interval
from causeway.prompts.changes import MOST_WHY, Known
from causeway.prompts.history import Event, Row, Version, side_by_side
from causeway.prompts.prompt import MOST_TEXT
from causeway.prompts.registry import Standing
from causeway.prompts.shelf import LIVE
from causeway.prompts.usage import Usage
from causeway.web.evals_pages import difference
from causeway.web.parts import PromptParts, WebParts
from causeway.web.prompt_shapes import USAGE_DAYS, PromptDesk, PromptName, liking, usage_of
from causeway.web.rendering import link, page
from causeway.web.sign_in import Admin, Parts

router = APIRouter(include_in_schema=False)

NEW: Final = """---
name: my_prompt
version: 1
description: What it is for.
inputs:
  question: {type: text, example: "How many days do I have to return a tent?"}
---
=== system
You answer in one sentence.

=== user
{{ question }}
"""
_EVENTS: Final = 60
Number = Annotated[int, Path(ge=1, lt=2**31)]
Side = Annotated[str, Query(pattern="^([0-9]{1,9}|package|[a-z][a-z0-9_-]{0,39})$")]
WhyField = Annotated[str, Form(max_length=MOST_WHY)]
LabelField = Annotated[str, Form(max_length=40)]
VersionField = Annotated[int, Form(ge=1, lt=2**31)]
TextField = Annotated[str, Form(max_length=MOST_TEXT)]
Piece = tuple[Literal["same", "gone", "new"], str]


class EditForm(BaseModel):
    """The editor's fields; ``based_on``, the version that is edited, and ``seen``, the newest then, are 0 for a new prompt."""

    text: str = Field(default="", max_length=MOST_TEXT)
    why: str = Field(default="", max_length=MOST_WHY)
    label: str = Field(default="", max_length=40)
    based_on: int = Field(default=0, ge=0, lt=2**31)
    seen: int = Field(default=0, ge=0, lt=2**31)
    over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A prompt in the list; the usage is of all its versions."""

    standing: Standing
    calls: int
    cost: Micros
    liked: Interval | None
    thumbs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionLine:
    """A version in a prompt's table."""

    version: Version
    labels: Sequence[str]
    usage: Usage
    liked: Interval | None

    @property
    def refused_percent(self) -> float | None:
        """How many of a hundred answers were refusals; None where none could have been."""
        return 100 * self.usage.refused / self.usage.asked if self.usage.asked else None


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line of two texts, its words marked where both sides have one."""

    row: Row
    left: Sequence[Piece]
    right: Sequence[Piece]


@router.get("/prompts", name="prompts")
async def prompts(request: Request, parts: Parts, desk: PromptDesk) -> Response:
    """Every prompt."""
    usage = await usage_of(desk, parts)
    found = [_overview(each, usage) for each in await desk.registry.standings()]
    return page(request, "prompts.html", {"found": found, "days": USAGE_DAYS})


@router.get("/prompts/new", name="prompt_new")
async def new(request: Request, desk: PromptDesk) -> Response:
    """An empty editor."""
    return _editor(request, desk, EditForm(text=NEW))


@router.post("/prompts/check", name="prompt_check")
async def check(request: Request, desk: PromptDesk, _admin: Admin, text: TextField = "") -> Response:
    """What is wrong with a text, or what it makes of its examples: a piece of the editor."""
    return page(request, "prompt_checked.html", {"checked": desk.registry.check(text)})


@router.post("/prompts/publish", name="prompt_publish")
async def publish(
    request: Request, desk: PromptDesk, admin: Admin, form: Annotated[EditForm, Form()]
) -> Response:
    """Make a version of what was edited, and show it; what is wrong is shown in the editor."""
    try:
        version = await desk.registry.publish(
            form.text,
            by=admin,
            why=form.why,
            origin="page",
            known=Known(based_on=form.based_on or None, seen=form.seen, is_over=form.over),
            label=form.label or None,
        )
    except InvalidInputError as exc:
        return _editor(request, desk, form, problem=exc)
    return _onward(request, version.name, f"{version.reference} is published")


@router.get("/prompts/{prompt}", name="prompt")
async def show(
    name: PromptName, request: Request, parts: Parts, desk: PromptDesk, done: str = "", problem: str = ""
) -> Response:
    """A prompt: what is live, its versions and how they did, who changed what."""
    return await _prompt_page(request, parts, desk, name, done=done, problem=problem)


@router.get("/prompts/{prompt}/versions/{number}", name="prompt_version")
async def show_version(
    name: PromptName, number: Number, request: Request, parts: Parts, desk: PromptDesk
) -> Response:
    """A version's text, what it is filled with, and what it makes of its examples."""
    standing = await desk.registry.standing(name)
    shown = await desk.registry.version(name, number)
    values = {
        "standing": standing,
        "shown": shown,
        "labels": standing.labels_of(number),
        "checked": desk.registry.check(shown.text),
        "names": await _names(parts),
    }
    return page(request, "prompt_version.html", values)


@router.get("/prompts/{prompt}/diff", name="prompt_diff")
async def show_diff(
    name: PromptName,
    request: Request,
    desk: PromptDesk,
    before: Side = LIVE,
    after: Side = "package",
    whole: bool = False,
) -> Response:
    """Two versions side by side."""
    standing = await desk.registry.standing(name)
    texts = [await _text(desk, name, each) for each in (before, after)]
    rows = side_by_side(texts[0], texts[1], around=None if whole else 4)
    values = {
        "standing": standing,
        "versions": await desk.registry.versions(name),
        "before": before,
        "after": after,
        "is_whole": whole,
        "lines": [_diff_line(row) for row in rows],
        "is_same": texts[0] == texts[1],
    }
    return page(request, "prompt_diff.html", values)


@router.get("/prompts/{prompt}/edit", name="prompt_edit")
async def edit(name: PromptName, request: Request, desk: PromptDesk, version: Side = LIVE) -> Response:
    """The editor, with a version's text in it."""
    found = await desk.registry.version(name, version)
    newest = (await desk.registry.standing(name)).newest
    return _editor(request, desk, EditForm(text=found.text, based_on=found.version, seen=newest), shown=found)


@router.get("/prompts/{prompt}/playground", name="prompt_playground")
async def playground(name: PromptName, request: Request, desk: PromptDesk, version: Side = LIVE) -> Response:
    """Versions and models side by side; the rest is the page's script."""
    standing = await desk.registry.standing(name)
    chosen = await desk.registry.version(name, version)
    live = standing.live
    checked = {chosen.version, *([live.trial] if live and live.trial else [])}
    values = {
        "standing": standing,
        "versions": await desk.registry.versions(name),
        "checked": checked,
        "draft": chosen.text,
        "models": desk.models(),
        "declared": json.dumps([{"name": each.name, "type": each.type} for each in chosen.prompt().inputs]),
    }
    return page(request, "prompt_playground.html", values)


# --- changes -----------------------------------------------------------------------------------------


@router.post("/prompts/{prompt}/label", name="prompt_label")
async def set_label(
    name: PromptName,
    request: Request,
    desk: PromptDesk,
    admin: Admin,
    version: VersionField,
    label: LabelField = LIVE,
    why: WhyField = "",
) -> Response:
    """Point a label to a version."""
    try:
        await desk.registry.label(name, label, version, by=admin, why=why)
    except CausewayError as exc:
        return _onward(request, name, problem=exc.message)
    return _onward(request, name, f"{label} is version {version} now")


@router.post("/prompts/{prompt}/rollout", name="prompt_rollout")
async def roll_out(
    name: PromptName,
    request: Request,
    desk: PromptDesk,
    admin: Admin,
    version: VersionField,
    percent: Annotated[int, Form(ge=0, le=100)],
    why: WhyField = "",
) -> Response:
    """Give a share of the conversations another version."""
    try:
        await desk.registry.roll_out(name, version, percent, by=admin, why=why)
    except CausewayError as exc:
        return _onward(request, name, problem=exc.message)
    return _onward(request, name, f"{percent} % of the conversations get version {version} now")


@router.post("/prompts/{prompt}/rollback", name="prompt_rollback")
async def roll_back(
    name: PromptName, request: Request, desk: PromptDesk, admin: Admin, why: WhyField = ""
) -> Response:
    """One step back."""
    try:
        pointer = await desk.registry.roll_back(name, by=admin, why=why)
    except CausewayError as exc:
        return _onward(request, name, problem=exc.message)
    return _onward(request, name, f"live is version {pointer.version} again")


@router.post("/prompts/{prompt}/follow", name="prompt_follow")
async def follow(
    name: PromptName, request: Request, desk: PromptDesk, admin: Admin, why: WhyField = ""
) -> Response:
    """Take the packaged version."""
    try:
        pointer = await desk.registry.follow(name, by=admin, why=why or "the packaged one")
    except CausewayError as exc:
        return _onward(request, name, problem=exc.message)
    return _onward(request, name, f"live is the packaged version {pointer.version} now")


@router.post("/prompts/{prompt}/unlabel", name="prompt_unlabel")
async def unlabel(
    name: PromptName, request: Request, desk: PromptDesk, admin: Admin, label: LabelField = ""
) -> Response:
    """Take a label away."""
    try:
        await desk.registry.unlabel(name, label, by=admin, why="no longer wanted")
    except CausewayError as exc:
        return _onward(request, name, problem=exc.message)
    return _onward(request, name, f"{label} is gone")


# --- what they show ----------------------------------------------------------------------------------


async def _prompt_page(
    request: Request, parts: WebParts, desk: PromptParts, name: str, *, done: str, problem: str
) -> Response:
    standing = await desk.registry.standing(name)
    usage = await usage_of(desk, parts, name)
    versions = await desk.registry.versions(name)
    events = await desk.registry.events(name, limit=_EVENTS)
    lines = [
        VersionLine(
            version=each,
            labels=standing.labels_of(each.version),
            usage=(found := usage.get(each.reference, Usage(reference=each.reference))),
            liked=liking(found),
        )
        for each in versions
    ]
    values = {
        "standing": standing,
        "lines": lines,
        "events": [(each, moved(each)) for each in events],
        "names": await _names(parts),
        "days": USAGE_DAYS,
        "done": done[:200],
        "problem": problem[:400],
        "others": [each for each in versions if standing.live and each.version != standing.live.version],
    }
    return page(request, "prompt.html", values)


def moved(event: Event) -> str:
    """What an event did, in words."""
    before, after = _pointer(event.before), _pointer(event.after)
    match event.action:
        case "publish":
            return f"published {after}"
        case "unlabel":
            return f"took {event.label} away from {before}"
        case "rollout" if event.after and event.after.get("trial"):
            return f"{event.label}: {after}"
        case "package" if event.label is None:
            return f"{after} came with Causeway"
        case _:
            return f"{event.label}: {before} to {after}" if before else f"{event.label}: {after}"


def _pointer(pointed: Mapping[str, Any] | None) -> str:
    if pointed is None:
        return ""
    trial = f" and @{pointed['trial']} for {pointed['percent']} %" if pointed.get("trial") else ""
    return f"@{pointed['version']}{trial}"


def _overview(standing: Standing, usage: Mapping[str, Usage]) -> Overview:
    own = [each for each in usage.values() if each.reference.partition("@")[0] == standing.name]
    ups, downs = sum(each.ups for each in own), sum(each.downs for each in own)
    return Overview(
        standing=standing,
        calls=sum(each.calls for each in own),
        cost=Micros(sum(each.cost for each in own)),
        liked=liking(Usage(reference=standing.name, ups=ups, downs=downs)),
        thumbs=ups + downs,
    )


def _diff_line(row: Row) -> DiffLine:
    left: list[Piece] = [("gone" if row.kind == "gone" else "same", row.left[1])] if row.left else []
    right: list[Piece] = [("new" if row.kind == "new" else "same", row.right[1])] if row.right else []
    if row.kind == "changed" and row.left and row.right:
        pieces = difference(row.left[1], row.right[1])
        left = [piece for piece in pieces if piece[0] != "new"]
        right = [piece for piece in pieces if piece[0] != "gone"]
    return DiffLine(row, left, right)


def _editor(
    request: Request,
    desk: PromptParts,
    form: EditForm,
    *,
    shown: Version | None = None,
    problem: CausewayError | None = None,
) -> Response:
    checked = desk.registry.check(form.text)
    values = {
        "form": form,
        "checked": checked,
        "name": shown.name if shown else checked.prompt.name if checked.prompt and form.based_on else "",
        "shown": shown,
        "problem": problem.message if problem else "",
        "is_stale": isinstance(problem, StaleEditError),
    }
    return page(request, "prompt_edit.html", values, status_code=problem.http_status if problem else 200)


def _onward(request: Request, name: str, done: str = "", *, problem: str = "") -> Response:
    query = {"done": done, "problem": problem}
    return RedirectResponse(link(request, "prompt", query, prompt=name), status_code=303)


async def _text(desk: PromptParts, name: str, which: str) -> str:
    if which == "package":
        return desk.registry.packaged_text(name) or ""
    return (await desk.registry.version(name, which)).text


async def _names(parts: WebParts) -> dict[str, str]:
    """Who principals are, as far as that is known here."""
    known = {"system": "Causeway", "command_line": "command line"}
    if parts.admin is None:
        return known
    keys = {key.id: key.name for key in await parts.admin.keys.list()}
    return known | keys | {user.id: user.name for user in await parts.admin.users.list()}
