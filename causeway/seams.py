"""Loads code by name: heavy libraries when they are first needed, so that a process that never needs them stays small.

A gateway without local models keeps 20 MB less by not loading onnxruntime, and 15 by not loading numpy.

numpy computes in the thread that asks. Its OpenBLAS would split a product of 50 by 384 numbers among all cores and then spin
on them for tens of milliseconds: 65 ms of processor for each search, which others waited for (``bench/search_scale.py``).
"""

from __future__ import annotations

import importlib
import os
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
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read once, when the library is loaded
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        remedy = f"pip install 'causeway[{extra}]'" if extra else "install Causeway's pinned packages again"
        raise MissingCapabilityError(f"the package '{name}' cannot be loaded ({exc}); {remedy}") from exc


class Deferred:
    """A module that is loaded when something of it is first used; made by `deferred`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(library(self._name), attribute)
        setattr(self, attribute, found)
        return found


def deferred(name: str) -> Any:
    """The module ``name``, imported when something of it is first used.

    For a library that a module may never need, without an import in each of its functions; type checkers are told with
    ``if TYPE_CHECKING:`` what it really is.
    """
    return Deferred(name)
