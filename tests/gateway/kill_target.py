"""A process for test_kill.py to kill: makes calls without end, some of them under way at any time, and tells each.

``o <id>`` when a call's opening has been written down, ``c <id>`` when its entry has.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from pathlib import Path

from pydantic import SecretStr

from causeway.gateway.ledger import new_call_id, open_ledger
from causeway.settings import DatabaseSettings
from causeway.storage.database import open_database
from tests.gateway.calls import an_entry, an_opening

UNDER_WAY = 8


def tell(word: str) -> None:
    os.write(1, f"{word}\n".encode())


async def main(url: str, folder: Path) -> None:
    database = await open_database(DatabaseSettings(url=SecretStr(url)), folder)
    async with open_ledger(database, folder, flush_s=0.02) as ledger:
        under_way: deque[str] = deque()
        while True:
            call = new_call_id()
            ledger.opened(an_opening(call))
            tell(f"o {call}")
            under_way.append(call)
            if len(under_way) > UNDER_WAY:
                call = under_way.popleft()
                ledger.closed(an_entry(call))
                tell(f"c {call}")
            await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
