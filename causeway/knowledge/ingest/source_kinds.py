"""Which connector reads a source of the settings."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

from causeway.contracts.clock import Clock
from causeway.errors import SettingsError
from causeway.knowledge.ingest.connector import Connector
from causeway.knowledge.ingest.folder_source import FolderSource
from causeway.knowledge.ingest.mail_files import MailFiles
from causeway.knowledge.ingest.mail_imap import open_imap
from causeway.knowledge.ingest.mail_mbox import Mbox
from causeway.knowledge.ingest.notion import open_notion
from causeway.knowledge.ingest.notion_export import open_notion_export
from causeway.knowledge.ingest.patterns import Patterns
from causeway.knowledge.ingest.slack import open_slack
from causeway.knowledge.ingest.slack_export import open_slack_export
from causeway.knowledge.ingest.web_pages import open_web
from causeway.settings import SourceSettings

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
            return nullcontext(FolderSource(root, clock=clock, settle_s=_SETTLE_S, patterns=patterns))
        case "notion":
            if settings.path is not None:
                return open_notion_export(name, settings)
            return open_notion(name, settings, clock=clock)
        case "slack":
            if settings.path is not None:
                return open_slack_export(name, settings, clock=clock)
            return open_slack(name, settings, clock=clock)
        case "mail":
            if settings.path is None:
                return open_imap(name, settings, clock=clock)
            place = folder_root(name, settings)
            return nullcontext((Mbox if place.is_file() else MailFiles)(name, place, settings))
        case "web":
            return open_web(name, settings, clock=clock)
