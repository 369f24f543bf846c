from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from causeway.errors import DatabaseUnavailableError, DiskFullError
from causeway.storage.database_failures import explained
from causeway.storage.free_space import RESERVE_BYTES, free_bytes, require_room


def test_what_fits_beside_the_reserve_is_let_through_and_no_more(tmp_path: Path) -> None:
    free = free_bytes(tmp_path)
    assert free is not None
    require_room(tmp_path, 1, reserve_bytes=free // 2)
    with pytest.raises(DiskFullError, match=f"'{tmp_path}'.*free some.*CAUSEWAY_STORAGE__DIR"):
        require_room(tmp_path, free * 2, reserve_bytes=RESERVE_BYTES)


def test_free_space_is_what_the_system_says(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)


def test_a_server_that_is_away_on_a_disk_with_room_is_not_called_full(tmp_path: Path) -> None:
    url = make_url(f"postgresql+psycopg://postgres@/causeway?host={tmp_path}")
    with pytest.raises(DatabaseUnavailableError, match="start Causeway again"), explained(url):
        raise OperationalError(None, None, ConnectionRefusedError())
