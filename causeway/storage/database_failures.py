"""What a person reads when PostgreSQL fails in a way that they can mend.

Owns the translation of the driver's errors into ours. No message holds a password: a URL is named by its host.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from causeway.errors import BusyError, DatabaseUnavailableError, DeadlineError, DiskFullError
from causeway.storage.free_space import free_bytes

MAY_NOT = frozenset({"42501", "3F000"})
"""SQLSTATEs of missing rights: to do it, to enter the schema."""

_DISK_FULL = "53100"
_LOG_FILE_BYTES = 16 << 20
_TIMED_OUT = "57014"
_GONE = ("08", "57P", "53300")
"""Broken connections, a server that stops or starts, one that has no connection left."""


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """Turn the failures that a person can mend into a sentence with the remedy; others pass.

    Raises:
        BusyError: Every connection of the pool stayed in use.
        DiskFullError: The server has no room left.
        DeadlineError: A statement took longer than it may.
        DatabaseUnavailableError: The server cannot be reached, or went away.
    """
    try:
        yield
    except PoolTimeoutError as exc:
        raise BusyError(
            f"every database connection to {host(url)} stayed in use; "
            "try again, or raise CAUSEWAY_DATABASE__POOL_SIZE"
        ) from exc
    except (OperationalError, InterfaceError) as exc:
        state = sqlstate(exc)
        if state == _DISK_FULL:
            raise DiskFullError(f"PostgreSQL at {host(url)} has no room left; free some on its disk") from exc
        if state == _TIMED_OUT:
            raise DeadlineError(f"PostgreSQL at {host(url)} did not answer in time; try again later") from exc
        if state is None or state.startswith(_GONE):
            if _is_full(url):
                raise DiskFullError(
                    f"PostgreSQL at {host(url)} has stopped for want of room; free some on its disk, then start "
                    "Causeway again"
                ) from exc
            raise DatabaseUnavailableError(
                f"PostgreSQL at {host(url)} cannot be reached: {first_line(exc)}; {_remedy(url)}"
            ) from exc
        raise


def _remedy(url: URL) -> str:
    if url.host is None and url.query.get("host"):  # a socket's folder, as the embedded server has
        return (
            "start Causeway again, which starts its own server, or see that CAUSEWAY_DATABASE__URL is right"
        )
    return "see that it runs and that CAUSEWAY_DATABASE__URL is right"


def _is_full(url: URL) -> bool:
    """Whether a server on this machine, known by the folder of its socket, has no room for a file of its log."""
    folder = Path(str(url.query.get("host", "")))
    if not folder.is_absolute() or not folder.is_dir():
        return False
    free = free_bytes(folder)
    return free is not None and free < _LOG_FILE_BYTES


def sqlstate(error: DBAPIError) -> str | None:
    """The five characters by which PostgreSQL names a failure; None when no server answered."""
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state


def first_line(error: Exception) -> str:
    """The driver's reason, without the hints below it; ``error`` is the driver's own or SQLAlchemy's around it."""
    driver_error = error.orig if isinstance(error, DBAPIError) else error
    lines = [line.strip() for line in str(driver_error).splitlines() if line.strip()]
    reason = next((line for line in lines if "FATAL:" in line or "ERROR:" in line), lines[0] if lines else "")
    return reason.rpartition("FATAL:")[2].strip()


def host(url: URL) -> str:
    """Where a URL points, quoted, for messages."""
    name = url.host or url.query.get("host") or "localhost"
    return f"'{name}{f':{url.port}' if url.port else ''}'"
