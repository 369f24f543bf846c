"""A model file from the web, continued where an earlier try stopped (HTTP ranges, RFC 9110 section 14).

A host that cannot be reached is given up within seconds and remembered in the caller's set, because behind a
corporate mirror the model hub never answers and the next source does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from causeway.errors import FetchError
from causeway.models.catalog import ModelFile, UrlSource
from causeway.seams import deferred

if TYPE_CHECKING:
    import aiohttp
else:
    aiohttp = deferred("aiohttp")

_CONNECT_TIMEOUT_S = 3.0
_SILENCE_TIMEOUT_S = 30.0
_FRUITLESS_TRIES = 2
_CHUNK_BYTES = 1 << 20


async def fetch_url(
    source: UrlSource,
    file: ModelFile,
    partial: Path,
    *,
    report: Callable[[int], None],
    unreachable: set[str],
) -> None:
    """Bring ``partial`` to the size of ``file``; its hash is the caller's to check.

    Args:
        source: Where from.
        file: What the catalogue expects.
        partial: Grows; kept when this fails, for the next try.
        report: Told how many bytes ``partial`` has.
        unreachable: Hosts that did not answer before; grows.

    Raises:
        FetchError: The host did not answer, or has something else.
        OSError: The file cannot be written.
    """
    host = urlsplit(source.url).hostname or source.url
    if host in unreachable:
        raise FetchError(f"{host} cannot be reached")
    timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_TIMEOUT_S, sock_read=_SILENCE_TIMEOUT_S)
    fruitless = 0
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
        while (before := _size(partial)) != file.size_bytes:
            try:
                await _append(session, source.url, file, partial, report)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
                unreachable.add(host)
                raise FetchError(f"{host} cannot be reached") from exc
            except (aiohttp.ClientError, TimeoutError) as exc:
                fruitless = 0 if _size(partial) > before else fruitless + 1
                if fruitless == _FRUITLESS_TRIES:
                    raise FetchError(f"{host} broke off: {str(exc) or type(exc).__name__}") from exc


async def _append(
    session: aiohttp.ClientSession, url: str, file: ModelFile, partial: Path, report: Callable[[int], None]
) -> None:
    have = _size(partial) if _size(partial) < file.size_bytes else 0
    # identity: a compressed answer has neither the right length nor usable ranges
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    async with session.get(url, headers=headers) as answer:
        if answer.status not in (200, 206):
            raise FetchError(f"{answer.url.host} answered {answer.status} {answer.reason}")
        continued = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(
            f"bytes {have}-"
        )
        expected = file.size_bytes - (have if continued else 0)
        if answer.content_length not in (None, expected):
            raise FetchError(
                f"{answer.url.host} has {answer.content_length} bytes where the catalogue says {expected}"
            )
        done = have if continued else 0
        with partial.open("ab" if continued else "wb") as out:
            async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                done += len(chunk)
                if done > file.size_bytes:
                    raise FetchError(
                        f"{answer.url.host} sends more than the {file.size_bytes} bytes of the file"
                    )
                await asyncio.to_thread(out.write, chunk)
                report(done)
    if done < file.size_bytes:
        raise aiohttp.ClientPayloadError(f"{done} of {file.size_bytes} bytes arrived")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
