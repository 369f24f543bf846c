"""``causeway prompts``: versions and labels from a terminal, files kept in step with the registry, other wordings tried."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from causeway.cli.running import with_platform

if TYPE_CHECKING:
    from causeway.evals.improve import Improvement
    from causeway.prompts.history import Event, Version
    from causeway.prompts.registry import Registry, Standing
    from causeway.wiring import Platform

_WHY = click.option("--why", required=True, help="The reason, for those who read the history.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def prompts() -> None:
    """Versions and labels of prompts; try other wordings."""


@prompts.command("list")
@_JSON
def list_prompts(as_json: bool) -> None:
    """List the prompts: what is live, and what waits for a decision."""
    import json

    async def show(platform: Platform) -> None:
        found = await platform.prompts.standings()
        if as_json:
            click.echo(json.dumps({"prompts": [_standing_shape(each) for each in found]}))
            return
        for each in found:
            click.echo(
                f"{each.name:22} {_live(each):26} {each.versions:>3}  {each.description[:60]}".rstrip()
            )
            for notice in _notices(each):
                click.secho(f"  {notice}", fg="yellow", err=True)

    with_platform(show, models=False)


@prompts.command()
@click.argument("prompt")
@click.option("--history", "is_history", is_flag=True, help="Show who changed what, when and why, instead.")
@_JSON
def show(prompt: str, is_history: bool, as_json: bool) -> None:
    """Print PROMPT: a name, NAME@LABEL, NAME@VERSION or NAME@newest."""
    import json

    async def work(platform: Platform) -> None:
        name, _, which = prompt.partition("@")
        if is_history:
            events = await platform.prompts.events(name)
            if as_json:
                click.echo(json.dumps({"events": [_plain(each) for each in events]}, default=str))
                return
            for event in events:
                what = (
                    f"{event.label}: {_moved(event.before)} to {_moved(event.after)}"
                    if event.label
                    else _moved(event.after)
                )
                click.echo(
                    f"{event.at:%Y-%m-%d %H:%M}  {event.principal_id}  {event.action}  {what}  ({event.why})"
                )
            return
        version = await platform.prompts.version(name, which or "live")
        click.echo(json.dumps(_plain(version), default=str) if as_json else version.text.rstrip("\n"))

    with_platform(work, models=False)


@prompts.command()
@click.argument("before")
@click.argument("after")
def diff(before: str, after: str) -> None:
    """Show what differs between BEFORE and AFTER: NAME@LABEL, NAME@VERSION, NAME@package, or a file.

    Exits with 1 when something does.
    """
    from causeway.prompts.history import patch

    files = {each: _file_text(each) for each in (before, after)}
    name = f"{after.partition('@')[0]}.prompt" if files[after] is None else Path(after).name

    async def work(platform: Platform) -> str:
        left, right = [files[each] or await _text(platform.prompts, each) for each in (before, after)]
        return patch(left, right, path=name)

    found = with_platform(work, models=False)
    if found:
        click.echo(found, nl=False)
        raise SystemExit(1)


@prompts.command()
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH..."
)
@_WHY
@click.option("--label", help="Point this label to what is published as well, such as candidate.")
@click.option("--over", is_flag=True, help="Publish although the registry has a newer version than the file.")
@_JSON
def publish(paths: tuple[Path, ...], why: str, label: str | None, over: bool, as_json: bool) -> None:
    """Publish .prompt files, or all of a folder; each file then says its version.

    A file that was made from an older version than the registry's newest is refused: 'causeway prompts pull' and look.
    """
    import json

    from causeway.contracts.identity import COMMAND_LINE
    from causeway.errors import CausewayError
    from causeway.prompts.changes import Known

    async def work(platform: Platform) -> int:
        published, failed = [], 0
        for path in _prompt_files(paths):
            try:
                version = await platform.prompts.publish(
                    path.read_text(encoding="utf-8"),
                    by=COMMAND_LINE,
                    why=why,
                    origin="file",
                    label=label,
                    known=Known(is_over=over),
                )
            except CausewayError as exc:
                failed += 1
                click.secho(f"{path}: {exc.message}", fg="red", err=True)
                continue
            is_changed = _write(path, version.text)
            published.append({"prompt": version.reference, "path": str(path)})
            if not as_json:
                click.echo(f"{path}: {version.reference}{'; the file says so now' if is_changed else ''}")
        if as_json:
            click.echo(json.dumps({"published": published, "failed": failed}))
        return failed

    if with_platform(work, models=False):
        raise SystemExit(1)


@prompts.command()
@click.argument("names", nargs=-1)
@click.option(
    "--to",
    "folder",
    default=Path("prompts"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder that the files are in.",
)
@click.option("--which", default="live", show_default=True, help="A label, or 'newest'.")
@_JSON
def pull(names: tuple[str, ...], folder: Path, which: str, as_json: bool) -> None:
    """Write prompts from the registry into files NAME.prompt; all without NAMES."""
    import json

    async def work(platform: Platform) -> None:
        standings = {each.name: each for each in await platform.prompts.standings()}
        written = []
        for name in names or sorted(standings):
            standing = standings.get(name) or await platform.prompts.standing(name)
            if not names and which != "newest" and which not in standing.labels:
                continue
            version = await platform.prompts.version(name, which)
            path = folder / f"{name}.prompt"
            path.parent.mkdir(parents=True, exist_ok=True)
            is_changed = _write(path, version.text)
            written.append({"prompt": version.reference, "path": str(path), "changed": is_changed})
            if not as_json:
                click.echo(f"{path}: {version.reference}{'' if is_changed else ', as it was'}")
        if as_json:
            click.echo(json.dumps({"written": written}))

    with_platform(work, models=False)


@prompts.command()
@click.argument("version")
@click.argument("label")
@_WHY
@click.option(
    "--percent",
    type=click.IntRange(0, 100),
    help="Only for so many of a hundred conversations; 0 ends the trial, 100 is all.",
)
def label(version: str, label: str, why: str, percent: int | None) -> None:
    """Point LABEL (live, candidate, ...) to VERSION, such as answer@3; 'none' as VERSION's number takes it away."""
    from causeway.contracts.identity import COMMAND_LINE

    async def work(platform: Platform) -> None:
        name, _, which = version.partition("@")
        if which == "none":
            await platform.prompts.unlabel(name, label, by=COMMAND_LINE, why=why)
        else:
            number = (await platform.prompts.version(name, which or "live")).version
            if percent is None:
                await platform.prompts.label(name, label, number, by=COMMAND_LINE, why=why)
            else:
                await platform.prompts.roll_out(name, number, percent, by=COMMAND_LINE, why=why, label=label)
        click.echo(_labels(await platform.prompts.standing(name)), err=True)

    with_platform(work, models=False)


