from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from causeway.errors import AlreadyRunningError, OperatorError
from causeway.storage.data_folder import DataFolder, Owner

HOLD = (
    "import sys\n"
    "from pathlib import Path\n"
    "from causeway.storage.data_folder import DataFolder\n"
    "folder = DataFolder(Path(sys.argv[1]))\n"
    "with folder.claim():\n"
    "    folder.announce('http://127.0.0.1:8080')\n"
    "    print('claimed', flush=True)\n"
    "    sys.stdin.read()\n"
)


def holder(root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(root)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    return process


def test_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "a" / "b")
    assert folder.root.stat().st_mode & 0o077 == 0
    assert folder.blobs.is_dir()
    assert folder.postgres == folder.root / "postgres"


def test_second_claim_names_the_pid_and_address_of_the_first(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        expected = (
            rf"pid {first.pid} at http://127\.0\.0\.1:8080 .*'{re.escape(str(tmp_path))}'.*STORAGE__DIR"
        )
        with pytest.raises(AlreadyRunningError, match=expected), DataFolder(tmp_path).claim():
            pass
        with DataFolder(tmp_path).try_claim() as is_claimed:
            assert not is_claimed
        assert DataFolder(tmp_path).owner() == Owner(first.pid, "http://127.0.0.1:8080")
        first.communicate()
    with DataFolder(tmp_path).claim():
        pass


def test_claim_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        first.kill()
    folder = DataFolder(tmp_path)
    assert folder.owner() is None
    with folder.try_claim() as is_claimed:
        assert is_claimed
        assert DataFolder(tmp_path).owner() == Owner(os.getpid(), "")


def test_claim_counts_within_one_process_too(tmp_path: Path) -> None:
    with DataFolder(tmp_path).claim():
        with pytest.raises(AlreadyRunningError), DataFolder(tmp_path).claim():
            pass
        assert DataFolder(tmp_path).owner() is not None


def test_only_the_process_with_the_claim_announces_an_address(tmp_path: Path) -> None:
    other = DataFolder(tmp_path)
    with DataFolder(tmp_path).claim():
        other.announce("http://127.0.0.1:8080")
        owner = other.owner()
    assert owner is not None
    assert owner.address == ""


def test_executor_id_stays_and_differs_between_folders(tmp_path: Path) -> None:
    first = DataFolder(tmp_path / "a").executor_id
    assert DataFolder(tmp_path / "a").executor_id == first
    assert DataFolder(tmp_path / "b").executor_id != first
    assert first.startswith("exe_")


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match=r"cannot be used .*CAUSEWAY_STORAGE__DIR"):
        DataFolder(tmp_path / "file" / "folder")
