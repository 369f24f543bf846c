"""Serves Causeway under a path of its own, whether or not the proxy in front strips that path.

ASGI wants ``scope["path"]`` to include ``root_path``. A proxy that strips the prefix sends ``/documents``, one that
does not sends ``/ai/documents``, and a server that was told the root path puts it in front of either. All become
``/ai/documents`` here, so every link the pages make is right without knowing the proxy.
"""

from __future__ import annotations

from causeway.web.parts import AsgiApp, AsgiScope, Receive, Send


def under(root_path: str, app: AsgiApp) -> AsgiApp:
    """``app`` with ``root_path`` set and the path put right."""
    root = "/" + root_path.strip("/") if root_path.strip("/") else ""

    async def rooted(scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        path = scope["path"]
        while root and _starts_with(path, root):
            path = path[len(root) :]
        if not root and not scope["root_path"]:
            await app(scope, receive, send)
            return
        await app({**scope, "root_path": root, "path": root + (path or "/")}, receive, send)

    return rooted


def _starts_with(path: str, root: str) -> bool:
    return path == root or path.startswith(root + "/")