@prompts.command()
@click.argument("name")
@click.option("--label", default="live", show_default=True, help="The label to move back.")
@click.option("--why", default="", help="The reason, for those who read the history.")
@click.option(
    "--to-package", is_flag=True, help="To what comes with Causeway; newer releases then take it along."
)
def rollback(name: str, label: str, why: str, to_package: bool) -> None:
    """End a trial of the prompt NAME; without one, make live what was live before."""
    from causeway.contracts.identity import COMMAND_LINE

    async def work(platform: Platform) -> None:
        if to_package:
            await platform.prompts.follow(
                name, by=COMMAND_LINE, why=why or "back to what comes with Causeway"
            )
        else:
            await platform.prompts.roll_back(name, by=COMMAND_LINE, why=why, label=label)
        click.echo(_labels(await platform.prompts.standing(name)), err=True)

    with_platform(work, models=False)


@prompts.command()
@click.argument("name")
@click.option("--suite", "named", required=True, help="A suite with a development and a held-out half.")
@click.option(
    "--edits",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A YAML list of edits to try.",
)
@click.option("--model", help="Have this model rewrite the prompt.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where to write the prompt that won.  [default: NAME.prompt]",
)
def improve(name: str, named: str, edits: Path | None, model: str | None, out: Path | None) -> None:
    """Try other wordings of the prompt NAME; write one that wins on the half it was not chosen on.

    Exits with 1 when none wins: the present prompt stays.
    """
    from causeway.evals.improve import read_edits
    from causeway.evals.suite_files import find_suite
    from causeway.prompts.prompt import as_file

    suite = find_suite(named)
    listed = read_edits(edits.read_text(encoding="utf-8"), origin=edits.name) if edits else []

    async def work(platform: Platform) -> Improvement:
        return await platform.improver.improve(name, suite, edits=listed, model=model)

    found = with_platform(work)
    _show(found)
    if found.best is None or not found.is_won:
        click.echo("no wording won; the prompt stays as it is")
        raise SystemExit(1)
    path = out or Path(f"{name}.prompt")
    path.write_text(as_file(found.best.prompt), encoding="utf-8")
    click.echo(f"'{found.best.name}' won; wrote {path}")


