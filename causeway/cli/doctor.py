"""``causeway doctor``: what is installed, what works, what is missing and how to get it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import click

from causeway.cli.running import run

if TYPE_CHECKING:
    from causeway.settings import Origins, Settings

State = Literal["ok", "off", "missing", "broken"]
_MARKS: dict[State, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "off": ("off", "white"),
    "missing": ("missing", "yellow"),
    "broken": ("broken", "red"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``remedy`` says what to do where something is not as it could be."""

    what: str
    state: State
    found: str
    remedy: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(as_json: bool) -> None:
    """Check the installation and print the settings with their origin."""
    import json
    import logging

    from causeway.errors import SettingsError
    from causeway.settings import load_with_origins

    settings, origins = load_with_origins()
    pages: dict[str, dict[str, object]] = {}
    logging.disable(logging.ERROR)  # what goes wrong is in the findings
    try:
        findings = run(_examine(settings, pages))
    finally:
        logging.disable(logging.NOTSET)
    try:
        settings, origins = load_with_origins(overrides=pages)
    except SettingsError as exc:
        findings.append(Finding("pages", "broken", exc.message, "causeway settings reset SECTION"))
    rows = _settings_rows(settings, origins)
    if as_json:
        click.echo(json.dumps({"findings": [asdict(finding) for finding in findings], "settings": rows}))
    else:
        _print(findings, rows)
    if any(finding.state == "broken" for finding in findings):
        raise SystemExit(1)


async def _examine(settings: Settings, pages: dict[str, dict[str, object]]) -> list[Finding]:
    """What was found; ``pages`` is filled with what was changed on pages."""
    findings = [_program(), _folder(settings), _memory()]
    findings += await _guarded("database", lambda: _database(settings, pages))
    findings += _models(settings)
    findings += [_provider(name, settings) for name in settings.providers]
    findings += [_compiled(), _ocr()]
    findings += await _guarded("Pinecone", lambda: _pinecone(settings))
    return findings


