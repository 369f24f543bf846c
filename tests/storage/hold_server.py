"""A process for test_embedded_postgres.py: holds the server of a folder until its standard input ends."""

from __future__ import annotations

import sys
from pathlib import Path

from causeway.storage import embedded_postgres


def main(folder: Path) -> None:
    server = embedded_postgres.start(folder)
    sys.stdout.write((folder / "data" / "postmaster.pid").read_text().splitlines()[0] + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
