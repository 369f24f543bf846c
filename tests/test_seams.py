from __future__ import annotations

import subprocess
import sys

import pytest

from causeway import seams
from causeway.errors import MissingCapabilityError


def test_a_library_is_loaded_by_name() -> None:
    assert seams.library("json").dumps({}) == "{}"


def test_one_that_is_missing_names_the_extra_that_brings_it() -> None:
    with pytest.raises(MissingCapabilityError, match=r"no_such_library.*pip install 'causeway\[ner\]'"):
        seams.library("no_such_library", extra="ner")


_THREADS_AFTER_A_PRODUCT = """
from pathlib import Path
from causeway.seams import deferred
np = deferred("numpy")
many = np.ones((600, 600))
assert (many @ many)[0, 0] == 600
print(len(list(Path("/proc/self/task").iterdir())))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_numpy_computes_in_the_thread_that_asks() -> None:
    told = subprocess.run(
        [sys.executable, "-c", _THREADS_AFTER_A_PRODUCT], check=True, capture_output=True, text=True, env={}
    )
    assert told.stdout.strip() == "1"