async def _guarded(what: str, look: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    """What ``look`` finds; an error made on purpose is a finding too."""
    from causeway.errors import CausewayError

    try:
        return await look()
    except CausewayError as exc:
        return [Finding(what, "broken", exc.message)]


def _program() -> Finding:
    import platform

    from causeway import __version__

    return Finding(
        "causeway",
        "ok",
        f"{__version__} on Python {platform.python_version()}, {platform.platform(terse=True)}",
    )


def _folder(settings: Settings) -> Finding:
    import shutil

    folder = settings.storage.dir
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < 2_000_000_000:
        return Finding(
            "data folder",
            "broken",
            f"{folder}, {free / 1e9:.1f} GB free",
            "free some room, or move it with storage.dir",
        )
    return Finding("data folder", "ok", f"{folder}, {free / 1e9:.0f} GB free")


def _memory() -> Finding:
    import os

    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = f"{size / 1e9:.0f} GB, {os.cpu_count()} cores"
    if size < 6_000_000_000:
        return Finding(
            "machine", "missing", found, "the 1.5B chat model wants 6 GB; set models.chat to the 0.5B one"
        )
    return Finding("machine", "ok", found)


async def _database(settings: Settings, pages: dict[str, dict[str, object]]) -> list[Finding]:
    from causeway.gateway.overrides import Overrides
    from causeway.storage.data_folder import DataFolder
    from causeway.storage.database import open_database

    database = await open_database(settings.database, DataFolder(settings.storage.dir).postgres)
    try:
        can = database.capabilities
        pages.update(await Overrides(database).read())
    finally:
        await database.close()
    if can.bm25 == "extension":
        bm25 = Finding("keyword search", "ok", f"BM25 by the server's pg_textsearch {can.bm25_extension}")
    else:
        # 1.0 loses its index in a crash: docs/adr/0005-hybrid-search-in-postgresql.md
        bm25 = Finding(
            "keyword search", "ok", "BM25 by Causeway's own SQL; pg_textsearch is used from 1.4 on"
        )
    return [
        Finding("database", "ok", f"PostgreSQL {can.server_version}, {can.kind}"),
        Finding("vector search", "ok", f"pgvector {can.pgvector}"),
        bm25,
    ]


def _models(settings: Settings) -> list[Finding]:
    from causeway.models.catalog import Catalog
    from causeway.models.pull import is_pulled

    catalog = Catalog.load()
    findings = []
    for alias in ("chat", "fast", "embed", "rerank"):
        name = getattr(settings.models, alias)
        what = f"model {alias}"
        if not name:
            findings.append(Finding(what, "off", "none", f"set models.{alias}"))
        elif name not in catalog:
            findings.append(Finding(what, "ok", f"{name}, through a provider"))
        elif is_pulled(catalog.get(name), settings.storage.models_dir):
            findings.append(Finding(what, "ok", name))
        else:
            findings.append(Finding(what, "missing", name, f"causeway models pull {name}"))
    return findings


def _provider(name: str, settings: Settings) -> Finding:
    provider = settings.providers[name]
    what = f"provider {name}"
    if provider.kind == "openai" and not provider.base_url:
        return Finding(what, "broken", "no base_url", f"set providers.{name}.base_url")
    return Finding(what, "ok", provider.base_url or provider.kind)


async def _pinecone(settings: Settings) -> list[Finding]:
    from causeway.knowledge import open_pinecone

    async with open_pinecone(settings.pinecone) as api:
        if api is None:
            return [Finding("Pinecone", "off", "vectors are kept in PostgreSQL", "set pinecone.api_key")]
        names = await api.check()
    found = f"{settings.pinecone.host} answers; indexes: {', '.join(names) or 'none yet'}"
    return [Finding("Pinecone", "ok", found)]


def _compiled() -> Finding:
    from causeway.compiled import PARTS, compiled

    plain = [part for part in PARTS if compiled(part) is None]
    if not plain:
        return Finding("compiled", "ok", ", ".join(PARTS))
    better = "a C compiler and Python's headers (apt install gcc python3-dev), then install Causeway again"
    return Finding("compiled", "ok", f"not {', '.join(plain)}: slower by a tenth to a fifth", better)


def _ocr() -> Finding:
    from causeway.knowledge import installed_tesseract

    there = installed_tesseract()
    if there:
        more = "apt install tesseract-ocr-deu (and the like) for more languages"
        return Finding("OCR", "ok", f"Tesseract: {', '.join(there.languages)}; RapidOCR for the rest", more)
    better = "apt install tesseract-ocr for the faster and better engine"
    return Finding("OCR", "ok", "RapidOCR: Latin and Chinese script", better)


def _settings_rows(settings: Settings, origins: Origins) -> list[dict[str, str]]:
    """Every setting as text; secrets show as stars, as pydantic prints them."""
    rows = []
    for section, values in settings.model_dump(mode="json").items():
        for key, value in values.items():
            name = f"{section}.{key}"
            inner = [
                origin for path, origin in origins.items() if path == name or path.startswith(f"{name}.")
            ]
            rows.append({"setting": name, "value": str(value), "origin": inner[0] if inner else "default"})
    return rows


def _print(findings: list[Finding], rows: list[dict[str, str]]) -> None:
    for finding in findings:
        mark, colour = _MARKS[finding.state]
        click.secho(f"{mark:8}", fg=colour, nl=False)
        click.echo(f"{finding.what:16} {finding.found}")
        if finding.remedy:
            click.secho(f"{'':25}{finding.remedy}", dim=True)
    click.echo()
    for row in rows:
        if row["origin"] == "default":
            click.secho(f"{row['setting']:30} {row['value']}", dim=True)
        else:
            click.echo(f"{row['setting']:30} {row['value']}  <- {row['origin']}")
