"""Mail that lies on the disk: a Maildir, or any folder of ``.eml`` and ``.msg`` files, at any depth.

In a Maildir (https://cr.yp.to/proto/maildir.html) a message is a file of ``cur`` or ``new``, whose name carries its
flags: read or answered, it has another name and is the same message. ``.Archive.2025`` is the folder ``Archive/2025``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from causeway.errors import NotFoundError, UnreadableDocumentError
from causeway.knowledge.ingest.connector import Before, Fetched, Item, Listing
from causeway.knowledge.ingest.folder_scan import FileState, reason_of
from causeway.knowledge.ingest.mail_heading import (
    MOST_HEADER_BYTES,
    folder_path,
    mail_item,
    mail_metadata,
    read_heading,
)
from causeway.knowledge.ingest.patterns import Patterns
from causeway.settings import SourceSettings

_MAILDIR = ("cur", "new")
_SUFFIXES = (".eml", ".msg")


@dataclass(frozen=True, slots=True)
class _File:
    """A message's file.

    Attributes:
        name: What stays of its name when its flags change.
    """

    path: Path
    folder: str
    name: str
    state: FileState

    @property
    def revision(self) -> str:
        return f"{self.state.revision}-{sha256(self.name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


class MailFiles:
    """A `Connector` for the messages below a folder."""

    at_once = 4
    follows_content = False

    def __init__(self, name: str, root: Path, settings: SourceSettings) -> None:
        self._name = name
        self._root = root
        self._settings = settings
        self._patterns = Patterns(settings.include, settings.exclude)
        self._files: dict[str, _File] = {}

    @property
    def source(self) -> str:
        """``mail:`` and the name."""
        return f"mail:{self._name}"

    async def listing(self, before: Mapping[str, Before], *, since: datetime | None) -> Listing:  # noqa: ARG002 - a walk is cheap
        """Every message that is there."""
        return await asyncio.to_thread(self._listing, before)

    def _listing(self, before: Mapping[str, Before]) -> Listing:
        if not self._root.is_dir():
            raise NotFoundError(f"there is no folder at '{self._root}'; restore or mount it")
        known = {(each.path.rpartition("/")[0], each.revision): each for each in before.values()}
        unseen: dict[str, str] = {}
        failed: dict[str, str] = {}
        items: dict[str, Item] = {}
        self._files = {}
        for file in self._walk(unseen):
            try:
                item = _item(file, known.get((file.folder, file.revision)))
            except FileNotFoundError:  # its flags changed meanwhile, or it is gone: the next sync knows
                unseen[file.folder] = "messages were renamed while it was read"
                continue
            except OSError as exc:
                failed[f"{file.folder}/{file.name}".lstrip("/")] = reason_of(exc)
                continue
            if not self._patterns.allow(item.path):
                continue
            if len(items) >= self._settings.max_items and item.path not in items:
                most = self._settings.max_items
                unseen[""] = f"there are more than {most:,} messages; raise max_items, or name a folder below"
                break
            key = item.identity or item.path
            if key in items and items[key].modified_at > item.modified_at:
                continue
            if key in items:
                self._files.pop(items[key].path, None)
            items[key] = item
            self._files[item.path] = file
        return Listing(items=tuple(items.values()), unseen=unseen, failed=failed)

    def _walk(self, unseen: dict[str, str]) -> Iterator[_File]:
        def unreadable(error: OSError) -> None:
            place = Path(str(error.filename)).relative_to(self._root).as_posix()
            unseen["" if place == "." else place] = reason_of(error)

        for place, folders, names in os.walk(self._root, onerror=unreadable, followlinks=False):
            here = Path(place)
            is_maildir = here.name in _MAILDIR and (here.parent / "cur").is_dir()
            folders[:] = sorted(each for each in folders if not (each == "tmp" and (here / "cur").is_dir()))
            folder = _folder(here.parent if is_maildir else here, self._root)
            for name in sorted(names):
                if not is_maildir and not name.lower().endswith(_SUFFIXES):
                    continue
                if name.startswith("."):
                    continue
                file = here / name
                try:
                    status = file.lstat()
                except OSError:
                    continue
                if file.is_symlink() or not file.is_file():
                    continue
                stays = name.partition(":2,")[0] if is_maildir else name
                yield _File(file, folder, stays, FileState.of(status))

    async def fetch(self, item: Item) -> Fetched:
        """The file itself."""
        file = self._files[item.path]
        if file.path.suffix.lower() == ".msg":
            return Fetched(content=file.path)
        try:
            heading = read_heading(await asyncio.to_thread(_head, file.path))
        except OSError as exc:
            raise UnreadableDocumentError(reason_of(exc)) from exc
        return Fetched(content=file.path, metadata=mail_metadata(file.folder, heading))


def _folder(place: Path, root: Path) -> str:
    parts: list[str] = []
    for part in place.relative_to(root).parts:
        # Maildir++: '.Archive.2025' beside 'cur' is the folder 'Archive/2025'
        parts += part[1:].split(".") if part.startswith(".") else [part]
    return folder_path(parts)


def _item(file: _File, before: Before | None) -> Item:
    if before is not None:
        return Item(
            path=before.path,
            revision=before.revision,
            modified_at=before.modified_at,
            identity=before.identity,
            size_bytes=file.state.size_bytes,
        )
    if file.path.suffix.lower() == ".msg":
        shown = f"{file.folder}/{file.name}" if file.folder else file.name
        state = file.state
        return Item(
            path=shown, revision=file.revision, modified_at=state.modified_at, size_bytes=state.size_bytes
        )
    return mail_item(
        file.folder,
        read_heading(_head(file.path)),
        revision=file.revision,
        otherwise=f"{file.folder}\0{file.name}",
        arrived_at=file.state.modified_at,
        size_bytes=file.state.size_bytes,
    )


def _head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(MOST_HEADER_BYTES)