def _show(found: Improvement) -> None:
    click.echo(f"{found.present:.2f}  as it is (development half)")
    for trial in found.trials:
        click.echo(f"{trial.passed:.2f}  {trial.candidate.name}")
    for name, reason in found.dropped:
        click.secho(f"  not tried: {name}: {reason}", fg="yellow", err=True)
    if found.best is None or found.comparison is None or found.ruling is None:
        return
    click.echo(f"\n'{found.best.name}' on the held-out half:")
    for line in found.comparison.lines:
        if line.is_gated:
            click.echo(
                f"  {line.check}: {line.earlier:.2f} to {line.later:.2f} "
                f"({line.paired.fixed} better, {line.paired.broken} worse, p of better {line.paired.p_better:.3f})"
            )
    for reason in found.ruling.reasons:
        click.secho(f"  {reason}", fg="yellow")


def _prompt_files(paths: tuple[Path, ...]) -> list[Path]:
    found = [each for path in paths for each in (sorted(path.glob("*.prompt")) if path.is_dir() else [path])]
    if not found:
        msg = "there is no .prompt file in the folder"
        raise click.UsageError(msg)
    return found


def _write(path: Path, text: str) -> bool:
    """Write a file unless it says the same; whether it was written."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8", newline="\n")
    return True


def _file_text(named: str) -> str | None:
    return Path(named).read_text(encoding="utf-8") if Path(named).is_file() else None


async def _text(registry: Registry, named: str) -> str:
    name, _, which = named.partition("@")
    if which == "package":
        return registry.packaged_text(name) or ""
    return (await registry.version(name, which or "live")).text


def _live(standing: Standing) -> str:
    pointer = standing.live
    if pointer is None:
        return "nothing is live"
    trial = f", {pointer.percent} % @{pointer.trial}" if pointer.trial else ""
    return f"live @{pointer.version}{trial}"


def _labels(standing: Standing) -> str:
    said = [
        f"{name} @{pointer.version}" + (f", {pointer.percent} % @{pointer.trial}" if pointer.trial else "")
        for name, pointer in sorted(standing.labels.items())
    ]
    return f"{standing.name}: {'; '.join(said)}"


def _notices(standing: Standing) -> list[str]:
    found = []
    if standing.is_behind:
        found.append(f"packaged version changed (@{standing.packaged}); live is still yours")
    found += [f"@{n} names what this release does not give; the packaged one is used" for n in standing.unfit]
    return found


def _moved(pointer: object) -> str:
    if not isinstance(pointer, dict):
        return "nothing"
    trial = f" with {pointer['percent']} % @{pointer['trial']}" if pointer.get("trial") else ""
    return f"@{pointer['version']}{trial}"


def _standing_shape(standing: Standing) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "name": standing.name,
        "description": standing.description,
        "newest": standing.newest,
        "versions": standing.versions,
        "labels": {name: asdict(pointer) for name, pointer in standing.labels.items()},
        "packaged": standing.packaged,
        "is_behind": standing.is_behind,
        "unfit": list(standing.unfit),
    }


def _plain(found: Version | Event) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(found)
