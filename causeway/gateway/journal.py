"""The journal: what the ledger knows of calls and the database does not hold yet, safe from ``kill -9``.

A line is one ``write`` into the operating system's cache, without ``fsync``: a process that is killed loses nothing; a
machine that loses its power can lose what its system had not written yet, some 30 s on Linux, of which the database
has all but the last ``gateway.ledger_flush_s``.

Each process has a lock, which the kernel drops when it ends, and numbered segments beside it::

    run/journal/6f1c....lock          held as long as the process lives
    run/journal/6f1c....1.journal     o{opening}  c{row}  one a line

A call that is open when a segment ends is written again at the head of the next, so the last segment names all open
calls. Whoever gets the lock of another process has outlived it and adopts what it left (``orphans``).

``docs/adr/0010-ledger-and-journal.md`` tells why, ``bench/results/accounting.md`` what a line takes.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import msgspec

from causeway.errors import DiskFullError, OperatorError
from causeway.gateway.entries import Opening, Row, decoded_opening, decoded_row
from causeway.storage.file_lock import try_lock

log = logging.getLogger(__name__)

_OPENED, _CLOSED, _END = b"o", b"c", b"\n"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Journal:
    """This process's journal, made when it is constructed.

    Raises:
        DiskFullError: There is no room for it.
        OperatorError: The folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.size_bytes = 0
        """Of the segment that is being written."""
        self.sealed: list[Path] = []
        """Segments that are no longer written, oldest first, until they are discarded."""
        self._folder = folder
        with _explained(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._name, self._lock = _new_lock(folder)
            try:
                self._number = 1
                self._file = _open_segment(self._segment(1))
            except BaseException:
                self._lock_path.unlink()
                os.close(self._lock)
                raise

    def opened(self, line: bytes) -> None:
        """Write an encoded opening. Raises like ``closed``."""
        self._write(_OPENED + line + _END)

    def closed(self, line: bytes) -> None:
        """Write an encoded row.

        Raises:
            DiskFullError: There is no room for it; nothing was written.
            OperatorError: The disk failed.
        """
        self._write(_CLOSED + line + _END)

    def seal(self, still_open: Iterable[bytes]) -> None:
        """Begin the next segment with the openings of calls under way; the one before is sealed.

        Raises:
            DiskFullError: There is no room for it; the present segment goes on.
            OperatorError: The disk failed.
        """
        path = self._segment(self._number + 1)
        head = b"".join(_OPENED + line + _END for line in still_open)
        with _explained(self._folder):
            file = _open_segment(path)
            try:
                _append(file, head, 0)
            except BaseException:
                os.close(file)
                path.unlink()
                raise
        os.close(self._file)
        self.sealed.append(self._segment(self._number))
        self._number += 1
        self._file, self.size_bytes = file, len(head)

    def clear(self) -> None:
        """Empty the present segment: no call is open and the database holds the rest."""
        os.ftruncate(self._file, 0)
        self.size_bytes = 0

    def discard(self, segment: Path) -> None:
        """Delete a sealed segment."""
        self.sealed.remove(segment)
        segment.unlink(missing_ok=True)

    def close(self, *, is_settled: bool) -> None:
        """Let go of it; deletes it when the database holds everything, else the next who looks adopts it."""
        os.close(self._file)
        if is_settled:
            for segment in (*self.sealed, self._segment(self._number)):
                segment.unlink(missing_ok=True)
            self._lock_path.unlink(missing_ok=True)
        os.close(self._lock)

    @property
    def _lock_path(self) -> Path:
        return self._folder / f"{self._name}.lock"

    def _segment(self, number: int) -> Path:
        return self._folder / f"{self._name}.{number}.journal"

    def _write(self, line: bytes) -> None:
        try:
            _append(self._file, line, self.size_bytes)
        except OSError as exc:
            raise _failure(exc, self._folder) from exc
        self.size_bytes += len(line)


class Orphan:
    """What a process that died left; its lock is held until ``close``."""

    def __init__(self, lock_path: Path, lock: int) -> None:
        self._lock_path = lock_path
        self._lock = lock
        self._open: dict[str, Opening] = {}

    def rows(self, most: int) -> Iterator[list[Row]]:
        """The ended calls, at most ``most`` at a time."""
        batch: list[Row] = []
        for segment in self._segments():
            for record in read_segment(segment):
                if isinstance(record, Opening):
                    self._open[record.id] = record
                    continue
                self._open.pop(record.id, None)
                batch.append(record)
                if len(batch) == most:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def never_closed(self) -> list[Opening]:
        """The calls that it was making when it died; known once ``rows`` has been read to its end."""
        return list(self._open.values())

    def discard(self) -> None:
        """Delete it: the database holds everything."""
        for segment in self._segments():
            segment.unlink(missing_ok=True)
        self._lock_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the lock."""
        os.close(self._lock)

    def _segments(self) -> list[Path]:
        return sorted(self._lock_path.parent.glob(f"{self._lock_path.stem}.*.journal"), key=_segment_number)


def orphans(folder: Path) -> Generator[Orphan, None, None]:
    """Journals whose process is gone, one after the other; each is closed when the next is asked for."""
    for path in sorted(folder.glob("*.lock")):
        try:
            lock = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        orphan = Orphan(path, lock)
        try:
            if try_lock(lock, "exclusive"):
                yield orphan
        finally:
            orphan.close()


def read_segment(segment: Path) -> Iterator[Opening | Row]:
    """The records of a segment; a line that the machine's end has spoiled is passed over and told."""
    spoiled = 0
    with segment.open("rb") as lines:
        for line in lines:
            try:
                if line[:1] == _OPENED:
                    yield decoded_opening(line[1:])
                elif line[:1] == _CLOSED:
                    yield decoded_row(line[1:])
                else:
                    spoiled += 1
            except msgspec.MsgspecError:
                spoiled += 1
    if spoiled:
        log.warning(
            "lines of the journal cannot be read; what they said of calls is lost",
            extra={"segment": segment.name, "lines": spoiled},
        )


def _new_lock(folder: Path) -> tuple[str, int]:
    """A new name and its lock, held."""
    while True:
        name = uuid4().hex
        path = folder / f"{name}.lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        # between the two calls another process may have taken it for an orphan's, and deleted it
        if try_lock(lock, "exclusive"):
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(lock).st_ino:
                    return name, lock
        os.close(lock)


def _segment_number(segment: Path) -> int:
    return int(segment.name.split(".")[1])


def _open_segment(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)


def _append(file: int, lines: bytes, size_before: int) -> None:
    if os.write(file, lines) != len(lines):  # the rest did not fit, and half a line would spoil the next
        os.ftruncate(file, size_before)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise _failure(exc, folder) from exc


def _failure(error: OSError, folder: Path) -> DiskFullError | OperatorError:
    if error.errno in _FULL:
        return DiskFullError(_full(folder))
    return OperatorError(f"the journal in '{folder}' cannot be written: {error.strerror}; mend the disk")


def _full(folder: Path) -> str:
    return f"no room left for the journal of calls in '{folder}'; free some on its disk"
