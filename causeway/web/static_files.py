"""The pages' own files: scripts, styles, a font. Served under the digest of them all, so browsers keep them for good.

A digest in the path and not in a query lets scripts import each other by relative path and stay in step after an
upgrade, without a build step or an import map (which a strict content security policy would have to allow).
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from functools import cache, lru_cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from causeway.errors import NotFoundError

DIR = Path(__file__).parent / "static"
_TYPES = {".js": "text/javascript", ".woff2": "font/woff2", ".svg": "image/svg+xml", ".toml": "text/plain"}
_PACKED = frozenset({".js", ".css", ".svg"})
_FOR_GOOD = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


@cache
def digest() -> str:
    """The first characters of the sha256 over every file's path and bytes."""
    whole = hashlib.sha256()
    for file in sorted(path for path in DIR.rglob("*") if path.is_file()):
        whole.update(file.relative_to(DIR).as_posix().encode())
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()[:12]


@router.get("/static/{version}/{path:path}", name="static")
def static(request: Request, version: str, path: str) -> Response:
    """One file; of a version that is not this one's, uncached."""
    file = (DIR / path).resolve()
    if not file.is_relative_to(DIR.resolve()) or not file.is_file():
        raise NotFoundError(f"there is no static file '{path}'")
    media_type = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    headers = {"cache-control": _FOR_GOOD if version == digest() else "no-cache", "vary": "accept-encoding"}
    if file.suffix in _PACKED and "gzip" in request.headers.get("accept-encoding", ""):
        packed = _pack(file, file.stat().st_mtime_ns)
        return Response(packed, media_type=media_type, headers={**headers, "content-encoding": "gzip"})
    return FileResponse(file, media_type=media_type, headers=headers)


@lru_cache(maxsize=256)
def _pack(file: Path, _mtime_ns: int) -> bytes:
    return gzip.compress(file.read_bytes(), mtime=0)
