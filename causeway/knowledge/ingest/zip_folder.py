"""What is in a ZIP file that is taken as a folder: its members by path, zips in it included, each read when it is asked for.

Nothing an archive says of itself is believed beyond what bounds it: `zipfile` reads no more of a member than the size it
declares, so declared sizes are what is summed, compared with the packed ones and refused. The directory is measured before it
is read, since it is read whole.
"""

from __future__ import annotations

import hashlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.ingest.archive import (
    MAX_MEMBER_BYTES,
    MAX_MEMBERS,
    MAX_RATIO,
    MAX_UNPACKED_BYTES,
    safe_path,
)
from causeway.knowledge.ingest.folder_scan import is_ignored
from causeway.knowledge.ingest.spool import Spool

DEEPEST = 2
"""Zips in zips that are opened: one, and one in that."""

_BOMB_FROM_BYTES = 20_000_000
_MOST_DIRECTORY_BYTES = 4_000_000
_PIECE_BYTES = 1 << 20
_ENCRYPTED = 0x1
_END = b"PK\x05\x06"
_LONGEST_END = 22 + 65_535
_END64_LOCATOR = b"PK\x06\x07"
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A file in the archive, or in an archive in it; its checksum and size name its content."""

    archive: zipfile.ZipFile
    entry: zipfile.ZipInfo

    @property
    def size_bytes(self) -> int:
        """As declared, and never more."""
        return self.entry.file_size

    @property
    def revision(self) -> str:
        """Size and CRC-32, as one word."""
        return f"{self.entry.file_size}-{self.entry.CRC:08x}"

    @property
    def modified_at(self) -> datetime:
        """Archives keep no time zone; taken as UTC."""
        try:
            return datetime(*self.entry.date_time, tzinfo=UTC)
        except ValueError:
            return datetime(1980, 1, 1, tzinfo=UTC)

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, a piece at a time; blocks.

        Raises:
            UnreadableDocumentError: It is damaged.
        """
        try:
            with self.archive.open(self.entry) as packed:
                while piece := packed.read(_PIECE_BYTES):
                    yield piece
        except _DAMAGED as exc:
            raise UnreadableDocumentError(f"it is damaged in the archive: {exc}") from exc


@dataclass(slots=True)
class ZipFolder:
    """An open archive.

    Attributes:
        members: By path, with forward slashes.
        skipped: Names of what cannot be taken out, and why.
    """

    members: dict[str, ZipMember] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    _opened: ExitStack = field(default_factory=ExitStack)
    _declared_bytes: int = 0

    @classmethod
    def open(cls, file: Path, spool: Spool) -> Self:
        """The archive in ``file``; archives in it are unpacked to ``spool``. Blocks.

        Raises:
            UnreadableDocumentError: It is no ZIP file, damaged, a bomb, or holds too much.
            OSError: The file cannot be opened.
        """
        folder = cls()
        try:
            folder._collect(file, "", spool, depth=0)
        except BaseException:
            folder.close()
            raise
        return folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the archive and those in it."""
        self._opened.close()

    @property
    def checksum(self) -> str:
        """The same for archives of the same members, whatever the archive is called and however it was packed."""
        told = sorted(f"{path}\0{member.revision}" for path, member in self.members.items())
        return hashlib.sha256("\n".join(told).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def _collect(self, file: Path, prefix: str, spool: Spool, *, depth: int) -> None:
        stream = self._opened.enter_context(file.open("rb"))
        try:
            _require_small_directory(stream)
            archive = self._opened.enter_context(zipfile.ZipFile(stream))
        except _DAMAGED as exc:
            raise UnreadableDocumentError(f"it cannot be read as a ZIP file: {exc}") from exc
        for entry in archive.infolist():
            parts = entry.filename.replace("\\", "/").split("/")
            if not entry.is_dir() and (".." in parts or not any(map(is_ignored, parts))):
                self._look(ZipMember(archive, entry), prefix, spool, depth=depth)

    def _look(self, member: ZipMember, prefix: str, spool: Spool, *, depth: int) -> None:
        path = safe_path(member.entry.filename)
        shown = f"{prefix}{path or _shown(member.entry.filename)}"
        if len(self.members) + len(self.skipped) >= MAX_MEMBERS:
            raise UnreadableDocumentError(
                f"the archive has more than {MAX_MEMBERS:,} files; unpack it and add the folder"
            )
        if not shown.isprintable():
            shown = _shown(shown)
        if reason := _refusal(member, path) or ("its path is there twice" if shown in self.members else ""):
            self.skipped[shown] = reason
            return
        self._declared_bytes += member.size_bytes
        if self._declared_bytes > MAX_UNPACKED_BYTES:
            raise UnreadableDocumentError(
                f"the archive unpacks to more than {MAX_UNPACKED_BYTES / 1e6:,.0f} MB; unpack it and add the folder"
            )
        if path.lower().endswith(".zip"):
            self._look_into(member, shown, spool, depth=depth)
        else:
            self.members[shown] = member

    def _look_into(self, member: ZipMember, shown: str, spool: Spool, *, depth: int) -> None:
        """An archive in the archive; what is wrong with it is said of it alone."""
        if depth >= DEEPEST:
            self.skipped[shown] = (
                f"it lies in {DEEPEST + 1} other archives; unpack it and add the files inside"
            )
            return
        file = spool.place()
        try:
            with file.open("wb") as out:
                for piece in member.pieces():
                    out.write(piece)
            self._collect(file, f"{shown}/", spool, depth=depth + 1)
        except UnreadableDocumentError as exc:
            self.skipped[shown] = exc.message


def _shown(name: str) -> str:
    """A name that is no path, as text that can be shown and stored."""
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _refusal(member: ZipMember, path: str) -> str:
    """Why a member is not taken out; empty when it is.

    Raises:
        UnreadableDocumentError: It makes the archive a bomb.
    """
    entry, size = member.entry, member.size_bytes
    if not path:
        return "its name leads out of the archive"
    if not path.isprintable():
        return "its name is no text; rename it"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "it is a link"
    if entry.flag_bits & _ENCRYPTED:
        return "it is protected by a password; add it without one"
    if size > _BOMB_FROM_BYTES and size > MAX_RATIO * max(entry.compress_size, 1):
        raise UnreadableDocumentError(
            f"the archive's '{path}' unpacks to more than {MAX_RATIO} times its size; it is made to do harm"
        )
    if size > MAX_MEMBER_BYTES:
        return f"it has more than {MAX_MEMBER_BYTES / 1e6:,.0f} MB"
    return ""


def _require_small_directory(stream: BinaryIO) -> None:
    """Refuse an archive whose list of files alone would fill the memory.

    Raises:
        UnreadableDocumentError: It is too long.
    """
    size = stream.seek(0, 2)
    stream.seek(max(0, size - _LONGEST_END - 20))
    tail = stream.read()
    end = tail.rfind(_END)
    if end < 0:
        return  # zipfile says what is wrong
    (directory,) = struct.unpack_from("<L", tail, end + 12)
    if end >= 20 and tail[end - 20 : end - 16] == _END64_LOCATOR:
        (place,) = struct.unpack_from("<Q", tail, end - 12)
        stream.seek(min(place, size))
        record = stream.read(56)
        if len(record) == 56:
            directory = max(
                struct.unpack_from("<Q", record, 40)[0], 0 if directory == 0xFFFFFFFF else directory
            )
    stream.seek(0)
    if directory > _MOST_DIRECTORY_BYTES:
        raise UnreadableDocumentError(
            f"the archive has far more than {MAX_MEMBERS:,} files; unpack it and add the folder"
        )
