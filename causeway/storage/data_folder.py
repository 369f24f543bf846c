"""The folder that holds everything one Causeway keeps: the database, the blobs, and who works on it.

Owns the folder's layout and the claim that only one process does its background work by itself. Does not own what lies in
``postgres`` (``embedded_postgres``) or ``blobs`` (``blobs``).

The claim is a ``flock``: the kernel drops it when the process ends, also by ``kill -9``, so a stale claim cannot
exist. The text in the lock file only says who holds it.

Further workers need no claim: each takes the first name for the durable queue that no living process of the folder has.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from causeway.errors import AlreadyRunningError, DiskFullError, OperatorError
from causeway.storage.file_lock import try_lock

_MOST_WORKERS = 64


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that does a folder's background work."""

    pid: int
    address: str
    """Where its pages answer, such as ``http://127.0.0.1:8080``; empty until it listens."""


class DataFolder:
    """One data folder, made when it is not there.

    Raises:
        OperatorError: The folder cannot be made or written to.
        DiskFullError: There is no room for it.
    """

    def __init__(self, root: Path, *, blobs: Path | None = None) -> None:
        """``blobs``: where files are kept when not in the folder, such as a mount that several machines share."""
        self.root = root.expanduser().absolute()
        self.postgres = self.root / "postgres"
        """The embedded PostgreSQL's files."""
        self.blobs = (self.root / "blobs") if blobs is None else blobs.expanduser().absolute()
        """Uploaded and fetched files, by their sha256."""
        self.run = self.root / "run"
        """Locks and what running processes tell each other."""
        self._lock = self.run / "owner.lock"
        self._claimed: int | None = None
        with _explained(self.root):
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.blobs, self.run):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def executor_id(self) -> str:
        """The name under which this folder's process takes durable work, the same after every restart."""
        return self._executor_id("executor_id")

    @contextmanager
    def executor(self) -> Iterator[str]:
        """A name for durable work that no other living process of this folder has, until the block ends.

        The first process to work always gets the same one, the second another, and so on, so that after a restart each
        takes up what it was at. The machine's name is a part of it: folders are copied to other machines.

        Raises:
            AlreadyRunningError: As many processes as there may be work on the folder.
        """
        for number in range(_MOST_WORKERS):
            name = "executor_id" if number == 0 else f"executor_id.{number}"
            with _explained(self.root):
                descriptor = os.open(self.run / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if try_lock(descriptor, "exclusive"):
                    yield f"{self._executor_id(name)}@{socket.gethostname()}"
                    return
            finally:
                os.close(descriptor)
        raise AlreadyRunningError(f"{_MOST_WORKERS} processes work on the data folder '{self.root}' already")

    def _executor_id(self, name: str) -> str:
        file = self.run / name
        if not file.exists():
            with _explained(self.root):
                draft = file.with_name(f"{name}.{secrets.token_hex(4)}")
                draft.write_text(f"exe_{secrets.token_hex(8)}", encoding="ascii")
                try:
                    os.link(draft, file)  # unlike a rename, never replaces one that another process made
                except FileExistsError:
                    pass
                finally:
                    draft.unlink()
        return file.read_text(encoding="ascii")

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Be the one process that does this folder's background work.

        Raises:
            AlreadyRunningError: Another process is; the message names its pid and address.
        """
        with self.try_claim() as is_claimed:
            if not is_claimed:
                raise AlreadyRunningError(self._who_runs())
            yield

    @contextmanager
    def try_claim(self) -> Iterator[bool]:
        """Like ``claim``, but False when another process has it."""
        with _explained(self.root):
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not try_lock(descriptor, "exclusive"):
                yield False
                return
            self._claimed = descriptor
            self.announce("")
            yield True
        finally:
            self._claimed = None if self._claimed == descriptor else self._claimed
            os.close(descriptor)

    def announce(self, address: str) -> None:
        """Tell other processes where this one listens, ``http://127.0.0.1:8080``, if it has the claim; else nothing."""
        if self._claimed is None:
            return
        line = json.dumps({"pid": os.getpid(), "address": address}).encode()
        os.ftruncate(self._claimed, 0)
        os.pwrite(self._claimed, line, 0)

    def owner(self) -> Owner | None:
        """The process that does this folder's background work, if one does."""
        try:
            descriptor = os.open(self._lock, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            if try_lock(descriptor, "shared"):
                return None
            return _read_owner(os.pread(descriptor, 4096, 0))
        finally:
            os.close(descriptor)

    def _who_runs(self) -> str:
        owner = self.owner()
        who = "another Causeway"
        if owner is not None and owner.pid:
            who = f"a Causeway with pid {owner.pid}{f' at {owner.address}' if owner.address else ''}"
        return (
            f"{who} already works on the data folder '{self.root}'; "
            "use that one, stop it first, or set CAUSEWAY_STORAGE__DIR to another folder"
        )


def _read_owner(line: bytes) -> Owner:
    try:
        stored = json.loads(line)
        return Owner(int(stored["pid"]), str(stored["address"]))
    except (ValueError, KeyError, TypeError):
        return Owner(0, "")  # it has the lock and is just writing the line


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    """Turn the operating system's refusals into a sentence with a remedy."""
    try:
        yield
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(
                f"no room left for the data folder '{root}'; free some or set CAUSEWAY_STORAGE__DIR"
            ) from exc
        raise OperatorError(
            f"the data folder '{root}' cannot be used ({exc.strerror}: '{exc.filename}'); "
            "set CAUSEWAY_STORAGE__DIR to a folder that you may write to"
        ) from exc
