"""How a reader that stands ready asks for another one, to have it read a part of its file meanwhile."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO

LONGEST_REQUEST_BYTES = 65_536
GIVEN, NONE_FREE = b"given", b"none"
"""What a reader hears that asked for a helper: it is given the helper's channel, or there is none."""

_ASK = b"help"


class Helper:
    """The other reader, as the one sees it that has the file."""

    def __init__(self, channel: socket.socket, request: Mapping[str, Any]) -> None:
        """``request`` is the reader's own, whose limits are the helper's, too."""
        self._channel = channel
        self._request = request

    def close(self) -> None:
        """All is said: others may have the core."""
        self._channel.close()

    def begin(self, file: int, pages: int, deck: int) -> BinaryIO | None:
        """Have it read pages of an open PDF that has so many, as `in_two.deal` deals them.

        Where its answer comes, pickled; None when nobody is free.
        """
        try:
            self._channel.send(_ASK)
            said, descriptors, _, _ = socket.recv_fds(self._channel, len(GIVEN), 1)
        except OSError:
            return None
        if said != GIVEN or not descriptors:
            return None
        read_end, write_end = os.pipe()
        request = {**self._request, "pages": pages}
        with (
            socket.socket(fileno=descriptors[0]) as helper,
            suppress(OSError),
        ):  # it was killed: it will say nothing
            socket.send_fds(helper, [json.dumps(request).encode()], [write_end, file, deck])
        os.close(write_end)
        return os.fdopen(read_end, "rb")
