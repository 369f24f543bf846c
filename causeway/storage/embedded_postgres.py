"""The PostgreSQL that comes with the package: made, started, shared by processes, stopped.

Owns the server's folder (``data``, the socket, ``server.log``, two lock files). Does not own what is in the
database.

Only the programs are taken from the package that brings them (``postgres_package``); its Python code is not run,
because it keeps process ids in a file that outlive ``kill -9``, trusts ``postmaster.pid`` without asking the server,
gives up on crash recovery after ten seconds and opens every parent folder to all users. See
``docs/adr/0001-postgresql-everywhere.md``.

Many processes may use one folder. Each holds a shared ``flock`` on ``users.lock``; who closes and finds nobody else
there stops the server. After ``kill -9`` of the last one the server runs on; the next process takes it up. Starting
and stopping happen under an exclusive ``flock`` on ``turn.lock``.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql
from sqlalchemy import URL

from causeway.errors import DatabaseUnavailableError, DiskFullError, OperatorError
from causeway.storage.file_lock import try_lock
from causeway.storage.postgres_package import Programs

log = logging.getLogger(__name__)

DATABASE = "causeway"

_SUPERUSER = "postgres"
_PORT = 5432  # names the socket file; nothing listens on a network
_LONGEST_SOCKET_PATH = 100  # bytes; Linux allows 107, macOS 103
_NO_SUCH_PID = 2**31 - 1
_LOG_LIMIT_BYTES = 1_000_000

START_DEADLINE_S = 120.0
"""Crash recovery replays at most ``max_wal_size`` of log: seconds on a disk, a minute on a bad one."""
_STOP_DEADLINE_S = 60.0

_OPTIONS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(_PORT),
    "max_connections": "80",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "512MB",
    "jit": "off",  # costs more than it saves on queries of milliseconds
    "log_checkpoints": "off",  # a line every five minutes that nobody reads
    "lc_messages": "C",  # _state reads the messages
    "timezone": "UTC",
}


@dataclass(slots=True)
class EmbeddedPostgres:
    """A running server that this process holds until ``close``; made by ``start``."""

    folder: Path
    programs: Programs
    _users: int = field(repr=False)

    def url(self, database: str = DATABASE) -> str:
        """The SQLAlchemy URL of one of its databases."""
        query = {"host": str(_socket_folder(self.folder)), "port": str(_PORT)}
        url = URL.create("postgresql+psycopg", username=_SUPERUSER, database=database, query=query)
        return url.render_as_string(hide_password=False)

    def close(self) -> None:
        """Let go of the server; the last process that does so stops it."""
        if self._users < 0:
            return
        users, self._users = self._users, -1
        try:
            with _turn(self.folder, _STOP_DEADLINE_S):
                _stop_if_unused(users, _Cluster(self.folder, self.programs))
        finally:
            os.close(users)


def start(folder: Path, *, options: Mapping[str, str] | None = None) -> EmbeddedPostgres:
    """Make sure that the server of ``folder`` runs, with a database named ``DATABASE``, and hold it.

    Args:
        folder: Where the server keeps its files; made when it is not there.
        options: Server settings that replace Causeway's own; ignored when the server already runs.

    Raises:
        MissingCapabilityError: No package that brings PostgreSQL is installed.
        DiskFullError: There is no room to make or start it.
        DatabaseUnavailableError: It does not start; the message ends with its own words.
        OperatorError: The folder cannot be written to.
    """
    programs = Programs.installed()
    folder = folder.expanduser().resolve()
    with _explained(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _turn(folder, START_DEADLINE_S):
            users = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
            cluster = _Cluster(folder, programs)
            try:
                try_lock(users, "shared")  # nobody holds it exclusively outside a turn
                programs.admit_to(folder)
                _make_sockets(folder, programs)
                _make(cluster)
                _ensure_running(cluster, {**_OPTIONS, "shared_buffers": _shared_buffers(), **(options or {})})
                _ensure_database(folder)
            except BaseException:
                try:
                    _stop_if_unused(users, cluster)
                finally:
                    os.close(users)
                raise
    return EmbeddedPostgres(folder, programs, users)


@dataclass(frozen=True, slots=True)
class _Cluster:
    folder: Path
    programs: Programs

    @property
    def files(self) -> Path:
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"

    def run(self, program: str, *arguments: str, deadline_s: float) -> subprocess.CompletedProcess[str]:
        return self.programs.run(program, *arguments, cwd=self.folder, deadline_s=deadline_s)


def _shared_buffers() -> str:
    """A thirty-second of the machine's memory, from 128 to 512 MB: the words and vectors of 100,000 chunks have 300 MB.

    A page that is not there comes from the system's cache, which takes five times as long; one that is not used takes no
    memory.
    """
    machine_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return f"{min(512, max(128, machine_mb // 32))}MB"


# --- making the folder and the cluster -----------------------------------------------------------------


def _make_sockets(folder: Path, programs: Programs) -> None:
    """The folder of the socket, where that is not the server's own."""
    sockets = _socket_folder(folder)
    if sockets == folder:
        return
    sockets.mkdir(mode=0o700, exist_ok=True)
    if sockets.lstat().st_uid not in {programs.owner, os.geteuid()}:
        raise OperatorError(f"'{sockets}' belongs to another user; remove it, or move the data folder up")
    if programs.account is not None:
        os.chown(sockets, programs.account.pw_uid, programs.account.pw_gid)


