"""How often garbage is looked for while files are read: rarely, since readers make next to none and many objects that stay.

As often as Python does it by itself, it is a tenth to a sixth of reading a long PDF.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

RARELY = (20_000, 20, 50)
"""`gc.set_threshold`'s numbers."""


@contextmanager
def looked_for_rarely() -> Iterator[None]:
    """Meanwhile, unless it is looked for as rarely already, or never."""
    before = gc.get_threshold()
    if not 0 < before[0] < RARELY[0]:
        yield
        return
    gc.set_threshold(*RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*before)
