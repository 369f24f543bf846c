"""A folder at work beside the real commands, with a kill -9: the short form of ``python -m bench.soak``."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from bench.soak import Plan, soak

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


async def test_index_and_folder_are_equal_after_work_renames_and_a_kill() -> None:
    plan = Plan(operations=160, kills=1, checkpoints=2, seed=5, pause_s=0.005, is_scripted=True)
    # Not under pytest's folder: run as root, pytest closes that to the user whom PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="causeway-soak-", ignore_cleanup_errors=True) as folder:
        result = await soak(plan, Path(folder))
    assert {when: found for when, found in result.problems.items() if found} == {}
    assert result.lost == []
    assert result.ended == []
    assert result.renamed > 5
    assert result.searched > 20
    assert len(result.kills) == 1
    assert result.blobs == result.blobs_needed
