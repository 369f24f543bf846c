"""Serves the scripted Causeway to whoever works on the pages: ``python -m tests.web.demo [PORT]``; the key is cw-admin."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import uvicorn

from causeway.web.app import build_app
from tests.web.scripted import scripted


def main() -> None:
    """Serve until stopped."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8099
    is_loaded = "--empty" not in sys.argv
    with tempfile.TemporaryDirectory() as folder:
        app = build_app(scripted(Path(folder), is_loaded=is_loaded, pause_s=0.02).parts)
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main()
