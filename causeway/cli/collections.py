"""``causeway collections``: what is searched as one, how it is made searchable, and control of what is being read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from causeway.cli.collection_move import move, moves
from causeway.cli.running import with_platform
from causeway.contracts.identity import COMMAND_LINE

if TYPE_CHECKING:
    from causeway.knowledge import Collection, IngestProgress, Selection
    from causeway.wiring import Platform


@click.group()
def collections() -> None:
    """List collections, make and change them, and control what is being read."""


collections.add_command(move)
collections.add_command(moves)


@collections.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_collections(as_json: bool) -> None:
    """List the collections, their options and how far they are."""
    import json

    async def show(platform: Platform) -> None:
        found = [await _told(platform, each) for each in await platform.collections.all()]
        if as_json:
            click.echo(json.dumps({"collections": found}, ensure_ascii=False))
            return
        if not found:
            click.echo("no collections yet; 'causeway ingest PATH' makes one", err=True)
        for each in found:
            click.echo(_line(each))

    with_platform(show, models=False)


@collections.command()
@click.argument("name")
@click.option("--set", "options", multiple=True, metavar="OPTION=VALUE", help="Such as pii.action=mask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def create(name: str, options: tuple[str, ...], as_json: bool) -> None:
    """Make the collection NAME."""

    async def work(platform: Platform) -> None:
        from causeway.knowledge import CollectionOptions

        collection_id = await platform.collections.create(
            name, CollectionOptions().changed(_changes(options)), by=COMMAND_LINE
        )
        await _show(platform, collection_id, as_json=as_json)

    with_platform(work, models=False)


@collections.command("set")
@click.argument("name")
@click.argument("options", nargs=-1, required=True, metavar="OPTION=VALUE...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def set_options(name: str, options: tuple[str, ...], as_json: bool) -> None:
    """Change options of the collection NAME, such as chunking.strategy=sentence; an empty value is the default.

    Its documents are read again, by 'causeway up' or a worker; until then they are searched as they were.
    """

    async def work(platform: Platform) -> None:
        collection_id = await platform.collections.id_of(name)
        await platform.control.change_options(collection_id, _changes(options), by=COMMAND_LINE)
        await _show(platform, collection_id, as_json=as_json)

    with_platform(work, models=False)


@collections.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(name: str, yes: bool) -> None:
    """Forget the collection NAME, its documents, their files and their past, for good."""

    async def work(platform: Platform) -> None:
        found = await platform.collections.one(await platform.collections.id_of(name))
        if not yes:
            click.confirm(f"Delete '{found.name}' and its {found.documents} documents?", abort=True, err=True)
        await platform.collections.delete(found.id, by=COMMAND_LINE)

    with_platform(work, models=False)


def _control(action: str, says: str) -> None:
    """Add a command that controls a collection, a source's documents in it, or one document."""

    @collections.command(action, help=says)
    @click.argument("name")
    @click.option(
        "--source",
        help="Only documents of this source of the settings, or of this source as documents name it.",
    )
    @click.option("--document", "document_id", help="Only this document, by its id.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    def command(name: str, source: str | None, document_id: str | None, as_json: bool) -> None:
        import json

        async def work(platform: Platform) -> None:
            chosen = await _selection(platform, name, source, document_id)
            if action == "cancel" and source is not None and source in platform.settings.sources:
                await platform.sources.cancel(source)
            number = int(await getattr(platform.control, action)(chosen))
            if as_json:
                one = await platform.collections.one(chosen.collection_id)
                told = {"action": action, "documents": number, "collection": await _told(platform, one)}
                click.echo(json.dumps(told, ensure_ascii=False))
            elif action == "resume":
                click.echo("resumed" if number else "it was not paused")
            else:
                click.echo(f"{action}: {number} documents")

        with_platform(work, models=False)


_control("pause", "Read nothing of the collection NAME until it is resumed; what is searchable stays so.")
_control("resume", "Go on reading the collection NAME.")
_control("cancel", "Drop what is unfinished of the collection NAME; what is searchable stays so.")
_control("reindex", "Read the collection NAME again from the files that are stored.")


async def _selection(platform: Platform, name: str, source: str | None, document_id: str | None) -> Selection:
    from causeway.errors import InvalidInputError, NotFoundError
    from causeway.knowledge import Selection

    collection_id = await platform.collections.id_of(name)
    if document_id is not None:
        if source is not None:
            raise InvalidInputError("give --source or --document, not both")  # noqa: EM101
        chosen = await platform.control.selection(document_id)
        if chosen.collection_id != collection_id:
            raise NotFoundError(f"document '{document_id}' is not in the collection '{name}'")
        return chosen
    if source is not None and source in platform.settings.sources:
        source = (await platform.sources.source(source)).source
    return Selection(collection_id=collection_id, source=source or "")


def _changes(options: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """``section.name=value`` as `CollectionOptions.changed` takes it."""
    from causeway.errors import InvalidInputError

    changes: dict[str, dict[str, Any]] = {}
    for option in options:
        name, equals, written = option.partition("=")
        section, dot, name = name.strip().partition(".")
        if not (equals and dot and name):
            raise InvalidInputError(f"'{option}' is no option; write one such as chunking.strategy=sentence")
        changes.setdefault(section, {})[name] = _value(name, written.strip())
    return changes


def _value(name: str, written: str) -> object:
    if not written:
        return None
    if name == "kinds":
        return [kind.strip() for kind in written.split(",") if kind.strip()]
    return int(written) if written.isdecimal() else written


async def _show(platform: Platform, collection_id: str, *, as_json: bool) -> None:
    import json

    told = await _told(platform, await platform.collections.one(collection_id))
    click.echo(json.dumps(told, ensure_ascii=False) if as_json else _line(told))


async def _told(platform: Platform, found: Collection) -> dict[str, Any]:
    from causeway.knowledge import Selection

    progress: IngestProgress = await platform.progress.read(collection_id=found.id)
    held = await platform.control.held()
    return {
        "collection_id": found.id,
        "name": found.name,
        "documents": found.documents,
        "ready": found.ready,
        "chunks": found.chunks,
        "is_paused": Selection(collection_id=found.id) in held,
        "options": found.options.as_dict(),
        "progress": progress.as_dict(),
    }


def _line(told: dict[str, Any]) -> str:
    options, progress = told["options"], told["progress"]
    state = (
        "paused" if told["is_paused"] else f"{progress['left']} to read" if progress["left"] else "in step"
    )
    how = f"{options['chunking']['strategy']}, pii {options['pii']['action']}"
    return f"{told['name']:<24} {told['ready']:>7} of {told['documents']:<7} {how:<26} {state}"
