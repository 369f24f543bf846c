"""The collections for people: what each is made with, how far it is, and its options."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from causeway.errors import InvalidInputError
from causeway.knowledge import PII_ACTIONS, STRATEGIES, Collection, CollectionOptions, Selection
from causeway.web.collections_api import Action, CollectionId, Shelves, act
from causeway.web.parts import IngestParts
from causeway.web.rendering import is_fragment, link, page
from causeway.web.sign_in import Admin, Operator, Parts

router = APIRouter(include_in_schema=False)

STRATEGIES_TOLD = {
    "structure": "Along headings, whole blocks together. The default.",
    "fixed": "As many words as fit, wherever that ends.",
    "recursive": "Whole blocks, and lines or sentences of those that are too long.",
    "sentence": "Whole sentences.",
    "semantic": "Where the text turns to something else, by its sentences' vectors.",
    "parent_child": "Small chunks are searched, answers get the section around them.",
    "contextual": "Along headings, each chunk with a line that a model writes about its place. Slow.",
}
ACTIONS_TOLD = {
    "keep": "Index documents as they are.",
    "mask": "Index placeholders such as [EMAIL]; the file itself is for those who may manage documents.",
    "refuse": "A document that holds any fails, with the kinds as its reason.",
}
KINDS_TOLD = {
    "email": "Mail addresses",
    "phone": "Phone numbers",
    "card": "Payment cards",
    "iban": "Bank accounts",
    "national_id": "National ids",
    "date_of_birth": "Dates of birth",
    "secret": "Passwords and keys",
    "person": "Names of people (needs the extra ner)",
}


@router.get("/collections", name="collections")
async def show(request: Request, shelves: Shelves, _operator: Operator) -> Response:
    """The page; its table alone when htmx asks."""
    template = "collections_table.html" if is_fragment(request) else "collections.html"
    return page(request, template, await _listing(shelves))


@router.post("/collections", name="collections_post")
async def create(
    request: Request, shelves: Shelves, admin: Admin, name: Annotated[str, Form(max_length=200)] = ""
) -> Response:
    """Make one, from a plain form; its options are on the page that follows."""
    collection_id = await shelves.collections.create(name, CollectionOptions(), by=admin)
    return RedirectResponse(link(request, "collection", collection_id=collection_id), status_code=303)


@router.get("/collections/{collection_id}", name="collection")
async def options(
    collection_id: CollectionId, request: Request, shelves: Shelves, parts: Parts, _operator: Operator
) -> Response:
    """One collection and its options."""
    found = await shelves.collections.one(collection_id)
    return page(
        request,
        "collection.html",
        {
            "collection": found,
            "progress": await shelves.progress.read(collection_id=collection_id),
            "is_paused": Selection(collection_id=collection_id) in await shelves.control.held(),
            "strategies": {name: STRATEGIES_TOLD[name] for name in STRATEGIES},
            "actions": {name: ACTIONS_TOLD[name] for name in PII_ACTIONS},
            "kinds": KINDS_TOLD,
            **await _whereabouts(parts, found),
        },
    )


@router.get("/collections/{collection_id}/move", name="collection_move")
async def move(
    collection_id: CollectionId, request: Request, shelves: Shelves, parts: Parts, _operator: Operator
) -> Response:
    """Where its vectors are and how far a move is, for htmx; the page without it."""
    if not is_fragment(request):
        return RedirectResponse(link(request, "collection", collection_id=collection_id), status_code=303)
    found = await shelves.collections.one(collection_id)
    return page(request, "collection_move.html", {"collection": found, **await _whereabouts(parts, found)})


@router.post("/collections/{collection_id}/move", name="collection_move_post")
async def move_to(
    collection_id: CollectionId,
    request: Request,
    shelves: Shelves,
    parts: Parts,
    admin: Admin,
    target: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """Have its vectors moved, from a plain form; one under way to another place turns round."""
    found = await shelves.collections.one(collection_id)
    await parts.moves.request(found.name, target, by=admin)
    return RedirectResponse(link(request, "collection", collection_id=collection_id), status_code=303)


async def _whereabouts(parts: Parts, collection: Collection) -> dict[str, object]:
    moves = await parts.moves.all()
    return {
        "move": next((each for each in moves if each.collection == collection.name), None),
        "can_move": parts.moves.can_move,
    }


@router.post("/collections/{collection_id}", name="collection_post")
async def change(collection_id: CollectionId, request: Request, shelves: Shelves, admin: Admin) -> Response:
    """Change options, from a plain form."""
    form = await request.form()
    numbers = ("max_tokens", "overlap_tokens", "child_tokens", "parent_tokens", "breakpoint_percentile")
    chunking: dict[str, object] = {"strategy": str(form.get("strategy", ""))}
    for name in numbers:
        written = str(form.get(name, "")).strip()
        if written and not written.isdecimal():
            raise InvalidInputError(f"chunking.{name} is '{written}'; give a whole number")
        chunking[name] = int(written) if written else None
    kinds = [str(kind) for kind in form.getlist("kinds")]
    pii = {"action": str(form.get("action", "")), "kinds": kinds or None}
    await shelves.control.change_options(collection_id, {"chunking": chunking, "pii": pii}, by=admin)
    return RedirectResponse(link(request, "collection", collection_id=collection_id), status_code=303)


@router.post("/collections/{collection_id}/delete", name="collection_delete")
async def delete(
    collection_id: CollectionId,
    request: Request,
    shelves: Shelves,
    admin: Admin,
    confirm: Annotated[str, Form()] = "",
) -> Response:
    """Delete one whose name was written once more."""
    found = await shelves.collections.one(collection_id)
    if confirm.strip() != found.name:
        raise InvalidInputError(f"write '{found.name}' to delete it; '{confirm}' is not its name")
    await shelves.collections.delete(collection_id, by=admin)
    return RedirectResponse(link(request, "collections"), status_code=303)


@router.post("/collections/{collection_id}/{action}", name="collection_control")
async def control(
    collection_id: CollectionId,
    action: Action,
    request: Request,
    shelves: Shelves,
    _operator: Operator,
    back: Annotated[str, Form()] = "",
) -> Response:
    """Pause, resume, cancel or re-index, from a plain form."""
    await act(shelves, action, Selection(collection_id=collection_id))
    one = link(request, "collection", collection_id=collection_id)
    return RedirectResponse(one if back == "collection" else link(request, "collections"), status_code=303)


async def _listing(shelves: IngestParts) -> dict[str, object]:
    found = await shelves.collections.all()
    progress = {each.id: await shelves.progress.read(collection_id=each.id) for each in found}
    held = await shelves.control.held()
    return {
        "collections": found,
        "progress": progress,
        "paused": {each.id for each in found if Selection(collection_id=each.id) in held},
        "is_busy": any(each.left for each in progress.values()),
    }
