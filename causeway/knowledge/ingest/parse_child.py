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
import time
import traceback
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from causeway.errors import EmptyDocumentError, UnreadableDocumentError
from causeway.knowledge.document import Block, ParsedDocument

if TYPE_CHECKING:
    from causeway.knowledge.ingest.helper import Helper

END = b"\n"
"""Behind an answer that is whole."""
_TOO_MUCH_MEMORY = (
    "reading the file takes more memory than is allowed; split it, or raise knowledge.parse_memory_bytes"
)
_TOO_DEEP = "the file is nested too deeply to be read; it is damaged or made to do harm"
_SPARE_S = 10
"""The parent's deadline comes first; these limits end a child whose parent is gone."""
_END_IN_S = 0.005
_MOST_WRITTEN_BYTES = 16_000_000  # compiled Python modules, nothing else


def main(argument: str) -> None:
    """Read the file that ``argument`` names, write the answer and end the process.

    Its language is not told: what tells it takes longer to load than most files take to read, and writes more than a
    reader may.
    """
    be_ended_first()
    read({**json.loads(argument), "tells_language": False})


def as_json(answer: object) -> bytes:
    """By the standard library, which is slow, but takes no time to import."""
    return json.dumps(answer, default=_plain).encode("ascii")


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    if isinstance(value, ParsedDocument | Block):
        return {name: getattr(value, name) for name in value.__slots__}
    raise TypeError(value)


def read(
    request: Mapping[str, Any],
    helper: Helper | None = None,
    encode: Callable[[object], bytes] = as_json,
) -> None:
    """Limit this process, read the file that ``request`` names, write the answer and end the process.

    Args:
        request: What `sandbox.request_of` says of the file.
        helper: The other process that may read a part of the file.
        encode: What writes the answer, as JSON.
    """
    limits = limit(request)
    output = _own_output()
    output.write(encode(_answer(request, output, limits, helper)))
    output.write(END)
    output.close()
    if helper is not None:  # all is said: who waits need not wait for the end of this process
        os.close(sys.stderr.fileno())
        helper.close()
        let_others_first()
    # Not the normal exit: the readers' libraries have nothing to save, and some crash when they are taken down.
    os._exit(0)


def let_others_first() -> None:
    """Sleep a little: whoever was waiting for this process wakes on its core, and would wait until its memory is taken down."""
    time.sleep(_END_IN_S)


def be_ended_first() -> None:
    """When memory runs out, it is this process that the kernel ends."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(b"900")


def limit(request: Mapping[str, Any]) -> Limits:
    """Limit this process to what ``request`` allows."""
    limits = Limits(request)
    limits.set()
    return limits


class Limits:
    """What this process allows itself."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._memory_bytes = int(request["memory_bytes"])
        self._most_s = int(request["timeout_s"]) + _SPARE_S
        self._page_s = int(request["page_timeout_s"]) + 1
        self._threads = int(request["threads"])

    def set(self) -> None:
        """From now on they hold."""
        resource.setrlimit(resource.RLIMIT_AS, (self._memory_bytes, self._memory_bytes))
        self._set_time()
        resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_WRITTEN_BYTES, _MOST_WRITTEN_BYTES))
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def allow_a_page(self) -> None:
        """A page was read from its picture: the next may take as long again."""
        self._most_s += self._page_s
        self._set_time()

    def _set_time(self) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (self._most_s * self._threads, most))
        signal.alarm(self._most_s)


def _own_output() -> BinaryIO:
    """Standard output for the answer alone; whoever else writes there from now on writes to nothing."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
    return output


def _answer(
    request: Mapping[str, Any], output: BinaryIO, limits: Limits, helper: Helper | None
) -> dict[str, object]:
    # Only now: with the limits in place.
    from causeway.knowledge.ingest.parser import parse_file  # noqa: PLC0415
    from causeway.knowledge.ingest.reading import Reading  # noqa: PLC0415

    def on_page() -> None:
        """An empty line before the answer is a sign of life: the parent waits longer for a long scan."""
        limits.allow_a_page()
        output.write(b"\n")
        output.flush()

    reading = Reading(
        max_pages=int(request["max_pages"]),
        languages=str(request["languages"]),
        tells_language=bool(request.get("tells_language", True)),
        page_timeout_s=float(request["page_timeout_s"]),
        threads=int(request["threads"]),
        readers=int(request["readers"]),
        on_page=on_page,
        helper=helper,
    )

    try:
        parsed = parse_file(Path(str(request["path"])), name=str(request["name"]), reading=reading)
    except UnreadableDocumentError as exc:
        return {"reason": exc.message, "is_empty": isinstance(exc, EmptyDocumentError)}
    except MemoryError:
        return {"reason": _TOO_MUCH_MEMORY}
    except RecursionError:
        return {"reason": _TOO_DEEP}
    except Exception as exc:  # noqa: BLE001 - the child's door: whatever a library throws is this file's trouble
        traceback.print_exc()
        return {"reason": f"the file cannot be read: its reader failed ({type(exc).__name__})"}
    return {"document": parsed}


if __name__ == "__main__":
    main(sys.argv[1])
