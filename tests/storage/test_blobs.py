from __future__ import annotations

import asyncio
import errno
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from causeway.errors import DiskFullError, NotFoundError, OperatorError
from causeway.storage.blobs import BlobRef, Blobs

HELLO = hashlib.sha256(b"hello").hexdigest()


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_bytes_lie_under_their_sha256(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    ref = await blobs.put_bytes(b"hello")

    assert (ref.sha256, ref.size_bytes) == (HELLO, 5)
    assert blobs.path(HELLO).read_bytes() == b"hello"
    assert files(tmp_path) == [f"{HELLO[:2]}/{HELLO[2:4]}/{HELLO}"]


async def test_large_file_is_stored_and_its_source_left_alone(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 20_000)
    ref = await Blobs(tmp_path / "blobs").put(source)

    assert ref.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert ref.size_bytes == source.stat().st_size


async def test_same_bytes_put_at_once_are_stored_once(tmp_path: Path) -> None:
    blobs = [Blobs(tmp_path) for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        for n in range(30):
            group.create_task(blobs[n % 3].put_bytes(b"hello"))

    assert files(tmp_path) == [f"{HELLO[:2]}/{HELLO[2:4]}/{HELLO}"]
    assert blobs[0].path(HELLO).read_bytes() == b"hello"


async def test_deleted_blob_is_gone_and_may_be_deleted_again(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    await blobs.put_bytes(b"hello")
    await blobs.delete(HELLO)
    await blobs.delete(HELLO)

    with pytest.raises(NotFoundError, match=HELLO):
        blobs.path(HELLO)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", HELLO.upper(), HELLO[:-1], HELLO + "\n"])
def test_name_that_is_no_sha256_reaches_no_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Blobs(tmp_path).path(name)


async def test_a_draft_becomes_a_blob_when_it_is_kept_and_only_then(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    async with blobs.draft() as draft:
        await draft.write(b"hel")
        await draft.write(b"lo")
        with pytest.raises(NotFoundError):
            blobs.path(HELLO)
        assert await draft.keep() == BlobRef(HELLO, 5)
        assert await draft.keep() == BlobRef(HELLO, 5)
    assert blobs.path(HELLO).read_bytes() == b"hello"
    assert len(files(tmp_path)) == 1


async def test_a_draft_that_is_not_kept_leaves_nothing(tmp_path: Path) -> None:
    async with Blobs(tmp_path).draft() as draft:
        await draft.write(b"hello")
    assert files(tmp_path) == []


async def test_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFullError, match="CAUSEWAY_STORAGE__DIR"):
        await Blobs(tmp_path, sync=full).put_bytes(b"hello")
    assert files(tmp_path) == []


async def test_what_is_kept_for_the_database_is_not_used_for_files(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"hello")
    blobs = Blobs(tmp_path / "blobs", reserve_bytes=1 << 60)
    with pytest.raises(DiskFullError, match="free some"):
        await blobs.put(source)
    async with blobs.draft() as draft:
        with pytest.raises(DiskFullError, match="kept for the database"):
            await draft.write(b"hello")
    assert files(tmp_path / "blobs") == []


async def test_source_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="No such file"):
        await Blobs(tmp_path / "blobs").put(tmp_path / "nothing")


async def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path: Path,
) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from causeway.storage.blobs import Blobs\n"
        "def hang(descriptor):\n"
        "    print('writing', flush=True)\n"
        "    sys.stdin.read()\n"
        "asyncio.run(Blobs(Path(sys.argv[1]), sync=hang).put_bytes(b'half'))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220
        assert process.stdout is not None
        process.stdout.readline()
        Blobs(tmp_path)
        assert len(files(tmp_path)) == 1
        process.kill()
    Blobs(tmp_path)
    assert files(tmp_path) == []
