from __future__ import annotations

import pytest

from causeway.testing.shared_state_contract import CHECKS, Bench, Check


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_state_keeps_the_contract(check: Check, shared_state: Bench) -> None:
    await check(shared_state)
