from __future__ import annotations

import pytest

from causeway import seams
from causeway.errors import MissingCapabilityError


def test_a_library_is_loaded_by_name() -> None:
    assert seams.library("json").dumps({}) == "{}"


def test_one_that_is_missing_names_the_extra_that_brings_it() -> None:
    with pytest.raises(MissingCapabilityError, match=r"no_such_library.*pip install 'causeway\[ner\]'"):
        seams.library("no_such_library", extra="ner")
