from __future__ import annotations

import os
from pathlib import Path

import pytest

from causeway.models.cores import usable_cores


@pytest.mark.parametrize(("quota", "expected"), [("50000 100000", 1), ("100000 100000", 1)])
def test_a_containers_quota_limits_the_cores(tmp_path: Path, quota: str, expected: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert usable_cores(file) == expected


@pytest.mark.parametrize("quota", ["max 100000", "", None])
def test_without_a_quota_every_core_that_the_process_may_use_counts(
    tmp_path: Path, quota: str | None
) -> None:
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(quota)
    assert usable_cores(file) == len(os.sched_getaffinity(0))
