"""What is in a ZIP file, taken out so that no archive can do harm.

It may hold names that leave the folder, members that unpack to gigabytes, links, and members under a password.
Nothing is ever written to disk here. Sizes are counted while unpacking; what the archive says of itself is not believed.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from causeway.errors import UnreadableDocumentError

MAX_MEMBERS = 5_000
"""An archive of more files is refused: it is a backup, not a folder of documents."""
MAX_MEMBER_BYTES = 100_000_000
"""Larger members are skipped."""
MAX_UNPACKED_BYTES = 500_000_000
"""An archive that unpacks to more is refused."""
MAX_RATIO = 250
"""A member that is packed tighter than this and is large is made to do harm; text packs to a tenth."""

_BOMB_FROM_BYTES = 20_000_000
_PIECE_BYTES = 1 << 20
_FURNITURE = frozenset(("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"))
_BROKEN = "the file is damaged or was cut short: it cannot be unpacked; get a whole copy and add it again"


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive.

    Attributes:
        path: Where it is in the archive, with forward slashes.
        content: Its bytes; empty when it was skipped.
        skipped: Why it was not unpacked.
    """

    path: str
    content: bytes = b""
    skipped: str = ""


def members(content: bytes) -> Iterator[Member]:
    """The files of a ZIP archive, each unpacked when its turn comes; folders and systems' own files are left out.

    Raises:
        UnreadableDocumentError: It is damaged, has too many files, or unpacks to too much.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if _is_wanted(entry)]
            if len(entries) > MAX_MEMBERS:
                raise UnreadableDocumentError(
                    f"the archive has {len(entries):,} files and the limit is {MAX_MEMBERS:,}; unpack it and add the folder"
                )
            unpacked = 0
            for entry in entries:
                member = _unpacked(archive, entry, MAX_UNPACKED_BYTES - unpacked)
                unpacked += len(member.content)
                yield member
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, zlib.error, EOFError) as exc:
        raise UnreadableDocumentError(_BROKEN) from exc


def safe_path(name: str) -> str:
    """A member's name as a path below the archive; empty when it would leave it."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
        return ""
    return str(path) if path.parts else ""


def _is_wanted(entry: zipfile.ZipInfo) -> bool:
    return not entry.is_dir() and not _FURNITURE & set(entry.filename.split("/"))


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, room: int) -> Member:
    path = safe_path(entry.filename)
    if not path:
        return Member(entry.filename, skipped="its name leads out of the archive")
    if stat.S_ISLNK(entry.external_attr >> 16):
        return Member(path, skipped="it is a link")
    if entry.flag_bits & 1:
        return Member(path, skipped="it is protected by a password")
    most = min(room, MAX_MEMBER_BYTES)
    pieces: list[bytes] = []
    size = 0
    with archive.open(entry) as packed:
        while piece := packed.read(_PIECE_BYTES):
            size += len(piece)
            pieces.append(piece)
            if size > most or (size > _BOMB_FROM_BYTES and size > MAX_RATIO * max(entry.compress_size, 1)):
                break
    if size > _BOMB_FROM_BYTES and size > MAX_RATIO * max(entry.compress_size, 1):
        raise UnreadableDocumentError(
            f"the archive's '{path}' unpacks to more than {MAX_RATIO} times its size; it is made to do harm"
        )
    if size > room:
        raise UnreadableDocumentError(
            f"the archive unpacks to more than {MAX_UNPACKED_BYTES / 1e6:,.0f} MB; unpack it and add the folder"
        )
    if size > MAX_MEMBER_BYTES:
        return Member(path, skipped=f"it has more than {MAX_MEMBER_BYTES / 1e6:,.0f} MB")
    return Member(path, b"".join(pieces))
