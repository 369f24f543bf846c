"""Loads code by name: heavy libraries when they are first needed, so that a process that never needs them stays small.

A gateway without local models keeps 20 MB less by not loading onnxruntime.
"""

from __future__ import annotations

import importlib
from typing import Any

from causeway.errors import MissingCapabilityError


def library(name: str, *, extra: str | None = None) -> Any:
    """The module ``name``, imported now if it was not before.

    Args:
        name: As in an import statement.
        extra: The optional group of Causeway's package that installs it; None for what is always installed.

    Raises:
        MissingCapabilityError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        remedy = f"pip install 'causeway[{extra}]'" if extra else "install Causeway's pinned packages again"
        raise MissingCapabilityError(f"the package '{name}' cannot be loaded ({exc}); {remedy}") from exc
