"""Where a model's files lie, and whether they are the ones the catalogue names.

``MODELS_DIR/<sha256 of the weights>/<file name>``. Hashing a gigabyte takes a second or more, so a file that was
found right is remembered with its size and modification time in ``verified.json`` beside it; one that changed
since then is hashed again.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from causeway.models.catalog import Catalog, ModelCard, ModelFile

_MARKER = "verified.json"


class _Verified(msgspec.Struct, frozen=True):
    sha256: str
    size_bytes: int
    mtime_ns: int


def model_folder(card: ModelCard, models_dir: Path) -> Path:
    """Where ``card``'s files are once they are fetched."""
    return models_dir / card.weights.sha256


def is_pulled(card: ModelCard, models_dir: Path) -> bool:
    """Whether every file of ``card`` is there and is the one the catalogue names: some 0.1 ms, unless one changed."""
    folder = model_folder(card, models_dir)
    return all(is_verified(file, folder) for file in card.files)


def missing(names: Iterable[str], catalog: Catalog, models_dir: Path) -> list[ModelCard]:
    """Those models among ``names`` that the catalogue has and this machine lacks, each once."""
    cards = [catalog.get(name) for name in dict.fromkeys(names) if name in catalog]
    return [card for card in cards if not is_pulled(card, models_dir)]


def is_verified(file: ModelFile, folder: Path) -> bool:
    """Whether ``folder`` has ``file`` with the right hash; hashes it when it changed since it was last looked at."""
    try:
        found = (folder / file.name).stat()
    except OSError:
        return False
    if found.st_size != file.size_bytes:
        return False
    seen = _Verified(file.sha256, found.st_size, found.st_mtime_ns)
    if _remembered(folder).get(file.name) == seen:
        return True
    if file_sha256(folder / file.name) != file.sha256:
        return False
    with contextlib.suppress(PermissionError):  # a folder shared read-only is hashed each time
        remember(file, folder)
    return True


def file_sha256(path: Path) -> str:
    """The hash of a file's bytes, hex; blocks for as long as it takes to read them."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def remember(file: ModelFile, folder: Path) -> None:
    """Note that ``folder``'s ``file`` was just found to have the right hash."""
    found = (folder / file.name).stat()
    seen = {**_remembered(folder), file.name: _Verified(file.sha256, found.st_size, found.st_mtime_ns)}
    fresh = folder / f"{_MARKER}.new"
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(seen)))
    fresh.replace(folder / _MARKER)


def _remembered(folder: Path) -> dict[str, _Verified]:
    try:
        return msgspec.json.decode((folder / _MARKER).read_bytes(), type=dict[str, _Verified])
    except (OSError, msgspec.DecodeError):
        return {}
