"""The models that can be called, in each vendor's shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

_LONG_AGO = "1970-01-01T00:00:00Z"
"""When each was made; a gateway does not know, and both shapes demand a date."""


def openai_models(names: Sequence[str]) -> bytes:
    """Every model: https://platform.openai.com/docs/api-reference/models/list."""
    return msgspec.json.encode({"object": "list", "data": [_openai_fields(name) for name in names]})


def openai_model(name: str) -> bytes:
    """One model."""
    return msgspec.json.encode(_openai_fields(name))


def _openai_fields(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "causeway"}


def anthropic_models(names: Sequence[str]) -> bytes:
    """Every model, on one page: https://docs.anthropic.com/en/api/models-list."""
    return msgspec.json.encode(
        {
            "data": [_anthropic_fields(name) for name in names],
            "has_more": False,
            "first_id": names[0] if names else None,
            "last_id": names[-1] if names else None,
        }
    )


def anthropic_model(name: str) -> bytes:
    """One model."""
    return msgspec.json.encode(_anthropic_fields(name))


def _anthropic_fields(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": _LONG_AGO}
