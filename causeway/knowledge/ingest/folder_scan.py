"""What lies in a folder: a recursive scan that leaves out what nobody means to search. Reads no file's content.

Symbolic links are not followed: a link to a file of the same folder would be a second copy, one to the outside would
let whoever may write into a watched folder publish any file that Causeway can read, and one to a parent never ends.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

_IGNORED = (
    ".*",
    "~$*",
    "*~",
    "*.tmp",
    "*.temp",
    "*.part",
    "*.partial",
    "*.crdownload",
    "__macosx",
    "__pycache__",
    "node_modules",
    "thumbs.db",
    "desktop.ini",
    "lost+found",
)
"""Hidden files and version control, office locks, half-written files of editors and browsers, machines' own folders."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_AGE_US = 10**6 * 86400 * 365 * 1900
"""File systems can hold times beyond what a database's or Python's calendar can; they are cut to years 70 to 3870."""


@dataclass(frozen=True, slots=True)
class FileState:
    """What can be told of a file without reading it.

    Attributes:
        changed_ns: When the system last changed anything of it, its name included, in nanoseconds. Nobody can set it, so it
            tells of a file put in another's place that has the same size and time, as unpacked and copied files do. No
            part of whether a file stands still: it changes with a file's rights.
    """

    size_bytes: int
    modified_at: datetime
    changed_ns: int = field(default=0, compare=False)

    @classmethod
    def of(cls, status: os.stat_result) -> FileState:
        """``status`` in the precision that the database keeps: microseconds."""
        age_us = min(max(status.st_mtime_ns // 1000, -_LONGEST_AGE_US), _LONGEST_AGE_US)
        return cls(status.st_size, _EPOCH + timedelta(microseconds=age_us), status.st_ctime_ns)

    @property
    def revision(self) -> str:
        """Size and times, as one word."""
        age_us = (self.modified_at - _EPOCH) // timedelta(microseconds=1)
        return f"{self.size_bytes}-{age_us}-{self.changed_ns}"


@dataclass(slots=True)
class Scan:
    """What lies in a folder; paths are relative to its root, with forward slashes.

    Attributes:
        unreadable: Files and folders that could not be looked at, and why.
        links: Symbolic links and special files, which are not followed.
    """

    files: dict[str, FileState] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)


def scan(root: Path, under: str = "") -> Scan:
    """Every file to ingest in ``root / under``, at any depth; blocks, so call it in a thread.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    seen = Scan()
    folders = [under]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if _look(entry, path, seen):
                        folders.append(path)
        except OSError as exc:
            if folder == under and isinstance(exc, FileNotFoundError):
                raise
            seen.unreadable[folder] = reason_of(exc)
    return seen


def _look(entry: os.DirEntry[str], path: str, seen: Scan) -> bool:
    """Note what ``entry`` is; True for a folder to look into."""
    if is_ignored(entry.name):
        return False
    if (shown := path.encode("utf-8", "replace").decode()) != path:
        seen.unreadable[shown] = "its name is not valid UTF-8; rename it"
        return False
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError as exc:
        seen.unreadable[path] = reason_of(exc)
        return False
    if stat.S_ISREG(status.st_mode):
        seen.files[path] = FileState.of(status)
    elif not stat.S_ISDIR(status.st_mode):
        seen.links.append(path)
    return stat.S_ISDIR(status.st_mode)


def is_ignored(name: str) -> bool:
    """Whether nobody means to search a file or folder of this name."""
    lowered = name.lower()
    return any(fnmatchcase(lowered, pattern) for pattern in _IGNORED)


def look_at(file: Path) -> FileState:
    """One file's state, its links followed; blocks.

    Raises:
        OSError: It cannot be looked at.
    """
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a file")
    return FileState.of(status)


def reason_of(error: OSError) -> str:
    """Why a file cannot be read, for a person."""
    if isinstance(error, PermissionError):
        return "permission denied; let Causeway's user read it"
    return f"it cannot be read: {error.strerror or error}"
