"""The values that a span's attributes may have: text, truth, numbers; anything else is kept as JSON."""

from __future__ import annotations

import json

import msgspec

Attribute = str | bool | int | float

_encoder = msgspec.json.Encoder(enc_hook=str)


def attribute(value: object) -> Attribute:
    """``value`` as an attribute."""
    return value if isinstance(value, str | bool | int | float) else as_json(value)


def as_json(value: object) -> str:
    """``value`` as JSON, whatever it is made of."""
    try:
        return _encoder.encode(value).decode()
    except UnicodeEncodeError:  # half of a surrogate pair, which documents have and UTF-8 has not
        return json.dumps(value, ensure_ascii=False, default=str)