def _make(cluster: _Cluster) -> None:
    version_file = cluster.files / "PG_VERSION"
    if version_file.is_file():
        _require_version(cluster, version_file.read_text(encoding="ascii").strip())
        return
    # initdb writes PG_VERSION first, so a half-made cluster looks whole: make it beside, then rename
    draft = cluster.folder / "data.partial"
    shutil.rmtree(draft, ignore_errors=True)
    done = cluster.run(
        "initdb",
        f"--pgdata={draft.name}",
        f"--username={_SUPERUSER}",
        "--auth=trust",  # the socket is in a folder that only this account may enter
        "--encoding=UTF8",
        "--locale-provider=builtin",  # sorts by code point everywhere, whatever the machine has installed
        "--locale=C.UTF-8",
        "--no-instructions",
        deadline_s=START_DEADLINE_S,
    )
    if done.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise _failure(cluster.folder, "cannot be made", done.stdout)
    draft.rename(cluster.files)
    log.info("embedded database made", extra={"folder": str(cluster.folder)})


def _require_version(cluster: _Cluster, made_by: str) -> None:
    done = cluster.run("postgres", "--version", deadline_s=START_DEADLINE_S)
    installed = done.stdout.split()[-1].split(".")[0] if done.stdout.split() else "?"
    if made_by != installed:
        raise DatabaseUnavailableError(
            f"the database in '{cluster.folder}' was made by PostgreSQL {made_by} and the installed package "
            f"brings {installed}; install the package it was made with, export it with pg_dump, import it anew"
        )


# --- starting and stopping -----------------------------------------------------------------------------


def _ensure_running(cluster: _Cluster, options: Mapping[str, str]) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while (state := _state(cluster)) == "starting" and time.monotonic() < deadline:
        time.sleep(0.05)
    if state == "ready":
        return
    if state == "starting":
        raise _failure(cluster.folder, f"is still starting after {START_DEADLINE_S:.0f} s", "")
    _retire_stale_locks(cluster)
    said_before = _shorten_log(cluster)
    # both relative to the folder: pg_ctl puts them into a shell's command line as they are
    arguments = [f"--pgdata={cluster.files.name}", f"--log={cluster.log_file.name}", "--wait", "--silent"]
    arguments += [f"--timeout={START_DEADLINE_S:.0f}", f"--options={_shell_words(cluster.folder, options)}"]
    done = cluster.run("pg_ctl", "start", *arguments, deadline_s=START_DEADLINE_S + 10)
    if done.returncode != 0 or _state(cluster) != "ready":
        raise _failure(cluster.folder, "does not start", done.stdout + _log_since(cluster, said_before))


def _stop_if_unused(users: int, cluster: _Cluster) -> None:
    """Stop the server unless another process holds ``users.lock`` too; in a turn."""
    if try_lock(users, "exclusive"):
        _stop(cluster)


def _stop(cluster: _Cluster) -> None:
    if not (cluster.files / "postmaster.pid").exists():
        return
    arguments = [
        f"--pgdata={cluster.files.name}",
        "--mode=fast",
        "--wait",
        f"--timeout={_STOP_DEADLINE_S:.0f}",
    ]
    done = cluster.run("pg_ctl", "stop", *arguments, deadline_s=_STOP_DEADLINE_S + 10)
    if done.returncode != 0:
        log.warning("embedded database did not stop", extra={"said": done.stdout.strip()})
    sockets = _socket_folder(cluster.folder)
    if sockets != cluster.folder:
        shutil.rmtree(sockets, ignore_errors=True)


def _state(cluster: _Cluster) -> Literal["ready", "starting", "stopped"]:
    """Ask the socket, not ``postmaster.pid``: that file outlives its process, whose number is given again."""
    try:
        _connect(cluster.folder, "postgres").close()
    except psycopg.OperationalError as exc:
        if "the database system is" in str(exc):  # starting up, in recovery, shutting down
            return "starting"
        return "starting" if _postmaster_lives(cluster) else "stopped"
    return "ready"


def _postmaster_lives(cluster: _Cluster) -> bool:
    pid = _pid_in(cluster.files / "postmaster.pid")
    return pid is not None and _is_postmaster(pid, cluster.folder)


def _is_postmaster(pid: int, folder: Path) -> bool:
    command = _command_of(pid)
    return Path(command[0]).name == "postgres" and _socket_option(folder) in command if command else False


