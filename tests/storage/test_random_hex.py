from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import sleep

import pytest

from causeway.contracts.clock import SystemClock
from causeway.storage.random_hex import random_hex, time_ordered_hex

_FORK = """
import os
from causeway.storage.random_hex import random_hex, time_ordered_hex
random_hex(), time_ordered_hex()
near, far = os.pipe()
if not os.fork():
    os.write(far, f"{random_hex()} {time_ordered_hex()}".encode())
    os._exit(0)
os.wait()
told = os.read(near, 65).decode()
print(random_hex() in told or time_ordered_hex() in told)
"""


@pytest.mark.parametrize("make", [random_hex, time_ordered_hex])
def test_ids_are_128_bits_in_hexadecimal_and_none_comes_twice(make: Callable[[], str]) -> None:
    ids = [make() for _ in range(2_000)]
    assert len(set(ids)) == 2_000
    assert {len(bytes.fromhex(one)) for one in ids} == {16}


def test_ids_by_time_sort_behind_those_that_were_fetched_before() -> None:
    before = time_ordered_hex()
    sleep(0.002)
    later = [time_ordered_hex() for _ in range(600)][-1]
    assert before < later
    told = datetime.fromtimestamp(int(later[:12], 16) / 1000, UTC)
    assert abs(told - SystemClock().now()) < timedelta(minutes=5)


def test_a_process_that_forks_shares_no_ids_with_its_child() -> None:
    done = subprocess.run([sys.executable, "-c", _FORK], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
