"""The zip file that a vendor exports, and the zips in it, as files by name; nothing of it is believed.

Names that leave the archive are refused, nested archives are opened so deep, entries are read up to a bound whatever
size they declare, and one that unpacks to absurdly more than it takes is refused as a bomb.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from causeway.errors import NotFoundError, TooLargeError, UnreadableDocumentError
from causeway.knowledge.ingest.folder_scan import is_ignored
from causeway.knowledge.ingest.spool import Spool
from causeway.knowledge.ingest.zip_folder import ZipMember

_DEEPEST = 2
_MOST_RATIO = 300
"""Text packs to a fifth, a log of one line to a hundredth; deflate cannot go beyond 1032."""
_HARMLESS_BYTES = 1_000_000
_MOST_NESTED_BYTES = 50_000_000_000
_MOST_ENTRIES = 500_000
_ENCRYPTED = 0x1


@dataclass(frozen=True, slots=True)
class Entry(ZipMember):
    """A file in an export, which is read whole."""

    def read(self, max_bytes: int) -> bytes:
        """The content; blocks.

        Raises:
            UnreadableDocumentError: It is damaged, encrypted, too large or a bomb.
        """
        if self.entry.flag_bits & _ENCRYPTED:
            msg = "it is encrypted; export without a password"
            raise UnreadableDocumentError(msg)
        allowed = max(_HARMLESS_BYTES, self.entry.compress_size * _MOST_RATIO)
        if self.entry.file_size > allowed:
            msg = "it unpacks to far more than it holds: a decompression bomb"
            raise UnreadableDocumentError(msg)
        bound = min(max_bytes, allowed)
        try:
            with self.archive.open(self.entry) as stream:
                content = stream.read(bound + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as exc:
            raise UnreadableDocumentError(f"it is damaged in the archive: {exc}") from exc
        if len(content) > bound:
            raise UnreadableDocumentError(f"it is larger than the {bound:,} bytes that are allowed")
        return content


@dataclass(slots=True)
class Export:
    """What an archive holds.

    Attributes:
        entries: By name, with forward slashes, without what nobody means to search.
        failed: Names that cannot be used, and why.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


@contextmanager
def open_export(path: Path, spool: Spool) -> Iterator[Export]:
    """The archive at ``path``, open for the block; nested archives are unpacked to ``spool``. Blocks.

    Raises:
        NotFoundError: There is nothing at ``path``.
        UnreadableDocumentError: It is no zip file, or a damaged one.
        TooLargeError: It holds too many files.
    """
    export = Export()
    with ExitStack() as opened:
        _collect(path, export, spool, opened, depth=0)
        yield export


def _collect(path: Path, export: Export, spool: Spool, opened: ExitStack, *, depth: int) -> None:
    try:
        archive = opened.enter_context(zipfile.ZipFile(path))
    except FileNotFoundError as exc:
        raise NotFoundError(f"there is no export at '{path}'; put it there again") from exc
    except (zipfile.BadZipFile, OSError, NotImplementedError) as exc:
        raise UnreadableDocumentError(f"'{path.name}' cannot be read as a zip file: {exc}") from exc
    for entry in archive.infolist():
        if entry.is_dir():
            continue
        name = entry.filename.replace("\\", "/")
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts) or ":" in parts[0] or "\0" in name:
            export.failed[ascii(name)[1:-1]] = "its name leads out of the archive"
        elif any(is_ignored(part) for part in parts):
            continue
        elif name.lower().endswith(".zip"):
            _collect_nested(Entry(archive, entry), name, export, spool, opened, depth=depth)
        else:
            export.entries.setdefault(name, Entry(archive, entry))
        if len(export.entries) > _MOST_ENTRIES:
            raise TooLargeError(f"'{path.name}' holds more than {_MOST_ENTRIES:,} files")


def _collect_nested(
    nested: Entry, name: str, export: Export, spool: Spool, opened: ExitStack, *, depth: int
) -> None:
    """A part of a large export; what is wrong with it is said of it alone."""
    if depth >= _DEEPEST:
        export.failed[name] = f"an archive within {_DEEPEST} others is not opened"
        return
    if nested.size_bytes > min(
        _MOST_NESTED_BYTES, nested.entry.compress_size * _MOST_RATIO + _HARMLESS_BYTES
    ):
        export.failed[name] = "it unpacks to far more than it holds: a decompression bomb"
        return
    file = spool.place()
    try:
        with nested.archive.open(nested.entry) as stream, file.open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
        _collect(file, export, spool, opened, depth=depth + 1)
    except UnreadableDocumentError as exc:
        export.failed[name] = exc.message.replace(f"'{file.name}' ", "it ")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as exc:
        export.failed[name] = f"it is damaged: {exc}"
