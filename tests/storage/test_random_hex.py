from __future__ import annotations

import subprocess
import sys

from causeway.storage.random_hex import random_hex

_FORK = """
import os
from causeway.storage.random_hex import random_hex
random_hex()
near, far = os.pipe()
if not os.fork():
    os.write(far, random_hex().encode())
    os._exit(0)
os.wait()
print(os.read(near, 32) == random_hex().encode())
"""


def test_ids_are_128_bits_in_hexadecimal_and_none_comes_twice() -> None:
    ids = [random_hex() for _ in range(2_000)]
    assert len(set(ids)) == 2_000
    assert {len(bytes.fromhex(one)) for one in ids} == {16}


def test_a_process_that_forks_shares_no_ids_with_its_child() -> None:
    done = subprocess.run([sys.executable, "-c", _FORK], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
