"""Which connector reads a source of the settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.contracts.clock import Clock
from causeway.errors import SettingsError
from causeway.knowledge.ingest.connector import Connector
from causeway.knowledge.ingest.folder_source import FolderSource
from causeway.knowledge.ingest.patterns import Patterns
from causeway.knowledge.ingest.unpacking import Unpacking
from causeway.seams import deferred
from causeway.settings import SourceSettings

if TYPE_CHECKING:
    from causeway.knowledge.ingest import (
        mail_files,
        mail_imap,
        mail_mbox,
        notion,
        notion_export,
        slack,
        slack_export,
        web_pages,
    )
else:  # what reads a source is for the process that does the background work
    mail_files, mail_imap, mail_mbox, notion, notion_export, slack, slack_export, web_pages = (
        deferred(f"causeway.knowledge.ingest.{name}")
        for name in (
            *("mail_files", "mail_imap", "mail_mbox", "notion", "notion_export"),
            *("slack", "slack_export", "web_pages"),
        )
    )

_SETTLE_S = 2.0


def folder_root(name: str, settings: SourceSettings) -> Path:
    """Where a source's folder is, its links followed, as ``causeway ingest`` names it.

    Raises:
        SettingsError: Its path is relative.
    """
    root = (settings.path or Path()).expanduser()
    if not root.is_absolute():
        raise SettingsError(f"sources.{name}.path: '{root}' is relative; write where it really is")
    return root.resolve()


def open_source(
    name: str, settings: SourceSettings, *, clock: Clock
) -> AbstractAsyncContextManager[Connector]:
    """The source called ``name``, open for the block.

    Raises:
        SettingsError: Its section cannot be used.
        NotFoundError: An export is not there.
    """
    match settings.kind:
        case "folder":
            root = folder_root(name, settings)
            patterns = Patterns(settings.include, settings.exclude)
            return _opened(FolderSource(root, clock=clock, settle_s=_SETTLE_S, patterns=patterns))
        case "notion":
            if settings.path is not None:
                return notion_export.open_notion_export(name, settings)
            return notion.open_notion(name, settings, clock=clock)
        case "slack":
            if settings.path is not None:
                return slack_export.open_slack_export(name, settings, clock=clock)
            return slack.open_slack(name, settings, clock=clock)
        case "mail":
            if settings.path is None:
                return mail_imap.open_imap(name, settings, clock=clock)
            place = folder_root(name, settings)
            kind = mail_mbox.Mbox if place.is_file() else mail_files.MailFiles
            return nullcontext(kind(name, place, settings))
        case "web":
            return web_pages.open_web(name, settings, clock=clock)


@asynccontextmanager
async def _opened(connector: Connector) -> AsyncIterator[Connector]:
    """The connector, with its ZIP files taken as folders."""
    with Unpacking(connector) as unpacking:
        yield unpacking