def _command_of(pid: int) -> Sequence[str]:
    """The words of a process's command line; none for a process that is gone or a zombie."""
    if Path("/proc/self/cmdline").exists():
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return [os.fsdecode(word) for word in words if word]
        return []
    listing = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    said = subprocess.run(listing, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    return said.stdout.split()


def _pid_in(file: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        return int(file.read_text(encoding="utf-8").splitlines()[0])
    return None


def _retire_stale_locks(cluster: _Cluster) -> None:
    """Make PostgreSQL see that a lock file's process, whose number another program has now, is gone.

    ``postmaster.pid`` is changed, not removed: the shared memory key in it is how PostgreSQL finds out that
    orphaned backends of the dead server still write, and refuses to start until they are gone.
    """
    file = cluster.files / "postmaster.pid"
    pid = _pid_in(file)
    if pid is None:
        file.unlink(missing_ok=True)  # not there, or empty: its writer died before the first byte
    elif Path(f"/proc/{pid}").exists() or _command_of(pid):
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        file.write_text("".join([f"{_NO_SUCH_PID}\n", *lines[1:]]), encoding="utf-8")
        log.warning("stale database lock retired", extra={"folder": str(cluster.folder), "pid": pid})
    (_socket_folder(cluster.folder) / f".s.PGSQL.{_PORT}.lock").unlink(missing_ok=True)


def _shell_words(folder: Path, options: Mapping[str, str]) -> str:
    """The options as ``pg_ctl`` wants them: it hands them to a shell."""
    settings = [_socket_option(folder), *(f"{name}={value}" for name, value in options.items())]
    return shlex.join(word for setting in settings for word in ("-c", setting))


def _socket_option(folder: Path) -> str:
    quoted = str(_socket_folder(folder)).replace('"', '""')
    return f'unix_socket_directories="{quoted}"'


def _socket_folder(folder: Path) -> Path:
    """Where the server's socket lies: in its folder, or a private one below /tmp when that path is too long."""
    if len(os.fsencode(folder / f".s.PGSQL.{_PORT}.lock")) <= _LONGEST_SOCKET_PATH:
        return folder
    return Path(tempfile.gettempdir()) / f"causeway-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"


def _connect(folder: Path, database: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host=str(_socket_folder(folder)),
        port=_PORT,
        user=_SUPERUSER,
        dbname=database,
        connect_timeout=10,
        autocommit=True,
    )


def _ensure_database(folder: Path) -> None:
    with _connect(folder, "postgres") as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _shorten_log(cluster: _Cluster) -> int:
    """Put a long log aside; the size of what is left."""
    try:
        size = cluster.log_file.stat().st_size
    except FileNotFoundError:
        return 0
    if size <= _LOG_LIMIT_BYTES:
        return size
    cluster.log_file.replace(cluster.log_file.with_suffix(".log.old"))
    return 0


def _log_since(cluster: _Cluster, position: int) -> str:
    with suppress(OSError):
        return cluster.log_file.read_bytes()[position:].decode(errors="replace")
    return ""


# --- locks and failures ----------------------------------------------------------------------------------


@contextmanager
def _turn(folder: Path, deadline_s: float) -> Iterator[None]:
    """Hold ``turn.lock``: one process at a time starts or stops the server."""
    descriptor = os.open(folder / "turn.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + deadline_s
    try:
        while not try_lock(descriptor, "exclusive"):
            if time.monotonic() > deadline:
                raise DatabaseUnavailableError(
                    f"another process has been starting or stopping the database in '{folder}' for "
                    f"{deadline_s:.0f} s; see its log, or end it, then start again"
                )
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _failure(folder, "has no room", str(exc)) from exc
        raise OperatorError(
            f"the database's folder '{folder}' cannot be used ({exc.strerror}: '{exc.filename}'); "
            "set CAUSEWAY_STORAGE__DIR to a folder that you may write to"
        ) from exc
    except subprocess.TimeoutExpired as exc:
        raise DatabaseUnavailableError(
            f"PostgreSQL in '{folder}' did not finish '{exc.cmd[1]}' within {exc.timeout:.0f} s; "
            "see server.log in that folder and start again"
        ) from exc
    except psycopg.Error as exc:
        raise _failure(folder, "cannot be used", str(exc)) from exc


def _failure(folder: Path, what: str, said: str) -> OperatorError:
    if os.strerror(errno.ENOSPC) in said or os.strerror(errno.EDQUOT) in said:
        return DiskFullError(
            f"no room left for the database in '{folder}'; free some or set CAUSEWAY_STORAGE__DIR to a "
            "folder on another disk"
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reasons = [line for line in lines if "FATAL" in line or "PANIC" in line or "error" in line.lower()]
    reason = (reasons or lines or ["it gave no reason"])[-1]
    return DatabaseUnavailableError(
        f"the embedded PostgreSQL in '{folder}' {what}: {reason}; see server.log there"
    )
