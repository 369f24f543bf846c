"""``causeway ask`` and ``causeway search``: the knowledge base from a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from causeway.cli.running import with_platform

if TYPE_CHECKING:
    from causeway.contracts.identity import Principal
    from causeway.knowledge import Finished, Hit
    from causeway.wiring import Platform


_as_user = click.option("--user", help="With what this person may see, by e-mail.  [default: everything]")


@click.command()
@click.argument("question")
@click.option("--collection", help="Ask one collection.  [default: all]")
@_as_user
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def ask(question: str, collection: str | None, user: str | None, as_json: bool) -> None:
    """Answer QUESTION from the documents, with citations."""
    from causeway.contracts.model_gateway import Call
    from causeway.knowledge import AskRequest, Cited, Finished, Retrieved, TextDelta

    async def answer(platform: Platform) -> None:
        call = Call(principal=await _caller(platform, user), purpose="ask")
        async for event in platform.answerer.ask(AskRequest(question=question, collection=collection), call):
            match event:
                case Retrieved():
                    _show_passages(event.hits)
                case TextDelta() if not as_json:
                    click.echo(event.text, nl=False)
                case Finished():
                    _print_json(event) if as_json else _show_sources(event)
                case Cited() | TextDelta():
                    pass

    with_platform(answer)


@click.command()
@click.argument("query")
@click.option("--collection", help="Search one collection.  [default: all]")
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Only documents with this; repeatable."
)
@click.option("--top-k", default=10, show_default=True, type=click.IntRange(1, 100), help="Most hits.")
@_as_user
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def search(
    query: str,
    collection: str | None,
    filters: tuple[str, ...],
    top_k: int,
    user: str | None,
    as_json: bool,
) -> None:
    """Find the passages that match QUERY best."""
    import json

    from causeway.contracts.model_gateway import Call
    from causeway.knowledge import SearchRequest
    from causeway.web.answers import hit_shape

    request = SearchRequest(
        query=query, collection=collection, filters=dict(map(_pair, filters)), top_k=top_k
    )

    async def find(platform: Platform) -> None:
        caller = await _caller(platform, user)
        found = await platform.search.search(request, Call(principal=caller, purpose="search"))
        if as_json:
            hits = [hit_shape(hit).model_dump() for hit in found.hits]
            understood = dict(found.understood)
            told = {"hits": hits, "understood": understood, "took_ms": found.took_ms}
            click.echo(json.dumps({**told, "notes": list(found.notes)}, ensure_ascii=False))
            return
        for rank, hit in enumerate(found.hits, start=1):
            click.secho(f"{rank:2}. {_place(hit)}", bold=True, nl=False)
            click.secho(f"  {hit.score:.2f}", dim=True)
            click.echo(f"    {_clip(hit.text)}\n")
        for note in found.notes:
            click.secho(note, fg="yellow", err=True)
        click.secho(f"{len(found.hits)} hits in {found.took_ms} ms", dim=True, err=True)

    with_platform(find)


async def _caller(platform: Platform, user: str | None) -> Principal:
    from causeway.accounts.users import Users
    from causeway.contracts.identity import SYSTEM

    if user is None:
        return SYSTEM
    everyone = Users(platform.database, platform.clock)
    return await everyone.principal(user, tier=platform.settings.gateway.default_tier)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.BadParameter(f"'{text}' is not KEY=VALUE, such as type=pdf", param_hint="--filter")
    return key.strip(), value.strip()


def _show_passages(hits: tuple[Hit, ...]) -> None:
    for n, hit in enumerate(hits, start=1):
        click.secho(f"[{n}] {_place(hit)}", dim=True, err=True)
    click.echo(err=True)


def _show_sources(finished: Finished) -> None:
    click.echo("\n")
    for cited in finished.citations:
        page = f", page {cited.page}" if cited.page else ""
        click.echo(f"[{cited.n}] {cited.path}{page}: \u201c{_clip(cited.quote)}\u201d")
    tokens = f"{finished.usage.input_tokens} + {finished.usage.output_tokens} tokens"
    wrote = f"{finished.model}, {tokens}, " if finished.model else ""
    click.secho(f"{wrote}{finished.took_ms / 1000:.1f} s, trace {finished.trace_id}", dim=True, err=True)


def _print_json(finished: Finished) -> None:
    from causeway.web.answers import answer_shape

    click.echo(answer_shape(finished).model_dump_json())


def _place(hit: Hit) -> str:
    return f"{hit.path}{f', page {hit.page}' if hit.page else ''}  {hit.heading}"


def _clip(text: str, width: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 1]}\u2026"
