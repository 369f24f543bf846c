"""Draws Vega-Lite as SVG or PNG, by vl-convert: Vega in a sandboxed engine of its own, offline.

The extra ``analyst`` brings it (84 MB). Drawing takes 50 to 300 ms of a core, the first of a process a second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from causeway.errors import InvalidInputError, MissingCapabilityError
from causeway.seams import deferred

if TYPE_CHECKING:
    import vl_convert
else:
    vl_convert = deferred("vl_convert")


def can_draw() -> bool:
    """Whether the package is installed."""
    return find_spec("vl_convert") is not None


def svg(spec: Mapping[str, Any]) -> str:
    """A picture of ``spec``; blocks, so call it in a thread.

    Raises:
        MissingCapabilityError: The extra ``analyst`` is not installed.
        InvalidInputError: Vega cannot draw it.
    """
    _require()
    try:
        return str(vl_convert.vegalite_to_svg(json.dumps(spec), allowed_base_urls=[]))
    except ValueError as exc:
        raise InvalidInputError(f"the chart cannot be drawn: {str(exc)[:200]}") from exc


def png(spec: Mapping[str, Any]) -> bytes:
    """The same as PNG, at twice its size; raises as `svg` does."""
    _require()
    try:
        return bytes(vl_convert.vegalite_to_png(json.dumps(spec), scale=2, allowed_base_urls=[]))
    except ValueError as exc:
        raise InvalidInputError(f"the chart cannot be drawn: {str(exc)[:200]}") from exc


def _require() -> None:
    if not can_draw():
        msg = "charts need the extra 'analyst': pip install 'causeway[analyst]'"
        raise MissingCapabilityError(msg)
