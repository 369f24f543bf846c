"""A Notion export as a source: Markdown or HTML pages, databases as CSV, attachments.

Notion writes a page's id behind its title (``Travel Policy 309d6b79965eda32dae445508201e2bd.md``) and large exports as a
zip of zips. The id is the document's identity, so that a newer export of a renamed page is the same document; the title
is its path. Of a database's two tables ``X_all.csv`` has all rows and ``X.csv`` those of a view: only the former is
taken where there are both. Rows that have a page of their own are documents too.

A newer export takes the older one's place at its path. A part that cannot be opened may hold anything, so nothing counts as gone
then.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import PurePosixPath

from causeway.knowledge.ingest import item_paths
from causeway.knowledge.ingest.connector import Before, Fetched, Item, Listing
from causeway.knowledge.ingest.export_zip import Entry, Export, open_export
from causeway.knowledge.ingest.patterns import Patterns
from causeway.knowledge.ingest.spool import Spool
from causeway.settings import SourceSettings

_NAMED = re.compile(r"(?P<title>.*?)[ _-]?(?P<id>[0-9a-f]{32})(?P<all>_all)?", re.S)
_PAGES = frozenset({".md", ".html", ".csv"})


@asynccontextmanager
async def open_notion_export(name: str, settings: SourceSettings) -> AsyncIterator[NotionExport]:
    """The export at the source's path.

    Raises:
        NotFoundError: There is none.
        UnreadableDocumentError: It is no zip file.
    """
    assert settings.path is not None  # noqa: S101 - the settings see to it
    with Spool() as spool:
        opening = open_export(settings.path, spool)
        export = await asyncio.to_thread(opening.__enter__)
        try:
            yield NotionExport(name, settings, export)
        finally:
            opening.__exit__(None, None, None)


class NotionExport:
    """A `Connector`; made by `open_notion_export`."""

    at_once = 2
    follows_content = False

    def __init__(self, name: str, settings: SourceSettings, export: Export) -> None:
        self._name = name
        self._settings = settings
        self._export = export
        self._patterns = Patterns(settings.include, settings.exclude)
        self._entries: dict[str, Entry] = {}

    @property
    def source(self) -> str:
        """``notion:`` and the name."""
        return f"notion:{self._name}"

    async def listing(self, before: Mapping[str, Before], *, since: datetime | None) -> Listing:  # noqa: ARG002 - an export is whole
        """Every page, table and attachment."""
        named = {name: _read_name(name) for name in self._export.entries}
        views = {identity for _, identity, is_all in named.values() if is_all}
        wanted: dict[str, tuple[list[str], str]] = {}
        entries: dict[str, tuple[str, Entry]] = {}
        for name, (parts, identity, is_all) in named.items():
            suffix = PurePosixPath(name).suffix.lower()
            if name == "index.html" or (suffix == ".csv" and identity in views and not is_all):
                continue
            key = identity or hashlib.sha256(name.encode()).hexdigest()[:32]
            if key in wanted:
                continue  # the same page in two parts of an export
            wanted[key] = (parts, suffix)
            entries[key] = (identity, self._export.entries[name])
        paths = item_paths.unique_paths(wanted)
        self._entries = {paths[key]: entry for key, (_, entry) in entries.items()}
        items = [_item(paths[key], identity, entry) for key, (identity, entry) in entries.items()]
        return self._bounded([item for item in items if self._patterns.allow(item.path)])

    def _bounded(self, items: list[Item]) -> Listing:
        unseen = {}
        if self._export.failed:
            name, reason = next(iter(self._export.failed.items()))
            unseen[""] = f"{name}: {reason}"
        most = self._settings.max_items
        if len(items) > most:
            unseen[""] = f"there are more than {most:,} documents; raise max_items, or leave some out"
        return Listing(items=tuple(items[:most]), unseen=unseen)

    async def fetch(self, item: Item) -> Fetched:
        """A page's file."""
        entry = self._entries[item.path]
        return Fetched(content=await asyncio.to_thread(entry.read, self._settings.max_file_bytes))


def _read_name(name: str) -> tuple[list[str], str, bool]:
    """The titles on the way to a file, its id (empty for an attachment), whether it is a table of all rows."""
    path = PurePosixPath(name)
    titles = [_title(part)[0] for part in path.parts[:-1]]
    title, identity, is_all = _title(path.stem)
    if path.suffix.lower() not in _PAGES:
        identity = ""
    return [*titles, title], identity, is_all


def _title(part: str) -> tuple[str, str, bool]:
    found = _NAMED.fullmatch(part)
    if found is None:
        return item_paths.part(part), "", False
    return item_paths.part(found["title"]), found["id"], found["all"] is not None


def _item(path: str, identity: str, entry: Entry) -> Item:
    return Item(
        path=path,
        revision=entry.revision,
        modified_at=entry.modified_at,
        identity=identity,
        size_bytes=entry.size_bytes,
        metadata={"url": f"https://www.notion.so/{identity}"} if identity else {},
    )
