"""The sample company's documents, laid out in the data folder: a place that stays the same when Causeway is installed anew.

A document is known by its folder and path (ADR 16), so samples read from inside an installation would come again, as
copies, with every installation at another path.
"""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path


def lay_out(samples: Path, folder: Path) -> Path:
    """Make ``folder`` hold what ``samples`` does and nothing else; returns it. What is equal is left alone."""
    wanted = {each.relative_to(samples) for each in samples.rglob("*") if each.is_file()}
    for name in sorted(wanted):
        source, copy = samples / name, folder / name
        if copy.is_file() and filecmp.cmp(source, copy, shallow=True):
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        partial = copy.with_name(f".{copy.name}.partial")
        shutil.copy2(source, partial)
        partial.replace(copy)
    for each in list(folder.rglob("*")):
        if each.is_file() and each.relative_to(folder) not in wanted:
            each.unlink()
    return folder
