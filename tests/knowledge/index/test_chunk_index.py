from __future__ import annotations

import pytest

from causeway.testing.chunk_index_contract import CHECKS, Bench, Check


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_index_keeps_the_contract(check: Check, bench: Bench) -> None:
    await check(bench)
