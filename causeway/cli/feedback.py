"""``causeway feedback``: what people thought of answers, as files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from causeway.cli.running import with_platform

if TYPE_CHECKING:
    from causeway.evals.feedback_export import Format
    from causeway.wiring import Platform


@click.group()
def feedback() -> None:
    """What people thought of answers."""


@feedback.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["chat", "preferences", "cases"]),
    default="chat",
    show_default=True,
    help="chat: messages for fine-tuning; preferences: a better and a worse answer; cases: a collected suite.",
)
@click.option("--suite", default="feedback", show_default=True, help="With --format cases: which suite.")
@click.option("--unreviewed", is_flag=True, help="Votes that nobody has reviewed, too.")
@click.option("--raw", is_flag=True, help="Personal data and secrets as they were said; the audit log tells.")
@click.option(
    "--limit", default=10_000, show_default=True, type=click.IntRange(1, 1_000_000), help="Most votes."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write, which must not be there yet.  [default: standard output]",
)
def export(form: str, *, suite: str, unreviewed: bool, raw: bool, limit: int, out: Path | None) -> None:
    """Write confirmed feedback as JSONL, with placeholders for the personal data and secrets in it.

    Cases are written as their reviewers worded them.
    """
    import json

    from causeway.errors import InvalidInputError

    if out is not None and out.exists():
        raise InvalidInputError(f"'{out}' is there already; name a new file")

    async def work(platform: Platform) -> list[dict[str, Any]]:
        from causeway.contracts.identity import COMMAND_LINE
        from causeway.observability.review import ReviewQuery

        if form == "cases":
            cases = (await platform.collected.suite(suite)).cases
            return [case.model_dump(mode="json", exclude_defaults=True) for case in cases]
        query = ReviewQuery(state=None if unreviewed else "confirmed", limit=limit)
        wanted: Format = "chat" if form == "chat" else "preferences"
        return await platform.feedback_export.lines(query, wanted, by=COMMAND_LINE, is_raw=raw)

    rows = with_platform(work, models=False)
    written = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    if out is None:
        sys.stdout.write(written)
    else:
        out.touch(mode=0o600)
        out.write_text(written, encoding="utf-8")
    click.echo(f"{len(rows)} lines" + (f" in {out}" if out else ""), err=True)
