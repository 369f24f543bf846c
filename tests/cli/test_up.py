from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from causeway.settings import child_environment
from causeway.storage.data_folder import DataFolder


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def causeway(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**child_environment(), "CAUSEWAY_STORAGE__DIR": str(data)}
    command = [sys.executable, "-m", "causeway", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize("command", ["up", "serve"])
def test_a_port_that_another_program_has_is_one_sentence_with_the_remedy(
    tmp_path: Path, port: int, command: str
) -> None:
    ended = causeway(tmp_path, command, "--port", str(port))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert (
        ended.stderr == f"causeway: port {port} is in use; stop that program or choose another with --port\n"
    )


def test_a_second_start_on_a_folder_says_where_the_first_one_is(tmp_path: Path, port: int) -> None:
    folder = DataFolder(tmp_path)
    with folder.claim():
        folder.announce(f"http://127.0.0.1:{port}")
        ended = causeway(tmp_path, "up", "--port", str(port))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    assert f"at http://127.0.0.1:{port} already works on the data folder" in ended.stderr
