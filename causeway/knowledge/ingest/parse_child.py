"""The disposable process that reads one file: `python -m causeway.knowledge.ingest.parse_child REQUEST`.

It takes the request as JSON in its one argument, limits itself before it looks at the file, and answers with one JSON
document on standard output. What libraries print cannot spoil the answer: their output goes nowhere.

Every file pays for this process's imports, so there are few: the standard `json` and the reader of the file's kind
(`bench/results/parsing.md` has what each costs).
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import ParsedDocument

_TOO_MUCH_MEMORY = (
    "reading the file takes more memory than is allowed; split it, or raise knowledge.parse_memory_bytes"
)
_TOO_DEEP = "the file is nested too deeply to be read; it is damaged or made to do harm"
_SPARE_S = 10
"""The parent's deadline comes first; these limits end a child whose parent is gone."""
_MOST_WRITTEN_BYTES = 16_000_000  # compiled Python modules, nothing else


def main(argument: str) -> None:
    """Read the file that ``argument`` names, write the answer and end the process."""
    request = json.loads(argument)
    _limit(memory_bytes=request["memory_bytes"], timeout_s=request["timeout_s"])
    output = _own_output()
    output.write(json.dumps(_answer(request, output)).encode("ascii"))
    output.flush()
    # Not the normal exit: the readers' libraries have nothing to save, and some crash when they are taken down.
    os._exit(0)


def _limit(*, memory_bytes: int, timeout_s: float) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    most_s = int(timeout_s) + _SPARE_S
    resource.setrlimit(resource.RLIMIT_CPU, (most_s, most_s))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_WRITTEN_BYTES, _MOST_WRITTEN_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(most_s)


def _own_output() -> BinaryIO:
    """Standard output for the answer alone; whoever else writes there from now on writes to nothing."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
    return output


def _answer(request: Mapping[str, Any], output: BinaryIO) -> dict[str, object]:
    # Only now: with the limits in place.
    from causeway.knowledge.ingest.parser import parse_file  # noqa: PLC0415
    from causeway.knowledge.ingest.reading import Reading  # noqa: PLC0415

    def on_page() -> None:
        """An empty line before the answer is a sign of life: the parent waits longer for a long scan."""
        output.write(b"\n")
        output.flush()

    reading = Reading(
        max_pages=int(request["max_pages"]),
        languages=str(request["languages"]),
        page_timeout_s=float(request["page_timeout_s"]),
        threads=int(request["threads"]),
        on_page=on_page,
    )

    try:
        parsed = parse_file(Path(str(request["path"])), name=str(request["name"]), reading=reading)
        return {"document": _plain(parsed)}
    except UnreadableDocumentError as exc:
        return {"reason": exc.message}
    except MemoryError:
        return {"reason": _TOO_MUCH_MEMORY}
    except RecursionError:
        return {"reason": _TOO_DEEP}
    except Exception as exc:  # noqa: BLE001 - the child's door: whatever a library throws is this file's trouble
        traceback.print_exc()
        return {"reason": f"the file cannot be read: its reader failed ({type(exc).__name__})"}


def _plain(parsed: ParsedDocument) -> dict[str, object]:
    return {
        "title": parsed.title,
        "media_type": parsed.media_type,
        "pages": parsed.pages,
        "metadata": dict(parsed.metadata),
        "blocks": [
            {
                "kind": block.kind,
                "text": block.text,
                "level": block.level,
                "page": block.page,
                "places": [
                    {"page": place.page, "x0": place.x0, "y0": place.y0, "x1": place.x1, "y1": place.y1}
                    for place in block.places
                ],
            }
            for block in parsed.blocks
        ],
    }


if __name__ == "__main__":
    main(sys.argv[1])
