"""``causeway models``: the catalogue of local models."""

from __future__ import annotations

from typing import Any

import click

from causeway.cli.running import load_settings, run


@click.group()
def models() -> None:
    """List and fetch local models."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_models(as_json: bool) -> None:
    """List the catalogue: what each model is for and whether it is on this machine."""
    import json

    from causeway.models.catalog import Catalog
    from causeway.models.pull import is_pulled

    settings = load_settings()
    rows: list[dict[str, Any]] = [
        {
            "id": card.id,
            "kind": card.kind,
            "size_bytes": card.size_bytes,
            "license": card.license,
            "is_here": is_pulled(card, settings.storage.models_dir),
        }
        for card in Catalog.load()
    ]
    if as_json:
        click.echo(json.dumps({"models": rows}))
        return
    for row in rows:
        here = "here" if row["is_here"] else "-"
        click.echo(
            f"{row['id']:32} {row['kind']:7} {row['size_bytes'] / 1e6:8.0f} MB  {here:5} {row['license']}"
        )


@models.command()
@click.argument("ids", nargs=-1)
def pull(ids: tuple[str, ...]) -> None:
    """Fetch models by their IDs; without any, those that the settings name."""
    from causeway.cli.progress import pull_missing, pull_with_bars
    from causeway.models.catalog import Catalog

    settings = load_settings()
    if not ids:
        run(pull_missing(settings))
        return
    catalog = Catalog.load()
    run(pull_with_bars([catalog.get(name) for name in ids], settings.storage.models_dir, offline=False))
