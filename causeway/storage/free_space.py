"""Room on the disk, and what of it is kept for the database.

PostgreSQL ends itself when it cannot write its log, which it does in files of 16 MB, and does not start again until it
can. So files and chunks are refused while there is still room for what the database writes by itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from causeway.errors import DiskFullError

RESERVE_BYTES: Final = 64 << 20
"""Four files of PostgreSQL's log: one is being written, one is prepared, and a checkpoint frees none at once."""


def free_bytes(place: Path | int) -> int | None:
    """What a program without privileges may still write beside ``place``, a path or a descriptor; None when unknown."""
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize if found.f_blocks else None  # some network disks tell nothing


def require_room(folder: Path, size_bytes: int, *, reserve_bytes: int = RESERVE_BYTES) -> None:
    """Return when ``size_bytes`` more fit on the disk of ``folder`` beside what is kept for the database.

    Raises:
        DiskFullError: They do not.
    """
    free = free_bytes(folder)
    if free is not None and free < size_bytes + reserve_bytes:
        raise DiskFullError(
            f"no room left: {free // 1_000_000} MB are free on the disk of '{folder}' and "
            f"{reserve_bytes // 1_000_000} MB are kept for the database; free some, or set CAUSEWAY_STORAGE__DIR to a "
            "folder on another disk"
        )
