"""Locks between processes that the kernel drops when their holder ends, however it ends: ``flock``."""

from __future__ import annotations

import fcntl
from typing import Literal

Kind = Literal["shared", "exclusive"]


def try_lock(descriptor: int, kind: Kind) -> bool:
    """Lock an open file, or change the kind of lock that the descriptor holds; False when others are in the way."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if kind == "shared" else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
