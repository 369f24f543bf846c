"""OpenAI's pictures: https://platform.openai.com/docs/api-reference/images/create."""

from __future__ import annotations

from typing import Annotated

import msgspec

from causeway.contracts.images import ImageRequest, Images
from causeway.errors import InvalidInputError
from causeway.gateway.request_body import ModelName, read_as, read_object

_MOST_PICTURES = 10  # OpenAI's bound


class _ImagesBody(msgspec.Struct):
    model: ModelName
    prompt: str
    n: Annotated[int, msgspec.Meta(ge=1, le=_MOST_PICTURES)] | None = None
    size: str | None = None
    stream: bool | None = None


_READ = frozenset(_ImagesBody.__struct_fields__)


def read_images(body: bytes) -> ImageRequest:
    """A ``/v1/images/generations`` body.

    Raises:
        InvalidInputError: It is not JSON of that shape, has no prompt, or asks for a stream.
    """
    raw = read_object(body)
    parsed = read_as(_ImagesBody, raw)
    if not parsed.prompt.strip():
        msg = "'prompt' is empty; say what to draw"
        raise InvalidInputError(msg)
    if parsed.stream:
        msg = "'stream' is not offered for pictures; leave it out"
        raise InvalidInputError(msg)
    return ImageRequest(
        model=parsed.model,
        prompt=parsed.prompt,
        size=parsed.size,
        count=parsed.n or 1,
        options={name: value for name, value in raw.items() if name not in _READ},
    )


def image_list(images: Images, *, created: int) -> bytes:
    """The pictures of one call."""
    data = [
        {
            name: value
            for name, value in (
                ("b64_json", image.base64),
                ("url", image.url),
                ("revised_prompt", image.revised_prompt),
            )
            if value is not None
        }
        for image in images.images
    ]
    usage = {
        "input_tokens": images.usage.input_tokens,
        "output_tokens": images.usage.output_tokens,
        "total_tokens": images.usage.total_tokens,
        "input_tokens_details": {"text_tokens": images.usage.input_tokens, "image_tokens": 0},
    }
    return msgspec.json.encode({"created": created, "data": data, "usage": usage})
