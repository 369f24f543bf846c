"""Pictures made by a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from causeway.contracts.chat import Usage
from causeway.contracts.money import Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """What to draw.

    Attributes:
        size: Width and height in pixels as ``1024x1024``; None leaves it to the model.
        count: How many pictures, at least one.
        options: Further parameters of OpenAI's images API, passed to the provider untouched.
    """

    model: str
    prompt: str
    size: str | None = None
    count: int = 1
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One picture: its bytes in base64, or a URL where the provider keeps it for a while."""

    base64: str | None = None
    url: str | None = None
    revised_prompt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The pictures of one call. ``model`` is the model's own name."""

    images: tuple[Image, ...]
    model: str
    usage: Usage
    cost_micros: Micros = Micros(0)  # noqa: RUF009 - an int, immutable
    headers: Mapping[str, str] = field(default_factory=dict)
